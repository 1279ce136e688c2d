"""Plain SQL straight to the driver, for the few statements every consent and every order goes through.

SQLAlchemy's layers cost ten times what SQLite does with a one-row statement. Only texts written here in the store are
run; an instant is passed as :meth:`hub.store.instant.Instant.to_microseconds` gives it. The driver's errors come out as
SQLAlchemy's, which is what the writer tells a refused item from a broken store by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Values = Sequence[object] | Mapping[str, object]


class Sql:
    """The driver's cursor under one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Bind to the transaction of ``connection``."""
        self._connection = connection
        self._cursor: Any = connection.connection.cursor()

    def rows(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return every row of a query."""
        try:
            found: list[tuple[Any, ...]] = self._cursor.execute(statement, values).fetchall()
        except Exception as error:
            raise self._translated(statement, error) from error
        return found

    def row(self, statement: str, values: Values = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, None when it has none."""
        found = self.rows(statement, values)
        return found[0] if found else None

    def run(self, statement: str, values: Values) -> int:
        """Run a statement that changes rows; return how many it did."""
        try:
            return int(self._cursor.execute(statement, values).rowcount)
        except Exception as error:
            raise self._translated(statement, error) from error

    def run_all(self, statement: str, many: Sequence[Values]) -> None:
        """Run a statement that changes rows, once with each of ``many``."""
        try:
            self._cursor.executemany(statement, many)
        except Exception as error:
            raise self._translated(statement, error) from error

    def add_all(self, statement: str, many: Sequence[Sequence[object]]) -> None:
        """Insert ``many`` rows by ``INSERT … VALUES (?, …)``, a hundred to a statement.

        A statement that fires triggers can be undone by itself: SQLite then walks all that the savepoint around it has
        set aside so far, which after thousands of pages takes longer than the insert.
        """
        for at in range(0, len(many), 100):
            part = many[at : at + 100]
            more = f", ({', '.join('?' * len(part[0]))})" * (len(part) - 1)
            self.run(statement + more, [value for row in part for value in row])

    def _translated(self, statement: str, error: Exception) -> BaseException:
        base = self._connection.dialect.loaded_dbapi.Error
        # No values: an exception's text never shows them.
        return DBAPIError.instance(statement, None, error, base, hide_parameters=True)
