"""Doubts before a reviewer: two persons who may be one, the pattern that raised it, and what was decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, func, insert, or_, select, union_all, update

from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.store.identity_tables import must_not_link
from hub.store.tables import link, review


class ReviewState(StrEnum):
    """Where a doubt stands."""

    OPEN = "open"
    """Nobody decided yet."""
    ASKED = "asked"
    """The reviewer waits until a partner completes its own record."""
    LINKED = "linked"
    """One person."""
    DIFFERENT = "different"
    """Two persons."""
    SPLIT = "split"
    """Were linked, and turned out to be two persons."""


WAITING = (ReviewState.OPEN, ReviewState.ASKED)
APART = (ReviewState.DIFFERENT, ReviewState.SPLIT)
# Written once: building a statement costs more than running it.
_INSERT = insert(review)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_MINE, _THEIRS = link.alias("mine"), link.alias("theirs")
_SETTLED = union_all(
    select(review.c.person_id, review.c.candidate_id).where(
        review.c.person_id.in_(_IDS), review.c.candidate_id.in_(_IDS)
    ),
    select(_MINE.c.person_id, _THEIRS.c.person_id)
    .join(must_not_link, must_not_link.c.record_id == _MINE.c.record_id)
    .join(_THEIRS, _THEIRS.c.record_id == must_not_link.c.other_id)
    .where(_MINE.c.person_id.in_(_IDS), _MINE.c.until.is_(None))
    .where(_THEIRS.c.person_id.in_(_IDS), _THEIRS.c.until.is_(None)),
)
# Of two doubts about one pair the one that was decided stays.
_WEIGHT = {
    ReviewState.OPEN: 0,
    ReviewState.ASKED: 1,
    ReviewState.LINKED: 2,
    ReviewState.DIFFERENT: 3,
    ReviewState.SPLIT: 4,
}


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One doubt: is ``person`` (whose ``record_id`` raised it) the same as ``candidate``?"""

    review_id: str
    person: PersonId
    candidate: PersonId
    record_id: str
    pattern: Mapping[str, Any]
    state: ReviewState
    opened_at: datetime
    decided_at: datetime | None
    actor: str | None


class Reviews:
    """Rows of ``review``."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def open(self, person: PersonId, record_id: str, patterns: Mapping[str, Mapping[str, object]]) -> list[str]:
        """Ask a human whether ``person`` is one of the candidates of ``patterns`` (person → what agrees).

        Return of whom it is asked.

        A pair already before a reviewer, or decided on, stays as it is; so does one judged apart record by record.
        """
        settled = self.settled({person, *map(PersonId, patterns)}).get(person, set())
        asked = [candidate for candidate in patterns if candidate not in settled]
        if asked:
            rows = [self._new(person, candidate, record_id, patterns[candidate]) for candidate in asked]
            self._connection.execute(_INSERT, rows)
        return asked

    def set_apart(self, person: PersonId, from_whom: PersonId, record_id: str, actor: str) -> str:
        """Write down that ``person`` was split from somebody; return the review's id, which can undo it."""
        known = self.between(person, from_whom)
        if known is None:
            row = self._new(person, from_whom, record_id, {"doubt": "separation"})
            self._connection.execute(_INSERT, [row])
            review_id: str = row["review_id"]
        else:
            review_id = known.review_id
        self.decide(review_id, ReviewState.SPLIT, actor)
        return review_id

    def _new(self, person: str, candidate: str, record_id: str, pattern: Mapping[str, object]) -> dict[str, Any]:
        return {
            "person_id": person,
            "candidate_id": candidate,
            "record_id": record_id,
            "pattern": orjson.dumps(pattern, option=orjson.OPT_SORT_KEYS).decode(),
            "opened_at": self._at,
            "review_id": new_uuid(),
            "state": ReviewState.OPEN.value,
        }

    def settled(self, persons: Collection[PersonId]) -> dict[str, set[str]]:
        """Return, for each of ``persons``, those of them it stands before a reviewer with or was judged apart from."""
        ids = sorted(persons)
        if len(ids) < 2:
            return {}
        pairs: dict[str, set[str]] = {}
        for one, other in self._connection.execute(_SETTLED, {"ids": ids}):
            pairs.setdefault(one, set()).add(other)
            pairs.setdefault(other, set()).add(one)
        return pairs

    def find(self, review_id: str) -> ReviewRow | None:
        """Return the doubt of this id."""
        row = self._connection.execute(select(review).where(review.c.review_id == review_id)).one_or_none()
        return None if row is None else _row(row)

    def between(self, one: PersonId, other: PersonId) -> ReviewRow | None:
        """Return the doubt about two persons."""
        return next((row for row in self._of(one) if other in (row.person, row.candidate)), None)

    def search(self, states: Collection[ReviewState], limit: int, after: str | None = None) -> list[ReviewRow]:
        """Return at most ``limit`` doubts in one of ``states``, oldest first, after the one whose id is ``after``."""
        query = select(review).where(review.c.state.in_([state.value for state in states]))
        last = None if after is None else self.find(after)
        if last is not None:
            begun, same = review.c.opened_at > last.opened_at, review.c.opened_at == last.opened_at
            query = query.where(or_(begun, same & (review.c.review_id > last.review_id)))
        rows = self._connection.execute(query.order_by(review.c.opened_at, review.c.review_id).limit(limit))
        return [_row(row) for row in rows]

    def count(self) -> dict[str, int]:
        """Return how many doubts there are in each state."""
        rows = self._connection.execute(select(review.c.state, func.count()).group_by(review.c.state))
        return {row[0]: int(row[1]) for row in rows}

    def decide(self, review_id: str, state: ReviewState, actor: str) -> None:
        """Write down what was decided."""
        decided = {"state": state.value, "decided_at": self._at, "actor": actor}
        self._connection.execute(update(review).where(review.c.review_id == review_id).values(decided))

    def is_doubtful(self, person: PersonId) -> bool:
        """Say whether somebody still has to say whether ``person`` is another."""
        waiting = review.c.state.in_([state.value for state in WAITING])
        query = select(review.c.review_id).where(review.c.person_id == person, waiting).limit(1)
        return self._connection.execute(query).scalar() is not None

    def move(self, before: PersonId, after: PersonId, record_ids: Collection[str] | None = None) -> None:
        """Make doubts about ``before`` doubts about ``after``; with ``record_ids`` those their records raised, and, of
        the doubts others' records raised about ``before``, a copy: either may be meant."""
        for row in self._of(before):
            whole = record_ids is None
            if row.person == before and (whole or row.record_id in (record_ids or ())):
                self._rewrite(row, after, row.candidate)
            elif row.candidate == before and whole:
                self._rewrite(row, row.person, after)
            elif row.candidate == before and row.state in WAITING:
                self.open(row.person, row.record_id, {after: row.pattern})

    def _rewrite(self, row: ReviewRow, person: PersonId, candidate: PersonId) -> None:
        if person == candidate:
            return
        for other in self._of(person):
            if other.review_id != row.review_id and {other.person, other.candidate} == {person, candidate}:
                weaker = min(row, other, key=lambda each: _WEIGHT[each.state])
                self._connection.execute(delete(review).where(review.c.review_id == weaker.review_id))
                if weaker is row:
                    return
        changed = {"person_id": person, "candidate_id": candidate}
        self._connection.execute(update(review).where(review.c.review_id == row.review_id).values(changed))

    def _of(self, person: PersonId) -> list[ReviewRow]:
        of = or_(review.c.person_id == person, review.c.candidate_id == person)
        rows = self._connection.execute(select(review).where(of).order_by(review.c.review_id))
        return [_row(row) for row in rows]


def _row(row: Row[Any]) -> ReviewRow:
    return ReviewRow(
        row.review_id,
        PersonId(row.person_id),
        PersonId(row.candidate_id),
        row.record_id,
        orjson.loads(row.pattern),
        ReviewState(row.state),
        row.opened_at,
        row.decided_at,
        row.actor,
    )
