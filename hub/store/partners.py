"""Accepted directory versions, and suspensions decided at the hub (immediate; the directory follows)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from consent.ledger.leaf import EventClass
from hub.store.journal import Journal
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
        name = "policy:partner:suspended" if suspended else "policy:partner:resumed"
        seq = self._journal.append(
            EventClass.POLICY, {"event": name, "actor": actor, "reason": reason, "slug": slug}
        ).seq
        self._connection.execute(
            insert(partner_event),
            {
                "slug": slug,
                "seq": seq,
                "suspended": suspended,
                "reason": reason,
                "actor": actor,
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
        body = {"event": "key:directory:accepted", "digest": digest, "version": version}
        seq = self._journal.append(EventClass.KEY, body).seq
        self._connection.execute(
            insert(directory_version),
            {
                "version": version,
                "seq": seq,
                "digest": digest,
                "at": self._at,
            },
        )
