"""Masked traits: enough to tell twins from a slip, and nothing that can be read (ADR 0021)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.identity import parse_identity
from connectors.kit.review.compare import OTHER, SAME, Verdict, compare
from connectors.kit.review.masks import FIELDS, marks_of, masked
from connectors.kit.review.reviewer import fields_in_doubt
from connectors.kit.tokens import KINDS, HmacTokeniser
from schemas.registry import validator

TOKENISER = HmacTokeniser(b"k" * 32, 1)
NOM, USAGE, PRENOMS, SEXE, DATE, LIEU, NIR = FIELDS
JULIE = {
    "nom_naissance": "Le Goff",
    "prenoms": ["Julie", "Anne"],
    "sexe": "F",
    "date_naissance": "1980-02-03",
    "code_cog_insee_commune_naissance": "29232",
    "nir": "2800229232117",
}


def mask(traits: dict[str, Any], *, known: bool = True, look: str = "a" * 43) -> dict[str, Any]:
    return masked(parse_identity(traits), FIELDS, marks_of(TOKENISER, look), prenom_connu=known)


def line(field: str, one: dict[str, Any], other: dict[str, Any], **known: bool) -> tuple[Verdict, str]:
    left, right = mask(JULIE | one, known=known.get("left", True)), mask(JULIE | other, known=known.get("right", True))
    (found,) = (each for each in compare(left, right) if each.field == field)
    return found.verdict, found.says


@pytest.mark.parametrize(
    ("field", "one", "other", "verdict", "says"),
    [
        pytest.param(PRENOMS, {"prenoms": ["Julie"]}, {"prenoms": ["Julien"]}, Verdict.CLOSE,
                     "1 lettre en plus à droite, à la fin ; les deux sont des prénoms portés",
                     id="twins a letter apart"),
        pytest.param(PRENOMS, {"prenoms": ["Claire"]}, {"prenoms": ["Lucie"]}, Verdict.DIFFERENT,
                     "différents ; les deux sont des prénoms portés", id="twins"),
        pytest.param(PRENOMS, {}, {"prenoms": ["Julie"]}, Verdict.CLOSE,
                     "à droite, une partie seulement ; les deux sont des prénoms portés", id="fewer given names"),
        pytest.param(NOM, {}, {"nom_naissance": "LEGOFF"}, Verdict.CLOSE, "identiques, espaces à part", id="particle"),
        pytest.param(NOM, {}, {"nom_naissance": "LE GOF"}, Verdict.CLOSE, "1 lettre en moins à droite, à la fin",
                     id="slip"),
        pytest.param(NOM, {"nom_naissance": "Julie", "prenoms": ["Le Goff"]},
                     {"nom_naissance": "Le Goff", "prenoms": ["Julie"]}, Verdict.CLOSE,
                     "nom et prénom sont intervertis", id="swapped"),
        pytest.param(NOM, {}, {"nom_naissance": ""}, Verdict.MISSING, "absent de l’un des deux", id="no surname"),
        pytest.param(DATE, {}, {"date_naissance": "1980-03-02"}, Verdict.CLOSE, "jour et mois intervertis", id="day"),
        pytest.param(DATE, {}, {"date_naissance": "1908-02-03"}, Verdict.CLOSE,
                     "seule l’année diffère (deux chiffres intervertis)", id="year"),
        pytest.param(DATE, {}, {"date_naissance": "1954-02-03"}, Verdict.CLOSE,
                     "seule l’année diffère (2 chiffres)", id="mother and daughter"),
        pytest.param(DATE, {}, {"date_naissance": "1980-02-00"}, Verdict.SAME, "identiques ; l’une est partielle",
                     id="month known"),
        pytest.param(DATE, {}, {"date_naissance": "1977-11-03"}, Verdict.DIFFERENT, "le mois et l’année diffèrent",
                     id="another date"),
        pytest.param(LIEU, {}, {"code_cog_insee_commune_naissance": "29019", "nir": ""}, Verdict.CLOSE,
                     "deux communes d’un même département", id="next town"),
        pytest.param(LIEU, {}, {"code_cog_insee_commune_naissance": "35238", "nir": ""}, Verdict.DIFFERENT,
                     "différents", id="another département"),
        pytest.param(NIR, {}, {"nir": "2800229232118"}, Verdict.DIFFERENT,
                     "seul le rang diffère : jumeaux, ou voisins de registre", id="twins' numbers"),
        pytest.param(NIR, {}, {"nir": "2800329232117", "date_naissance": "1980-03-03"}, Verdict.CLOSE,
                     "diffèrent par le mois (1 chiffre)", id="a digit of the number"),
        pytest.param(SEXE, {}, {"sexe": "M", "nir": ""}, Verdict.DIFFERENT, "différent", id="sex"),
    ],
)  # fmt: skip
def test_what_a_reviewer_is_told(
    field: str, one: dict[str, Any], other: dict[str, Any], verdict: Verdict, says: str
) -> None:
    assert line(field, one, other) == (verdict, says)


def test_a_slip_of_the_pen_is_told_from_a_twins_name() -> None:
    assert line(PRENOMS, {"prenoms": ["Julie"]}, {"prenoms": ["Jullie"]}, right=False) == (
        Verdict.CLOSE,
        "1 lettre en plus à droite, dans le mot ; celui de droite n’est pas un prénom connu",
    )


def test_the_drawing_shows_where_two_names_part_and_no_letter() -> None:
    (found,) = (
        each
        for each in compare(mask(JULIE | {"nom_naissance": "De Dupont"}), mask(JULIE | {"nom_naissance": "De Dupond"}))
        if each.field == NOM
    )
    assert (found.one, found.other) == (f"{SAME * 2} {SAME * 5}{OTHER}",) * 2


def test_everything_is_within_the_schema_and_nothing_can_be_read() -> None:
    made = mask(JULIE)
    envelope = {
        "v": 1,
        "source": "caf",
        "order_id": "6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d",
        **dict.fromkeys(("order_digest", "request_digest", "recipient_key"), "A" * 43),
        "iat": 1_700_000_000,
    }
    certificate = "eyJhbGciOiJFZDI1NTE5In0.eyJ2IjoxfQ." + "A" * 86
    validator("masked_traits").check({**envelope, "certificate": certificate, "records": [made, mask({})]})
    text = json.dumps(made)
    for value in ("GOFF", "JULIE", "ANNE", "Julie", "1980", "29232", "2800229232117", "0203"):
        assert value not in text


def marks(made: object) -> list[str]:
    """Every mark in a mask."""
    if isinstance(made, str):
        return [made] if len(made) == 8 else []
    inside = made.values() if isinstance(made, dict) else made if isinstance(made, list) else ()
    return [mark for each in inside for mark in marks(each)]


def test_another_look_has_other_marks_and_another_key_too() -> None:
    """Marks of two looks do not join, and whoever has no K_link cannot make one."""
    foreign = masked(parse_identity(JULIE), FIELDS, marks_of(HmacTokeniser(b"x" * 32, 1), "a" * 43), prenom_connu=True)
    one = {*marks(mask(JULIE))}
    assert len(one) > 40
    assert not one & {*marks(mask(JULIE, look="b" * 43))}
    assert not one & {*marks(foreign)}


def test_no_mask_shows_which_of_its_letters_or_digits_are_the_same() -> None:
    """By their repetitions alone, names and numbers could be told from a register."""
    made = mask(JULIE | {"nom_naissance": "ANNA", "prenoms": ["OTTO"], "nir": "2800229222222"})
    for field in (NOM, PRENOMS, NIR):
        assert len({*marks(made[field])}) == len(marks(made[field]))


NAME = st.text("ABC", min_size=2, max_size=7)


@given(NAME, NAME)
def test_two_names_are_told_equal_or_a_letter_apart_exactly_when_they_are(one: str, other: str) -> None:
    left, right = mask(JULIE | {"nom_usage": one}), mask(JULIE | {"nom_usage": other})
    (found,) = (each for each in compare(left, right) if each.field == USAGE)
    assert (found.verdict is Verdict.SAME) == (one == other)
    assert (len(found.one), len(found.other)) == (len(one), len(other))
    assert (found.one + found.other).strip(SAME + OTHER) == ""
    assert ("1 lettre" in found.says) == (one != other and _one_letter(one, other))


def _one_letter(one: str, other: str) -> bool:
    """The oracle: leave one letter out of the longer, or of both."""
    without = [{name[:i] + name[i + 1 :] for i in range(len(name))} for name in (one, other)]
    if len(one) == len(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 1
    return one in without[1] or other in without[0]


def test_what_the_tokens_have_shown_is_not_asked() -> None:
    assert fields_in_doubt([{"agree": ["sdp", "sg1d"]}]) == (PRENOMS, SEXE, NIR)
    assert fields_in_doubt([{"agree": ["nir", "sgd", "gxdp"]}]) == (PRENOMS,)
    # A pair of records that leaves it in doubt is enough.
    assert LIEU in fields_in_doubt([{"agree": ["sgd", "sgp"]}, {"agree": ["sgd"]}])
    assert fields_in_doubt([]) == FIELDS
    assert PRENOMS in fields_in_doubt([{"agree": list(KINDS)}])
