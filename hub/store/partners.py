"""Accepted directory versions, and suspensions decided at the hub (immediate; the directory follows)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from hub.store.journal import EventClass, Journal, canonical
from hub.store.tables import directory_version, partner_event

# Written once: building a statement costs more than running it.
_SUSPENSIONS = select(partner_event).where(
    partner_event.c.seq.in_(select(func.max(partner_event.c.seq)).group_by(partner_event.c.slug))
)


@dataclass(frozen=True, slots=True)
class Suspension:
    """The last word of the hub about a partner."""

    slug: str
    suspended: bool
    reason: str
    at: datetime


class Partners:
    """What the hub itself decided about partners."""

    def __init__(self, connection: Connection, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._at = at

    def suspend(self, slug: str, *, suspended: bool, reason: str, actor: str) -> None:
        """Append a suspension (or its end)."""
        payload = canonical({"actor": actor, "reason": reason, "slug": slug, "suspended": suspended})
        seq, salt, _ = self._journal.append(EventClass.POLICY, payload)
        self._connection.execute(
            insert(partner_event),
            {
                "slug": slug,
                "seq": seq,
                "suspended": suspended,
                "reason": reason,
                "actor": actor,
                "salt": salt,
                "at": self._at,
            },
        )

    def suspensions(self) -> dict[str, Suspension]:
        """Return the last word about every partner the hub ever suspended."""
        rows = self._connection.execute(_SUSPENSIONS)
        return {row.slug: Suspension(row.slug, row.suspended, row.reason, row.at) for row in rows}

    def suspended(self) -> frozenset[str]:
        """Return the slugs suspended now."""
        return frozenset(slug for slug, row in self.suspensions().items() if row.suspended)

    def directory_seen(self) -> int:
        """Return the highest directory version ever accepted, 0 when none was."""
        return int(
            self._connection.execute(select(func.coalesce(func.max(directory_version.c.version), 0))).scalar_one()
        )

    def accept_directory(self, version: int, digest: str) -> None:
        """Remember that ``version`` was accepted; the caller has checked that it is the newest."""
        seq, _, _ = self._journal.append(EventClass.KEY, canonical({"directory": digest, "version": version}))
        self._connection.execute(
            insert(directory_version),
            {
                "version": version,
                "seq": seq,
                "digest": digest,
                "at": self._at,
            },
        )
