"""The audit of the stored log: everything computed again from the bytes in the files, trusting no code that wrote them.

Reads ``hub.db`` (and, to open what is sealed, ``secrets.db`` and the keys) read-only, on one snapshot: a copy, or the
files of a hub at work. Names the first thing wrong.
"""
