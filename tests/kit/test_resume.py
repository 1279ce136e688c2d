"""A long file whose reading was cut goes on from its last commit, and ends as if it had never been cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.kit import matching
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import BATCH, IngestReport, ingest
from connectors.kit.partner import PartnerFolder, SourceFile, bundled_directory
from connectors.kit.resume import Bookmark
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser

TOKENISER = HmacTokeniser(b"l" * 32, 1)
HEAD = "numero;nom_naissance;prenoms;sexe;date_naissance;date_debut\n"


class Cut(Exception):  # noqa: N818
    """The process dies here."""


@pytest.fixture(scope="module")
def ccas() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "ccas")


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", b"k" * 32)


def register(path: Path, people: int, wrong: int = 0) -> SourceFile:
    """A register of ``people`` domiciled persons, every ``wrong``-th line of which is set aside."""
    lines = [
        f"D{n};Nom{'abcdefghij'[n % 10]};Zoé;F;19{n % 90 + 10}-01-01;"
        + ("hier" if wrong and n % wrong == 0 else "2026-01-01")
        for n in range(people)
    ]
    path.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    return SourceFile(path, "domiciliations")


def run(store: EdgeStore, partner: PartnerFolder, file: SourceFile, stop_after: int | None = None) -> IngestReport:
    """Ingest ``file``; the process dies after ``stop_after`` commits."""
    commits = 0

    def progress(_: IngestReport) -> None:
        nonlocal commits
        commits += 1
        if commits == stop_after:
            raise Cut

    return ingest([file], partner, store, TOKENISER, FakeClock(), progress)


def held(store: EdgeStore, people: int) -> list[object]:
    return [store.fragment_of(f"D{n}") for n in range(people)]


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_what_was_committed_is_passed_over_and_the_end_is_the_same(
    ccas: PartnerFolder, store: EdgeStore, tmp_path: Path, stop_after: int
) -> None:
    people = 3 * BATCH + 120
    file = register(tmp_path / "a.csv", people, wrong=7)
    with pytest.raises(Cut):
        run(store, ccas, file, stop_after)
    report = run(store, ccas, file)
    assert report.resumed == stop_after * BATCH - 1
    assert report.records == people - report.resumed
    whole = EdgeStore.open(tmp_path / "whole.db", b"k" * 32)
    run(whole, ccas, file)
    assert held(store, people) == held(whole, people)
    assert store.quarantined() == whole.quarantined()
    assert store.count() == whole.count() == people - len(range(0, people, 7))
    assert run(store, ccas, file).known_files == 1


def test_cut_again_and_again_it_still_ends(ccas: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    people = 2 * BATCH + 1
    file = register(tmp_path / "a.csv", people)
    for _ in range(3):  # the record before the place is read again: every run but a done one commits something
        with pytest.raises(Cut):
            run(store, ccas, file, 1)
    report = run(store, ccas, file)
    assert report.known_files + report.files >= 1
    assert store.count() == people
    assert report.subjects[Change.UPDATED] == 0


def test_a_finished_file_leaves_no_place_behind(ccas: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    file = register(tmp_path / "a.csv", BATCH + 1)
    run(store, ccas, file)
    assert store._db.all("SELECT count(*) FROM cursor") == [(0,)]


def test_another_mapping_and_another_file_begin_at_the_beginning(
    ccas: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    people = 2 * BATCH
    file = register(tmp_path / "a.csv", people, wrong=7)
    with pytest.raises(Cut):
        run(store, ccas, file, 1)
    with file.path.open("rb") as stream:
        draft = matching.propose(ccas.formats[file.format], stream)
    other = matching.matched(ccas, matching.to_toml(ccas, draft).encode())
    assert run(store, other, file).resumed == 0
    longer = register(tmp_path / "b.csv", people + 1)
    assert run(store, ccas, longer).resumed == 0


def test_a_household_astride_two_commits_is_whole(store: EdgeStore, tmp_path: Path) -> None:
    caf = PartnerFolder.load(bundled_directory() / "caf")
    sample = next(f for f in caf.samples("sample") if f.format == "rsa_mensuel").path.read_text("windows-1252")
    head, _, rest = sample.partition("<InfosFoyerRSA>")
    households, _, tail = rest.rpartition("</InfosFoyerRSA>")
    one = "<InfosFoyerRSA>" + households.split("</InfosFoyerRSA>")[0] + "</InfosFoyerRSA>"
    count, matricule = 300, one.partition("<MATRICULE>")[2].partition("</MATRICULE>")[0]
    body = "".join(one.replace(matricule, f"{n:07d}00000000") for n in range(1, count + 1))
    announced = tail.partition("<NBTOTDOSRSATRANSM>")[2].partition("</NBTOTDOSRSATRANSM>")[0]
    path = tmp_path / "flux.xml"
    path.write_text(head + body + tail.replace(announced, f"{count:0{len(announced)}d}"), "windows-1252")
    file = SourceFile(path, "rsa_mensuel")
    with pytest.raises(Cut):
        run(store, caf, file, 1)
    report = run(store, caf, file)
    assert 0 < report.resumed < count
    whole = EdgeStore.open(tmp_path / "whole.db", b"k" * 32)
    run(whole, caf, file)
    assert store.count() == whole.count() > count
    assert store.quarantined() == whole.quarantined()


def test_the_place_tells_nothing_of_the_file(ccas: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    file = register(tmp_path / "a.csv", BATCH + 1)
    with pytest.raises(Cut):
        run(store, ccas, file, 1)
    ((name, body),) = store._db.all("SELECT name, body FROM cursor")
    assert b"read" not in body
    report = run(store, ccas, file)
    assert report.digests[0].hex() not in name
    assert Bookmark.of(store, report.digests[0], f"{file.format}/{ccas.version}").found() == (0, None)
