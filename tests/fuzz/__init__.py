"""Fuzzing of the partners' formats: ``python -m tests.fuzz caf --source rsa_mensuel --minutes 10``."""
