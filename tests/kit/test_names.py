"""A name has one form, whoever wrote it; one that cannot be used has a reason."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.kit.names import given_names, glue, normalise, surname_forms


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Dupont", "DUPONT"),
        ("  Élodie\t", "ELODIE"),
        ("LE GOFF-DUVAL", "LE GOFF DUVAL"),
        ("D’Almeida", "D ALMEIDA"),
        ("d'almeida", "D ALMEIDA"),
        ("Lœtitia", "LOETITIA"),
        ("Ægidius", "AEGIDIUS"),
        ("Strauß", "STRAUSS"),
        ("Øystein Łukasz Đorđe", "OYSTEIN LUKASZ DORDE"),
        ("Nguyễn", "NGUYEN"),
        ("Jose\u0301", "JOSE"),  # combining accent
        ("Ｄｕｐｏｎｔ", "DUPONT"),  # full-width
        ("DU\u200fPONT", "DUPONT"),  # right-to-left mark
        ("Zoé 🙂", "ZOE"),
        ("O'Brien (née Smith)", "O BRIEN NEE SMITH"),
        ("Robert'); DROP TABLE person;--", "ROBERT DROP TABLE PERSON"),
        ("Dupont\n", "DUPONT"),
    ],
)
def test_a_name_has_one_form(written: str, compared: str) -> None:
    assert normalise(written) == (compared, None)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "absent"),
        (" ", "absent"),
        ("---", "absent"),
        ("🙂", "absent"),
        ("X", "valeur_de_remplissage"),
        ("xxxxx", "valeur_de_remplissage"),
        ("X x.X", "valeur_de_remplissage"),
        ("Inconnu", "valeur_de_remplissage"),
        ("INCONNUE", "valeur_de_remplissage"),
        ("sans-prénom", "valeur_de_remplissage"),
        ("non renseigné", "valeur_de_remplissage"),
        ("NULL", "valeur_de_remplissage"),
        ("A", "une_lettre"),
        ("é.", "une_lettre"),
        ("محمد", "lettre_non_latine"),
        ("Иванов", "lettre_non_latine"),
        ("DUP0NT", "chiffre"),
        ("Louis ⑭", "chiffre"),
        ("٣", "chiffre"),
    ],
)
def test_an_unusable_name_has_a_reason_and_no_form(written: str, reason: str) -> None:
    form, why = normalise(written)
    assert (form, str(why)) == ("", reason)


@pytest.mark.parametrize(
    ("one", "other"),
    [("DU PONT", "Dupont"), ("LE GOFF-DUVAL", "LEGOFF DUVAL"), ("De La Rue", "DELARUE"), ("D'Hondt", "DHONDT")],
)
def test_particles_and_hyphens_do_not_separate_a_surname_from_itself(one: str, other: str) -> None:
    assert surname_forms(one) == surname_forms(other) != ()


def test_the_usage_name_is_one_more_form_and_a_blank_one_is_none() -> None:
    assert surname_forms("Le Goff", "Kervella") == ("LEGOFF", "KERVELLA")
    assert surname_forms("Le Goff", "LEGOFF") == ("LEGOFF",)
    assert surname_forms("Le Goff", " ") == ("LEGOFF",)
    assert surname_forms("X", "Kervella") == ("KERVELLA",)


@pytest.mark.parametrize(
    ("written", "first", "second", "count"),
    [
        # The extent of the first given name is marked: one form.
        (["Maëlle-Anne"], {"MAELLEANNE"}, {"ANNE"}, 1),
        ("Maëlle-Anne", {"MAELLEANNE"}, {"ANNE"}, 1),
        ("Maëlle - Anne Louise", {"MAELLEANNE"}, {"LOUISE", "ANNE"}, 2),
        (["Angela", "Claire", "Louise"], {"ANGELA"}, {"CLAIRE"}, 3),
        ("Hugues, Bertrand", {"HUGUES"}, {"BERTRAND"}, 2),
        ("Marie Joséphine, Adélaïde", {"MARIEJOSEPHINE"}, {"ADELAIDE", "JOSEPHINE"}, 2),
        (["Anne"], {"ANNE"}, set(), 1),
        # It is not: the first word, and the first two glued.
        ("MAELLE ANNE", {"MAELLE", "MAELLEANNE"}, {"ANNE"}, 2),
        (["JEAN FRANCOIS"], {"JEAN", "JEANFRANCOIS"}, {"FRANCOIS"}, 2),
        ("JEAN FRANCOIS MARIE", {"JEAN", "JEANFRANCOIS"}, {"FRANCOIS", "MARIE"}, 3),
        ("Marie X", {"MARIE"}, set(), 2),
        # Blank elements are not names.
        (["", " ", "Paul"], {"PAUL"}, set(), 1),
        ("Paul,,", {"PAUL"}, set(), 1),
    ],
)
def test_given_names(written: str | list[str], first: set[str], second: set[str], count: int) -> None:
    names, reason = given_names(written)
    assert (set(names.first), set(names.second), names.count, reason) == (first, second, count, None)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "absent"),
        ([], "absent"),
        ("X", "valeur_de_remplissage"),
        (["INCONNU", "Marie"], "valeur_de_remplissage"),
        ("J Pierre", "une_lettre"),
        ("محمد", "lettre_non_latine"),
        (["Marie"] * 40, "trop_nombreux"),
        ("Marie " * 40, "trop_nombreux"),
    ],
)
def test_unusable_given_names(written: str | list[str], reason: str) -> None:
    names, why = given_names(written)
    assert (names.first, names.second, str(why)) == ((), (), reason)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["Maëlle-Anne"], "MAELLE ANNE"),
        ("Jean-François", "JEAN FRANCOIS"),
        (["Jean-François", "Marie"], "JEAN FRANCOIS MARIE"),
        (["Jean", "François"], "JEAN FRANCOIS"),
        ("JeanPaul, Christophe", "JEAN PAUL CHRISTOPHE"),
        (["Marie"], "MARIE PENELOPE ANASTASIE"),
    ],
)
def test_two_writings_of_one_given_name_meet(one: str | list[str], other: str | list[str]) -> None:
    assert set(given_names(one)[0].first) & set(given_names(other)[0].first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anne", "Marie-Anne"),
        ("Anne", "MARIE ANNE"),
        (["Anne"], ["Anne-Marie"]),
        (["Marie-Anne"], ["Marie-Claire"]),
        (["Marie-Anne"], "MARIE CLAIRE"),
        (["Marie", "Anne"], ["Marie-Anne"]),
    ],
)
def test_marked_given_names_of_two_persons_do_not_meet(one: str | list[str], other: str | list[str]) -> None:
    assert not set(given_names(one)[0].first) & set(given_names(other)[0].first)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(name: str) -> None:
    form, reason = normalise(name)
    assert (form == "") == (reason is not None)
    if form:
        assert normalise(form) == (form, None)
        assert set(glue(form)) <= set(string.ascii_uppercase)


@example("sp", " ")
@given(
    st.text("abcdefghijklmnopqrstuvwxyzàéèêîôœç", min_size=2), st.sampled_from(["'", "’", "-", " ", ". ", "  ", "–"])
)
def test_case_and_punctuation_never_matter_to_a_surname(name: str, mark: str) -> None:
    assert surname_forms(name[:1] + mark + name[1:].upper()) == surname_forms(name)
