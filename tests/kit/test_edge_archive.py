"""A changed record keeps its history; a complete file that shrinks asks before anything is taken away."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from connectors.kit.edge_archive import VERSIONS
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import IngestReport, ingest
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.superseded import read_superseded_again
from tests.kit.test_ingest import KEY, TOKENISER, row, write
from tests.kit.world import AT, LEA, said

PHASE = "accompagnement.phase"
START = "droits.rsa.date_debut_droit"


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", KEY)


@pytest.fixture(scope="module")
def complete() -> PartnerFolder:
    """The département's file holds everyone."""
    return PartnerFolder.load(bundled_directory() / "departement")


def run(partner: PartnerFolder, store: EdgeStore, *paths: Path, **options: Any) -> IngestReport:
    return ingest([partner.source_file(path) for path in paths], partner, store, TOKENISER, FakeClock(), **options)


# History --------------------------------------------------------------------------------------------------------


def put(store: EdgeStore, valeur: str, at: datetime) -> Change:
    return store.put_fragment("L", {"statements": {START: said(valeur)}}, b"f" * 32, format="rsa", as_of=at)


def test_a_changed_record_keeps_what_it_said_with_its_dates(store: EdgeStore) -> None:
    store.upsert_subject("L", {}, LEA)
    days = [AT + timedelta(days=30 * number) for number in range(3)]
    for number, day in enumerate(days):
        put(store, f"2024-0{number + 1}-01", day)
    assert put(store, "2024-03-01", days[2] + timedelta(days=1)) is Change.UNCHANGED
    assert put(store, "1999-01-01", days[0]) is Change.OLDER
    found = store.history_of("L")
    assert [each.statements[START]["valeur"] for each in found] == ["2024-02-01", "2024-01-01"]
    assert [(each.as_of, each.until) for each in found] == [(days[1], days[2]), (days[0], days[1])]
    assert store.fragment_of("L")["statements"][START]["valeur"] == "2024-03-01"  # type: ignore[index]
    assert store.history_of("M") == []


def test_an_absence_of_the_moment_is_no_state(store: EdgeStore) -> None:
    store.upsert_subject("L", {}, LEA)
    gone = {"absence": "indisponible", "source": "caf", "date_collecte": "2026-01-01T00:00:00Z"}
    store.put_fragment("L", {"statements": {START: gone}}, b"f" * 32, format="rsa", as_of=AT)
    put(store, "2024-01-01", AT)
    assert store.history_of("L") == []


def test_history_is_bounded_and_sealed(store: EdgeStore, tmp_path: Path) -> None:
    store.upsert_subject("L", {}, LEA)
    for number in range(VERSIONS + 5):
        put(store, f"20{number + 10}-12-31", AT + timedelta(days=number))
    found = store.history_of("L")
    assert [each.statements[START]["valeur"][:4] for each in found] == [str(2025 - n) for n in range(VERSIONS)]
    store.close()
    assert b"12-31" not in (tmp_path / "edge.db").read_bytes()
    with closing(sqlite3.connect(tmp_path / "edge.db")) as db:
        # A state of the past put in the place of today's does not open.
        db.execute("UPDATE fragment SET body = (SELECT body FROM history LIMIT 1)")
        db.commit()
    with pytest.raises(MaillonError) as caught:
        EdgeStore.open(tmp_path / "edge.db", KEY).fragment_of("L")
    assert caught.value.kind is ErrorKind.STORAGE


def test_a_store_of_before_gains_the_tables(tmp_path: Path) -> None:
    EdgeStore.open(tmp_path / "edge.db", KEY).close()
    with closing(sqlite3.connect(tmp_path / "edge.db")) as db:
        db.executescript("DROP TABLE history; DROP TABLE cursor")
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    store.upsert_subject("L", {}, LEA)
    put(store, "2024-01-01", AT)
    put(store, "2024-02-01", AT + timedelta(days=1))
    assert len(store.history_of("L")) == 1


# Shrinking files ------------------------------------------------------------------------------------------------


def rows(numbers: range, **changes: str) -> list[str]:
    return [row(number, **changes) for number in numbers]


def test_who_is_missing_from_a_complete_file_is_gone(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "january.csv", *rows(range(40))))
    store.set_ref("D-39", "r" * 22)
    report = run(complete, store, write(tmp_path / "february.csv", *rows(range(37))))
    assert (report.removed, report.removals_held) == (3, 0)
    assert store.fragment_of("D-39") is None
    assert store.fragment_of("D-36") is not None
    assert store.history_of("D-39")[0].statements[PHASE]["valeur"]
    assert "D-39" in {subject.local_id for subject in store.pending()}, "the hub hears of it"
    assert run(complete, store, tmp_path / "february.csv").known_files == 1


def test_a_file_that_shrinks_too_much_asks(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "january.csv", *rows(range(40))))
    half = write(tmp_path / "february.csv", *rows(range(20)))
    for _ in range(2):
        report = run(complete, store, half)
        assert (report.removed, report.removals_held, report.known_files) == (0, 20, 0)
        assert store.fragment_of("D-39") is not None
    assert run(complete, store, half, confirm_removals=True).removed == 20
    assert store.fragment_of("D-39") is None
    assert run(complete, store, half).known_files == 1


def test_who_may_be_among_those_set_aside_is_not_taken_away_unasked(
    complete: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(complete, store, write(tmp_path / "january.csv", *rows(range(40))))
    file = write(tmp_path / "february.csv", *rows(range(39)), "D-39;\n")
    report = run(complete, store, file)
    assert (report.removed, report.removals_held) == (0, 1)


def given(partner: PartnerFolder, store: EdgeStore, *paths: Path) -> IngestReport:
    """What ``maillon ingest`` does of those files."""
    files = [partner.source_file(path) for path in paths]
    read_superseded_again(files, partner, store, FakeClock().now())
    return ingest(files, partner, store, TOKENISER, FakeClock())


def test_a_file_that_is_again_what_it_was_is_read_again(
    complete: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    january = write(tmp_path / "january.csv", *rows(range(40)))
    february = write(tmp_path / "february.csv", *rows(range(39)))
    march = write(tmp_path / "march.csv", *rows(range(40)))
    assert given(complete, store, january).known_files == 0
    assert given(complete, store, february).removed == 1
    back = given(complete, store, march)
    assert (back.known_files, back.subjects) == (0, {Change.NEW: 1, Change.UNCHANGED: 39})
    assert store.fragment_of("D-39") is not None
    for path in (march, january):  # the same bytes as those read last
        assert (given(complete, store, path).known_files, store.history_of("D-1")) == (1, [])
    # And the other way round: who came for a month is gone with the next file.
    assert given(complete, store, february).removed == 1


def test_files_given_in_one_go_again_change_nothing(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    year = [write(tmp_path / f"{n}.csv", *rows(range(40), phase=f"phase {n}")) for n in range(3)]
    given(complete, store, *year)
    before = store.history_of("D-1")
    assert given(complete, store, *year).known_files == 3
    assert store.history_of("D-1") == before


def test_a_file_whose_removals_wait_gives_way_to_the_former_one(
    complete: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    january = write(tmp_path / "january.csv", *rows(range(40)))
    half = write(tmp_path / "february.csv", *rows(range(20)))
    given(complete, store, january)
    assert given(complete, store, half).removals_held == 20
    assert given(complete, store, january).known_files == 0
    assert store.waiting.removals() == []


def test_of_a_format_that_is_not_complete_every_file_stays_known(store: EdgeStore, tmp_path: Path) -> None:
    ccas = PartnerFolder.load(bundled_directory() / "ccas")
    header = "numero;nom_naissance;prenoms;date_naissance;aide;decision;date_decision\n"
    files = [tmp_path / f"{n}.aides.csv" for n in (1, 2)]
    for n, path in enumerate(files, 1):
        path.write_text(f"{header}A-{n};Aubépin;Maëlle;12/03/1984;secours;accordée;01/0{n}/2026\n", "utf-8")
        assert given(ccas, store, path).known_files == 0
    assert given(ccas, store, files[0]).known_files == 1


def test_an_older_file_takes_nobody_away(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "february.csv", *rows(range(40), maj="2026-01-10")))
    report = run(
        complete, store, write(tmp_path / "january.csv", *rows(range(5), maj="2026-01-05")), confirm_removals=True
    )
    assert (report.removed, report.removals_held) == (0, 0)
    assert store.fragment_of("D-39") is not None


def test_an_older_row_of_a_newer_file_is_still_there(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "january.csv", *rows(range(40), maj="2026-01-10")))
    mixed = [row(0, maj="2025-12-01"), *rows(range(1, 40), maj="2026-01-12")]
    report = run(complete, store, write(tmp_path / "march.csv", *mixed))
    assert (report.removed, report.removals_held) == (0, 0)


def test_an_empty_file_takes_nobody_away_even_if_told(
    complete: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(complete, store, write(tmp_path / "january.csv", *rows(range(10))))
    run(complete, store, write(tmp_path / "empty.csv"), confirm_removals=True)
    assert store.fragment_of("D-1") is not None


def test_without_the_manifest_s_word_no_file_is_complete(store: EdgeStore, tmp_path: Path) -> None:
    partner = PartnerFolder.load(bundled_directory() / "departement")
    formats = {name: replace(each, complete=False) for name, each in partner.formats.items()}
    partner = replace(partner, formats=MappingProxyType(formats))
    run(partner, store, write(tmp_path / "january.csv", *rows(range(40))))
    report = run(partner, store, write(tmp_path / "february.csv", *rows(range(2))), confirm_removals=True)
    assert (report.removed, report.removals_held) == (0, 0)
    assert store.fragment_of("D-39") is not None


def test_which_shipped_formats_hold_everyone() -> None:
    """Decided format by format (docs/edge.md): where a file may be one territory's, or a period's, nobody is gone."""
    found = {
        f"{slug}.{name}"
        for slug, partner in discover([bundled_directory()]).items()
        for name, each in partner.formats.items()
        if each.complete
    }
    assert found == {"departement.accompagnement", "ccas.suivi_rsa", "ccas.domiciliations"}


# Cursors --------------------------------------------------------------------------------------------------------


def test_a_cursor_is_kept_sealed(store: EdgeStore, tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert store.archive.cursor("feed") is None
    for cursor in ("page-1", "page-2"):
        with store.batch():
            store.archive.set_cursor("feed", cursor, at)
    assert store.archive.cursor("feed") == "page-2"
    store.close()
    assert b"page-2" not in (tmp_path / "edge.db").read_bytes()
    assert EdgeStore.open(tmp_path / "edge.db", KEY).archive.cursor("feed") == "page-2"
