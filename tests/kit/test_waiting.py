"""What an edge sets aside waits for a decision or for another record; everything else goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import IngestReport, ingest
from connectors.kit.partner import PartnerFolder, SourceFile, bundled_directory
from connectors.kit.port import Reason
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.clock import FakeClock
from tests.kit.test_ingest import KEY, TOKENISER, row, write


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", KEY)


@pytest.fixture(scope="module")
def departement() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "departement")


class Hub:
    """Registers all but the record keys it was told to refuse."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = set(refuses)
        self.records: list[Mapping[str, Any]] = []

    def register(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        self.records += records
        return [
            {"record_key": r["record_key"], "refused": "conflict"}
            if r["record_key"] in self.refuses
            else {"record_key": r["record_key"], "ref": f"ref-{r['record_key']}"}
            for r in records
        ]

    def keys(self) -> list[str]:
        return [str(record["record_key"]) for record in self.records]


def run(partner: PartnerFolder, store: EdgeStore, *paths: Path, **options: Any) -> IngestReport:
    return ingest([partner.source_file(path) for path in paths], partner, store, TOKENISER, FakeClock(), **options)


# --- what the hub refuses -------------------------------------------------------------------------------------------


def test_one_refused_record_does_not_stop_the_others(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", *map(row, range(12))))
    refused = store.record_key("D-3")
    hub = Hub(refused)
    assert register_pending(store, hub, batch=5) == Told(registered=11, refused=1)
    assert [store.ref_of(f"D-{n}") is None for n in range(12)] == [n == 3 for n in range(12)]
    assert store.waiting.refused() == [("D-3", "conflict")]
    # As it is, it is not offered again; changed, it is.
    assert register_pending(store, Hub(refused)) == Told()
    run(departement, store, write(tmp_path / "b.csv", row(3).replace("Maël", "Maëlle"), row(4)))
    again = Hub(refused)
    assert register_pending(store, again) == Told(refused=1)
    assert again.keys() == [refused]
    run(departement, store, write(tmp_path / "c.csv", row(3)))
    assert register_pending(store, Hub()) == Told(registered=1)
    assert store.waiting.refused() == []
    assert store.ref_of("D-3") == f"ref-{refused}"


def test_a_refused_record_no_longer_answers_for_whom_it_was_about(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1), row(2)))
    register_pending(store, Hub())
    ref = store.ref_of("D-1")
    assert ref is not None
    moved = row(1, maj="2026-01-09").replace("1961-02-11", "1971-02-11")
    assert moved != row(1, maj="2026-01-09")
    run(departement, store, write(tmp_path / "b.csv", moved))
    # Nothing is left of the former tokens: not even before the hub is asked does it answer under the former ref.
    assert store.local_of(ref) is None
    register_pending(store, Hub(store.record_key("D-1")))
    assert store.local_of(ref) is None
    with store.batch():
        store.waiting.rename("D-1")
    hub = Hub()
    assert register_pending(store, hub) == Told(registered=1, gone=1)
    gone, anew = hub.records
    assert (gone["held"], gone["tokens"], gone["sections"]) == (False, [], [])
    assert anew["held"]
    assert gone["record_key"] != anew["record_key"] == store.record_key("D-1")
    assert store.local_of(ref) is None
    assert register_pending(store, hub) == Told()


# --- who is held no more --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def complete(departement: PartnerFolder) -> PartnerFolder:
    """The département's file holds everyone."""
    return departement


def test_the_hub_is_told_of_who_is_gone(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "a.csv", *map(row, range(20))))
    register_pending(store, Hub(), declares_sections=False)
    # One came and went before the hub heard of it: it need never hear.
    run(complete, store, write(tmp_path / "b.csv", *map(row, range(21))))
    run(complete, store, write(tmp_path / "c.csv", *map(row, range(1, 20))))
    hub = Hub()
    assert register_pending(store, hub, declares_sections=False) == Told(gone=1)
    assert [(record["record_key"], record["held"]) for record in hub.records] == [(store.record_key("D-0"), False)]
    assert register_pending(store, hub) == Told()


def test_one_who_comes_back_is_told_again(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "a.csv", *map(row, range(20))))
    register_pending(store, Hub())
    run(complete, store, write(tmp_path / "b.csv", *map(row, range(1, 20))))
    register_pending(store, Hub())
    run(complete, store, write(tmp_path / "c.csv", *(row(n, maj="2026-01-09") for n in range(20))))
    hub = Hub()
    assert register_pending(store, hub) == Told(registered=1)
    assert hub.records[0]["held"]
    assert [each.statements["accompagnement.phase"]["valeur"] for each in store.history_of("D-0")] == ["accueil"]


def test_an_edge_that_asks_an_api_always_holds(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    from connectors.kit.live.roster import follow

    file = SourceFile(write(tmp_path / "a.csv", row(1)), "accompagnement")
    follow([file], departement, store, TOKENISER, FakeClock(), nir_autorise=True)
    hub = Hub()
    assert register_pending(store, hub, declares_sections=False, live=True) == Told(registered=1)
    assert hub.records[0]["held"]


def test_a_question_about_removals_waits_and_is_answered(
    complete: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(complete, store, write(tmp_path / "a.csv", *map(row, range(20))))
    half = write(tmp_path / "b.csv", *map(row, range(10)))
    assert run(complete, store, half).removals_held == 10
    (asked,) = store.waiting.removals()
    assert (asked.format, store.waiting.missing(asked)) == (
        "accompagnement",
        sorted(f"D-{n}" for n in range(10, 20)),
    )
    with store.batch():
        store.waiting.answer_removal(asked, FakeClock().now())
    assert store.waiting.removals() == []
    assert run(complete, store, half).known_files == 1
    assert store.fragment_of("D-15") is not None


def test_a_later_whole_file_takes_the_question_back(complete: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(complete, store, write(tmp_path / "a.csv", *map(row, range(20))))
    run(complete, store, write(tmp_path / "b.csv", *map(row, range(10))))
    run(complete, store, write(tmp_path / "c.csv", *map(row, range(21))))
    assert store.waiting.removals() == []


# --- another person under a known number ----------------------------------------------------------------------------


def test_a_decision_lets_exactly_that_correction_in(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1)))
    married = row(1, maj="2026-01-09").replace("TANGUYB", "LEBRAS").replace("Maël", "Corentin")
    file = write(tmp_path / "b.csv", married)
    assert run(departement, store, file).quarantined == {Reason.IDENTITY: 1}
    (entry,) = store.waiting.entries()
    claim = store.waiting.claim(entry.number)
    assert entry.is_claim
    assert claim is not None
    assert (claim.local_id, claim.traits["prenoms"]) == ("D-1", ["Corentin"])
    with store.batch():
        store.waiting.accept(claim)
        store.waiting.read_again(entry.number)
    another = write(tmp_path / "c.csv", married.replace("LEBRAS", "LEGOFF").replace("1961", "1971"))
    assert run(departement, store, another).quarantined == {Reason.IDENTITY: 1}
    report = run(departement, store, file)
    assert (report.subjects, report.quarantined) == ({Change.UPDATED: 1}, {})
    identity = store.identity_of("D-1")
    assert identity is not None
    assert identity["prenoms"] == ["Corentin"]
    # Next month's file says the same: no question again.
    later = write(tmp_path / "d.csv", married.replace("2026-01-09", "2026-01-10"))
    assert run(departement, store, later).quarantined == {}


def test_a_number_given_to_someone_else_starts_anew(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1)))
    register_pending(store, Hub())
    ref, former = store.ref_of("D-1"), store.record_key("D-1")
    assert ref is not None
    other = write(tmp_path / "b.csv", row(1, maj="2025-12-01").replace("TANGUYB", "LEBRAS").replace("Maël", "Nour"))
    run(departement, store, other)
    (entry,) = store.waiting.entries()
    with store.batch():
        store.waiting.start_anew("D-1")
        store.waiting.read_again(entry.number)
    assert store.local_of(ref) is None
    # The new holder's record may be the older one: nothing of the former stands in its way.
    assert run(departement, store, other).subjects == {Change.NEW: 1}
    assert store.history_of("D-1") == []
    hub = Hub()
    assert register_pending(store, hub) == Told(registered=1, gone=1)
    assert hub.keys()[0] == former != hub.keys()[1]


def test_nothing_stays_tied_to_an_entry_that_is_gone(
    departement: PartnerFolder, store: EdgeStore, tmp_path: Path
) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1)))
    run(departement, store, write(tmp_path / "b.csv", row(1).replace("TANGUYB", "LEBRAS").replace("Maël", "Nour")))
    (entry,) = store.waiting.entries()
    with store.batch():
        assert store.waiting.dismiss(entry.number)
        assert not store.waiting.dismiss(entry.number)
    run(departement, store, write(tmp_path / "c.csv", "D-5;\n"))
    (other,) = store.waiting.entries()
    assert (other.number, other.is_claim, store.waiting.claim(other.number)) == (entry.number, False, None)


def test_what_waits_is_sealed(departement: PartnerFolder, store: EdgeStore, tmp_path: Path) -> None:
    run(departement, store, write(tmp_path / "a.csv", row(1)))
    run(departement, store, write(tmp_path / "b.csv", row(1).replace("TANGUYB", "LEBRAS").replace("Maël", "Corentin")))
    store.close()
    stored = (tmp_path / "edge.db").read_bytes()
    assert b"Corentin" not in stored
    assert b"LEBRAS" not in stored


# --- answers by number alone ----------------------------------------------------------------------------------------


def payments(path: Path, at: str, amount: float) -> SourceFile:
    exchange = {
        "params": {"identifiant": "1253359X"},
        "status": 200,
        "collecte_le": at,
        "payload": {
            "data": {
                "identifiant": "1253359X",
                "paiements": [{"date_versement": "2025-11-04", "montant_total": amount}],
            }
        },
    }
    path.write_text(json.dumps(exchange), "utf-8")
    return SourceFile(path, "api_particulier_indemnites_v3")


def test_an_answer_by_number_alone_joins_its_person_when_known(store: EdgeStore, tmp_path: Path) -> None:
    partner = PartnerFolder.load(bundled_directory() / "france_travail")
    answers = [payments(tmp_path / f"{n}.json", f"2026-01-0{n}T08:00:00Z", 100.5 + n) for n in (1, 3, 2)]
    first = ingest(answers, partner, store, TOKENISER, FakeClock())
    assert first.quarantined == {Reason.IDENTITY: 3}
    assert ingest(answers, partner, store, TOKENISER, FakeClock()).known_files == 3
    assert store.fragment_of("1253359X") is None
    (known,) = (file for file in partner.samples("sample") if file.format == "api_particulier_statut_v2")
    report = ingest([known], partner, store, TOKENISER, FakeClock())
    assert (report.joined, report.quarantined) == (1, {})
    held = store.fragment_of("1253359X")
    assert held is not None
    assert held["statements"]["emploi.indemnisation"]["valeur"] == [{"date_versement": "2025-11-04", "montant": 103.5}]
    assert [entry.is_nameless for entry in store.waiting.entries()] == [False, False]
    assert ingest([known], partner, store, TOKENISER, FakeClock()).joined == 0
