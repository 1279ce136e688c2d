"""One record beside one other: what agrees, what conflicts, how rare that is, and which rule or doubt follows.

Pure, on opaque tokens and flags. Kinds and flags are those of ``docs/index.md``; a missing flag counts as the weakest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from connectors.kit.link_epochs import base, epoch_of


class Rule(StrEnum):
    """The automatic rules. The value is what a link's row and an explanation show."""

    NIR = "R1"
    """Same NIR, and the name and date that go with it."""
    CIVIL_STATUS = "R2"
    """Same surname, first given name, birth date and French birthplace; nothing in conflict."""
    RARE_NAME = "R3"
    """Same surname and given name, with a date or a birthplace that no namesake is likely to share."""
    ONE_EDIT = "R4"
    """Same as R2 but for a surname, or a given name nobody bears, one letter off."""


class Doubt(StrEnum):
    """Why a person is shown to a reviewer, strongest first: codes, French as the reviewer's page is."""

    SEVERAL = "plusieurs_candidats"
    """An automatic rule holds for this person, but it is not the only candidate."""
    NIR_CONFLICT = "conflit_nir"
    """Same civil status, two different coherent NIR."""
    GIVEN_CONFLICT = "conflit_prenoms"
    """Same civil status, but further given names, or half of a compound one, may be another person's (twins)."""
    NIR_ALONE = "nir_seul"
    """Same NIR and no rule: a child under a parent's number, a wrong date, another given name."""
    NAME_AND_DATE = "nom_prenom_date"
    """Same surname, given name and birth date, and not enough else: possibly a homonym."""
    OTHER_GIVEN = "autre_prenom"
    """Same surname and date; one's first given name is a later one, or half, of the other's."""
    ONE_LETTER = "une_lettre"
    """Same date; surname and given name the same but for a letter, or by ear: possibly a twin."""
    CLOSE_DATE = "date_proche"
    """Same surname and given name; the dates differ in one part, or in the order of day and month."""
    OTHER_SURNAME = "autre_nom"
    """Same given name, date and birthplace: a surname that changed, or a stranger."""
    PARTIAL_DATE = "date_partielle"
    """Same surname and given name, dates equal as far as the less precise one goes."""
    OWN_EVIDENCE = "par_un_tiers"
    """A rule holds, but only through another partner's record: two records of one partner must agree by themselves."""
    CROWDED = "foule"
    """A rule holds, among more persons or records than anyone has namesakes."""


# Points are half powers of ten: 14 points for ten million persons, 9 for a birth date, and so on. A coincidence of
# names, date and place is expected 10 ** (-points / 2) times among the persons a hub may hold (DESIGN §4's lambda).
ENOUGH = 8
"""At most one stranger in ten thousand cases: lambda ≤ 1e-4."""
_LIKELY = 4
"""At most one in a hundred: enough beside a NIR that is the same but contradicts a birthplace."""
_PERSONS = -14
_WHOLE_DATE = 9
_TWO_DATE_PARTS = 6
_SAME_COMMUNE = 4
_SAME_COUNTRY = 3
_SAME_LATER_GIVEN = 2
_ONE_EDIT = -2

_PRECISION = {"inconnue": 0, "annee": 1, "mois": 2, "jour": 3}
_PARTIAL_KIND = {1: "sg_y", 2: "sg_ym"}
_NAMED = frozenset({"sg_ym", "sg_y", "sg_yd", "sg_dm"})
"""Kinds that bring both names, and a date close enough, beside a NIR that year, month and sex already bear out."""


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """One partner's record of one person, as the hub holds it.

    ``tokens``: kind → its values, each the 128-bit ``HMAC(K_index, token)`` of DESIGN §4 (any equal-length opaque
    bytes will do). ``flags``: as the connector sent them.
    """

    tokens: Mapping[str, frozenset[bytes]]
    flags: Mapping[str, str | int | bool]

    def under(self, epoch: int) -> IndexRecord:
        """Return what it says under one epoch of ``K_link``, its kinds by their plain names."""
        of_it = {base(kind): held for kind, held in self.tokens.items() if epoch_of(kind) == epoch}
        return IndexRecord(of_it, self.flags)

    def number(self, flag: str) -> int:
        """Return a flag that counts, 0 when it is missing or does not."""
        value = self.flags.get(flag)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0


def side_by_side(one: IndexRecord, other: IndexRecord) -> tuple[IndexRecord, IndexRecord]:
    """Return both under the newest epoch of ``K_link`` they share: what is of two epochs is never compared, and a
    token the other lacks for its epoch alone is no disagreement. Without a common epoch nothing is left of either."""
    mine, theirs = ({epoch_of(kind) for kind in each.tokens} for each in (one, other))
    if mine == theirs == {1}:
        return one, other
    newest = max(mine & theirs, default=0)
    return one.under(newest), other.under(newest)


@dataclass(frozen=True)
class Pair:
    """The incoming record beside one known record.

    ``nir_conflict``: the known *person* has a coherent NIR, the record too, and they are not the same number.
    """

    record: IndexRecord
    other: IndexRecord
    nir_conflict: bool

    @cached_property
    def agreed(self) -> frozenset[str]:
        """The kinds of which both have a token in common."""
        theirs = self.other.tokens
        return frozenset(
            kind for kind, mine in self.record.tokens.items() if kind in theirs and not mine.isdisjoint(theirs[kind])
        )

    def rule(self) -> Rule | None:
        """Return the automatic rule that holds, ``None`` when none does."""
        return None if self.nir_conflict else next((rule for rule, holds in _RULES if holds(self)), None)

    def doubt(self) -> Doubt | None:
        """Return why a human should look, strongest first; ``None`` when nothing worth it agrees."""
        agreed = self.agreed
        if not agreed:
            return None
        if self.nir_conflict:
            # Sex or birthplace known and different too: homonyms born the same day, not a doubt.
            homonym = not self.place_unknown or not agreed & {"sgd", "sgd_x"}
            return Doubt.NIR_CONFLICT if self.same_civil_status else None if homonym else Doubt.NAME_AND_DATE
        if self.same_civil_status and self.given_conflict:
            return Doubt.GIVEN_CONFLICT
        if "nir" in agreed:
            return Doubt.NIR_ALONE
        if agreed & {"sgd", "sgd_x"}:
            return Doubt.NAME_AND_DATE
        if "sgnd" in agreed:
            return Doubt.OTHER_GIVEN
        if agreed & {"s1gd", "sg1d", "sgd_phon"}:
            return Doubt.ONE_LETTER
        if self.close_dates:
            return Doubt.CLOSE_DATE
        if "gdp" in agreed:
            return Doubt.OTHER_SURNAME
        year_alone = {"sg_y", "sgp"} <= agreed and self.a_first_of_january
        return Doubt.PARTIAL_DATE if year_alone or _PARTIAL_KIND.get(self.precision) in agreed else None

    # --- facts -------------------------------------------------------------------------------------------------------

    def both(self, flag: str, value: str | bool) -> bool:
        """Say whether both records' ``flag`` is ``value``."""
        return self.record.flags.get(flag) == value and self.other.flags.get(flag) == value

    def both_carry(self, kind: str) -> bool:
        """Say whether both records have a token of ``kind``, equal or not."""
        return bool(self.record.tokens.get(kind)) and bool(self.other.tokens.get(kind))

    @property
    def precision(self) -> int:
        """The lower of the two date precisions, 0 (unknown) to 3 (day)."""
        return min(_PRECISION.get(str(each.flags.get("date_precision")), 0) for each in (self.record, self.other))

    @property
    def in_france(self) -> bool:
        """Whether neither is known to be born abroad."""
        return self.both("ne_a_l_etranger", False)

    @property
    def place_unknown(self) -> bool:
        """Whether birthplaces cannot be compared: one has none."""
        return not self.both_carry("sgp")

    @property
    def close_dates(self) -> bool:
        """Two full dates that share two parts, or all in another order, beside both names; without a common birthplace
        only where one is missing, and within a year."""
        if self.precision < _PRECISION["jour"]:
            return False
        within_a_year = bool(self.agreed & {"sg_yd", "sg_dm", "sg_ym"})
        if "sgp" in self.agreed:
            return within_a_year or "sg_md" in self.agreed
        return within_a_year and self.place_unknown

    @property
    def same_civil_status(self) -> bool:
        """Surname, first given name, date and place, the two names in either order."""
        return bool(self.agreed & {"sgd", "sgd_x"}) and bool(self.agreed & {"gdp", "sgp"})

    @property
    def sex_conflict(self) -> bool:
        """Both tell a sex, and not the same, beside a common given name, date and place."""
        return "gdp" in self.agreed and self.both_carry("gxdp") and "gxdp" not in self.agreed

    @property
    def first_of_january(self) -> bool:
        """Both dates are 1 January, which a source writes where it knows the year alone."""
        return self.both("premier_janvier", True)

    @property
    def a_first_of_january(self) -> bool:
        """One date is 1 January and the other is not."""
        return self.record.flags.get("premier_janvier") is not self.other.flags.get("premier_janvier")

    @property
    def given_conflict(self) -> bool:
        """The given names may be two persons'.

        Both have further given names and share none; or one has just a name that begins many compounds, the other more:
        ``MARIE`` beside ``MARIE ANNE`` may be ``MARIE-CLAIRE``, her twin.
        """
        if "sg2d" in self.agreed:
            return False
        counts = [each.number("nombre_prenoms") for each in (self.record, self.other)]
        if min(counts) >= 2 and self.both_carry("sg2d") and self.agreed & {"sgd", "sgd_x", "sgnd"}:
            return True
        return self.half_conflict

    @property
    def half_conflict(self) -> bool:
        """Both first given names may be half of a compound, one tells more, and they share no further name."""
        counts = [each.number("nombre_prenoms") for each in (self.record, self.other)]
        return self.both("prenom_moitie", True) and max(counts) > 1 and "sg2d" not in self.agreed

    @property
    def half_a_given(self) -> bool:
        """One of the first given names may be half of a compound one."""
        return any(each.flags.get("prenom_moitie") is True for each in (self.record, self.other))

    @property
    def one_given_misspelt(self) -> bool:
        """One of the two given names is borne by nobody: a typing error, not a twin's name."""
        return sorted(each.flags.get("prenom_connu") is False for each in (self.record, self.other)) == [False, True]

    def points(self, *evidence: int) -> int:
        """Return the points of the names (the more common of the two) and of ``evidence``, less those of chance."""
        named = min(self.record.number("rarete"), self.other.number("rarete"))
        later = _SAME_LATER_GIVEN if "sg2d" in self.agreed else 0
        return _PERSONS + named + later + sum(evidence)

    @property
    def place_points(self) -> int:
        """The points of a common birthplace; ``sgp`` or ``gdp`` must have agreed."""
        return _SAME_COMMUNE if self.in_france else _SAME_COUNTRY


def _by_nir(pair: Pair) -> bool:
    agreed = pair.agreed
    if "nir" not in agreed:
        return False
    if not pair.both("nir", "coherent"):
        # Its number is wrong, or its place: a namesake of the day may lend a number, one of a rare name does not.
        other_place = not pair.place_unknown and not agreed & {"sgp", "gdp", "sdp"}
        unlikely = not other_place or pair.points(_WHOLE_DATE) >= _LIKELY
        return "nir_gd" in agreed and not pair.given_conflict and unlikely
    if agreed & {"sgd", "sgd_x"} or ("sgp" in agreed and agreed & _NAMED):
        return True
    if "nir_gd" in agreed and not pair.half_conflict:
        return True
    if agreed & {"sg1d", "sgd_phon"} and pair.one_given_misspelt:
        return True
    return "sgnd" in agreed and "sg2d" not in agreed and not pair.both("prenom_moitie", True)


def _by_civil_status(pair: Pair) -> bool:
    return pair.same_civil_status and pair.in_france and not pair.sex_conflict and not pair.given_conflict


def _by_rare_name(pair: Pair) -> bool:
    agreed = pair.agreed
    if pair.first_of_january or pair.given_conflict or pair.sex_conflict:
        return False
    if agreed & {"sgd", "sgd_x"}:
        if pair.place_unknown:
            return pair.points(_WHOLE_DATE) >= ENOUGH
        return "sgp" in agreed and pair.points(_WHOLE_DATE, pair.place_points) >= ENOUGH
    if "sgp" not in agreed:
        return False
    if "sg_dm" in agreed:
        return pair.points(_WHOLE_DATE, pair.place_points) >= ENOUGH
    return bool(agreed & {"sg_ym", "sg_yd"}) and pair.points(_TWO_DATE_PARTS, pair.place_points) >= ENOUGH


def _by_one_edit(pair: Pair) -> bool:
    agreed = pair.agreed
    surname = "gdp" in agreed and bool(agreed & {"s1gd", "sgd_phon"}) and not pair.sex_conflict
    given = {"sg1d", "sdp"} <= agreed and pair.one_given_misspelt and not pair.half_a_given
    if not (surname or given) or pair.given_conflict:
        return False
    if pair.in_france:
        return True
    return not pair.first_of_january and pair.points(_WHOLE_DATE, _SAME_COUNTRY, _ONE_EDIT) >= ENOUGH


_RULES = (
    (Rule.NIR, _by_nir),
    (Rule.CIVIL_STATUS, _by_civil_status),
    (Rule.RARE_NAME, _by_rare_name),
    (Rule.ONE_EDIT, _by_one_edit),
)
