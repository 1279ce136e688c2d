"""A partner's HTTP API, played from payload files, with faults on demand (``docs/simulator.md``)."""
