"""Counts over the index. Each reads a whole table or index: for a person who asks, not for every request."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import ColumnElement, Connection, Table, func, select

from connectors.kit.link_epochs import base
from hub.store.identity_tables import absorbed, must_not_link
from hub.store.tables import link, person, record, token_set
from hub.store.token_set import count_of


class Statistics:
    """Read-only."""

    def __init__(self, connection: Connection) -> None:
        """Bind to one transaction."""
        self._connection = connection

    def persons(self) -> int:
        """Return how many persons there are, without those that turned out to be another."""
        return self._count(person) - self._count(absorbed)

    def provisional(self) -> int:
        """Return how many of them may be another."""
        gone = select(absorbed.c.person_id)
        return self._count(person, person.c.provisional, person.c.person_id.not_in(gone))

    def records(self) -> dict[str, int]:
        """Return how many records each partner registered."""
        return self._by(record.c.partner)

    def links(self) -> dict[str, int]:
        """Return how many records each rule gave their present person."""
        return self._by(link.c.rule, link.c.until.is_(None))

    def tokens(self) -> dict[str, int]:
        """Return how many tokens there are of each kind."""
        counted: Counter[str] = Counter()
        # A few hundred different texts, however many records.
        shapes = select(token_set.c.kinds, func.count()).group_by(token_set.c.kinds)
        for kinds, records in self._connection.execute(shapes):
            for kind, count in count_of(kinds).items():
                counted[base(kind)] += count * records
        return dict(sorted(counted.items()))

    def kept_apart(self) -> int:
        """Return how many pairs of records were judged to be two persons'."""
        return self._count(must_not_link) // 2

    def _count(self, table: Table, *where: ColumnElement[bool]) -> int:
        return int(self._connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    def _by(self, column: ColumnElement[str], *where: ColumnElement[bool]) -> dict[str, int]:
        rows = self._connection.execute(select(column, func.count()).where(*where).group_by(column).order_by(column))
        return {row[0]: int(row[1]) for row in rows}
