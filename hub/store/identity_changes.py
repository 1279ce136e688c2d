"""What a human decided about whose records are whose, bound by the log: no row of it can be changed unseen.

Each unit of work that changes those tables ends with one event about no one, sealed under the hub's own key, that
names the digest of every row it added and took away. The events of the persons could not: their content goes with its
month, and what was decided holds for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, select

from connectors.kit.runtime import b64url
from consent.ledger.leaf import EventClass
from hub.store.identity_tables import absorbed, consent_owner, must_not_link, split_access
from hub.store.instant import Instant
from hub.store.journal import Journal
from hub.store.sealing import canonical

EVENT: Final = "match:identity:changed"
BOUND: Final = (absorbed, consent_owner, must_not_link, split_access)


def row_digest(table: str, row: Mapping[str, Any]) -> str:
    """Return the base64url SHA-256 of the RFC 8785 form of a row as it is stored (instants in microseconds)."""
    return b64url.encode(hashlib.sha256(canonical({"table": table, "row": dict(row)})).digest())


class IdentityChanges:
    """The digests of rows that came and went in one unit of work."""

    def __init__(self, connection: Connection) -> None:
        """Bind to one transaction."""
        self._connection = connection
        self._added: dict[str, set[str]] = {}
        self._removed: dict[str, set[str]] = {}

    @contextmanager
    def to(self, table: Table, where: ColumnElement[bool]) -> Iterator[None]:
        """Note what the block changes in ``table``, all of it in rows that fit ``where`` before and after."""
        before = self._rows(table, where)
        yield
        after = self._rows(table, where)
        name = str(table.name)
        added, removed = self._added.setdefault(name, set()), self._removed.setdefault(name, set())
        came, went = after - before, before - after
        # What came and went in one unit of work was never there, what went and came back never gone.
        back, again = came & removed, went & added
        removed -= back
        added -= again
        added |= came - back
        removed |= went - again

    def log(self, journal: Journal) -> None:
        """Append the event, if anything changed."""
        sides = {"added": self._added, "removed": self._removed}
        body = {side: {name: sorted(rows) for name, rows in found.items() if rows} for side, found in sides.items()}
        if any(body.values()):
            journal.append(EventClass.MATCH, {"event": EVENT, **body})

    def _rows(self, table: Table, where: ColumnElement[bool]) -> set[str]:
        rows = self._connection.execute(select(table).where(where)).mappings()
        return {row_digest(str(table.name), {str(name): _stored(value) for name, value in row.items()}) for row in rows}


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return Instant.to_microseconds(value)
    return int(value) if isinstance(value, bool) else value
