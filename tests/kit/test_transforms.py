"""Transforms: a value is read as it was meant, or refused by a reason that never quotes it."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Reason
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Refused


@pytest.mark.parametrize(
    ("name", "value", "table", "expected"),
    [
        ("calendar_date", "14/03/1987", {}, "1987-03-14"),
        ("calendar_date", "2000-01-01T00:00:00+01:00", {}, "2000-01-01"),
        ("calendar_date", "2000-01-01T23:59:59-10:00", {}, "2000-01-01"),
        ("calendar_date", "4/1/2025", {}, "2025-01-04"),
        ("calendar_date", "04.11.2025 00:00:00", {}, "2025-11-04"),
        ("calendar_date", "12-03-1984", {}, "1984-03-12"),
        ("first_of_month", [2024, 9], {}, "2024-09-01"),
        ("first_of_month", [2024, None], {}, None),
        ("instant", "2026-01-12T08:30:00+01:00", {}, "2026-01-12T07:30:00Z"),
        ("birth_date", "2012-04-00", {}, "2012-04"),
        ("birth_date", "2012-00-00", {}, "2012"),
        ("birth_date_parts", [1990, 0, 0], {}, "1990"),
        ("birth_date_parts", ["1990", "5", None], {}, "1990-05"),
        ("birth_date_parts", [None, 5, 17], {}, None),
        ("birth_date_typed", ["1951-07-01", "J"], {"J": "mois"}, "1951-07"),
        ("birth_date_typed", ["1951-07-01", None], {}, "1951-07-01"),
        ("boolean", "0", {}, False),
        ("boolean", True, {}, True),
        ("boolean", "Oui", {}, True),
        ("integer", "007", {}, 7),
        ("money", "0001675.00", {}, 1675),
        ("money", "1 675,50", {}, 1675.5),
        ("money", "1\u202f675,05", {}, 1675.05),
        ("money", "1\u202f675,05\u00a0€", {}, 1675.05),
        ("money", "0 €", {}, 0),
        ("money", 0, {}, 0),
        ("decimal", "7,5", {}, 7.5),
        ("code", " 2 ", {"2": "ouvert"}, "ouvert"),
        ("codes", "a, b,a", {"a": 1, "b": 2}, [1, 2]),
        ("sex", "Féminin", {}, "F"),
        ("sex", "1", {}, "M"),
        ("sex", "9", {}, None),
        ("texts", [" a ", None, "", "b"], {}, ["a", "b"]),
        ("joined", ["a", None, "b"], {}, "a b"),
        ("nir", "2 87 03 29 232 001 66", {}, "2870329232001"),
        ("nir", "1851292004005", {}, "1851292004005"),
        ("matricule_caf", "208956400000000", {}, "2089564"),
        ("matricule_caf", "2089564", {}, "2089564"),
        ("matricule_caf", 89564, {}, "0089564"),
        ("matricule_caf", "140225600000007", {}, "140225600000007"),
        ("phone", "06 39.98-00 11", {}, "0639980011"),
        ("phone", "0033 6 39 98 00 11", {}, "+33639980011"),
        ("postal_code", "51000 CHÂLONS", {}, "51000"),
        ("postal_code", "CHÂLONS", {}, None),
        ("postal_code", "7000 BIZERTE", {}, None),
        ("postal_code", 1000, {}, "01000"),
        ("phone", 639980011, {}, "0639980011"),
        ("phone", "639 98 00 11", {}, "0639980011"),
        ("insee_code", 8480, {}, "08480"),
        ("insee_code", "2A004", {}, "2A004"),
        ("birthplace_code", 8480, {}, "08480"),
        ("birthplace_code", "2B033", {}, "2B033"),
        ("birthplace_code", "Sainte-Marie", {}, None),
        ("birth_commune", "2B033", {}, "2B033"),
        ("birth_commune", 1004, {}, "01004"),
        ("birth_commune", "99352", {}, None),
        ("birth_country", "99352", {}, "99352"),
        ("birth_country", "2A004", {}, None),
        ("birth_country", 1004, {}, None),
        ("birth_country", "France", {}, "France"),  # left to the dossier's schema, which refuses it by name
        ("first_code", [None, {}, "x", 404, "b"], {"404": "v", "b": "w"}, "v"),
        ("surname_of_two", " DUPONT  JEAN ", {}, "DUPONT"),
        ("given_of_two", "DUPONT JEAN", {}, ["JEAN"]),
        ("given_of_two", ["AUBÉPIN MAËLLE", ["AUBÉPIN MAËLLE", "Aubepin Yann", "LE GOFF MAËLLE"]], {}, ["MAËLLE"]),
        ("surname_of_two", ["AUBÉPIN Maëlle", ["AUBÉPIN Maëlle", "QUÉMÉNER Yann"]], {}, "AUBÉPIN"),
        ("surname_of_two", ["AUBÉPIN Maëlle", ["AUBÉPIN Maëlle"]], {}, "AUBÉPIN"),
        ("birth_date_or_parts", ["16/04/1994", None, None, None], {}, "1994-04-16"),
        ("birth_date_or_parts", [" ", "1994", 4, None], {}, "1994-04"),
        ("civil_key", {"sexe": "F", "date_naissance": "1990"}, {}, None),
        ("sex", "M.", {}, "M"),
        ("sex", "MME", {}, "F"),
        ("address_lines", ["  4   RUE  X ", None], {}, ["4 RUE X"]),
    ],
)
def test_transforms(name: str, value: Any, table: dict[str, Any], expected: Any) -> None:
    assert BUILT_IN[name](value, table) == expected


@given(st.from_regex(r"[0-9]{1,10}(\.[0-9]{0,3})?", fullmatch=True))
def test_an_amount_is_what_decimal_arithmetic_says(written: str) -> None:
    exact = Decimal(written)
    fits = exact <= 10**9 and exact == round(exact, 2)
    try:
        found = BUILT_IN["money"](written, {})
    except Refused:
        assert not fits
        return
    assert fits
    assert found == (int(exact) if exact == int(exact) else float(round(exact, 2)))
    assert isinstance(found, int) == (exact == int(exact))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("calendar_date", "2021-06-31", Reason.BAD_DATE),
        ("calendar_date", "2021-06", Reason.BAD_DATE),
        ("calendar_date", "2021-06-01\n", None),
        ("calendar_date", "hier", Reason.BAD_DATE),
        ("calendar_date", "04/11/25", Reason.BAD_DATE),
        ("calendar_date", "04-11/2025", Reason.BAD_DATE),
        ("calendar_date", "31/02/2025", Reason.BAD_DATE),
        ("first_of_month", [2024, 13], Reason.BAD_DATE),
        ("first_of_month", [2**40, 1], Reason.BAD_DATE),
        ("instant", "2026-01-12T08:30:00", Reason.BAD_DATE),
        ("birth_date", "1990-02-30", Reason.BAD_DATE),
        ("birth_date_parts", [1990, 13, 1], Reason.BAD_DATE),
        ("birth_date_typed", ["1951-07-01", "Z"], Reason.UNKNOWN_CODE),
        ("boolean", "peut-être", Reason.BAD_VALUE),
        ("integer", "7.5", Reason.BAD_NUMBER),
        ("money", "1.234", Reason.BAD_NUMBER),
        ("money", "1.675,00", Reason.BAD_NUMBER),
        ("money", "€", Reason.BAD_NUMBER),
        ("money", "NaN", Reason.BAD_NUMBER),
        ("money", "1e400", Reason.BAD_NUMBER),
        ("money", True, Reason.BAD_NUMBER),
        ("code", "9", Reason.UNKNOWN_CODE),
        ("sex", "X", Reason.UNKNOWN_CODE),
        ("nir", "287032923200167", Reason.BAD_NIR),
        ("nir", "28703292", Reason.BAD_NIR),
        ("matricule_caf", "20895X4", Reason.BAD_VALUE),
        ("phone", "appeler le soir", Reason.BAD_VALUE),
        ("phone", "6,39981E+08", Reason.BAD_VALUE),
        ("text", {"a": 1}, Reason.BAD_VALUE),
        ("texts", ["a", 1], Reason.BAD_VALUE),
        ("surname_of_two", "LE GOFF ANNE", Reason.NAMES_NOT_SEPARATED),
        ("given_of_two", "ANNE", Reason.NAMES_NOT_SEPARATED),
        # A family shares its surname: here it stands last.
        ("surname_of_two", ["MAËLLE AUBÉPIN", ["MAËLLE AUBÉPIN", "YANN AUBEPIN"]], Reason.NAMES_NOT_SEPARATED),
        # Of one person, or of two who share nothing, two words in capitals do not tell which is which.
        ("surname_of_two", ["AUBÉPIN MAËLLE", ["AUBÉPIN MAËLLE"]], Reason.NAMES_NOT_SEPARATED),
        ("surname_of_two", ["AUBÉPIN MAËLLE", ["AUBÉPIN MAËLLE", "QUÉMÉNER YANN"]], Reason.NAMES_NOT_SEPARATED),
        ("surname_of_two", ["Maëlle AUBÉPIN", ["Maëlle AUBÉPIN"]], Reason.NAMES_NOT_SEPARATED),
        ("given_of_two", ["LOU LE", ["LOU LE", "MAËLLE AUBÉPIN", "YANN AUBÉPIN"]], Reason.NAMES_NOT_SEPARATED),
        ("first_code", ["x", None, "y"], Reason.UNKNOWN_CODE),
        ("birth_date_or_parts", ["2021-06-31", None, None, None], Reason.BAD_DATE),
    ],
)
def test_what_cannot_be_read_is_refused_by_reason_and_never_quoted(
    name: str, value: Any, reason: Reason | None
) -> None:
    if reason is None:
        assert BUILT_IN[name](value, {}) == "2021-06-01"
        return
    with pytest.raises(Refused) as refused:
        BUILT_IN[name](value, {})
    assert refused.value.reason is reason
    assert str(value) not in f"{refused.value} {refused.value.detail}"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        sorted(set(BUILT_IN) - {"latest_resources", "protected_resources", "civil_key", "birth_date_typed"})
    ),
    st.text(max_size=20),
)
def test_no_transform_raises_anything_but_refused(name: str, value: str) -> None:
    with contextlib.suppress(Refused):
        BUILT_IN[name](value, {"a": "b"})


def test_protected_resources_lose_their_label_and_keep_their_amount() -> None:
    def block(month: str, *lines: tuple[str, str]) -> dict[str, Any]:
        details = [{"NATRESS": nature, "MTNATRESSMEN": amount} for nature, amount in lines]
        return {"GeneraliteRessourcesMensuelles": {"MOISRESS": month}, "DetailRessourcesMensuelles": details}

    latest = block("2025-11-01", ("001", "250.75"), ("403", "88.10"), ("404", "12.20"))
    blocks = [latest, block("2025-10-01", ("001", "1.00"))]
    table = {"403": "p", "404": "p"}
    assert BUILT_IN["latest_resources"](blocks, table) == [{"nature": "001", "montant": 250.75}]
    assert BUILT_IN["protected_resources"](blocks, table) == 100.3
    assert BUILT_IN["protected_resources"](blocks, {}) is None
