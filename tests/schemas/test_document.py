"""What is generated is up to date, and ``--check`` says when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas import document, registry

ROOT = Path(__file__).parents[2]


def test_the_generated_files_are_those_committed() -> None:
    assert document.stale(ROOT) == ()


def test_check_exits_0_and_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "schemas.document", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["docs/dossier.md", "schemas/fragment.schema.json"])
def test_check_names_the_stale_file_and_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document.main([], tmp_path) == 0
    assert document.main(["--check"], tmp_path) == 0
    stale = tmp_path / name
    stale.write_text(stale.read_text("utf-8") + "x", "utf-8")
    capsys.readouterr()
    assert document.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [f"stale: {name} (run: python -m schemas.document)"]
    assert stale.read_text("utf-8").endswith("x")
    stale.unlink()
    assert document.main(["--check"], tmp_path) == 1
    assert not stale.exists()


def test_every_field_has_its_row_with_class_codes_and_suppliers() -> None:
    page = document.dossier_page().splitlines()
    rows = [line for line in page if line.startswith("| `")]
    assert len(rows) == len(registry.field_nodes())
    for (field, _), row in zip(registry.field_nodes(), rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 7, row
        assert cells[0] == f"`{field.path.partition('.')[2]}`"
        assert cells[1] == field.libelle
        assert cells[2]
        assert (cells[3], cells[4]) == (field.codes or "–", field.classe)
        assert cells[5] == ", ".join(field.fournisseurs)


def test_every_legal_note_and_code_stands_on_the_page() -> None:
    page = document.dossier_page()
    assert all(field.note_legale in page for field, _ in registry.field_nodes())
    assert all(f"`{code}` : " in page for code in registry.absences())
    assert "à faire confirmer par votre DPO" in page
