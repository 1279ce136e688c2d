"""The index in memory, for files small enough: the port of the hub's store, without its durability or its cost.

Tokens are kept as the store keeps them: 64 bits to look up, 128 to decide.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from connectors.kit.runtime.ids import PersonId
from hub.cli.index_pairs import A, B, Pair
from hub.index.placing import place
from hub.index.rules import CROWD, LOOKUP_KINDS, Link, Review
from hub.index.settle import Flood
from hub.services.registration import Registration
from hub.store.index import IndexedPerson, IndexedRecord, IndexedToken

_LOOKED_UP = frozenset(LOOKUP_KINDS)
_REMEMBERED = 2 * CROWD
"""Of a crowd that shares one token, the first are enough to know it for a crowd."""


@dataclass(slots=True)
class _Held:
    partner: str
    rec_id: str
    packed: bytes
    kinds: tuple[tuple[str, int], ...]
    flags: Mapping[str, str | int | bool]

    def record(self) -> IndexedRecord:
        tokens, at = {}, 0
        for kind, count in self.kinds:
            tokens[kind] = frozenset(self.packed[at + 16 * n : at + 16 * n + 16] for n in range(count))
            at += 16 * count
        return IndexedRecord(tokens, self.flags)


@dataclass
class MemoryIndex:
    """Persons are numbered texts; ``reviews`` pairs of them."""

    persons: dict[PersonId, list[_Held]] = field(default_factory=lambda: defaultdict(list))
    settled: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _found: dict[int, PersonId | tuple[PersonId, ...]] = field(default_factory=dict)

    def new_person(self) -> PersonId:
        """Return the id of a new person, who has no record yet."""
        person = PersonId(f"{len(self.persons):09}")
        self.persons[person] = []
        return person

    def add(
        self,
        person: PersonId,
        partner: str,
        rec_id: str,
        tokens: Sequence[IndexedToken],
        flags: Mapping[str, str | int | bool],
    ) -> None:
        """Give ``person`` a record."""
        kinds: dict[str, list[bytes]] = {}
        for token in tokens:
            kinds.setdefault(token.kind, []).append(token.value)
            if token.kind in _LOOKED_UP:
                self._find(token.lookup, person)
        packed = b"".join(value for values in kinds.values() for value in values)
        counts = tuple((kind, len(values)) for kind, values in kinds.items())
        self.persons[person].append(_Held(partner, rec_id, packed, counts, flags))

    def ask(self, person: PersonId, others: Iterable[str]) -> None:
        """Put ``person`` before a reviewer with each of ``others``."""
        for other in others:
            self.settled[person].add(other)
            self.settled[other].add(person)

    # --- the port ----------------------------------------------------------------------------------------------------

    def sharing(self, tokens: Iterable[IndexedToken], *, at_most: int, without: str | None = None) -> set[PersonId]:
        """Return at most so many persons that have one of ``tokens``, the lowest ids first."""
        found: set[PersonId] = set()
        for token in tokens:
            held = self._found.get(token.lookup)
            if held is not None:
                found.update((held,) if isinstance(held, str) else held)
        if without is not None:
            found = {p for p in found if any(not _is_like(h.flags, without) for h in self.persons[p])}
        return set(sorted(found)[:at_most])

    def load(self, persons: set[PersonId]) -> list[IndexedPerson]:
        """Return ``persons`` with all of their records."""
        return [
            IndexedPerson(
                person,
                tuple(held.record() for held in self.persons[person]),
                frozenset(self.settled.get(person, set()) & persons),
            )
            for person in sorted(persons)
        ]

    def records_of(self, person_id: PersonId, *, but: str = "", partner: str | None = None) -> list[IndexedRecord]:
        """Return a person's records, or those of ``partner``, without ``but``."""
        return [
            held.record() for held in self.persons[person_id] if held.rec_id != but and partner in (None, held.partner)
        ]

    def _find(self, lookup: int, person: PersonId) -> None:
        held = self._found.get(lookup)
        if held is None:
            self._found[lookup] = person
        elif isinstance(held, str):
            if held != person:
                self._found[lookup] = (held, person)
        elif person not in held and len(held) < _REMEMBERED:
            self._found[lookup] = (*held, person)


def _is_like(flags: Mapping[str, str | int | bool], pattern: str) -> bool:
    text = orjson.dumps(flags, option=orjson.OPT_SORT_KEYS).decode()
    return fnmatch.fnmatchcase(text, f"*{pattern.replace('%', '*')}*")


class MemoryRegistry:
    """Registers records as the hub does, in memory."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._index = MemoryIndex()
        self._flooded: list[tuple[str, str]] = []
        self._rules: dict[str, str] = {}
        self._doubted: list[tuple[PersonId, str, str, tuple[str, ...]]] = []

    def register(self, partner: str, records: Sequence[tuple[str, Registration]]) -> None:
        """Place each of ``records`` (rec_id, registration), in order."""
        for rec_id, registration in records:
            answer = place(self._index, partner, registration.tokens, registration.evidence)
            person = PersonId(answer.person) if isinstance(answer, Link) else self._index.new_person()
            self._index.add(person, partner, rec_id, registration.tokens, registration.flags)
            if isinstance(answer, Link) and partner == B:
                self._rules[rec_id] = answer.rule.value
            elif isinstance(answer, Review):
                self._index.ask(person, answer.persons)
                if partner == B:
                    self._doubted += [(PersonId(p.person), rec_id, p.doubt.value, p.kinds) for p in answer.pattern]
            elif isinstance(answer, Flood):
                self._flooded.append((partner, rec_id))

    def pairs(self, *, explain: bool) -> Iterator[Pair]:
        """Yield every pair of a record of each file that is linked, or before a reviewer."""
        for records in self._index.persons.values():
            of_a = [held for held in records if held.partner == A]
            for held in (held for held in records if held.partner == B and held.rec_id in self._rules):
                for other in of_a:
                    agreed = _agreed(other, held) if explain else ()
                    yield Pair(other.rec_id, held.rec_id, "auto", self._rules[held.rec_id], agreed)
        for person, rec_id, doubt, kinds in self._doubted:
            for other in self._index.persons[person]:
                if other.partner == A:
                    yield Pair(other.rec_id, rec_id, "review", doubt, kinds if explain else ())

    def flooded(self, partner: str) -> Iterator[str]:
        """Yield the records set apart because of a crowd."""
        return (rec_id for whose, rec_id in self._flooded if whose == partner)

    def close(self) -> None:
        """Forget everything."""
        self._index = MemoryIndex()


def _agreed(one: _Held, other: _Held) -> tuple[str, ...]:
    mine, theirs = one.record().tokens, other.record().tokens
    return tuple(sorted(kind for kind in mine if not mine[kind].isdisjoint(theirs.get(kind, ()))))
