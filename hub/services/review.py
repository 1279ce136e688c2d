"""The reviewer's queue: which records may be one person's, by agreement pattern, and what is decided (DESIGN §4).

A pattern is what the hub can see: kinds of token that agree or differ, and flags; never a trait, and no id of a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.kit.link_epochs import base
from connectors.kit.runtime.clock import instant
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.index.evidence import side_by_side
from hub.index.rules import Candidate, IndexRecord, Link, Review, match
from hub.keyring import Keyring
from hub.services.matching import By, SplitMade, join, keep_apart, split
from hub.services.register import resolve
from hub.services.two_epochs import lift
from hub.store.identity import LinkedRecord
from hub.store.matches import Match, MatchKind
from hub.store.reviews import APART, WAITING, ReviewRow, ReviewState
from hub.store.session import UnitOfWork

DEFAULT_LIMIT: Final = 50
MOST_PAIRS: Final = 64
"""Pairs of records shown of one review: more say nothing more."""
_WITH_PLACE: Final = frozenset({"sgp", "sdp", "gdp", "gxdp", "insi"})
_DECISIONS: Final = {
    "link": ReviewState.LINKED,
    "different": ReviewState.DIFFERENT,
    "ask": ReviewState.ASKED,
}


def search(uow: UnitOfWork, criteria: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{reviews, next}`` (schema ``reviews``): oldest first; those that wait, or all with ``decided``."""
    limit = criteria.get("limit", DEFAULT_LIMIT)
    states = tuple(ReviewState) if criteria["decided"] else WAITING
    rows = uow.reviews.search(states, limit, criteria.get("cursor"))
    shown = [_summary(uow, row) for row in rows]
    return {"reviews": shown, "next": rows[-1].review_id if len(rows) == limit else None}


def show(uow: UnitOfWork, keyring: Keyring, review_id: str) -> dict[str, Any]:
    """Return one doubt with every pair of records (schema ``review``), as their tokens and flags stand now.

    Raises ``MaillonError(NOT_FOUND)``.
    """
    row = _found(uow, review_id)
    sides = [_side(uow, keyring, person) for person in (row.person, row.candidate)]
    pairs = [
        _pair(one, other, row.candidate, [record for _, record in sides[1]]) for one in sides[0] for other in sides[1]
    ]
    pairs.sort(key=lambda pair: -len(pair["agree"]))
    return {**_summary(uow, row), "pattern": dict(row.pattern), "pairs": pairs[:MOST_PAIRS]}


def decide(uow: UnitOfWork, review_id: str, decision: str, by: By) -> dict[str, Any]:
    """Decide ``link``, ``different`` or ``ask``; return ``{review_id, state}``.

    ``link`` on what was judged different, or split, undoes that; what was linked is undone by a split alone. Deciding
    the same again changes nothing. Raises ``MaillonError(NOT_FOUND | CONFLICT)``.
    """
    row, state = _found(uow, review_id), _DECISIONS[decision]
    if row.state is state:
        return {"review_id": review_id, "state": state.value}
    if row.state is ReviewState.LINKED:
        raise MaillonError(ErrorKind.CONFLICT, "these are one person: a split undoes that", pointer="/decision")
    if state is ReviewState.ASKED and row.state in APART:
        raise MaillonError(ErrorKind.CONFLICT, "this was decided", pointer="/decision")
    if state is ReviewState.DIFFERENT and row.state is ReviewState.SPLIT:
        return {"review_id": review_id, "state": row.state.value}
    # Before the pair is joined: afterwards one of the two is no person of its own any more.
    uow.reviews.decide(review_id, state, by.actor)
    if state is ReviewState.LINKED:
        join(uow, row.person, row.candidate, by, undo=row.state in APART)
    elif state is ReviewState.DIFFERENT:
        keep_apart(uow, row.person, row.candidate, row.record_id, by)
        uow.identity.set_provisional(row.person, uow.reviews.is_doubtful(row.person))
    else:
        held = {record.record_id: record.partner for record in uow.identity.records_of(row.person)}
        asked = Match(MatchKind.ASKED, row.person, row.record_id, held.get(row.record_id, "hub"), dict(by.details))
        uow.matches.append_all([asked])
    return {"review_id": review_id, "state": state.value}


def show_person(uow: UnitOfWork, keyring: Keyring, slug: str, ref: str) -> tuple[PersonId, dict[str, Any]]:
    """Return whom ``slug`` means by ``ref``, with its records and what of them agrees (schema ``person_records``).

    Raises ``MaillonError(UNKNOWN_SUBJECT)``.
    """
    person = _meant(uow, keyring, slug, ref)
    side = _side(uow, keyring, person)
    pairs = [_pair(one, other, person, [other[1]]) for n, one in enumerate(side) for other in side[n + 1 :]]
    pairs.sort(key=lambda pair: len(pair["agree"]))
    return person, {"records": [_record(linked, record) for linked, record in side], "pairs": pairs[:MOST_PAIRS]}


def split_person(
    uow: UnitOfWork, keyring: Keyring, slug: str, ref: str, record_ids: Sequence[str], by: By
) -> dict[str, Any]:
    """Split the person ``slug`` means by ``ref``: ``record_ids`` are another's (answer: schema ``split_answer``).

    Raises as :func:`hub.services.matching.split`, and ``UNKNOWN_SUBJECT``.
    """
    made: SplitMade = split(uow, _meant(uow, keyring, slug, ref), record_ids, by)
    told = [{"partner": partner, "notices": count} for partner, count in sorted(made.told.items())]
    return {"review_id": made.split_id, "records": list(made.records), "told": told}


def _meant(uow: UnitOfWork, keyring: Keyring, slug: str, ref: str) -> PersonId:
    person = resolve(uow, keyring, slug, ref)
    if person is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref", pointer="/ref")
    return person


def _found(uow: UnitOfWork, review_id: str) -> ReviewRow:
    row = uow.reviews.find(review_id)
    if row is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no review has this id", pointer="/review_id")
    return row


def _summary(uow: UnitOfWork, row: ReviewRow) -> dict[str, Any]:
    return {
        "review_id": row.review_id,
        "state": row.state.value,
        "opened_at": instant(row.opened_at),
        "decided_at": None if row.decided_at is None else instant(row.decided_at),
        "actor": row.actor,
        "doubt": row.pattern.get("doubt", "correction"),
        "kinds": list(row.pattern.get("kinds", ())),
        "partners": {
            side: sorted({record.partner for record in uow.identity.records_of(person)})
            for side, person in (("raised", row.person), ("candidate", row.candidate))
        },
    }


def _side(uow: UnitOfWork, keyring: Keyring, person: PersonId) -> list[tuple[LinkedRecord, IndexRecord]]:
    side = []
    for linked in uow.identity.records_of(person):
        kinds: dict[str, set[bytes]] = {}
        for token in uow.index.tokens_of(person, linked.record_id):
            kinds.setdefault(token.kind, set()).add(lift(keyring.peppers, token).value)
        side.append((linked, IndexRecord({kind: frozenset(held) for kind, held in kinds.items()}, linked.flags)))
    return side


def _record(linked: LinkedRecord, record: IndexRecord) -> dict[str, Any]:
    return {
        "record_id": linked.record_id,
        "partner": linked.partner,
        "since": instant(linked.since),
        "rule": linked.rule,
        "actor": linked.actor,
        "flags": dict(linked.flags),
        "gaps": gaps(record),
    }


def _pair(
    one: tuple[LinkedRecord, IndexRecord],
    other: tuple[LinkedRecord, IndexRecord],
    candidate: PersonId,
    others: Sequence[IndexRecord],
) -> dict[str, Any]:
    mine, theirs = (side.tokens for side in side_by_side(one[1], other[1]))
    both = sorted(kind for kind in mine if kind in theirs)
    agree = [kind for kind in both if not mine[kind].isdisjoint(theirs[kind])]
    said = match(one[1], [Candidate(candidate, tuple(others))])
    return {
        "record": _record(*one),
        "other": _record(*other),
        "agree": agree,
        "differ": [kind for kind in both if kind not in agree],
        "rules_say": said.rule.value
        if isinstance(said, Link)
        else said.pattern[0].doubt.value
        if isinstance(said, Review)
        else None,
    }


def gaps(record: IndexRecord) -> list[str]:
    """Return what a record lacks that could settle a doubt: it depends on the record alone, so that asking its partner
    for it tells nothing of anybody else."""
    flags = record.flags
    lacks = {
        "date_naissance": flags.get("date_precision") != "jour",
        "lieu_naissance": _WITH_PLACE.isdisjoint(map(base, record.tokens)),
        "nir": flags.get("nir", "absent") == "absent",
        "prenoms": flags.get("nombre_prenoms", 0) in (0, 1),
    }
    return [name for name, lacking in lacks.items() if lacking]
