"""What partners have to know of a corrected link: what they received of somebody else, and refs to ask for again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, insert, or_, select

from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.store.identity_tables import link_notice
from hub.store.tables import access_field


class NoticeKind(StrEnum):
    """Why a partner is told."""

    WRONG_PERSON = "autre_personne"
    """What a source sent in answer to this partner's request was, or may have been, another person's."""
    REGISTER_AGAIN = "reenregistrer"
    """Records under one ref are of two persons, or one person's under two refs: registered again, each gets its own."""


@dataclass(frozen=True, slots=True)
class LinkNotice:
    """One notice to ``partner``. ``secret_of``: whose secret makes the ref that is meant."""

    partner: str
    kind: NoticeKind
    access_seq: int | None = None
    trace_id: str | None = None
    source: str | None = None
    delivered_at: datetime | None = None
    is_certain: bool = True
    secret_of: PersonId | None = None


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A notice as read back; ``fields`` are the paths that were sent in answer to the request."""

    notice_id: str
    at: datetime
    notice: LinkNotice
    fields: tuple[str, ...]


class LinkNotices:
    """Rows of ``link_notice``."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def add(self, notices: Iterable[LinkNotice]) -> None:
        """Tell partners."""
        rows = [
            {
                "notice_id": new_uuid(),
                "partner": each.partner,
                "kind": each.kind.value,
                "at": self._at,
                "access_seq": each.access_seq,
                "trace_id": each.trace_id,
                "source": each.source,
                "delivered_at": each.delivered_at,
                "is_certain": each.is_certain,
                "secret_of": each.secret_of,
            }
            for each in notices
        ]
        if rows:
            self._connection.execute(insert(link_notice), rows)

    def of(self, partner: str, limit: int, after: str | None = None) -> list[StoredNotice]:
        """Return at most ``limit`` notices to ``partner``, oldest first, after the one whose id is ``after``."""
        query = select(link_notice).where(link_notice.c.partner == partner)
        last = None
        if after is not None:
            last = self._connection.execute(query.where(link_notice.c.notice_id == after)).one_or_none()
        if last is not None:
            later, same = link_notice.c.at > last.at, link_notice.c.at == last.at
            query = query.where(or_(later, same & (link_notice.c.notice_id > last.notice_id)))
        rows = self._connection.execute(query.order_by(link_notice.c.at, link_notice.c.notice_id).limit(limit)).all()
        return [
            StoredNotice(
                row.notice_id,
                row.at,
                LinkNotice(
                    row.partner,
                    NoticeKind(row.kind),
                    row.access_seq,
                    row.trace_id,
                    row.source,
                    row.delivered_at,
                    row.is_certain,
                    None if row.secret_of is None else PersonId(row.secret_of),
                ),
                self._fields(row.access_seq),
            )
            for row in rows
        ]

    def _fields(self, access_seq: int | None) -> tuple[str, ...]:
        if access_seq is None:
            return ()
        query = select(access_field.c.path).where(access_field.c.seq == access_seq).order_by(access_field.c.path)
        return tuple(self._connection.execute(query).scalars())
