"""Whose record is this? Pure, on keyed tokens and flags alone (DESIGN §4).

The hub never sees a trait. A record is a set of opaque token values per kind; two records *agree* on a kind when they
share a value of it. What each kind means stands in ``docs/index.md``; the connector's side is
``connectors.kit.token_kinds``; what one record beside another is worth, ``hub.index.evidence``.

Enough evidence links, doubt goes to a human, everything else is a new person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.index.evidence import Doubt, IndexRecord, Pair, Rule, side_by_side

__all__ = [
    "CLOSE_KINDS",
    "CROWD",
    "EXACT_KINDS",
    "LOOKUP_KINDS",
    "PARTIAL_KINDS",
    "Agreement",
    "Candidate",
    "Doubt",
    "IndexRecord",
    "Link",
    "New",
    "Review",
    "Rule",
    "match",
]

EXACT_KINDS: tuple[str, ...] = ("nir", "sgd", "sgd_x", "gdp")
"""Looked up first: names, date or number as they are written."""
CLOSE_KINDS: tuple[str, ...] = (
    "sg_ym", "sg_dm", "sg_yd", "sg_md", "sgd_phon", "sgnd", "s1gd", "sg1d",
)  # fmt: skip
"""Looked up next: all but a letter, a part of the date, the order of the given names."""
PARTIAL_KINDS: tuple[str, ...] = ("sg_y",)
"""Looked up last: these count only where a date is partial, or may be (1 January)."""
LOOKUP_KINDS: tuple[str, ...] = (*EXACT_KINDS, *CLOSE_KINDS, *PARTIAL_KINDS)
"""The kinds that can by themselves make a person a candidate: the hub need look up no other.

``nir_gd`` and ``gxdp`` imply ``nir`` and ``gdp``; ``sg2d`` and ``sdp`` never suffice (twins share surname, date and
place), nor does ``sgp`` (fathers and sons). All kinds are stored, since all are compared once a candidate is found.
"""
CROWD = 32
"""More persons than this sharing one name and date, or more records of one person at one partner, are a human's
matter: nobody has so many namesakes, and what a registration costs must not grow with what was registered before."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person sharing a token with the incoming record, with **all** of that person's records.

    ``settled`` names the other persons whose relation to this one is already before a reviewer, or was judged
    "different": their presence does not make an automatic answer ambiguous, as long as the record agrees with them
    on nothing that it does not share with this one. ``barred``: the record was judged not to be this person's
    (must-not-link): no rule links it, and nobody is asked again.
    """

    person: str
    records: tuple[IndexRecord, ...]
    settled: frozenset[str] = frozenset()
    barred: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a reviewer may see of one candidate: which kinds agree with its records, and why it is shown.

    ``flags`` are the incoming record's, ``other_flags`` those of the candidate's record that agrees most.
    """

    person: str
    doubt: Doubt
    kinds: tuple[str, ...]
    flags: Mapping[str, str | int | bool]
    other_flags: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Link:
    """The record is this person's, by this rule."""

    person: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class New:
    """Nobody known: a new person."""


@dataclass(frozen=True, slots=True)
class Review:
    """A new person for now, and a human is asked whether it is one of ``persons``.

    ``persons`` is sorted; ``pattern`` has one entry per person, in the same order.
    """

    persons: tuple[str, ...]
    pattern: tuple[Agreement, ...]


def match(record: IndexRecord, candidates: Sequence[Candidate]) -> Link | New | Review:
    """Say whose ``record`` this is among ``candidates`` (one entry per person; order does not matter).

    Returns ``Link`` when an automatic rule holds for one person and everybody else that agrees is set apart from it
    (see :func:`_stands_out`); ``New`` when nobody agrees enough to bother a human; otherwise ``Review``. Evidence is
    one record's beside one other record: what two records of a person agree on separately is never added up. Two
    persons that both exist are never joined. Never raises for an unknown kind or flag: it counts as no evidence.
    """
    automatic: list[tuple[Candidate, Rule]] = []
    known: dict[str, Agreement] = {}
    for candidate in candidates:
        if candidate.barred:
            continue
        pairs = _pairs(record, candidate)
        rules = [rule for pair in pairs if (rule := pair.rule()) is not None]
        doubts = [doubt for pair in pairs if (doubt := pair.doubt()) is not None]
        if rules:
            automatic.append((candidate, min(rules)))
            known[candidate.person] = _agreement(candidate.person, Doubt.SEVERAL, pairs)
        elif doubts:
            strongest = min(doubts, key=list(Doubt).index)
            known[candidate.person] = _agreement(candidate.person, strongest, pairs)
    clear = [(candidate, rule) for candidate, rule in automatic if _stands_out(candidate, known)]
    if len(clear) == 1:
        return Link(clear[0][0].person, clear[0][1])
    if not known:
        return New()
    persons = tuple(sorted(known))
    return Review(persons, tuple(known[person] for person in persons))


def _pairs(record: IndexRecord, candidate: Candidate) -> list[Pair]:
    both = [side_by_side(record, other) for other in candidate.records]
    mine, theirs = (_coherent_nirs([pair[side] for pair in both if _numbered(pair)]) for side in (0, 1))
    conflict = bool(mine) and bool(theirs) and mine.isdisjoint(theirs)
    return [Pair(one, other, conflict) for one, other in both]


def _numbered(pair: tuple[IndexRecord, IndexRecord]) -> bool:
    return all("nir" in each.tokens for each in pair)


def _coherent_nirs(records: Sequence[IndexRecord]) -> frozenset[bytes]:
    return frozenset(v for r in records if r.flags.get("nir") == "coherent" for v in r.tokens.get("nir", ()))


def _agreement(person: str, doubt: Doubt, pairs: Sequence[Pair]) -> Agreement:
    best = max(pairs, key=lambda pair: len(pair.agreed))  # ties: the first stored
    kinds = frozenset[str]().union(*(pair.agreed for pair in pairs))
    return Agreement(person, doubt, tuple(sorted(kinds)), best.record.flags, best.other.flags)


def _stands_out(candidate: Candidate, known: Mapping[str, Agreement]) -> bool:
    """Say whether everybody else that agrees is already under review with ``candidate``, and agrees on no more; one an
    automatic rule holds for too, on less."""
    shared = set(known[candidate.person].kinds)
    others = [agreement for person, agreement in known.items() if person != candidate.person]
    return all(
        other.person in candidate.settled
        and (shared > set(other.kinds) if other.doubt is Doubt.SEVERAL else shared.issuperset(other.kinds))
        for other in others
    )
