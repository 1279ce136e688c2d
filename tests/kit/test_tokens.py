"""Keyed tokens: which kinds an identity gives, their bytes, their wire form, and the subject proofs (DESIGN §4)."""

from __future__ import annotations

import hashlib
import hmac
import string
import unicodedata
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.identity import parse_identity
from connectors.kit.names import normalise
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import KINDS, HmacTokeniser, TokenSet, match_subject, subject_proofs, tokens_of

KEY = bytes(range(32))
TOKENISER = HmacTokeniser(KEY, 1)
PERSON: dict[str, object] = {
    "nom_naissance": "Le Goff-Duval",
    "prenoms": ["Maëlle-Anne"],
    "sexe": "F",
    "date_naissance": "1987-03-14",
    "code_cog_insee_commune_naissance": "29019",
    "nir": "2870329019001",
}


def made(**changes: object) -> TokenSet:
    return tokens_of(parse_identity(PERSON | changes), TOKENISER)


def kinds(tokens: TokenSet) -> dict[str, int]:
    return {kind: count for kind in KINDS if (count := len(tokens.of(kind)))}


# --- bytes -----------------------------------------------------------------------------------------------------------


def spelt_out(kind: str, *parts: str) -> bytes:
    """The formula of docs/index.md, written a second time."""
    value = "\x1f".join(parts).encode()
    data = b"maillon/token/v1" + bytes([len(kind)]) + kind.encode() + b"\x02" + len(value).to_bytes(2, "big") + value
    return hmac.new(KEY, data, hashlib.sha256).digest()


# What each kind is made of, for LE GOFF-DUVAL Maëlle-Anne, 14 March 1987, 29019: written out by hand.
WHOLE, HALVES, G, DAY, PLACE = "LEGOFFDUVAL", ("LEGOFF", "DUVAL"), "MAELLEANNE", "1987-03-14", "29019"
SPELT: dict[str, list[tuple[str, ...]]] = {
    "nir": [("2870329019001",)],
    "nir_gd": [("2870329019001", G, DAY)],
    "sgd": [(WHOLE, G, DAY)],
    "sgd_x": [(WHOLE, G, DAY), ("LEGOFF", G, DAY), ("DUVAL", G, DAY)],
    "gxdp": [(G, "F", DAY, PLACE)],
    "gdp": [(G, DAY, PLACE)],
    "sdp": [(s, DAY, PLACE) for s in (WHOLE, *HALVES)],
    "sgp": [(WHOLE, G, PLACE)],
    "sg2d": [(s, "ANNE", DAY) for s in (WHOLE, *HALVES)],
    "sg_ym": [(WHOLE, G, "1987-03")],
    "sg_y": [(WHOLE, G, "1987")],
    "sg_dm": [(WHOLE, G, "1987", "03", "14")],
    "sg_yd": [(WHOLE, G, "1987", "14")],
    "sg_md": [(WHOLE, G, "03", "14")],
    "sgd_phon": [("LEGOFDUVAL", "MAELEAN", DAY)],
    "sgnd": [(WHOLE, g, DAY) for g in (G, "MAELLE", "ANNE")],
    "s1gd": [(s, G, DAY) for s in ("LEGOFFDUVAL", "EGOFFDUVAL", "LGOFFDUVAL", "LEOFFDUVAL", "LEGFFDUVAL", "LEGOFDUVAL",
                                   "LEGOFFUVAL", "LEGOFFDVAL", "LEGOFFDUAL", "LEGOFFDUVL", "LEGOFFDUVA")],
    "sg1d": [(WHOLE, g, n, DAY) for g, n in (
        *((G, n) for n in "012345"),
        ("AELLEANNE", "0"), ("MELLEANNE", "0"), ("MALLEANNE", "1"), ("MAELEANNE", "1"), ("MAELEANNE", "2"),
        ("MAELLANNE", "2"), ("MAELLENNE", "3"), ("MAELLEANE", "3"), ("MAELLEANE", "4"), ("MAELLEANN", "4"))],
}  # fmt: skip


def test_the_tokens_of_each_kind_are_the_published_formula() -> None:
    for kind, values in SPELT.items():
        expected = {spelt_out(kind, *value) for value in values}
        if kind == "sgd_phon":  # the code itself is tested in test_names.py
            assert len(made().of(kind)) == 1
            continue
        assert set(made().of(kind)) == expected, kind
    assert set(SPELT) == set(KINDS)


def test_golden_tokens() -> None:
    """The wire stays stable: a change here orphans every token a hub has stored."""
    wire = made().to_wire()
    assert wire["flags"] == {
        "nir": "coherent",
        "date_precision": "jour",
        "ne_a_l_etranger": False,
        "premier_janvier": False,
        "nombre_prenoms": 1,
        "prenom_moitie": False,
        "prenom_connu": True,
        "rarete": 0,
    }
    tokens = wire["tokens"]
    assert isinstance(tokens, list)
    assert len(tokens) == sum(len({spelt_out(kind, *value) for value in SPELT[kind]}) for kind in KINDS)
    assert hashlib.sha256(repr(tokens).encode()).hexdigest() == GOLDEN


GOLDEN = "c2b88dc9631feabfb58874525d03f5bf3a440c22bf86e84de3b9bb45adc23f46"


@given(st.tuples(st.sampled_from(KINDS), st.text(max_size=8)), st.tuples(st.sampled_from(KINDS), st.text(max_size=8)))
def test_two_kinds_or_values_never_share_a_token(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = one[0] == other[0] and unicodedata.normalize("NFC", one[1]) == unicodedata.normalize("NFC", other[1])
    assert (TOKENISER.token(*one) == TOKENISER.token(*other)) is same


def test_a_kind_cannot_swallow_the_beginning_of_a_value() -> None:
    assert TOKENISER.token("sg", "2dx") != TOKENISER.token("sg2d", "x")
    assert TOKENISER.token("nir", "") != TOKENISER.token("ni", "r")


def test_another_key_makes_other_tokens_and_the_epoch_is_told() -> None:
    other = HmacTokeniser(bytes(32), 2)
    assert other.token("nir", "x") != TOKENISER.token("nir", "x")
    assert (other.epoch, TOKENISER.epoch) == (2, 1)
    assert KEY.hex() not in repr(TOKENISER)
    with pytest.raises(MaillonError) as caught:
        HmacTokeniser(bytes(31), 1)
    assert caught.value.kind is ErrorKind.CONFIGURATION


# --- kinds -----------------------------------------------------------------------------------------------------------

ALL = set(KINDS)
DATED = ALL - {"nir", "sgp", "sg_y", "sg_ym"}
NAMED = {kind for kind in KINDS if kind.startswith(("s", "sg"))}
PLACED = {"gxdp", "gdp", "sdp", "sgp"}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, set()),
        ({"nir": None}, {"nir", "nir_gd"}),
        ({"sexe": "0"}, {"gxdp"}),
        ({"code_cog_insee_commune_naissance": ""}, PLACED),
        ({"date_naissance": "1987-03-00"}, DATED),
        ({"date_naissance": "1987-00-00"}, DATED | {"sg_ym"}),
        ({"date_naissance": "1987-06-31"}, DATED | {"sg_ym", "sg_y"}),
        ({"nom_naissance": "X"}, NAMED),
        ({"prenoms": ["J"]}, ALL - {"nir", "sdp"}),
        ({"prenoms": ["Maëlle"]}, {"sg2d"}),
        ({"prenoms": ["Léo"]}, {"sg2d", "sg1d"}),  # one letter from too many others
    ],
)
def test_a_kind_is_there_only_when_all_its_traits_are(changes: dict[str, object], missing: set[str]) -> None:
    assert set(kinds(made(**changes))) == ALL - missing


@pytest.mark.parametrize(
    "alone", ["nom_naissance", "prenoms", "sexe", "date_naissance", "code_cog_insee_commune_naissance"]
)
def test_no_trait_by_itself_gives_a_token(alone: str) -> None:
    identity = parse_identity({alone: PERSON[alone]})
    assert tokens_of(identity, TOKENISER).tokens == ()


def test_a_usage_name_is_one_more_surname() -> None:
    both = kinds(made(nom_usage="Kervella"))
    assert (both["sgd"], both["sgd_x"], both["gdp"], both["nir"]) == (2, 4, 1, 1)


def test_nothing_usable_gives_nothing() -> None:
    tokens = tokens_of(parse_identity({}), TOKENISER)
    assert tokens.tokens == ()
    assert tokens.flags["nir"] == "absent"
    assert tokens.flags["date_precision"] == "inconnue"


def test_no_identity_exceeds_the_wire_bound() -> None:
    """Of a record of many long names the exact kinds are all there; the last of the close ones are left out."""
    names = {"nom_naissance": "Lambertini-Rochefoucauld", "nom_usage": "Kervella-Montmorency"}
    tokens = made(**names, prenoms="MARGUERITE ANNE ROZENN " + "LOU " * 17)
    assert TokenSet.from_wire(tokens.to_wire()) == tokens
    assert len(tokens.tokens) == 128
    assert set(kinds(tokens)) >= ALL - {"s1gd", "sg1d"}


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"date_naissance": "2015-09-02"}, {"nir": "incoherent"}),  # a child under a parent's number
        ({"nir": "2870329019"}, {"nir": "absent"}),
        ({"date_naissance": "1987-01-01", "nir": ""}, {"premier_janvier": True, "date_precision": "jour"}),
        ({"date_naissance": "1987-03", "nir": ""}, {"premier_janvier": False, "date_precision": "mois"}),
        ({"code_cog_insee_commune_naissance": "99350", "nir": ""}, {"ne_a_l_etranger": True}),
        ({"prenoms": "MAELLE ANNE ROZENN"}, {"nombre_prenoms": 3}),
    ],
)
def test_flags(changes: dict[str, object], flags: dict[str, object]) -> None:
    assert flags.items() <= made(**changes).flags.items()


@pytest.mark.parametrize(
    ("changes"),
    [
        {"nom_naissance": "LEGOFF DUVAL"},
        {"nom_naissance": "le goff–duval "},
        {"prenoms": "Maëlle-Anne"},
        {"sexe": 2},
        {"sexe": "Féminin"},
        {"date_naissance": "14/03/1987"},
        {"date_naissance": "1987-03-14T00:00:00+02:00"},
        {"code_cog_insee_commune_naissance": 29019},
        {"code_cog_insee_pays_naissance": "99100"},
        {"nom_usage": "Le Goff Duval"},
        {"nir": "2 87 03 29 019 001 " + f"{97 - 2870329019001 % 97:02}"},
    ],
)
def test_tokens_depend_on_the_normal_forms_alone(changes: dict[str, object]) -> None:
    assert made(**changes) == made()


NAME = st.text(string.ascii_uppercase, min_size=2, max_size=10).filter(lambda name: normalise(name)[1] is None)


@settings(max_examples=60)
@given(NAME, NAME, NAME, NAME)
def test_parts_never_shift_into_each_other(s: str, g: str, s2: str, g2: str) -> None:
    """S ``AB`` with G ``C`` is not S ``A`` with G ``BC``."""
    one, other = made(nom_naissance=s, prenoms=[g]), made(nom_naissance=s2, prenoms=[g2])
    assert (one.of("sgd") == other.of("sgd")) is ((s, g) == (s2, g2))


# --- several records of one person -----------------------------------------------------------------------------------


def test_records_of_one_person_speak_together() -> None:
    one, other = made(nir=None), made(nom_naissance="Kervella", nir=None, date_naissance="1987-03")
    both = TokenSet.merged([other, one])
    assert set(both.tokens) == {*one.tokens, *other.tokens}
    assert both.flags == one.flags
    assert both == TokenSet.merged([one, other])
    assert TokenSet.merged([one]) == one


def test_a_parents_number_is_not_made_coherent_by_the_childs_own() -> None:
    child = made(date_naissance="2015-09-02", nir="2150929019001", nom_usage="Kervella")
    under_parent = made(date_naissance="2015-09-02")
    for records in ([child, under_parent], [under_parent, child]):
        both = TokenSet.merged(records)
        assert (both.flags["nir"], both.of("nir")) == ("coherent", child.of("nir"))
    without = made(date_naissance="2015-09-02", nir=None, nom_usage="Kervella")
    alone = TokenSet.merged([without, under_parent])
    assert (alone.flags["nir"], alone.of("nir")) == ("incoherent", under_parent.of("nir"))


def test_many_records_stay_within_the_wire_bound() -> None:
    spellings = [
        made(nom_naissance=f"Dup{letter}nt", nom_usage=f"Dur{letter}nd", prenoms="ANNE LISE") for letter in "abcdefg"
    ]
    both = TokenSet.merged(spellings)
    assert 64 < len(both.tokens) <= 128
    assert TokenSet.from_wire(both.to_wire()) == both


# --- wire ------------------------------------------------------------------------------------------------------------


def test_the_wire_form_reads_back() -> None:
    tokens = made(nom_usage="Kervella")
    assert TokenSet.from_wire(tokens.to_wire()) == tokens


GOOD = urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("wire", "pointer"),
    [
        ({}, "/tokens"),
        ({"tokens": {}, "flags": {}}, "/tokens"),
        ({"tokens": [["nir", GOOD]] * 129, "flags": {}}, "/tokens"),
        ({"tokens": []}, "/flags"),
        ({"tokens": [], "flags": []}, "/flags"),
        ({"tokens": [], "flags": {"nir": 1.5}}, "/flags"),
        ({"tokens": [], "flags": {"nir": -1}}, "/flags"),
        ({"tokens": [], "flags": {"nir": 1001}}, "/flags"),
        ({"tokens": [], "flags": {"nir": None}}, "/flags"),
        ({"tokens": [], "flags": {"nir": "Secretnom Jeanne"}}, "/flags"),
        ({"tokens": [], "flags": {"Secretnom": True}}, "/flags"),
        ({"tokens": ["nir"], "flags": {}}, "/tokens/0"),
        ({"tokens": [["nir", GOOD], ["nir"]], "flags": {}}, "/tokens/1"),
        ({"tokens": [["NIR", GOOD]], "flags": {}}, "/tokens/0"),
        ({"tokens": [["nir\n", GOOD]], "flags": {}}, "/tokens/0"),
        ({"tokens": [["nir", 3]], "flags": {}}, "/tokens/0"),
        ({"tokens": [["nir", GOOD + "="]], "flags": {}}, "/tokens/0/1"),
        ({"tokens": [["nir", GOOD[:-1] + "B"]], "flags": {}}, "/tokens/0/1"),  # not canonical
        ({"tokens": [["nir", GOOD[:-2]]], "flags": {}}, "/tokens/0/1"),
        ({"tokens": [["nir", "Secretnom"]], "flags": {}}, "/tokens/0/1"),
    ],
)
def test_a_bad_wire_form_is_refused_by_place(wire: dict[str, object], pointer: str) -> None:
    with pytest.raises(MaillonError) as caught:
        TokenSet.from_wire(wire)
    assert (caught.value.kind, caught.value.pointer) == (ErrorKind.SCHEMA, pointer)
    assert "Secretnom" not in str(caught.value)


def test_repr_shows_no_token() -> None:
    tokens = made()
    assert repr(tokens) == f"TokenSet({len(tokens.tokens)} tokens)"


# --- subject proofs --------------------------------------------------------------------------------------------------


def test_a_proof_is_the_published_formula() -> None:
    (nir, sgd, gdp) = subject_proofs(made(), "order-digest")
    assert [nir["kind"], sgd["kind"], gdp["kind"]] == ["nir", "sgd", "gdp"]
    proof = hmac.new(made().of("sgd")[0], b"maillon/subject-proof/v1order-digest", hashlib.sha256).digest()
    assert sgd["proof"] == urlsafe_b64encode(proof).rstrip(b"=").decode()
    assert subject_proofs(made(), b"order-digest") == [nir, sgd, gdp]


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"nom_naissance": "Kervella"}, True),  # by NIR
        ({"nir": None}, True),  # by surname, given name, date
        ({"nir": None, "nom_naissance": "Kervella"}, True),  # by given name, date, place
        ({"nir": None, "prenoms": ["Rozenn"]}, False),  # a twin
        ({"nir": None, "nom_naissance": "Kervella", "code_cog_insee_commune_naissance": ""}, False),
        ({"date_naissance": "2015-09-02", "prenoms": ["Rozenn"]}, False),  # her child, under her number
    ],
)
def test_who_counts_as_the_same_subject(changes: dict[str, object], same: bool) -> None:
    assert match_subject(subject_proofs(made(**changes), "ctx"), made(), "ctx") is same
    assert match_subject(subject_proofs(made(), "ctx"), made(**changes), "ctx") is same


def test_a_proof_serves_one_context_one_kind_one_key() -> None:
    proofs = subject_proofs(made(), "one")
    assert not match_subject(proofs, made(), "other")
    renamed = [{"kind": "gdp", "proof": proof["proof"]} for proof in proofs if proof["kind"] == "sgd"]
    assert not match_subject(renamed, made(), "one")
    elsewhere = tokens_of(parse_identity(PERSON), HmacTokeniser(bytes(32), 1))
    assert not match_subject(subject_proofs(elsewhere, "one"), made(), "one")


@pytest.mark.parametrize(
    "proofs", [[], [{}], [{"kind": "sgd"}], [{"kind": 3, "proof": None}], [{"kind": "sgd", "proof": "\ud800é"}]]
)
def test_what_is_no_proof_proves_nothing(proofs: list[dict[str, object]]) -> None:
    assert match_subject(proofs, made(), "ctx") is False


def test_a_thousand_guesses_are_not_read() -> None:
    guesses = [{"kind": "sgd", "proof": "x"}] * 1000
    assert not match_subject(guesses + subject_proofs(made(), "ctx"), made(), "ctx")
