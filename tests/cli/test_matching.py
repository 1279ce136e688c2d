"""``connector match``: proposed, confirmed once, kept, and used by ``connector map``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.kit.partner import PartnerFolder, bundled_directory
from hub.cli.connector import as_matched
from hub.cli.main import cli
from hub.cli.output import EXIT_REFUSED

CLERK = (
    "Liste des domiciliés;;;;;\n"
    "N° dossier;NOM;Prénom(s);Né(e) le;Date d’élection de domicile;Observations\n"
    "DOM-1;Aubépin;Maëlle;12/03/1984;01/02/2026;à rappeler\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "domicilies.csv"
    path.write_text(CLERK, "utf-8")
    return path


def match(file: Path, *more: str, answer: str = "") -> Result:
    wanted = ["connector", "match", str(file), "--partner", "ccas", "--source", "domiciliations"]
    return CliRunner().invoke(cli, [*wanted, *more], input=answer)


def test_the_table_shows_headings_and_no_value(file: Path) -> None:
    done = match(file)
    assert done.exit_code == 0
    assert "N° dossier" in done.stdout
    assert "Not read: Observations" in done.stdout
    assert not any(value in done.output for value in ("Aubépin", "DOM-1", "1984", "rappeler"))
    document = json.loads(match(file, "--json").stdout)
    assert {each["column"]: each["heading"] for each in document["columns"]}["date_naissance"] == "Né(e) le"


def test_nothing_is_kept_before_a_person_says_yes(file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "matching.toml"
    match(file, "--save", str(saved), answer="n\n")
    assert not saved.exists()
    assert match(file, "--save", str(saved), answer="y\n").exit_code == 0
    assert 'numero = "N° dossier"' in saved.read_text("utf-8")


def test_what_was_confirmed_maps_the_file_and_refuses_another_layout(file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "matching.toml"
    match(file, "--save", str(saved), "--yes")
    wanted = ["connector", "map", "ccas", str(file), "--source", "domiciliations"]
    assert CliRunner().invoke(cli, wanted).exit_code == 4
    done = CliRunner().invoke(cli, [*wanted, "--matching", str(saved)])
    assert done.exit_code == 0
    line = json.loads(done.stdout)
    assert line["fragment"]["statements"]["domiciliation.date_debut"]["valeur"] == "2026-02-01"
    file.write_text(CLERK.replace("NOM;Prénom(s)", "Prénom(s);NOM"), "utf-8")
    done = CliRunner().invoke(cli, [*wanted, "--matching", str(saved)])
    assert done.exit_code == 4
    assert [json.loads(row)["reason"] for row in done.stderr.splitlines()] == ["column_shift", "column_shift"]


def test_a_missing_column_is_asked_for_and_can_be_given(file: Path, tmp_path: Path) -> None:
    file.write_text(CLERK.replace("NOM;", "Usager;"), "utf-8")
    saved = tmp_path / "matching.toml"
    done = match(file, "--save", str(saved), "--yes")
    assert done.exit_code == 1
    assert "nom_naissance" in str(done.exception)
    assert not saved.exists()
    assert match(file, "--column", "nom_naissance=Usager", "--save", str(saved), "--yes").exit_code == 0
    assert match(file, "--column", "nom_naissance").exit_code == 2


def test_an_edges_home_keeps_its_matching_and_another_can_be_named(file: Path, tmp_path: Path) -> None:
    assert match(file, "--home", str(tmp_path), "--yes").exit_code == 0
    ccas = PartnerFolder.load(bundled_directory() / "ccas")
    found = as_matched(ccas, tmp_path, {"domiciliations"}, None)
    assert found.version != ccas.version
    assert as_matched(ccas, tmp_path, {"aides"}, None) is ccas
    assert as_matched(ccas, tmp_path, set(), tmp_path / "matching.domiciliations.toml").version == found.version


def test_a_matching_that_is_declined_or_cannot_be_saved_says_so(file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "kept.toml"
    said = match(file, "--save", str(saved), answer="n\n")
    assert (said.exit_code, "Nothing is saved" in said.output, saved.exists()) == (EXIT_REFUSED, True, False)
    refused = match(file, "--save", str(tmp_path / "nowhere" / "kept.toml"), "--yes").exception
    assert str(refused) == "storage: cannot save the matching: No such file or directory"
