"""What nobody sees in a text: marks that say nothing go, what makes it read otherwise is refused, French stays."""

from __future__ import annotations

import unicodedata
from typing import Any, Literal

import pytest

from connectors.kit.port import Reason
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Refused, shown
from connectors.kit.visible import is_misread
from schemas import registry


def said(valeur: str) -> dict[str, Any]:
    return {
        "valeur": valeur,
        "source": "caf",
        "date_effet": None,
        "date_collecte": "2026-01-02T03:04:05Z",
        "base_legale": "CASF L262-40",
    }


FRENCH = (
    "D’Ÿvrée-Lœuil",
    "Ænéas",
    "François‑Noël",
    "N° 12 bis",
    "Île d’Yeu",
    "Zoé\u00a0!",
    "Gaëlle",
    "Łukasz",
    "Žižka",
    "Ñuñez",
)


@pytest.mark.parametrize("written", FRENCH)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_as_they_are_written_stay_as_they_are(written: str, form: Literal["NFC", "NFD"]) -> None:
    spelt = unicodedata.normalize(form, written)
    assert shown(spelt) == spelt
    assert not is_misread(spelt)
    registry.statement_validator("identite.nom_naissance").check(said(spelt))


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("12 rue Basse\r\nBât. B\t2e", "12 rue Basse Bât. B 2e"),
        ("\u200eMartin\u200f", "Martin"),
        ("Mar\u00adtin\u200b", "Martin"),
        ("\ufeffMartin", "Martin"),
        ("\u2060\u200d", ""),
    ],
)
def test_marks_that_say_nothing_go(written: str, seen: str) -> None:
    assert shown(written) == seen
    assert BUILT_IN["text"](written, {}) == (seen or None)
    assert BUILT_IN["as_is"](written, {}) == (seen or None)
    assert BUILT_IN["texts"]([written, "Jean"], {}) == [*([seen] if seen else []), "Jean"]


HIDDEN = [*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x2070), *range(0xFFF9, 0xFFFC)]


@pytest.mark.parametrize("code", HIDDEN)
def test_what_makes_a_text_read_otherwise_is_refused_where_it_enters_and_at_the_last_gate(code: int) -> None:
    written = f"Mar{chr(code)}tin"
    if written.split() == [written]:  # a tab or a line break is a space
        if 0x80 <= code < 0xA0:
            assert is_misread(written)
        with pytest.raises(Refused) as refused:
            shown(written)
        assert refused.value.reason is Reason.CONTROL_CHARACTER
    with pytest.raises(registry.SchemaViolation):
        registry.statement_validator("identite.nom_naissance").check(said(written))


def test_a_long_text_keeps_its_lines_and_nothing_hidden() -> None:
    gate = registry.statement_validator("accompagnement.synthese")
    gate.check(said("Reprise d’une formation.\nÀ revoir en mars."))
    for hidden in ("\u202e", "\u0085", "\u2066", "\u200b"):
        with pytest.raises(registry.SchemaViolation):
            gate.check(said(f"Reprise{hidden} d’une formation."))
