"""The tables of the edge store, version by version. A change of them is a new version and a step to it."""

from __future__ import annotations

SCHEMA_VERSION = 1

PRAGMAS = (
    *("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"),
    # Keys are digests: a batch touches pages everywhere. In SQLite's own 2 MB they are written before the batch ends,
    # and read again; 32 MB, and a WAL of 16 MB between two checkpoints, halve what a long file reads and writes.
    *("cache_size=-32768", "wal_autocheckpoint=4000"),
)

# Tables of sealed bodies keep their rowid: a body is too long for the tree of a WITHOUT ROWID table, and the keys are
# digests, so that tree would be rewritten everywhere at once.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE subject (
  key BLOB PRIMARY KEY, body BLOB NOT NULL, ref_key BLOB, ref BLOB, changes INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX subject_ref ON subject (ref_key) WHERE ref_key IS NOT NULL;
CREATE INDEX subject_pending ON subject (changes) WHERE changes > 0;
CREATE TABLE identity (
  key BLOB NOT NULL, format TEXT NOT NULL, tag BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, format)
);
CREATE TABLE fragment (
  key BLOB NOT NULL, format TEXT NOT NULL, tag BLOB NOT NULL, sections BLOB NOT NULL, as_of INTEGER NOT NULL,
  weak INTEGER NOT NULL, file BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, format)
);
CREATE TABLE file (
  key BLOB NOT NULL, mapping TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (key, mapping)
) WITHOUT ROWID;
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY, file BLOB NOT NULL, format TEXT NOT NULL, position TEXT NOT NULL, path TEXT NOT NULL,
  reason TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL,
  UNIQUE (file, format, position, path, reason, detail)
);
CREATE TABLE seen (key BLOB PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_expiry ON seen (expires_at);
"""
