"""The index while it is re-wrapped: the same answers, whichever epoch a row stands under.

A registration knows each of its tokens in every form that may be stored. It asks for all of them, and sees what comes
back in the present form: two records agree exactly when they would under one epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from connectors.kit.runtime.ids import PersonId
from hub.peppers import Form, Peppers
from hub.store.index import Index, IndexedPerson, IndexedRecord, IndexedToken

Earlier = Mapping[IndexedToken, IndexedToken]
"""A token as an earlier epoch stores it → as the present one does."""


def forms(peppers: Peppers, kind: str, token: bytes) -> tuple[IndexedToken, Earlier]:
    """Return a connector's token as it is stored now, and its earlier forms that may still stand in the index."""
    *before, now = (IndexedToken(kind, *form) for form in peppers.forms(token))
    return now, dict.fromkeys(before, now)


def lift(peppers: Peppers, token: IndexedToken) -> IndexedToken:
    """Return a stored token as it is stored now."""
    if token.epoch == peppers.epoch:
        return token
    return IndexedToken(token.kind, *peppers.lift(Form(token.epoch, token.lookup, token.value)))


def brought_up(
    peppers: Peppers, tokens: tuple[IndexedToken, ...], earlier: Earlier
) -> tuple[tuple[IndexedToken, ...], Earlier]:
    """Return what was prepared before an epoch began as it is in that epoch."""
    if all(token.epoch == peppers.epoch for token in tokens):
        return tokens, earlier
    now = {token: lift(peppers, token) for token in tokens}
    return tuple(now.values()), {**{old: now[was] for old, was in earlier.items()}, **now}


class TwoEpochs:
    """The index as one registration may ask it (port ``hub.index.placing.Lookup``)."""

    def __init__(self, index: Index, earlier: Earlier) -> None:
        """``earlier`` are the registration's own tokens."""
        self._index = index
        self._earlier = earlier
        self._values = {(old.kind, old.value): now.value for old, now in earlier.items()}

    def sharing(self, tokens: Iterable[IndexedToken], *, at_most: int, without: str | None = None) -> set[PersonId]:
        """As :meth:`Index.sharing`."""
        wanted = set(tokens)
        wanted |= {old for old, now in self._earlier.items() if now in wanted}
        return self._index.sharing(wanted, at_most=at_most, without=without)

    def load(self, persons: set[PersonId]) -> list[IndexedPerson]:
        """As :meth:`Index.load`."""
        return [
            replace(person, records=tuple(map(self._present, person.records))) for person in self._index.load(persons)
        ]

    def records_of(self, person_id: PersonId, *, but: str = "", partner: str | None = None) -> list[IndexedRecord]:
        """As :meth:`Index.records_of`."""
        return [self._present(record) for record in self._index.records_of(person_id, but=but, partner=partner)]

    def tokens_of(self, person_id: PersonId, record_id: str) -> frozenset[IndexedToken]:
        """As :meth:`Index.tokens_of`."""
        return frozenset(self._earlier.get(token, token) for token in self._index.tokens_of(person_id, record_id))

    def _present(self, record: IndexedRecord) -> IndexedRecord:
        tokens = {
            kind: frozenset(self._values.get((kind, value), value) for value in values)
            for kind, values in record.tokens.items()
        }
        return replace(record, tokens=tokens)
