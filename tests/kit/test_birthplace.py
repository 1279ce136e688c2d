"""The birthplace a number tells, where nobody wrote it down."""

from __future__ import annotations

import pytest

from connectors.kit.birthplace import with_birthplace
from connectors.kit.identity import parse_identity


@pytest.mark.parametrize(
    ("nir", "born", "given", "expected"),
    [
        ("2870329232001", "1987-03-14", {}, "29232"),
        ("2900599341065", "1990-05-17", {}, "99341"),
        ("2900599341065", "1990-05-17", {"code_cog_insee_pays_naissance": "99100"}, ""),
        ("2870329232001", "1987-03-14", {"code_cog_insee_commune_naissance": "29019"}, "29019"),
        ("2870329232001", "1986-03-14", {}, ""),
        ("2870329232001", "1987", {}, ""),
        ("2623175107001", "1962-00-00", {}, ""),
        ("1650675107001", "1965-06-01", {}, ""),
        ("1700675107001", "1970-06-01", {}, "75107"),
        ("1700620004001", "1970-06-01", {}, ""),
        ("7870329232001", "1987-03-14", {}, ""),
    ],
)
def test_birthplace_told_by_the_number(nir: str, born: str, given: dict[str, str], expected: str) -> None:
    sex = "M" if nir[0] in "17" else "F"
    identity = parse_identity(
        {"nom_naissance": "TANGUY", "prenoms": "A B", "sexe": sex, "date_naissance": born, "nir": nir, **given}
    )
    assert with_birthplace(identity).birthplace == expected
