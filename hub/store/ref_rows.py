"""The refs of one partner while they go over to another epoch: old ones stay until they have to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from connectors.kit.runtime.ids import PersonId
from hub.store.sql import Sql
from hub.store.tables import person_ref

# In the order of the keyed look-ups, which say nothing.
_PAGE: Final = (
    "SELECT lookup, person_id, secret_of FROM person_ref WHERE lookup > ? AND partner = ? AND epoch < ? "
    "ORDER BY lookup LIMIT ?"
)
_WITHOUT_TWIN: Final = (
    "SELECT 1 FROM person_ref o WHERE o.partner = ? AND o.epoch < ? AND NOT EXISTS (SELECT 1 FROM person_ref n "
    "WHERE n.person_id = o.person_id AND n.partner = o.partner AND n.secret_of = o.secret_of AND n.epoch = ?) LIMIT 1"
)
_DELETE: Final = "DELETE FROM person_ref WHERE lookup = ?"


@dataclass(frozen=True, slots=True)
class OldRef:
    """A ref of an earlier epoch: its keyed look-up, whom it means, whose secret makes it."""

    lookup: bytes
    person_id: PersonId
    secret_of: PersonId


class RefRows:
    """Rows of ``person_ref`` by epoch."""

    def __init__(self, connection: Connection, sql: Sql) -> None:
        """Bind to one transaction."""
        self._connection = connection
        self._sql = sql

    def before(self, partner: str, epoch: int, after: bytes, most: int) -> list[OldRef]:
        """Return at most ``most`` refs of ``partner`` from before ``epoch``, from the look-up ``after`` on."""
        rows = self._sql.rows(_PAGE, (after, partner, epoch, most))
        return [OldRef(lookup, PersonId(person), PersonId(secret)) for lookup, person, secret in rows]

    def all_have(self, partner: str, epoch: int) -> bool:
        """Say whether every ref from before ``epoch`` has one of ``epoch`` beside it; reads the partner's refs."""
        return not self._sql.rows(_WITHOUT_TWIN, (partner, epoch, epoch))

    def delete(self, refs: Sequence[OldRef]) -> None:
        """Delete refs: from now on they mean no one."""
        self._sql.run_all(_DELETE, [(ref.lookup,) for ref in refs])

    def counts(self) -> dict[str, dict[int, int]]:
        """Return how many refs each partner has of each epoch."""
        columns = person_ref.c.partner, person_ref.c.epoch
        found: dict[str, dict[int, int]] = {}
        for partner, epoch, count in self._connection.execute(select(*columns, func.count()).group_by(*columns)):
            found.setdefault(partner, {})[epoch] = int(count)
        return found
