"""The lineage page says all that the mappings say, both ways, in French, and is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors.kit import lineage
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.transforms import BUILT_IN
from schemas import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def partners() -> dict[str, PartnerFolder]:
    return discover([bundled_directory()])


@pytest.fixture(scope="module")
def halves(partners: dict[str, PartnerFolder]) -> tuple[str, str]:
    by_field, _, by_partner = lineage.lineage_page(partners.values()).partition("# Des partenaires vers le dossier")
    return by_field, by_partner


def test_the_page_is_the_one_committed() -> None:
    assert lineage.main(["--check"], ROOT) == 0


def test_check_writes_nothing_and_names_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lineage.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "stale: docs/lineage.md (run: python -m connectors.kit.lineage)\n"
    assert not (tmp_path / "docs").exists()
    assert lineage.main([], tmp_path) == 0
    assert lineage.main(["--check"], tmp_path) == 0


def test_every_row_of_every_mapping_stands_in_both_halves(
    partners: dict[str, PartnerFolder], halves: tuple[str, str]
) -> None:
    by_field, by_partner = ({line.replace("\\|", "|") for line in half.splitlines()} for half in halves)
    for partner in partners.values():
        for row in partner.lineage():
            source = f"`{row.source.replace('`', '')}`"
            if row.condition:
                source += f" si `{row.condition.replace('`', '')}`"
            assert any(line.startswith(f"| {source} |") and f"`{row.target}`" in line for line in by_partner), row
            own = [line for line in by_field if line.startswith(f"| {partner.slug} |") and source in line]
            assert any(f"`{row.format}`" in line for line in own), row


def test_every_field_of_the_dossier_is_there_with_its_class_and_note(
    partners: dict[str, PartnerFolder], halves: tuple[str, str]
) -> None:
    fed = {row.target for partner in partners.values() for row in partner.lineage()}
    for known in registry.fields():
        assert (f"### `{known.path}`\n\n{known.libelle} · **{known.classe}** · {known.note_legale}" in halves[0]) == (
            known.path in fed
        )
        assert f"`{known.path}`" in halves[0]


def test_a_field_fed_twice_shows_both_and_its_absences(halves: tuple[str, str]) -> None:
    block = halves[0].partition("### `droits.c2s.etat`")[2].partition("###")[0]
    assert "| cpam |" in block
    assert "→ sans_droit" in block


def test_a_condition_is_said_and_no_expression_keeps_our_own_word_for_the_person(halves: tuple[str, str]) -> None:
    block = halves[0].partition("### `contact.adresse`")[2].partition("###")[0]
    assert "` si `demande` |" in block
    children = halves[0].partition("### `foyer.nombre_enfants_a_charge`")[2].partition("###")[0]
    assert "`length(payload.data.enfants)` si `payload.data.enfants != null`" in children
    cells = [line for half in halves for line in half.splitlines() if line.startswith("| ")]
    assert not [line for line in cells if re.search(r"(?<![\w.'])it\.", line)]


def test_code_tables_are_written_out(halves: tuple[str, str]) -> None:
    numbers = {int(n) for n in re.findall(r"\(table (\d+)\)", halves[1].partition("(`departement`)")[2])}
    assert numbers
    assert "`Évaluation` → evaluation" in halves[1]


def test_every_transform_is_said_in_french(halves: tuple[str, str]) -> None:
    said = lineage.transforms_said()
    assert set(BUILT_IN) == set(said)
    assert all(said.values())
