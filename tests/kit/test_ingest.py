"""Files to store to hub: counted, idempotent, crash-proof, flat in memory."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import IngestReport, ingest, ingest_stream
from connectors.kit.mapping.columns import KEPT
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.port import Reason
from connectors.kit.registration import register_pending
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import HmacTokeniser

KEY = b"k" * 32
TOKENISER = HmacTokeniser(b"l" * 32, 1)
HEADER = (
    "id_si_departement;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;code_pays_naissance;"
    "phase;parcours;orientation;organisme_referent;referent;date_contrat;heures_contrat;rendez_vous;date_maj;nir\n"
)


def row(number: int, phase: str = "Accueil", maj: str = "2026-01-05", nir: str = "") -> str:
    letters = "".join(chr(65 + number // 26**power % 26) for power in range(4))
    born = f"19{60 + number % 40}-0{1 + number % 9}-1{number % 10}"
    return f"D-{number};TANGUY{letters};;Maël;M;{born};29232;;{phase};;;;;;;;{maj};{nir}\n"


@pytest.fixture(scope="module")
def departement() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "departement")


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", KEY)


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(rows), "utf-8")
    return path


def run(partner: PartnerFolder, store: EdgeStore, *paths: Path) -> IngestReport:
    return ingest([partner.source_file(path) for path in paths], partner, store, TOKENISER, FakeClock())


def test_counts_and_reasons(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", row(1), row(2, phase="Sanction"), row(3, nir="187032923200100"), row(4), "D-5;\n")
    report = run(departement, store, file)
    assert report.as_dict() == {
        "files": 1,
        "known_files": 0,
        "resumed": 0,
        "records": 4,
        "subjects": {"new": 2},
        "quarantined": {"bad_nir": 1, "column_shift": 1, "schema": 1},
        "warnings": {},
        "joined": 0,
        "removed": 0,
        "removals_held": 0,
    }
    assert [entry.position for entry in store.quarantined()] == ["line 3", "line 4", "line 6"]


def test_the_same_file_again_changes_nothing(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", row(1), row(2), "D-5;\n")
    run(departement, store, file)
    before = [store.fragment_of("D-1"), len(store.quarantined()), store.count()]
    assert run(departement, store, file).known_files == 1
    copy = write(tmp_path / "b.csv", row(1), row(2), "D-5;\n", "\n")
    report = run(departement, store, copy)
    assert report.subjects == {Change.UNCHANGED: 2}
    assert [store.fragment_of("D-1"), store.count()] == [before[0], before[2]]


def test_a_new_mapping_reads_the_file_again(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", row(1))
    run(departement, store, file)
    store._db.execute("UPDATE file SET mapping = 'accompagnement/an older one'")
    assert run(departement, store, file).known_files == 0


def test_last_months_file_does_not_undo_this_months(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1, "Accompagnement", "2026-02-05")))
    report = run(departement, store, write(tmp_path / "b.csv", row(1, "Accueil", "2026-01-05")))
    assert report.subjects == {Change.OLDER: 1}
    found = store.fragment_of("D-1")
    assert found is not None
    assert found["statements"]["accompagnement.phase"]["valeur"] == "accompagnement"


def test_a_partner_without_the_nir_makes_no_token_of_it(tmp_path: Path, store: EdgeStore) -> None:
    folder = tmp_path / "departement"
    for name in ("manifest.toml", "mapping.toml", "record.schema.json", "reader.py"):
        text = (bundled_directory() / "departement" / name).read_text("utf-8")
        (folder).mkdir(exist_ok=True)
        (folder / name).write_text(text.replace("nir_autorise = true", "nir_autorise = false"), "utf-8")
    run(PartnerFolder.load(folder), store, write(tmp_path / "a.csv", row(1, nir="1610129232001")))
    held, identity = store.tokens_of("D-1"), store.identity_of("D-1")
    assert held is not None
    assert identity is not None
    assert "nir" not in {kind for kind, _ in held.tokens}
    assert "nir" not in identity


def test_an_unusable_identity_is_set_aside(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    nameless = row(1).replace("Maël", "X").replace("TANGUYBAAA", "INCONNU")
    report = run(departement, store, write(tmp_path / "a.csv", nameless))
    assert report.quarantined == {Reason.IDENTITY: 1}
    assert store.count() == 0


def test_a_file_that_is_not_there(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    with pytest.raises(MaillonError) as refused:
        run(departement, store, tmp_path / "Éloïse_Tanguy.csv")
    assert refused.value.kind is ErrorKind.STORAGE
    assert "Tanguy" not in str(refused.value)


def test_which_format(departement: PartnerFolder, tmp_path: Path) -> None:
    caf = PartnerFolder.load(bundled_directory() / "caf")
    assert caf.source_file(tmp_path / "x.rsa_mensuel.xml").format == "rsa_mensuel"
    assert caf.source_file(tmp_path / "x", "rsa_mensuel").format == "rsa_mensuel"
    assert departement.source_file(tmp_path / "x").format == "accompagnement"
    for path, name in ((tmp_path / "x.xml", None), (tmp_path / "x", "other")):
        with pytest.raises(MaillonError, match="which format"):
            caf.source_file(path, name)


# --- registration ---------------------------------------------------------------------------------------------------


class Hub:
    """Answers registrations; can fail, or answer beside the question."""

    def __init__(self, fail_after: int = 10**9, lie: bool = False) -> None:
        self.batches: list[list[Mapping[str, object]]] = []
        self.fail_after, self.lie = fail_after, lie

    def register(self, records: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
        if len(self.batches) >= self.fail_after:
            raise MaillonError(ErrorKind.UNAVAILABLE, "hub")
        self.batches.append(list(records))
        answers = [{"record_key": str(r["record_key"]), "ref": f"ref-{r['record_key']}"} for r in records]
        return answers[::-1] if self.lie else answers


def test_registration_in_batches(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(12))))
    hub = Hub(fail_after=2)
    with pytest.raises(MaillonError):
        register_pending(store, hub, batch=5)
    assert len(store.pending()) == 2
    assert register_pending(store, Hub(), batch=5).registered == 2
    assert register_pending(store, Hub()).registered == 0
    assert [len(batch) for batch in hub.batches] == [5, 5]
    first = hub.batches[0][0]
    assert set(first) == {"record_key", "tokens", "flags", "sections", "held"}
    assert first["sections"] == ["accompagnement", "identifiants", "identite"]
    assert "D-" not in str(first)
    assert store.ref_of("D-3") == f"ref-{store.record_key('D-3')}"


def test_sections_whose_existence_is_a_secret_are_not_declared(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1)))
    hub = Hub()
    register_pending(store, hub, declares_sections=False)
    # Not even the harmless ones: were they told, what is left out would tell the rest.
    assert hub.batches[0][0]["sections"] == []


def test_answers_to_another_question_are_refused(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1), row(2)))
    with pytest.raises(MaillonError) as refused:
        register_pending(store, Hub(lie=True))
    assert refused.value.kind is ErrorKind.MALFORMED
    assert len(store.pending()) == 2


# --- crash and size -------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import ingest
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser
partner = PartnerFolder.load(bundled_directory() / "departement")
store = EdgeStore.open(Path(sys.argv[1]), b"k" * 32)
told = 0
def progress(report):
    global told
    if told == 2:
        sys.stdin.read()  # no further until it is killed
    told += 1
    print(sum(report.subjects.values()), flush=True)
ingest([partner.source_file(Path(sys.argv[2]))], partner, store, HmacTokeniser(b"l" * 32, 1), FakeClock(), progress)
print("done", flush=True)
"""


def test_kill_9_in_the_middle_loses_nothing_acknowledged(departement: PartnerFolder, tmp_path: Path) -> None:
    people = 6000
    file = write(tmp_path / "a.csv", *map(row, range(people)))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, os.fspath(tmp_path / "edge.db"), os.fspath(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(2)][-1]
    time.sleep(0.05)  # into the third batch, or to its end: there it waits, however late we come
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    acknowledged = max([acknowledged, *(int(line) for line in rest if line.isdigit())])
    assert "done" not in rest
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    assert acknowledged <= store.count() < people
    assert store.count() % 500 == 0
    report = run(departement, store, file)
    assert report.resumed + report.subjects[Change.NEW] + report.subjects[Change.UNCHANGED] == people
    assert report.resumed >= acknowledged - 1
    assert store.count() == people


class Rows(io.RawIOBase):
    """A CSV of ``count`` persons that never stands in memory."""

    def __init__(self, count: int) -> None:
        self.rows = iter(range(count))
        self.rest = HEADER.encode()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while len(self.rest) < len(buffer) and (number := next(self.rows, None)) is not None:
            self.rest += row(number).encode()
        chunk, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def test_memory_does_not_grow_with_the_file(departement: PartnerFolder, tmp_path: Path) -> None:
    few, many = 2 * KEPT, 5 * KEPT  # both beyond what a stream remembers of a column and reads ahead

    def take(count: int, name: str) -> None:
        report = IngestReport()
        ingest_stream(
            io.BufferedReader(Rows(count)),
            b"d" * 32,
            departement,
            "accompagnement",
            EdgeStore.open(tmp_path / f"{name}.db", KEY),
            TOKENISER,
            FakeClock(),
            report,
        )
        assert report.subjects == {Change.NEW: count}

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            take(count, f"{count}")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # How names sound is remembered by the process, in a bound of its own: what other tests left there is no measure.
    take(many, "warm")
    assert peak(many) < peak(few) * 1.2


def test_an_older_record_of_someone_else_takes_neither_the_fragment_nor_the_tokens(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "now.csv", row(1, maj="2026-01-05")))
    held, tokens = store.fragment_of("D-1"), store.tokens_of("D-1")
    older = row(1, maj="2020-01-05").replace("Maël", "Corentin")
    report = run(departement, store, write(tmp_path / "then.csv", older))
    assert report.subjects == {Change.OLDER: 1}
    assert (store.fragment_of("D-1"), store.tokens_of("D-1")) == (held, tokens)


@pytest.mark.parametrize(
    ("changed", "same_file", "accepted"),
    [
        ({"Maël": "Corentin"}, False, True),  # a first name put right
        ({"Maël": "Corentin"}, True, False),  # twins under one number
        ({"Maël": "Corentin", "TANGUYB": "LEBRAS"}, False, False),
        ({"Maël": "Corentin", ";M;": ";F;"}, False, False),
        ({"TANGUYB": "Tanguyb-Le Bras"}, False, True),
    ],
)
def test_a_number_given_to_someone_else_is_set_aside(
    departement: PartnerFolder,
    store: EdgeStore,
    tmp_path: Path,
    changed: dict[str, str],
    same_file: bool,
    accepted: bool,
) -> None:
    first, second = row(1), row(1, phase="Accompagnement", maj="2026-01-09")
    for old, new in changed.items():
        assert old in second
        second = second.replace(old, new)
    if same_file:
        report = run(departement, store, write(tmp_path / "a.csv", first, second))
    else:
        run(departement, store, write(tmp_path / "a.csv", first))
        held = store.tokens_of("D-1")
        report = run(departement, store, write(tmp_path / "b.csv", second))
        assert accepted or store.tokens_of("D-1") == held
    assert report.quarantined == ({} if accepted else {Reason.IDENTITY: 1})
    held_phase = (store.fragment_of("D-1") or {})["statements"]["accompagnement.phase"]["valeur"]
    assert held_phase == ("accompagnement" if accepted else "accueil")
    entries = [(entry.path, entry.detail) for entry in store.quarantined()]
    assert all(path == "local_id" and "Corentin" not in detail for path, detail in entries)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n \n", HEADER.encode()])
def test_a_file_without_a_record_is_named(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    report = run(departement, store, tmp_path / "a.csv")
    assert (report.records, report.quarantined) == (0, {Reason.EMPTY: 1})
