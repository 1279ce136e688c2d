"""One read-only view of a database file, row by row and raw: no mapping, no repository, no cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.log_check.finding import wrong
from hub.store.engine import sqlite_module

Row = tuple[Any, ...]
_BATCH = 4096


class Snapshot:
    """A transaction on one file. What is committed after it began is not seen."""

    def __init__(self, connection: Any) -> None:
        """Use :func:`open_snapshot`."""
        self._connection = connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Yield the rows of ``query``; a table or column that is not there ends the audit (``file``)."""
        for batch in self.batches(query, values):
            yield from batch

    def batches(self, query: str, values: Sequence[Any] = ()) -> Iterator[list[Row]]:
        """Yield the same some thousands at a time."""
        cursor = self._execute(query, values)
        while batch := self._fetch(cursor):
            yield batch

    def one(self, query: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row, None when there is none."""
        return next(self.rows(query, values), None)

    def _execute(self, query: str, values: Sequence[Any]) -> Any:
        try:
            return self._connection.execute(query, values)
        except sqlite_module().Error:
            wrong("hub.db", "-", "file")

    @staticmethod
    def _fetch(cursor: Any) -> list[Row]:
        try:
            found: list[Row] = cursor.fetchmany(_BATCH)
        except sqlite_module().Error:
            wrong("hub.db", "-", "file")
        return found


@contextmanager
def open_snapshot(path: Path) -> Iterator[Snapshot]:
    """Open the file at ``path`` read-only, for the time of the ``with`` block.

    Raises ``MaillonError(CONFIGURATION)`` when it is not there or cannot be opened.
    """
    module = sqlite_module()
    if not path.is_file():
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} is not there")
    connection = None
    # A copy in a folder that cannot be written has no place for a WAL index: it is read as it lies.
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        try:
            connection = module.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True, isolation_level=None)
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            break
        except module.Error:
            if connection is not None:
                connection.close()
            connection = None
            if Path(f"{path}-wal").exists() and Path(f"{path}-wal").stat().st_size:
                break  # what is in the WAL counts: never read past it
    if connection is None:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} cannot be read as a database")
    try:
        yield Snapshot(connection)
    finally:
        connection.close()
