"""``maillon ingest`` of a file whose headings are not those expected: it says what to do, and that works."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit.port import Reason
from connectors.kit.readers.table import is_of_headings
from hub.cli.main import cli
from tests.kit.conftest import consortium  # noqa: F401 (a fixture)
from tests.kit.consortium import Consortium
from tests.kit.test_ingest import row, write


def ingest(home: Path, file: Path, *more: str) -> Result:
    return CliRunner().invoke(
        cli, ["ingest", str(file), "--home", str(home), "--source", "accompagnement", "--no-register", *more]
    )


def pointed_to(done: Result) -> list[str]:
    """Return the command that the output points to."""
    found = [line for line in done.output.splitlines() if "maillon connector match" in line]
    return shlex.split(found[0].partition("ingest again: ")[2]) if found else []


def counted(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def home(consortium: Consortium) -> Path:  # noqa: F811
    return consortium.homes["departement"].path


def test_the_command_it_points_to_puts_the_headings_right(home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "le suivi.csv", row(1), row(2))
    text = file.read_text("utf-8").replace("nom_naissance;", "NOM de naissance;", 1)
    file.write_text(text, "utf-8")
    refused = ingest(home, file)
    assert refused.exit_code == 4
    program, *command = pointed_to(refused)
    assert (program, command[2]) == ("maillon", str(file))
    assert CliRunner().invoke(cli, [*command, "--yes"]).exit_code == 0
    taken = ingest(home, file, "--json")
    assert (taken.exit_code, counted(taken)["records"]) == (0, 2)
    # Confirmed once; then the export puts a column elsewhere.
    heads, first, *rest = text.splitlines()
    other = "\n".join(";".join(reversed(line.split(";"))) for line in (heads, first, *rest))
    file.write_text(other, "utf-8")
    moved = ingest(home, file)
    assert (moved.exit_code, "column_shift" in moved.output) == (4, True)
    assert pointed_to(moved)[1:] == command


def test_a_line_that_is_wrong_by_itself_is_not_the_headings_fault(home: Path, tmp_path: Path) -> None:
    done = ingest(home, write(tmp_path / "a.csv", row(1), "D-5;\n"))
    assert (done.exit_code, "column_shift" in done.output) == (4, True)
    assert pointed_to(done) == []


def test_a_machine_reads_the_reasons_and_no_advice(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.csv"
    file.write_text("a;b\n1;2\n", "utf-8")
    done = ingest(home, file, "--json")
    assert [entry["reason"] for entry in counted(done)["quarantine"]] == ["missing_column"]
    assert "connector match" not in done.output
    assert pointed_to(ingest(home, file)), "a person is told each time it is given"


def test_of_several_files_none_is_named(home: Path, tmp_path: Path) -> None:
    files = [tmp_path / "c.csv", tmp_path / "d.csv"]
    for file in files:
        file.write_text(f"{file.stem};b\n1;2\n", "utf-8")
    assert pointed_to(ingest(home, files[0], str(files[1])))[3] == "FILE"


@pytest.mark.parametrize(
    ("reason", "detail", "said"),
    [
        (Reason.COLUMN_SHIFT, "column 3", True),
        (Reason.COLUMN_SHIFT, "", False),
        (Reason.MISSING_COLUMN, "nom_naissance", True),
        (Reason.DUPLICATE_COLUMN, "nom_naissance", True),
        (Reason.WRONG_DELIMITER, "", True),
        (Reason.SCHEMA, "", False),
    ],
)
def test_which_reasons_are_of_headings(reason: Reason, detail: str, said: bool) -> None:
    assert is_of_headings(reason, detail) is said
