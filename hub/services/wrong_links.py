"""What was sent while two persons' records were taken for one's: told to who received it, and shown to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from connectors.kit.runtime.ids import PersonId
from hub.store.access import AccessFilter, AccessKind, AccessRow
from hub.store.identity import LinkedRecord
from hub.store.link_notices import LinkNotice, NoticeKind
from hub.store.session import UnitOfWork

_PAGE = 500
_FRAGMENT = "fragment"
_REFUSED = "refused"


def notices_of_split(
    uow: UnitOfWork,
    person: PersonId,
    separated: PersonId,
    moved: Sequence[LinkedRecord],
    staying: Sequence[LinkedRecord],
) -> list[LinkNotice]:
    """Return what to tell the partners of ``person`` that were sent something since the wrong link, and put those
    accesses into the histories of both persons.

    A request was about the person of the requester's record, a fragment is the person of the source's: when these are
    now two, the requester received somebody else's. A partner with records of both cannot be told for sure.
    """
    going, kept = {record.partner for record in moved}, {record.partner for record in staying}
    where = AccessFilter(
        owner=person,
        also=uow.identity.family(person)[1:],
        kinds=(AccessKind.DECIDED, AccessKind.DELIVERED),
        since=min(record.since for record in moved),
    )
    notices: list[LinkNotice] = []
    theirs: dict[int, bool] = {}
    mine: dict[int, bool] = {}
    cursor: int | None = None
    while True:
        rows, cursor = uow.access.search(_before(where, cursor), _PAGE)
        for row in rows:
            wrong = [source for source in _sent(row) if not _same_side(row.partner, source, going, kept)]
            notices += [_notice(row, source, {row.partner, source}, going & kept) for source in wrong]
            if wrong:
                mine[row.seq] = True
            if _concerns(row, going):
                theirs[row.seq] = bool(wrong)
        if cursor is None:
            break
    uow.identity.share_access(person, mine)
    uow.identity.share_access(separated, theirs)
    return notices


def _before(where: AccessFilter, cursor: int | None) -> AccessFilter:
    return replace(where, before_seq=cursor)


def _sent(row: AccessRow) -> list[str]:
    if row.kind is not AccessKind.DELIVERED:
        return []
    return [source["source"] for source in row.payload["record"]["sources"] if source["outcome"] == _FRAGMENT]


def _concerns(row: AccessRow, going: set[str]) -> bool:
    if row.kind is AccessKind.DECIDED:
        return row.outcome == _REFUSED and row.partner in going
    return bool({row.partner, *_sent(row)} & going)


def _same_side(requester: str, source: str, going: set[str], kept: set[str]) -> bool:
    both = {requester, source}
    return (both <= going and not both & kept) or (both <= kept and not both & going)


def _notice(row: AccessRow, source: str, partners: set[str], unsure: set[str]) -> LinkNotice:
    return LinkNotice(
        partner=row.partner,
        kind=NoticeKind.WRONG_PERSON,
        access_seq=row.seq,
        trace_id=row.trace_id,
        source=source,
        delivered_at=row.at,
        is_certain=not partners & unsure,
    )
