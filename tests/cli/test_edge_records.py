"""What a data team asks of its edge: history, quarantine, removals; decided once, effective at the next file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit.edge_home import EdgeHome
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import ingest
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.registration import register_pending
from connectors.kit.runtime.clock import FakeClock
from hub.cli.main import cli
from tests.kit.test_edge_archive import complete  # noqa: F401 (a fixture)
from tests.kit.test_ingest import TOKENISER, row, write
from tests.kit.test_waiting import Hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = CliRunner().invoke(
        cli, ["edge", "init", str(tmp_path / "e"), "--partner", "departement", "--hub-url", "http://127.0.0.1:9"]
    )
    assert made.exit_code == 0, made.output
    return tmp_path / "e"


@pytest.fixture(scope="module")
def departement() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "departement")


def opened(home: Path) -> EdgeStore:
    files = EdgeHome(home)
    return EdgeStore.open(files.store, files.store_key.read_bytes())


def fill(home: Path, partner: PartnerFolder, *paths: Path) -> None:
    store = opened(home)
    ingest([partner.source_file(path) for path in paths], partner, store, TOKENISER, FakeClock())
    store.close()


def maillon(home: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["edge", *arguments, "--home", str(home)], input=stdin)


def answer(home: Path, *arguments: str, code: int = 0) -> Any:
    done = maillon(home, *arguments, "--json")
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)


def test_history_shows_what_changed_and_when(home: Path, departement: PartnerFolder, tmp_path: Path) -> None:
    days = (("Accueil", "2026-01-02"), ("Évaluation", "2026-01-05"), ("Accompagnement", "2026-01-09"))
    for number, (phase, day) in enumerate(days):
        fill(home, departement, write(tmp_path / f"{number}.csv", row(1, phase, day), row(2)))
    told = answer(home, "history", "D-1")
    changed = {field["path"]: field for field in told["fields"]}
    phase = changed["accompagnement.phase"]
    assert phase["now"]["valeur"] == "accompagnement"
    assert [(s["statement"]["valeur"], s["since"][:10], s["until"][:10]) for s in phase["before"]] == [
        ("evaluation", "2026-01-05", "2026-01-09"),
        ("accueil", "2026-01-02", "2026-01-05"),
    ]
    assert "identite.nom_naissance" not in changed
    shown = maillon(home, "history", "-", stdin="D-1\n").output
    assert "evaluation" in shown
    assert "2026-01-05" in shown
    assert "Nothing ever changed." in maillon(home, "history", "D-2").output
    missing = maillon(home, "history", "D-99")
    assert missing.exit_code == 1
    assert "D-99" not in missing.output + str(missing.exception)


def test_an_entry_is_listed_shown_and_dismissed(home: Path, departement: PartnerFolder, tmp_path: Path) -> None:
    bad, other = write(tmp_path / "a.csv", row(1), "D-5;\n"), write(tmp_path / "b.csv", row(2, phase="Sanction"))
    fill(home, departement, bad, other)
    listed = answer(home, "quarantine", "list")["entries"]
    assert [each["reason"] for each in listed] == ["column_shift", "schema"]
    assert answer(home, "quarantine", "list", "--file", str(other))["entries"] == [listed[1]]
    assert answer(home, "quarantine", "list", "--reason", "schema")["entries"] == [listed[1]]
    assert answer(home, "quarantine", "list", "--waiting")["entries"] == []
    number = str(listed[0]["number"])
    assert "line 3" in maillon(home, "quarantine", "show", number).output
    assert maillon(home, "quarantine", "decide", number, "--same-person").exit_code == 1
    assert maillon(home, "quarantine", "decide", number).exit_code == 2
    assert maillon(home, "quarantine", "dismiss", number).exit_code == 0
    assert maillon(home, "quarantine", "show", number).exit_code == 1
    assert [each["reason"] for each in answer(home, "quarantine", "list")["entries"]] == ["schema"]


def test_a_known_file_is_read_again_when_asked(home: Path, departement: PartnerFolder, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", row(1), "D-5;\n")
    fill(home, departement, file)
    (entry,) = answer(home, "quarantine", "list")["entries"]
    assert maillon(home, "quarantine", "retry", str(entry["number"])).exit_code == 0
    store = opened(home)
    again = ingest([departement.source_file(file)], departement, store, TOKENISER, FakeClock())
    assert (again.known_files, again.records) == (0, 1)


@pytest.mark.parametrize("decision", ["--same-person", "--someone-else"])
def test_another_person_under_a_known_number(
    home: Path, departement: PartnerFolder, tmp_path: Path, decision: str
) -> None:
    fill(home, departement, write(tmp_path / "a.csv", row(1)))
    store = opened(home)
    register_pending(store, Hub())
    former = store.record_key("D-1")
    store.close()
    other = write(tmp_path / "b.csv", row(1, maj="2026-01-09").replace("TANGUYB", "LEBRAS").replace("Maël", "Nour"))
    fill(home, departement, other)
    (entry,) = answer(home, "quarantine", "list", "--waiting")["entries"]
    assert entry["waits_for"] == "a decision"
    shown = answer(home, "quarantine", "show", str(entry["number"]))
    assert (shown["held"]["prenoms"], shown["set_aside"]["prenoms"]) == (["Maël"], ["Nour"])
    assert answer(home, "quarantine", "decide", str(entry["number"]), decision)["number"] == entry["number"]
    fill(home, departement, other)
    assert answer(home, "quarantine", "list")["entries"] == []
    store = opened(home)
    hub = Hub()
    told = register_pending(store, hub)
    if decision == "--same-person":
        assert (told.registered, told.gone, hub.keys()) == (1, 0, [former])
        assert store.history_of("D-1")
    else:
        assert (told.registered, told.gone, hub.keys()[0]) == (1, 1, former)
        assert store.history_of("D-1") == []


def test_a_record_the_hub_refused_is_listed_and_can_be_renamed(
    home: Path, departement: PartnerFolder, tmp_path: Path
) -> None:
    fill(home, departement, write(tmp_path / "a.csv", row(1), row(2)))
    store = opened(home)
    former = store.record_key("D-2")
    register_pending(store, Hub(former))
    store.close()
    assert answer(home, "quarantine", "list")["refused"] == [{"local_id": "D-2", "reason": "conflict"}]
    assert "D-2: conflict" in maillon(home, "quarantine", "list").output
    assert maillon(home, "quarantine", "rename", "D-1").exit_code == 1
    assert maillon(home, "quarantine", "rename", "-", stdin="D-2\n").exit_code == 0
    store = opened(home)
    hub = Hub(former)
    told = register_pending(store, hub)
    assert (told.registered, told.refused) == (1, 0)
    assert store.waiting.refused() == []


def test_removals_are_shown_and_answered(home: Path, complete: PartnerFolder, tmp_path: Path) -> None:  # noqa: F811
    fill(home, complete, write(tmp_path / "a.csv", *map(row, range(20))))
    assert "No file asks" in maillon(home, "removals").output
    half = write(tmp_path / "b.csv", *map(row, range(18)), "D-5;\n")
    fill(home, complete, half)
    (asked,) = answer(home, "removals", code=4)["asked"]
    assert (asked["format"], asked["missing"]) == ("accompagnement", ["D-18", "D-19"])
    assert "D-18" in maillon(home, "removals").output
    assert maillon(home, "removals", "--confirm", "aides").exit_code == 1
    assert answer(home, "removals", "--keep", "accompagnement") == {"removed": 0, "asked": []}
    store = opened(home)
    assert store.fragment_of("D-19") is not None
    store.close()
    fewer = write(tmp_path / "c.csv", *map(row, range(10)))
    fill(home, complete, fewer)
    assert answer(home, "removals", "--confirm", "accompagnement") == {"removed": 10, "asked": []}
    store = opened(home)
    assert store.fragment_of("D-19") is None
    assert store.history_of("D-19")
    assert ingest([complete.source_file(fewer)], complete, store, TOKENISER, FakeClock()).known_files == 1
