"""What a human changes about whose records are whose, each in one transaction with its events in the log (DESIGN §4).

Joining keeps every partner's ref and adds the consents of both: as everywhere, a refusal beats a permission. Splitting
gives each record back, and with it its partner's ref; a consent goes to the person of the record whose partner took it
down, and where that is both, what it refuses stands for both and what it allows for none. Versions move, so that
whatever is under way is decided on again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.services.wrong_links import notices_of_split
from hub.store.identity import LinkedRecord, OwnedConsent
from hub.store.link_notices import LinkNotice, NoticeKind
from hub.store.matches import Match, MatchKind
from hub.store.session import UnitOfWork

RULE_REVIEW = "review"
RULE_SPLIT = "split"


@dataclass(frozen=True, slots=True)
class By:
    """Who decided, and why in a few words (no personal detail: it is kept as long as the trace)."""

    actor: str
    reason: str

    @property
    def details(self) -> Mapping[str, str]:
        """As the match event says it."""
        return {"actor": self.actor, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class SplitMade:
    """What a split did. ``told``: how many notices each partner got."""

    split_id: str
    person: PersonId
    separated: PersonId
    records: tuple[str, ...]
    told: Mapping[str, int]


def join(uow: UnitOfWork, one: PersonId, other: PersonId, by: By, *, undo: bool = False) -> PersonId:
    """Make two persons one and return it: the one known longer, a provisional one never if the other is not.

    Raises ``MaillonError(CONFLICT)`` when a record of one was judged not to be the other's, unless this is to ``undo``
    just that, and when one of the two is no person of its own any more.
    """
    records = {person: uow.identity.records_of(person) for person in (one, other)}
    if one == other or not all(records.values()):
        raise MaillonError(ErrorKind.CONFLICT, "one of the two is no person of its own any more")
    ids = {person: [record.record_id for record in held] for person, held in records.items()}
    if uow.identity.are_kept_apart(ids[one], ids[other]):
        if not undo:
            raise MaillonError(ErrorKind.CONFLICT, "judged to be two persons: decide on that review again")
        uow.identity.let_together(ids[one], ids[other])
    kept, gone = sorted((one, other), key=lambda p: (uow.identity.seniority(p), p))
    shown = records[gone][0]
    details = {"rule": RULE_REVIEW, **by.details}
    seqs = uow.matches.append_all(
        [
            Match(MatchKind.JOINED, kept, shown.record_id, shown.partner, {**details, "records": len(ids[gone])}),
            Match(MatchKind.ABSORBED, gone, shown.record_id, shown.partner, details),
        ]
    )
    uow.notices.add(_two_refs(uow, kept, gone, records))
    uow.identity.move_records(gone, kept, ids[gone], rule=RULE_REVIEW, actor=by.actor)
    uow.identity.move_refs(gone, kept)
    uow.identity.give_consents(uow.identity.consents_of(gone), gone, {kept: True}, seqs[0])
    uow.identity.absorb(gone, kept)
    uow.reviews.move(gone, kept)
    uow.identity.set_provisional(kept, uow.reviews.is_doubtful(kept))
    uow.identity.bump([kept, gone])
    return kept


def keep_apart(uow: UnitOfWork, one: PersonId, other: PersonId, record_id: str, by: By) -> None:
    """Judge two persons to be two, record by record and for good."""
    records = {person: uow.identity.records_of(person) for person in (one, other)}
    uow.identity.keep_apart(
        [record.record_id for record in records[one]], [record.record_id for record in records[other]], by.actor
    )
    shown = {person: held[0].partner if held else "hub" for person, held in records.items()}
    uow.matches.append_all(
        [
            Match(MatchKind.JUDGED_DIFFERENT, person, record_id, shown[person], {"rule": RULE_REVIEW, **by.details})
            for person in (one, other)
        ]
    )


def split(uow: UnitOfWork, person: PersonId, record_ids: Collection[str], by: By) -> SplitMade:
    """Give ``record_ids`` of ``person`` to a person of their own, and tell everybody who has to know.

    What a review had joined becomes the person again that it was, with its refs, consents and history. Raises
    ``MaillonError(NOT_FOUND)`` for a record that is not the person's, ``CONFLICT`` when none or all would go.
    """
    held = uow.identity.records_of(person)
    moved = [record for record in held if record.record_id in set(record_ids)]
    staying = [record for record in held if record.record_id not in set(record_ids)]
    if len(moved) != len(set(record_ids)):
        raise MaillonError(ErrorKind.NOT_FOUND, "not a record of this person", pointer="/records")
    if not moved or not staying:
        raise MaillonError(ErrorKind.CONFLICT, "a part of the records is to go, not none and not all")
    separated = _of_their_own(uow, person, moved, staying)
    ids = [record.record_id for record in moved]
    details = {"rule": RULE_SPLIT, **by.details, "records": len(ids)}
    seqs = uow.matches.append_all(
        [
            Match(MatchKind.SPLIT, person, moved[0].record_id, moved[0].partner, details),
            Match(MatchKind.SEPARATED, separated, moved[0].record_id, moved[0].partner, details),
        ]
    )
    # While the two are still one: afterwards nobody could tell what was sent as whose.
    notices = notices_of_split(uow, person, separated, moved, staying)
    uow.identity.move_records(person, separated, ids, rule=RULE_SPLIT, actor=by.actor)
    uow.identity.keep_apart(ids, [record.record_id for record in staying], by.actor)
    notices += _give_refs(uow, person, separated, moved, staying)
    _give_consents(uow, person, separated, moved, staying, seqs[0])
    uow.reviews.move(person, separated, ids)
    split_id = uow.reviews.set_apart(separated, person, ids[0], by.actor)
    for each in (person, separated):
        uow.identity.set_provisional(each, uow.reviews.is_doubtful(each))
    uow.identity.bump([person, separated])
    uow.notices.add(notices)
    told: dict[str, int] = {}
    for notice in notices:
        told[notice.partner] = told.get(notice.partner, 0) + 1
    return SplitMade(split_id, person, separated, tuple(ids), told)


def _of_their_own(
    uow: UnitOfWork, person: PersonId, moved: Sequence[LinkedRecord], staying: Sequence[LinkedRecord]
) -> PersonId:
    """Return whom the records go to: who they all, and no other, were until a review joined them; else a new one."""
    before = {record.came_from for record in moved}
    if len(before) == 1 and not before & {record.came_from for record in staying}:
        (former,) = before
        if former is not None and former in uow.identity.family(person)[1:]:
            uow.identity.revive(former)
            return former
    new = uow.persons.create(provisional=False)
    uow.secrets.create([new])
    return new


def _give_refs(
    uow: UnitOfWork,
    person: PersonId,
    separated: PersonId,
    moved: Sequence[LinkedRecord],
    staying: Sequence[LinkedRecord],
) -> list[LinkNotice]:
    """Let each partner's ref go on meaning the person of its records; where these are now two persons', the ref stays
    and the partner is asked to register again."""
    going, kept = {record.partner for record in moved}, {record.partner for record in staying}
    # Refs that the separated person's own secret makes are its own, wherever they are.
    uow.identity.move_refs(person, separated, secret_of=separated)
    for secret in uow.identity.secrets_of_refs(person, going - kept):
        # The secret makes refs of who stays too: a copy, so that erasing one of the two takes nothing from the other.
        copy = PersonId(new_uuid())
        uow.secrets.copy(secret, copy)
        uow.identity.move_refs(person, separated, partners=going - kept, secret_of=secret, made_by=copy)
    shared = sorted(going & kept)
    return [
        LinkNotice(partner, NoticeKind.REGISTER_AGAIN, secret_of=secret)
        for partner in shared
        for secret in sorted(uow.identity.secrets_of_refs(person, {partner}))
    ]


def _give_consents(
    uow: UnitOfWork,
    person: PersonId,
    separated: PersonId,
    moved: Sequence[LinkedRecord],
    staying: Sequence[LinkedRecord],
    since_seq: int,
) -> None:
    going, kept = {record.partner for record in moved}, {record.partner for record in staying}
    records: dict[str, list[OwnedConsent]] = {}
    for consent in uow.identity.consents_of(person):
        records.setdefault(consent.record_id, []).append(consent)
    for events in records.values():
        by = {event.collector for event in events}
        # Begun with that very person, before a review joined the two: whose it is is known.
        if by <= going - kept or any(event.given_under == separated for event in events):
            uow.identity.give_consents(events, person, {separated: True}, since_seq)
        elif not by <= kept - going:
            uow.identity.give_consents(events, person, {person: False, separated: False}, since_seq)


def _two_refs(
    uow: UnitOfWork, kept: PersonId, gone: PersonId, records: Mapping[PersonId, Sequence[LinkedRecord]]
) -> list[LinkNotice]:
    both = {r.partner for r in records[kept]} & {r.partner for r in records[gone]}
    return [
        LinkNotice(partner, NoticeKind.REGISTER_AGAIN, secret_of=secret)
        for partner in sorted(both)
        for secret in sorted(uow.identity.secrets_of_refs(gone, {partner}))
    ]
