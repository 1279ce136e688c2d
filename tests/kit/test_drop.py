"""A watched folder: whole files once, never a half-written one, each with a report, and no one's name in a log."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.kit import drop
from connectors.kit.alone import alone
from connectors.kit.drop import SETTLED, DropFolder, DropReport
from connectors.kit.edge_store import EdgeStore
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from tests.kit.test_ingest import HEADER, KEY, TOKENISER, row

DAY = "Éloïse_Tanguy.csv"


class Scene:
    def __init__(self, at: Path, partner: str = "departement") -> None:
        self.clock = FakeClock()
        self.store = EdgeStore.open(at / "edge.db", KEY)
        self.folder = at / "depot"
        self.folder.mkdir()
        self.home = at
        self.watched = self.another(partner)

    def another(self, partner: str = "departement") -> DropFolder:
        """The same folder, as after a restart."""
        folder = PartnerFolder.load(bundled_directory() / partner)
        return DropFolder(self.folder, self.home, folder, self.store, TOKENISER, self.clock)

    def write(self, name: str, *rows: str) -> Path:
        path = self.folder / name
        path.write_text(HEADER + "".join(rows), "utf-8")
        return path

    def sweep(self, after: timedelta = timedelta(0)) -> DropReport:
        self.clock.advance(after)
        return self.watched.sweep()

    def taken(self) -> DropReport:
        """Two looks, far enough apart."""
        self.sweep()
        return self.sweep(SETTLED)

    def names(self, folder: str) -> list[str]:
        place = self.folder / folder
        return sorted(path.name for path in place.iterdir() if path.is_file()) if place.exists() else []

    def report(self, name: str, folder: str = "traites") -> Any:
        return json.loads((self.folder / folder / f"{name}.rapport.json").read_bytes())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_whole_file_is_taken_once_and_moved_with_its_report(scene: Scene) -> None:
    scene.write(DAY, row(1), row(2), "D-5;\n")
    assert scene.sweep() == DropReport(waiting=1)
    assert scene.sweep(SETTLED - timedelta(seconds=1)) == DropReport(waiting=1)
    found = scene.sweep(timedelta(seconds=1))
    assert (found.done, found.records, found.quarantined) == (1, 2, {"column_shift": 1})
    assert scene.names("") == []
    assert scene.names("traites") == [DAY, f"{DAY}.rapport.json"]
    told = scene.report(DAY)
    assert (told["records"], told["subjects"]) == (2, {"new": 2})
    assert [(each["position"], each["reason"]) for each in told["quarantine"]] == [("line 4", "column_shift")]
    assert "TANGUYB" not in json.dumps(told)
    assert scene.taken() == DropReport()
    # The same file again is known, and one of the same name overwrites nothing.
    scene.write(DAY, row(1), row(2), "D-5;\n")
    assert scene.taken().done == 1
    assert scene.report("Éloïse_Tanguy.2.csv")["known_files"] == 1
    assert scene.names("traites")[:2] == ["Éloïse_Tanguy.2.csv", "Éloïse_Tanguy.2.csv.rapport.json"]


def test_a_file_that_grows_waits_until_it_does_not(scene: Scene) -> None:
    path = scene.write("a.csv", row(1))
    scene.sweep()
    for number in range(2, 5):
        with path.open("a", encoding="utf-8") as more:
            more.write(row(number))
        assert scene.sweep(SETTLED).waiting == 1
    assert scene.sweep(SETTLED).done == 1
    assert scene.store.count() == 4


def test_a_file_somebody_writes_to_waits_however_long(scene: Scene) -> None:
    path = scene.write("a.csv", row(1))
    with path.open("a", encoding="utf-8"):
        assert scene.taken() == DropReport(waiting=1)
        assert scene.sweep(timedelta(hours=1)).waiting == 1
    assert scene.sweep().done == 1


def test_a_file_replaced_by_another_of_the_same_size_is_another(scene: Scene) -> None:
    path = scene.write("a.csv", row(1))
    scene.sweep()
    stat = path.stat()
    path.unlink()
    scene.write("a.csv", row(1).replace("1961", "1962"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert scene.sweep(SETTLED).waiting == 1


@pytest.mark.parametrize("name", ["a.csv.part", ".a.csv", "~$a.csv", "a.csv.tmp", "a.filepart", "a.csv.rapport.json"])
def test_what_a_program_calls_unfinished_is_left_alone(scene: Scene, name: str) -> None:
    scene.write(name, row(1))
    assert scene.taken() == DropReport()
    assert (scene.folder / name).exists()


def test_renamed_in_is_taken(scene: Scene) -> None:
    path = scene.write("a.csv.part", row(1))
    scene.taken()
    path.rename(scene.folder / "a.csv")
    assert scene.taken().done == 1


def test_links_and_folders_are_left_alone(scene: Scene, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(HEADER + row(1), "utf-8")
    (scene.folder / "a.csv").symlink_to(outside)
    (scene.folder / "b.csv").mkdir()
    os.mkfifo(scene.folder / "c.csv")
    assert scene.taken() == DropReport()
    assert scene.store.count() == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"\x00\x01\x02" * 100, None), (b"nom;prenom\nA;B\n", "missing_column")],
)
def test_what_gives_nothing_is_rejected_and_the_rest_goes_on(scene: Scene, content: bytes, reason: str | None) -> None:
    (scene.folder / "a.csv").write_bytes(content)
    scene.write("b.csv", row(1))
    found = scene.taken()
    assert (found.done, found.rejected) == (1, 1)
    assert scene.names("rejetes") == ["a.csv", "a.csv.rapport.json"]
    entries = scene.report("a.csv", "rejetes")["quarantine"]
    assert entries
    assert reason is None or [each["reason"] for each in entries] == [reason]


def test_a_file_of_no_format_is_rejected_by_name_of_the_formats(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "ccas")
    (scene.folder / "liste.csv").write_text("numero\n1\n", "utf-8")
    samples = bundled_directory() / "ccas" / "samples"
    shutil.copy(samples / "sample.aides.csv", scene.folder)
    (scene.folder / "domiciliations").mkdir()
    shutil.copy(samples / "sample.domiciliations.csv", scene.folder / "domiciliations" / "mars.csv")
    found = scene.taken()
    assert (found.done, found.rejected) == (2, 1)
    assert "aides" in scene.report("liste.csv", "rejetes")["detail"]
    assert scene.names("traites") == [
        "mars.csv", "mars.csv.rapport.json", "sample.aides.csv", "sample.aides.csv.rapport.json",
    ]  # fmt: skip


def test_a_file_left_under_way_by_a_stopped_process_is_taken_first(scene: Scene) -> None:
    under_way = scene.folder / ".en_cours"
    under_way.mkdir()
    scene.write("a.csv", row(1)).rename(under_way / "a.csv")
    assert scene.another().sweep().done == 1
    assert scene.names("traites") == ["a.csv", "a.csv.rapport.json"]
    assert scene.store.count() == 1


def test_what_the_store_cannot_take_now_is_taken_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise MaillonError(ErrorKind.STORAGE, "edge store: disk")

    scene.write("a.csv", row(1))
    scene.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(drop, "ingest", full)
        found = scene.sweep(SETTLED)
    assert (found.done, found.rejected, found.stopped) == (0, 0, "storage")
    assert scene.sweep().done == 1


def test_a_report_is_whole_as_soon_as_it_has_its_name(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it reads it at once; on a full disk there is none, and nobody's name is told."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    scene.write(DAY, row(1))
    scene.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MaillonError) as refused:
            scene.sweep(SETTLED)
    assert refused.value.kind is ErrorKind.STORAGE
    assert "Tanguy" not in refused.value.detail
    assert not (scene.folder / "traites" / f"{DAY}.rapport.json").exists()


def test_an_unforeseen_failure_sets_one_file_aside_and_says_nothing_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise RuntimeError("TANGUYB")

    scene.write(DAY, row(1))
    scene.sweep()
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(drop, "ingest", fails)
        assert scene.sweep(SETTLED).rejected == 1
    assert scene.report(DAY, "rejetes") == {"error": "internal", "detail": "RuntimeError"}
    assert "anguy" not in str(logs).lower()


def test_two_sweeps_never_run_at_once(scene: Scene) -> None:
    scene.write("a.csv", row(1))
    scene.sweep()
    with alone(scene.home / "drop.lock", "a sweep"), pytest.raises(MaillonError) as refused:
        scene.sweep(SETTLED)
    assert refused.value.kind is ErrorKind.CONFLICT
    assert scene.sweep().done == 1


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    shutil.rmtree(scene.folder)
    with pytest.raises(MaillonError, match="drop_folder"):
        scene.another()
