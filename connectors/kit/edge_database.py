"""The edge store's one connection: every part of the store reads and writes through it, in its transactions."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from connectors.kit.edge_tables import PRAGMAS
from connectors.kit.runtime.errors import ErrorKind, MaillonError

try:
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:  # no wheel for this machine
    import sqlite3


class EdgeDatabase:
    """One SQLite file. One object per process; safe to share between threads.

    Whatever SQLite or the disk refuses is a ``MaillonError(STORAGE)`` that names no value.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the file at ``path``, readable by its owner alone."""
        try:
            # SQLite gives the WAL and the shared-memory file the mode of the database.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except (OSError, sqlite3.Error) as error:
            raise _refused(error) from None
        return cls(connection)

    def close(self) -> None:
        """Fold the WAL into the file and close it."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make every write inside one transaction: durable when the block ends, undone when it raises. May nest."""
        with self._lock:
            if self._depth:
                yield
                return
            self.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                # A full disk has already undone the transaction by itself; a refused COMMIT has not.
                if self._connection.in_transaction:
                    self.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, sql: str, *args: object) -> Any:
        """Run one statement and return its cursor (``rowcount``). Whoever writes holds :meth:`batch`."""
        try:
            return self._connection.execute(sql, args)
        except sqlite3.Error as error:
            raise _refused(error) from None

    def all(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        """Return every row of a query."""
        with self._lock:
            return list(self.execute(sql, *args).fetchall())

    def one(self, sql: str, *args: object) -> tuple[Any, ...] | None:
        """Return the first row of a query; None when there is none."""
        rows = self.all(sql, *args)
        return rows[0] if rows else None


def _refused(error: Exception) -> MaillonError:
    return MaillonError(ErrorKind.STORAGE, f"edge store: {type(error).__name__}")
