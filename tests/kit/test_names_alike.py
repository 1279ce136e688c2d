"""What brings two writings of one name, or one birthplace, together: halves, sounds, shares, codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.communes import compared_place
from connectors.kit.identity import parse_identity
from connectors.kit.names import given_names, surname_forms, surname_parts
from connectors.kit.phonetics import phonetic
from connectors.kit.rarity import COMMON, UNKNOWN_SHARES, NameCount, NameShares, read_shares
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import HmacTokeniser, tokens_of

TOKENISER = HmacTokeniser(bytes(range(32)), 1)


@pytest.mark.parametrize(
    ("written", "whole", "parts"),
    [
        ("Dupont", ("DUPONT",), ("PONT",)),
        ("Kervella", ("KERVELLA",), ()),
        ("LE ROUX", ("LEROUX",), ("ROUX",)),
        ("LeRoux", ("LEROUX",), ("ROUX",)),
        ("ROUX (LE)", ("LEROUX",), ("ROUX",)),
        ("Martinez (d')", ("DMARTINEZ",), ("MARTINEZ",)),
        ("BOIS-DELEUN", ("BOISDELEUN",), ("BOIS", "DELEUN")),
        ("duFontaine", ("DUFONTAINE",), ("FONTAINE",)),
        ("AllierLucard", ("ALLIERLUCARD",), ("ALLIER", "LUCARD")),
        ("DE LA GARCE", ("DELAGARCE",), ("GARCE",)),
        ("Pont-De", ("PONTDE",), ("PONT",)),
        ("Li-Wu", ("LIWU",), ()),  # two letters are anybody's
        ("X", (), ()),
    ],
)
def test_halves_of_a_surname(written: str, whole: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert (surname_forms(written), surname_parts(written)) == (whole, parts)


def test_a_surname_has_few_halves() -> None:
    assert len(surname_parts(" ".join("Abcd Efgh Ijkl Mnop Qrst Uvwx".split()))) == 4  # noqa: SIM905 - a name, as typed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PHILIPPE", "FILIPE"),
        ("GUILLAUME", "GUILAUME"),
        ("LEILA", "LAYLA"),
        ("JOSEPHINE", "JOSEFINE"),
        ("THIBAULT", "TIBAUT"),
        ("YOUSSEF", "YOUCEF"),
        ("MATHIEU", "MATTHIEU"),
        ("MONIQUE", "MONIK"),
        ("GAUTHIER", "GOTIER"),
        ("CHRISTOPHE", "CHRISTOF"),
    ],
)
def test_names_that_sound_alike_share_a_code(one: str, other: str) -> None:
    assert phonetic(one) == phonetic(other)


@pytest.mark.parametrize(
    ("one", "other"), [("MARTIN", "MORIN"), ("JULIE", "JULES"), ("LOUIS", "LUCAS"), ("ANNE", "LEA")]
)
def test_names_that_do_not_sound_alike_do_not(one: str, other: str) -> None:
    assert phonetic(one) != phonetic(other)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=30))
def test_every_name_has_a_code(name: str) -> None:
    assert phonetic(name)
    assert phonetic("") == ""


@pytest.mark.parametrize(
    ("names", "half"),
    [
        ("MARIE", True),
        ("JEAN PAUL", True),
        (["Marie"], True),
        (["Marie", "Claire"], False),
        ("Jean-Paul", False),
        ("CLAIRE MARIE", False),
    ],
)
def test_half_of_a_compound_name(names: str | list[str], half: bool) -> None:
    assert given_names(names)[0].half is half


@pytest.mark.parametrize(
    ("one", "other"),
    [("75112", "75056"), ("69385", "69123"), ("13208", "13055"), ("2A004", "20004"), ("2B033", "20033")],
)
def test_two_codes_of_one_birthplace_meet(one: str, other: str) -> None:
    assert compared_place(one) == compared_place(other)


@pytest.mark.parametrize("code", ["75056", "69380", "13001", "13217", "99352", "97411", ""])
def test_other_codes_stay_as_they_are(code: str) -> None:
    assert compared_place(code) == code


def test_a_city_and_its_arrondissement_give_the_same_tokens() -> None:
    traits = {"nom_naissance": "Kervella", "prenoms": "Zoé", "date_naissance": "1983-05-09", "sexe": "F"}
    city, quarter = (
        tokens_of(parse_identity(traits | {"code_cog_insee_commune_naissance": code}), TOKENISER)
        for code in ("75056", "75118")
    )
    assert city.tokens == quarter.tokens


# --- how rare a name is ----------------------------------------------------------------------------------------------

ANNE = parse_identity({"nom_naissance": "Quemener", "prenoms": "Solenn"})
SHARES = NameShares({"QUEMENER": 1e-5, "MARTIN": 4e-3}, {"SOLENN": 0.002, "MARIE": 0.05}, 1e-6, complete_givens=True)


@pytest.mark.parametrize(
    ("surname", "usage", "given_name", "rarity"),
    [
        ("Quemener", "", "Marie", 12),  # 1e-5 × 0.05 = 5e-7
        ("Quemener", "", "Solenn", 14),  # 1e-5 × 0.005: no given name counts as rarer
        ("Kervella", "", "Marie", 14),  # in no table: at most 1e-6; 5e-8
        ("Martin", "", "Marie", 7),
        ("Quemener", "Martin", "Marie", 7),  # the more common of the two
        ("Quemener-Martin", "", "Marie", 7),
        ("X", "", "Marie", 0),
        ("Quemener", "", "X", 0),
    ],
)
def test_rarity(surname: str, usage: str, given_name: str, rarity: int) -> None:
    identity = parse_identity({"nom_naissance": surname, "nom_usage": usage, "prenoms": given_name})
    assert SHARES.rarity(identity) == rarity


def test_without_a_table_nothing_is_rare_nor_misspelt() -> None:
    assert (UNKNOWN_SHARES.rarity(ANNE), UNKNOWN_SHARES.knows_given(ANNE)) == (0, True)


def test_a_given_name_in_no_table_is_a_slip() -> None:
    assert SHARES.knows_given(ANNE)
    slip = parse_identity({"nom_naissance": "Quemener", "prenoms": "Solnen"})
    assert not SHARES.knows_given(slip)


def test_names_counted_in_a_file_are_as_common_as_they_may_be() -> None:
    count = NameCount()
    count.add([ANNE] * 98 + [parse_identity({"nom_naissance": "Martin", "prenoms": "Zoé"})] * 2)
    shares = count.shares()
    assert shares.surnames["MARTIN"] == pytest.approx(0.04)  # seen twice: perhaps four times
    assert shares.unlisted_surname == pytest.approx(0.03)  # one seen once is not listed: perhaps three times
    assert "SOLENN" in shares.givens
    assert "ZOE" not in shares.givens  # twice may be a slip made twice
    assert NameCount().shares() == UNKNOWN_SHARES


def test_a_table_also_knows_the_names_of_the_file() -> None:
    counted = NameShares({}, {"GWENDAL": 0.01}, complete_givens=True)
    both = SHARES.beside(counted)
    gwendal = parse_identity({"nom_naissance": "Quemener", "prenoms": "Gwendal"})
    assert both.knows_given(gwendal)
    assert not SHARES.knows_given(gwendal)
    assert both.givens["SOLENN"] == SHARES.givens["SOLENN"]


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("kind,name,share\nS,Le Goff,0.001\nS,LEGOFF,0.0005\nG,Jean-Paul,0.01\n", "utf-8")
    shares = read_shares(path)
    assert shares.surnames == {"LEGOFF": pytest.approx(0.0015)}
    assert shares.givens == {"JEANPAUL": 0.01}
    assert COMMON > 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "name,share\nA,1\n",
        "kind,name,share\nS,A,2\n",
        "kind,name,share\nS,A,x\n",
        "kind,name,share\nX,A,0.1\n",
        "kind,name,share\nS,Ab,nan\n",
        "kind,name,share\nS,Ab,0.1\n",
    ],
)
def test_a_table_of_another_shape_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(MaillonError) as caught:
        read_shares(path)
    assert caught.value.kind is ErrorKind.CONFIGURATION
