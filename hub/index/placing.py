"""Who may be meant, and what becomes of the record: look-ups in a fixed number, then the rules (DESIGN §4).

The index is a port: the hub's store is one, the memory of ``maillon index link`` another. Both go through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from connectors.kit.link_epochs import base
from connectors.kit.runtime.ids import PersonId
from hub.index.evidence import IndexRecord
from hub.index.rules import CLOSE_KINDS, CROWD, EXACT_KINDS, PARTIAL_KINDS, Candidate
from hub.index.settle import Answer, Flood, settle

_WHOLE_DAY = '"date_precision":"jour"%"premier_janvier":false'
"""As flags are stored: two whole dates never agree in part, unless one is 1 January, which may be a year alone."""


class KindOfToken(Protocol):
    """Any indexed token: what it is of, for :class:`Lookup` alone to compare."""

    @property
    def kind(self) -> str:
        """The kind of ``docs/index.md``."""
        ...


class HeldRecord(Protocol):
    """A stored record: kind → its values, and its flags."""

    @property
    def tokens(self) -> Mapping[str, frozenset[bytes]]:
        """Kind → values."""
        ...

    @property
    def flags(self) -> Mapping[str, str | int | bool]:
        """As the connector sent them."""
        ...


class HeldPerson(Protocol):
    """A stored person with all of its records."""

    @property
    def person_id(self) -> PersonId:
        """The hub's own id."""
        ...

    @property
    def records(self) -> Sequence[HeldRecord]:
        """Its records, of every partner."""
        ...

    @property
    def settled(self) -> frozenset[str]:
        """Of the persons loaded with it, those it already stands before a reviewer with."""
        ...


T = TypeVar("T", bound=KindOfToken, contravariant=True)


class Lookup(Protocol[T]):
    """The index, as far as placing a record needs it."""

    def sharing(self, tokens: Iterable[T], *, at_most: int, without: str | None = None) -> set[PersonId]:
        """Return at most so many persons that have one of ``tokens``; not by records whose flags are ``without``."""
        ...

    def load(self, persons: set[PersonId]) -> Sequence[HeldPerson]:
        """Return ``persons`` with all of their records."""
        ...

    def records_of(self, person_id: PersonId, *, but: str = "", partner: str | None = None) -> Sequence[HeldRecord]:
        """Return a person's records, or those of ``partner``, without the one whose id is ``but``."""
        ...


def place(index: Lookup[T], partner: str, tokens: Iterable[T], record: IndexRecord) -> Answer:
    """Return what becomes of ``partner``'s new ``record``, whose ``tokens`` are as the index keeps them."""

    def own(person: str) -> list[IndexRecord]:
        return [evidence(held) for held in index.records_of(PersonId(person), partner=partner)]

    found = candidates(index, tokens, record)
    return Flood() if found is None else settle(record, found, own)


def candidates(index: Lookup[T], tokens: Iterable[T], record: IndexRecord) -> list[Candidate] | None:
    """Return who may be meant: by names and date, or number, as they are written; by close ones; by a year alone, where
    one date may be no more. At most ``CROWD`` persons each way; ``None`` when the first way finds more.
    """
    looked_up = list(tokens)

    def sharing(kinds: tuple[str, ...], at_most: int, without: str | None = None) -> set[PersonId]:
        wanted = [token for token in looked_up if base(token.kind) in kinds]
        return index.sharing(wanted, at_most=at_most, without=without) if wanted else set()

    persons = sharing(EXACT_KINDS, CROWD + 1)
    if len(persons) > CROWD:
        return None
    persons |= sharing(CLOSE_KINDS, CROWD)
    persons |= sharing(PARTIAL_KINDS, CROWD, _WHOLE_DAY if _is_whole_day(record) else None)
    found = index.load(persons)
    return [Candidate(p.person_id, tuple(map(evidence, p.records)), p.settled) for p in found]


def evidence(held: HeldRecord) -> IndexRecord:
    """Return a stored record as the match rules see it."""
    return IndexRecord(held.tokens, held.flags)


def _is_whole_day(record: IndexRecord) -> bool:
    return record.flags.get("date_precision") == "jour" and record.flags.get("premier_janvier") is not True
