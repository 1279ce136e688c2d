"""How common names are: kept once, the same for every record, changed on command alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.edge_names import COUNTED, Kept, Names
from connectors.kit.edge_store import EdgeStore
from connectors.kit.identity import parse_identity
from connectors.kit.ingest import ingest
from connectors.kit.partner import PartnerFolder, SourceFile, bundled_directory
from connectors.kit.rarity import UNKNOWN_SHARES, NameCount, NameShares, read_shares
from connectors.kit.registration import register_pending
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import tokens_of
from hub.cli import edge_names
from hub.cli.main import cli
from tests.kit.test_ingest import KEY, TOKENISER, row, write
from tests.kit.test_waiting import Hub, run

AT = datetime(2026, 1, 15, tzinfo=UTC)
TABLE = "kind,name,share\nS,TANGUYBAAA,0.00001\nS,MARTIN,0.004\nG,Maël,0.004\nG,Marie,0.02\n"


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", KEY)


@pytest.fixture(scope="module")
def departement() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "departement")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "noms.csv"
    path.write_text(TABLE, "utf-8")
    return path


def flags(store: EdgeStore, *numbers: int) -> list[Mapping[str, Any]]:
    held = [store.tokens_of(f"D-{number}") for number in numbers]
    return [each.flags for each in held if each is not None]


def test_below_enough_persons_nothing_is_counted(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    """A given name seen once among forty is no slip of the pen: told as one, it would bring twins together."""
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(40))))
    assert store.names.kept() is None
    assert store.names.shares() is UNKNOWN_SHARES
    assert {(each["rarete"], each["prenom_connu"]) for each in flags(store, *range(40))} == {(0, True)}


def test_enough_persons_are_counted_once_before_the_hub_hears_of_them(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(40))))
    assert store.names.count_once(AT, enough=40)
    assert store.names.apply() == 40
    own = NameCount()
    own.add(parse_identity(store.identity_of(f"D-{n}") or {}) for n in range(40))
    assert store.names.shares() == own.shares()
    assert store.names.kept() == Kept(COUNTED, AT, 40, 0, 1, is_applied=True)  # each surname but once
    hub = Hub()
    register_pending(store, hub)
    expected = tokens_of(parse_identity(store.identity_of("D-7") or {}), TOKENISER, own.shares())
    assert {r["flags"]["rarete"] for r in hub.records} == {expected.flags["rarete"]}
    assert expected.flags["rarete"] != 0
    # A second file changes no share, so nothing already said.
    run(departement, store, write(tmp_path / "b.csv", *map(row, range(39, 60))))
    assert not store.names.count_once(AT, enough=40)
    again = Hub()
    register_pending(store, again)
    assert len(again.records) == 20


def test_of_many_persons_some_are_drawn_whatever_their_order(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(400))))
    shares, persons = store.names.count(most=100)
    assert 70 <= persons <= 130  # the keys decide, always alike
    assert shares.unlisted_surname == 3 / persons
    assert store.names.count(most=399)[1] <= store.names.count(most=400)[1] == 400
    assert store.names.count(most=0)[1] == 0


def test_ingest_says_how_far_it_is(departement: PartnerFolder, store: EdgeStore, tmp_path: Path, table: Path) -> None:
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    told: list[int] = []
    files = [SourceFile(write(tmp_path / "a.csv", *map(row, range(10))), "accompagnement")]
    ingest(files, departement, store, TOKENISER, FakeClock(AT), lambda report: told.append(report.classed))
    assert told[-1] == 10


def test_ingest_counts_by_itself(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound itself takes a minute of records: the same is asked with a smaller one."""
    monkeypatch.setattr(Names.count_once, "__defaults__", (40,))
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(39))))
    assert store.names.kept() is None
    run(departement, store, write(tmp_path / "b.csv", row(39)))
    kept = store.names.kept()
    assert kept is not None
    assert (kept.source, kept.persons, kept.is_applied) == (COUNTED, 40, True)
    assert {each["rarete"] != 0 for each in flags(store, *range(40))} == {True}


def test_a_table_speaks_for_records_before_and_after_it_and_is_completed_by_the_first(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, table: Path
) -> None:
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    rows = [row(1), *(row(n).replace("Maël", "Gwendal") for n in (2, 3, 4)), row(5).replace("Maël", "Mael")]
    run(departement, store, write(tmp_path / "a.csv", *rows, row(6).replace("Maël", "Xyzzy")))
    known = {n: flags(store, n)[0]["prenom_connu"] for n in range(1, 7)}
    assert known == {1: True, 2: True, 3: True, 4: True, 5: True, 6: False}
    assert flags(store, 1)[0]["rarete"] == 14  # 1e-5 by 0.005: one in 10 ** 7.3
    kept = store.names.kept()
    assert kept is not None
    assert (kept.source, kept.persons) == ("noms.csv", 6)


def test_only_who_says_otherwise_is_told_again(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, table: Path
) -> None:
    other = row(2).replace("TANGUYCAAA", "MARTIN").replace("Maël", "X")
    run(departement, store, write(tmp_path / "a.csv", row(1), other))
    register_pending(store, Hub())
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    changed = store.names.apply()
    hub = Hub()
    register_pending(store, hub)
    # Without a usable given name the class stays 0, and no given name is a misspelt one.
    assert (changed, len(hub.records)) == (2, 2)
    assert store.names.apply() == 0
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    assert store.names.apply() == 0


def test_cut_short_it_goes_on_where_it_stood(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kit.edge_names.PAGE", 4)
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(10))))
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    whole, calls = Names._bring_in_line, iter(range(100))

    def cut(*arguments: Any) -> bool:
        if next(calls) == 6:
            raise MaillonError(ErrorKind.STORAGE, "full")
        return whole(*arguments)

    monkeypatch.setattr(Names, "_bring_in_line", cut)
    with pytest.raises(MaillonError):
        store.names.apply()
    monkeypatch.setattr(Names, "_bring_in_line", whole)
    kept = store.names.kept()
    assert kept is not None
    assert not kept.is_applied
    # The registration itself goes through what is left.
    reopened = EdgeStore.open(tmp_path / "edge.db", KEY)
    hub = Hub()
    register_pending(reopened, hub)
    assert {r["flags"]["rarete"] for r in hub.records} == {14}
    assert reopened.names.apply() == 0
    assert reopened.names.kept().is_applied  # type: ignore[union-attr]


def test_another_process_sees_the_new_shares(store: EdgeStore, tmp_path: Path) -> None:
    other = EdgeStore.open(tmp_path / "edge.db", KEY)
    assert other.names.shares() is UNKNOWN_SHARES
    given = NameShares({"MARTIN": 0.004}, {"MARIE": 0.02}, 0.001, complete_givens=True)
    for _ in range(2):
        store.names.keep(given, 0, source="x", at=AT)
        assert other.names.shares() == given
        given = NameShares({"MARTIN": 0.003}, {"MARIE": 0.02}, 0.001, complete_givens=True)


def test_no_name_of_the_table_stands_in_the_store(store: EdgeStore, tmp_path: Path, table: Path) -> None:
    store.names.keep(read_shares(table), 0, source="noms.csv", at=AT)
    store.close()
    for file in tmp_path.glob("edge.db*"):
        assert b"TANGUY" not in file.read_bytes()


def test_several_threads_read_one_table(store: EdgeStore, table: Path) -> None:
    shares = read_shares(table)
    store.names.keep(shares, 0, source="x", at=AT)
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(store.names.shares() == shares)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 8


class Opened:
    """An edge whose hub is not there: what the command needs of it."""

    live = None

    def __init__(self, store: EdgeStore, partner: PartnerFolder) -> None:
        self.store, self.partner, self.clock, self.hub = store, partner, FakeClock(), Hub()

    def close(self) -> None:
        pass


def test_the_command(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Opened(store, departement)
    monkeypatch.setattr(edge_names.Edge, "open", lambda home, clock: here)

    def maillon(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(cli, ["edge", "names", "--home", str(tmp_path), *arguments, "--json"])
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout) if code == 0 else done

    ingest(
        [departement.source_file(write(tmp_path / "a.csv", row(1), row(2)))], departement, store, TOKENISER, here.clock
    )
    assert maillon()["source"] is None
    told = maillon("--table", str(table))
    assert (told["source"], told["changed"], told["registered"], told["counted_in"]) == ("noms.csv", 2, 2, 2)
    assert maillon("--table", str(table))["changed"] == 0
    assert maillon()["changed"] is None
    few = maillon("--count", code=1)
    assert "10000 persons" in str(few.exception)
    maillon("--count", "--table", str(table), code=2)
    bad = tmp_path / "bad.csv"
    bad.write_text(TABLE + "S,DURAND,2\n", "utf-8")
    maillon("--table", str(bad), code=1)
    assert maillon()["source"] == "noms.csv"
