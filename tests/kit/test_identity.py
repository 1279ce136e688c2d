"""Normal forms of identity traits: tables a DPO can read, then what must hold whatever is typed (DOMAIN §5)."""

from __future__ import annotations

import traceback
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.dates import parse_birth_date
from connectors.kit.identity import TRAITS, Identity, IdentityRefused, parse_identity
from connectors.kit.nir import mismatches, parse_nir
from connectors.kit.runtime.errors import ErrorKind

TODAY = date(2026, 1, 15)


# --- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value", "precision"),
    [
        ("1987-03-14", "1987-03-14", "jour"),
        ("14/03/1987", "1987-03-14", "jour"),
        ("14-03-1987", "1987-03-14", "jour"),
        ("4/3/1987", "1987-03-04", "jour"),
        ("1987/03/14", "1987-03-14", "jour"),
        ("19870314", "1987-03-14", "jour"),
        ("25021969", "1969-02-25", "jour"),
        ("2000-01-01T00:00:00+01:00", "2000-01-01", "jour"),  # a UTC conversion would say 31 December 1999
        ("1982-02-01 00:00:00.0", "1982-02-01", "jour"),
        ("2012-04-00", "2012-04", "mois"),
        ("2012-04", "2012-04", "mois"),
        ("00/04/2012", "2012-04", "mois"),
        ("20120400", "2012-04", "mois"),
        ("2012-00-00", "2012", "annee"),
        ("2012-00-17", "2012", "annee"),
        ("2012", "2012", "annee"),
        ("2020-02-29", "2020-02-29", "jour"),
        ("2026-01-15", "2026-01-15", "jour"),
    ],
)
def test_a_birth_date(written: str, value: str, precision: str) -> None:
    born, reason = parse_birth_date(written, TODAY)
    assert (born.value, born.precision, reason) == (value, precision, None)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "absent"),
        ("2021-06-31", "impossible"),
        ("2021-02-29", "impossible"),
        ("2021-13-01", "impossible"),
        ("31/06/2021", "impossible"),
        ("99999999", "impossible"),
        ("0000-00-00", "hors_bornes"),
        ("1849-12-31", "hors_bornes"),
        ("2026-01-16", "futur"),
        ("2026-02", "futur"),
        ("2027", "futur"),
        ("14/03/87", "format"),
        ("14 mars 1987", "format"),
        ("1987-03-14Z", "format"),
        ("١٩٨٧-٠٣-١٤", "format"),
        ("1987-03-14 ou 15", "format"),
    ],
)
def test_an_unusable_birth_date(written: str, reason: str) -> None:
    born, why = parse_birth_date(written, TODAY)
    assert (born.value, born.precision, str(why)) == ("", "inconnue", reason)


@given(st.dates(date(1850, 1, 1), date(2026, 1, 15)))
def test_every_writing_of_a_day_is_that_day(day: date) -> None:
    writings = [day.isoformat(), f"{day:%d/%m/%Y}", f"{day:%d%m%Y}", f"{day:%Y%m%d}", f"{day}T23:59:59-10:00"]
    assert {parse_birth_date(text, TODAY)[0].value for text in writings} == {day.isoformat()}


# --- NIR -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("295109912611193", "2951099126111"),
        ("2 95 10 99 126 111 93", "2951099126111"),
        ("2951099126111", "2951099126111"),
        ("2.95.10.99.126.111-93", "2951099126111"),
        ("253072B07300470", "253072B073004"),
        ("253072a07300443", "253072A073004"),
        ("253072A073004", "253072A073004"),
        ("2530720073004", "2530720073004"),  # Corsica before 1976
        ("1802099350004", "1802099350004"),
        ("1803599350004", "1803599350004"),  # months 20 to 42 and from 50: incomplete civil status
        ("1807599350004", "1807599350004"),
    ],
)
def test_a_nir(written: str, canonical: str) -> None:
    assert parse_nir(written) == (canonical, None)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("295109912611199", "cle"),
        ("253072B07300443", "cle"),  # the key of 2A
        ("29510991261119", "longueur"),
        ("295109912611", "longueur"),
        ("2951099126111930", "longueur"),
        ("253072C07300443", "lettres"),
        ("25307AA073004", "lettres"),
        ("ABCDEFGHIJKLM", "lettres"),
        ("2951099126A11", "lettres"),
        ("295109912611A93", "lettres"),
        ("٢٩٥١٠٩٩١٢٦١١١", "lettres"),
        ("0951099126111", "fictif"),
        ("5951099126111", "fictif"),
        ("9999999999999", "fictif"),
        ("1111111111111", "fictif"),
        ("2951399126111", "fictif"),
        ("2951099126000", "fictif"),
        ("-- .", "absent"),
    ],
)
def test_an_unusable_nir_has_a_reason(written: str, reason: str) -> None:
    number, why = parse_nir(written)
    assert (number, str(why)) == (None, reason)


def test_a_waiting_number_is_kept_and_is_no_proof() -> None:
    number, why = parse_nir("7951099126111")
    assert (number, str(why)) == ("7951099126111", "provisoire")
    identity = parse_identity({"nir": "7951099126111", "sexe": "M"})
    assert (identity.nir, identity.nir_coherent) == ("7951099126111", False)


@pytest.mark.parametrize(
    ("nir", "sex", "born", "place", "differing"),
    [
        ("2870329019001", "F", "1987-03-14", "29019", []),
        ("2870329019001", "", "", "", []),  # what is unknown contradicts nothing
        ("2870329019001", "M", "1987-03-14", "29019", ["sexe_different"]),
        ("2870329019001", "F", "1988-04-14", "75101", ["annee_differente", "mois_different", "lieu_different"]),
        ("2870329019001", "F", "1987", "29200", []),  # same département; month not known
        ("2872029019001", "F", "1987-03-14", "29019", []),  # month 20: not compared
        ("2500720073004", "F", "1950-07-01", "2A004", []),  # Corsica numbered 20 before 1976
        ("2500775073004", "F", "1950-07-01", "92012", []),  # Seine before 1968
        ("2500778073004", "F", "1950-07-01", "95018", []),  # Seine-et-Oise before 1968
        ("2500775073004", "F", "1950-07-01", "95018", ["lieu_different"]),
        ("2500799352004", "F", "1950-07-01", "99352", []),
        ("2500792352004", "F", "1950-07-01", "99352", []),  # Algeria before 1962
        ("2500729019004", "F", "1950-07-01", "99352", ["lieu_different"]),
        ("2950797411004", "F", "1995-07-01", "97411", []),
        ("2950797411004", "F", "1995-07-01", "97105", ["lieu_different"]),
    ],
)
def test_a_nir_beside_the_civil_status(nir: str, sex: str, born: str, place: str, differing: list[str]) -> None:
    day = parse_birth_date(born)[0]
    assert [reason.value for reason in mismatches(nir, sex, day, place)] == differing


# --- the whole identity ----------------------------------------------------------------------------------------------

INVENTED = {
    "nom_naissance": "Le Goff-Duval",
    "nom_usage": " ",
    "prenoms": ["Maëlle-Anne", "Rozenn"],
    "sexe": "F",
    "date_naissance": "1987-03-14",
    "code_cog_insee_commune_naissance": "29019",
    "code_cog_insee_pays_naissance": "99100",
    "nir": "2870329019001",
}


def test_a_full_identity() -> None:
    identity = parse_identity(INVENTED, TODAY)
    assert identity.surnames == ("LEGOFFDUVAL",)
    assert identity.givens.first == ("MAELLEANNE",)
    assert identity.date_naissance.value == "1987-03-14"
    assert (identity.sexe, identity.birthplace, identity.born_abroad) == ("F", "29019", False)
    assert (identity.nir, identity.nir_coherent, identity.warnings) == ("2870329019001", True, ())


@pytest.mark.parametrize(
    ("code", "sex"),
    [(code, "M") for code in ("M", "m", "1", 1, "H", "male", "Masculin", "Homme", "M.")]
    + [(code, "F") for code in ("F", "f", "2", 2, "female", "Féminin", "FÉMININ", "Femme", "Mme")]
    + [(code, "") for code in ("0", 0, "9", 9)],
)
def test_sex_codes(code: object, sex: str) -> None:
    identity = parse_identity(INVENTED | {"sexe": code, "nir": None})
    assert (identity.sexe, identity.warnings) == (sex, ())


@pytest.mark.parametrize(("code", "reason"), [("", "absent"), ("3", "format"), ("MF", "format"), ("²", "format")])
def test_an_unknown_sex_is_said(code: str, reason: str) -> None:
    identity = parse_identity(INVENTED | {"sexe": code})
    assert (identity.sexe, identity.warnings) == ("", (f"sexe:{reason}",))


@pytest.mark.parametrize(
    ("commune", "country", "place"),
    [
        ("75107", "99100", "75107"),
        ("2a004", "", "2A004"),
        ("08480", None, "08480"),
        (8480, 99100, "08480"),  # YAML read a number
        ("8480", "", "08480"),
        ("97411", "99100", "97411"),
        ("", "99350", "99350"),
        ("99350", "", "99350"),  # a country in the commune's place
        ("99350", "99350", "99350"),
        ("99100", "", ""),
        ("", "99100", ""),
        ("", "", ""),
        ("00000", "99999", ""),
    ],
)
def test_birthplaces(commune: object, country: object, place: str) -> None:
    traits = {"code_cog_insee_commune_naissance": commune, "code_cog_insee_pays_naissance": country, "nir": ""}
    identity = parse_identity(INVENTED | traits)
    assert (identity.birthplace, identity.born_abroad) == (place, place.startswith("99"))
    assert identity.warnings == ()


@pytest.mark.parametrize(
    ("commune", "country", "reason"),
    [
        ("Brest", "", "format"),
        ("2C004", "", "format"),
        ("96001", "", "format"),
        ("290190", "", "format"),
        ("", "FR", "format"),
        ("29019", "99350", "contradictoire"),
        ("99350", "99351", "contradictoire"),
    ],
)
def test_an_unusable_birthplace_is_no_birthplace(commune: str, country: str, reason: str) -> None:
    traits = {"code_cog_insee_commune_naissance": commune, "code_cog_insee_pays_naissance": country, "nir": ""}
    identity = parse_identity(INVENTED | traits)
    assert identity.birthplace == ""
    assert identity.warnings == (f"code_cog_insee_commune_naissance:{reason}",)


def test_a_child_under_a_parents_number_keeps_it_with_a_warning() -> None:
    identity = parse_identity(INVENTED | {"date_naissance": "2015-09-02"}, TODAY)
    assert (identity.nir, identity.nir_coherent) == ("2870329019001", False)
    assert identity.warnings == ("nir:annee_differente", "nir:mois_different")


def test_nothing_known_is_said_trait_by_trait() -> None:
    missing = ("nom_naissance:absent", "prenoms:absent", "sexe:absent", "date_naissance:absent")
    assert parse_identity({}).warnings == missing
    assert parse_identity(dict.fromkeys(TRAITS)).warnings == missing


@pytest.mark.parametrize(
    ("traits", "pointer"),
    [
        ({"nom_naisance": "Secretnom"}, "/nom_naisance"),
        ({"Secretnom Jeanne": 1}, "/"),
        ({"nom_naissance": ["Secretnom"]}, "/nom_naissance"),
        ({"nom_naissance": "Secretnom" * 30}, "/nom_naissance"),
        ({"prenoms": {"a": "Secretnom"}}, "/prenoms"),
        ({"prenoms": ["Secretnom", 1.5]}, "/prenoms"),
        ({"prenoms": ["Secretnom"] * 300}, "/prenoms"),
        ({"sexe": True}, "/sexe"),
        ({"nir": 2.870329019001e12}, "/nir"),
    ],
)
def test_a_mapping_at_fault_is_refused_without_the_value(traits: dict[str, object], pointer: str) -> None:
    with pytest.raises(IdentityRefused) as caught:
        parse_identity(traits)
    assert (caught.value.kind, caught.value.pointer) == (ErrorKind.SCHEMA, pointer)
    assert "Secretnom" not in str(caught.value) + repr(caught.value) + caught.value.reason


TRAIT = st.one_of(
    st.none(),
    st.text(max_size=60),
    st.integers(),
    st.booleans(),
    st.dates(),
    st.lists(st.text(max_size=12), max_size=30),
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(TRAITS), TRAIT))
def test_anything_typed_is_an_identity_or_a_refusal_by_name(traits: dict[str, object]) -> None:
    named: set[str] = set()
    try:
        identity = parse_identity(traits, TODAY)
    except IdentityRefused as refusal:
        named = {str(refusal.pointer).removeprefix("/")}
    else:
        named = {warning.partition(":")[0] for warning in identity.warnings}
        assert identity.nir is None or len(identity.nir) == 13
    assert named <= set(TRAITS)


@given(st.text("ABCDEFGHJKLMNPQRSTUVWYZ", min_size=8, max_size=12), st.integers(10**14, 10**15 - 1))
def test_no_trait_shows_in_repr_warnings_or_refusal(name: str, number: int) -> None:
    identity = parse_identity({"nom_naissance": name, "prenoms": [name], "nir": number, "date_naissance": "17/11/1979"})
    shown = [repr(identity), repr(identity.givens), repr(identity.date_naissance), str(identity.warnings)]
    with pytest.raises(IdentityRefused) as caught:
        parse_identity({"nom_naissance": [name], "nir": number})
    shown += traceback.format_exception_only(caught.value)
    assert not [text for text in shown for value in (name, str(number), "1979") if value in text]


def test_an_identity_is_a_value() -> None:
    assert parse_identity(INVENTED) == parse_identity(dict(INVENTED))
    assert isinstance(hash(parse_identity(INVENTED)), int)
    assert Identity().surnames == ()
