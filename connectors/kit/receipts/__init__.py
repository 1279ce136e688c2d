"""Receipts of what a person said: checked offline, told in words, put on paper; and the keys they are checked with."""
