"""The published cases in edge stores: what was mapped is what is held, and the same files again change nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import IngestReport, ingest_stream
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Reason
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser
from tests.partners.published import all_cases
from tests.partners.test_every_case import Map

TOKENISER = HmacTokeniser(b"the consortium's link key, 32 b.", 1)


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", b"k" * 32)


def ingested(partner: PartnerFolder, format_name: str, store: EdgeStore, data: bytes) -> IngestReport:
    report = IngestReport()
    digest = hashlib.sha256(data).digest()
    ingest_stream(BytesIO(data), digest, partner, format_name, store, TOKENISER, FakeClock(), report)
    return report


def test_what_is_mapped_is_held_or_named(
    published: Path, partners: dict[str, PartnerFolder], mapped: Map, tmp_path: Path
) -> None:
    stores: dict[str, EdgeStore] = {}
    totals: Counter[str] = Counter()
    for turn in (1, 2):
        for case in all_cases(published):
            store = stores.setdefault(case.slug, EdgeStore.open(tmp_path / f"{case.slug}.db", b"k" * 32))
            data = case.file.read_bytes()
            found = mapped(case.slug, case.format, data)
            report = ingested(partners[case.slug], case.format, store, data)
            assert sum(report.subjects.values()) + sum(report.quarantined.values()) == len(found), case.name
            if turn == 1:
                totals.update(reason.value for reason in report.quarantined.elements())
                totals["held"] += sum(report.subjects.values())
                totals["fragments"] += sum(isinstance(item, SubjectFragment) for item in found)
                if case.status == 200 and report.quarantined[Reason.IDENTITY]:
                    totals["a right of someone without traits"] += 1
            else:
                settled = {Change.UNCHANGED, Change.OLDER, Change.UPDATED}
                assert set(report.subjects) <= settled, case.name
    assert totals["held"] + totals[Reason.IDENTITY.value] == totals["fragments"]
    # Asked by a number alone and answered without a name; or asked with nothing but a surname.
    assert totals["a right of someone without traits"] <= 2
    assert totals["held"] > 400


def test_an_answer_by_number_alone_joins_who_is_known(partners: dict[str, PartnerFolder], store: EdgeStore) -> None:
    france_travail = partners["france_travail"]
    payments = (
        b'{"params": {"identifiant": "1253359X"}, "status": 200, "payload": {"data": {"identifiant": "1253359X",'
        b' "paiements": [{"date_versement": "2025-11-04", "montant_total": 612.35}]}}}'
    )
    before = ingested(france_travail, "api_particulier_indemnites_v3", store, payments)
    assert (before.quarantined, before.subjects) == ({Reason.IDENTITY: 1}, {})
    (known,) = (file for file in france_travail.samples("sample") if file.format == "api_particulier_statut_v2")
    assert ingested(france_travail, known.format, store, known.path.read_bytes()).joined == 1
    tokens = store.tokens_of("1253359X")
    after = ingested(france_travail, "api_particulier_indemnites_v3", store, payments)
    assert (after.quarantined, after.subjects) == ({}, {Change.UNCHANGED: 1})
    held = store.fragment_of("1253359X")
    assert held is not None
    assert held["statements"]["emploi.indemnisation"]["valeur"] == [{"date_versement": "2025-11-04", "montant": 612.35}]
    assert held["statements"]["identite.nom_naissance"]["valeur"] == "Vasseur"
    assert store.tokens_of("1253359X") == tokens
