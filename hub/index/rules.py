"""Whose record is this? The exact rules: pure, on keyed tokens and flags alone (DESIGN §4).

The hub never sees a trait. A record is a set of opaque token values per kind; two records *agree* on a kind when
they share a value of it. What each kind means stands in ``docs/index.md``; the connector's side is
``connectors.kit.tokens``.

Exact evidence links, doubt goes to a human, everything else is a new person. Rules 3 and 4 of DESIGN §4 and the
fuzzy kinds are more entries in ``_RULES`` and more keys in ``IndexRecord.tokens``: no shape changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

LOOKUP_KINDS: tuple[str, ...] = ("nir", "sgd", "sg_ym", "sg_y")
"""The kinds that can by themselves make a person a candidate: the hub need look up no other.

``nir_gd`` and ``insi`` imply ``nir`` and ``sgd``; ``sg2d``, ``sdp`` and ``gdp`` never suffice (twins share
surname, date and place). All kinds are stored, since all are compared once a candidate is found.
"""

PARTIAL_KINDS: tuple[str, ...] = ("sg_ym", "sg_y")
"""Those of :data:`LOOKUP_KINDS` that count only where one of two dates is partial."""
CROWD = 32
"""More persons than this sharing one name and date, or more records of one person at one partner, are a human's
matter: nobody has so many namesakes, and what a registration costs must not grow with what was registered before."""

_PRECISION = {"inconnue": 0, "annee": 1, "mois": 2, "jour": 3}
_PARTIAL_KIND = {1: "sg_y", 2: "sg_ym"}


class Rule(StrEnum):
    """The automatic rules. The value is what a link's row and an explanation show."""

    NIR = "R1"
    """Same NIR, coherent with the civil status on both sides, and same first given name and birth date."""
    CIVIL_STATUS = "R2"
    """Same surname, first given name, birth date, sex and French birthplace; nothing in conflict."""


class Doubt(StrEnum):
    """Why a person is shown to a reviewer: codes, French as the reviewer's page is."""

    SEVERAL = "plusieurs_candidats"
    """An automatic rule holds for this person, but it is not the only candidate."""
    NIR_CONFLICT = "conflit_nir"
    """Same civil status, two different coherent NIR."""
    GIVEN_CONFLICT = "conflit_prenoms"
    """Same civil status, but both have further given names and share none (compound-named twins)."""
    NIR_ALONE = "nir_seul"
    """Same NIR, not the same given name and date: a child under a parent's number, a wrong date, a typing error."""
    NAME_AND_DATE = "nom_prenom_date"
    """Same surname, given name and birth date, and not enough else: possibly a homonym."""
    PARTIAL_DATE = "date_partielle"
    """Same surname and given name, dates equal as far as the less precise one goes."""
    OWN_EVIDENCE = "par_un_tiers"
    """A rule holds, but only through another partner's record: two records of one partner must agree by themselves."""
    CROWDED = "foule"
    """A rule holds, among more than :data:`CROWD` persons or records."""


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """One partner's record of one person, as the hub holds it.

    ``tokens``: kind → its values, each the 128-bit ``HMAC(K_index, token)`` of DESIGN §4 (any equal-length opaque
    bytes will do). ``flags``: as the connector sent them; those read here are ``nir`` (``absent``, ``coherent``,
    ``incoherent``), ``date_precision`` (``jour``, ``mois``, ``annee``, ``inconnue``), ``ne_a_l_etranger`` and
    ``nombre_prenoms``. A missing flag counts as the weakest value.
    """

    tokens: Mapping[str, frozenset[bytes]]
    flags: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person sharing a token with the incoming record, with **all** of that person's records.

    ``settled`` names the other persons whose relation to this one is already before a reviewer, or was judged
    "different": their presence does not make an automatic answer ambiguous, as long as the record agrees with them
    on nothing that it does not share with this one.
    """

    person: str
    records: tuple[IndexRecord, ...]
    settled: frozenset[str] = frozenset()


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


@dataclass(frozen=True, slots=True)
class _Pair:
    """The incoming record beside one known record."""

    record: IndexRecord
    other: IndexRecord
    agreed: frozenset[str]
    nir_conflict: bool
    """The *person* has coherent NIR, the record too, and they are not the same number."""

    def both(self, name: str, value: str) -> bool:
        return self.record.flags.get(name) == value and self.other.flags.get(name) == value

    def both_carry(self, kind: str) -> bool:
        return bool(self.record.tokens.get(kind)) and bool(self.other.tokens.get(kind))

    @property
    def born_in_france(self) -> bool:
        return self.record.flags.get("ne_a_l_etranger") is False and self.other.flags.get("ne_a_l_etranger") is False

    @property
    def given_conflict(self) -> bool:
        """Both have a second given name and none is shared.

        ``MARIE ANNE`` and ``MARIE CLAIRE``, typed without hyphen, share the form ``MARIE``: they may be twins.
        """
        counts = [r.flags.get("nombre_prenoms") for r in (self.record, self.other)]
        several = all(isinstance(count, int) and count >= 2 for count in counts)
        return several and self.both_carry("sg2d") and "sg2d" not in self.agreed

    @property
    def precision(self) -> int:
        """The lower of the two date precisions, 0 (unknown) to 3 (day)."""
        return min(_PRECISION.get(str(r.flags.get("date_precision")), 0) for r in (self.record, self.other))


def _by_nir(pair: _Pair) -> bool:
    return {"nir", "nir_gd"} <= pair.agreed and pair.both("nir", "coherent")


def _by_civil_status(pair: _Pair) -> bool:
    return "insi" in pair.agreed and pair.precision == 3 and pair.born_in_france and not pair.given_conflict


_RULES: tuple[tuple[Rule, Callable[[_Pair], bool]], ...] = ((Rule.NIR, _by_nir), (Rule.CIVIL_STATUS, _by_civil_status))


def _rule(pair: _Pair) -> Rule | None:
    if pair.nir_conflict:
        return None
    return next((rule for rule, holds in _RULES if holds(pair)), None)


def _doubt(pair: _Pair) -> Doubt | None:
    """The grey zone, strongest evidence first; ``None`` when nothing worth a human's time agrees."""
    if "insi" in pair.agreed and pair.nir_conflict:
        return Doubt.NIR_CONFLICT
    if "insi" in pair.agreed and pair.given_conflict:
        return Doubt.GIVEN_CONFLICT
    if "nir" in pair.agreed:
        return Doubt.NIR_ALONE
    if "sgd" in pair.agreed:
        # Two coherent numbers, and sex or birthplace known and different: homonyms born the same day, not a doubt.
        return None if pair.nir_conflict and pair.both_carry("insi") else Doubt.NAME_AND_DATE
    if _PARTIAL_KIND.get(pair.precision) in pair.agreed and not pair.nir_conflict:
        return Doubt.PARTIAL_DATE
    return None


def _coherent_nirs(records: Sequence[IndexRecord]) -> frozenset[bytes]:
    return frozenset(v for r in records if r.flags.get("nir") == "coherent" for v in r.tokens.get("nir", ()))


def _pairs(record: IndexRecord, candidate: Candidate) -> list[_Pair]:
    mine, theirs = _coherent_nirs([record]), _coherent_nirs(candidate.records)
    conflict = bool(mine) and bool(theirs) and mine.isdisjoint(theirs)
    return [
        _Pair(
            record,
            other,
            frozenset(k for k, values in record.tokens.items() if not values.isdisjoint(other.tokens.get(k, ()))),
            conflict,
        )
        for other in candidate.records
    ]


def _agreement(person: str, doubt: Doubt, pairs: Sequence[_Pair]) -> Agreement:
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


def match(record: IndexRecord, candidates: Sequence[Candidate]) -> Link | New | Review:
    """Say whose ``record`` this is among ``candidates`` (one entry per person; order does not matter).

    Returns ``Link`` when an automatic rule holds for one person and every other that agrees is already ``settled``
    against it and agrees on no more (on less, if a rule holds for it too); ``New`` when nobody agrees enough to bother
    a human; otherwise ``Review``. Two persons that both exist are never joined. Never raises for an unknown kind or
    flag: it counts as no evidence.
    """
    automatic: list[tuple[Candidate, Rule]] = []
    known: dict[str, Agreement] = {}
    for candidate in candidates:
        pairs = _pairs(record, candidate)
        rules = [rule for rule in map(_rule, pairs) if rule is not None]
        doubts = [doubt for doubt in map(_doubt, pairs) if doubt is not None]
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
