"""France Travail's diagnostic of a jobseeker: what is lifted is said no more, and one word does not hide the others."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import IngestReport, ingest_stream
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined, Reason
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser
from tests.partners.test_every_case import Map

TOKENISER = HmacTokeniser(b"the consortium's link key, 32 b.", 1)
NUMBER = "identifiants.identifiant_france_travail"


def diagnostic(*constraints: tuple[str, str]) -> bytes:
    held = [{"code": code, "valeur": value, "date": "2026-02-03", "objectifs": []} for code, value in constraints]
    payload = {"contraintesIndividusDto": {"contraintes": held}}
    asked = {"identifiant": "12345Y", "nom": "Le Goff", "prenom": "Yann", "dateNaissance": "1990-02-03", "sexe": "M"}
    return json.dumps({"params": asked, "status": 200, "payload": payload}).encode()


def values(person: Any) -> dict[str, Any]:
    assert isinstance(person, SubjectFragment)
    return {path: said["valeur"] for path, said in person.fragment["statements"].items()}


def test_a_diagnostic_without_a_constraint_is_a_diagnostic(mapped: Map) -> None:
    for data in (diagnostic(), diagnostic(("23", "NON"), ("27", "CLOTUREE")), diagnostic(("99", "OUI"))):
        (person,) = mapped("france_travail", "dossier_individu", data)
        assert values(person) == {NUMBER: "12345Y"}


def test_a_word_nobody_knows_sets_its_own_constraint_aside(mapped: Map) -> None:
    found = mapped("france_travail", "dossier_individu", diagnostic(("23", "PEUT_ETRE"), ("24", "OUI")))
    (entry,) = [each for each in found if isinstance(each, Quarantined)]
    assert (entry.path, entry.reason) == ("emploi.freins.mobilite", Reason.UNKNOWN_CODE)
    (person,) = [each for each in found if isinstance(each, SubjectFragment)]
    assert values(person) == {NUMBER: "12345Y", "emploi.freins.familial": "besoin"}


def test_constraints_that_are_all_lifted_are_held_no_more(partners: dict[str, PartnerFolder], tmp_path: Path) -> None:
    store = EdgeStore.open(tmp_path / "edge.db", b"k" * 32)
    held = []
    for data in (diagnostic(("23", "OUI"), ("27", "OUI")), diagnostic(("23", "CLOTUREE"), ("27", "NON"))):
        report = IngestReport()
        digest = hashlib.sha256(data).digest()
        edge = partners["france_travail"]
        ingest_stream(BytesIO(data), digest, edge, "dossier_individu", store, TOKENISER, FakeClock(), report)
        assert not report.quarantined
        fragment = store.fragment_of("12345Y")
        assert fragment is not None
        held.append(set(fragment["statements"]))
    assert held == [{NUMBER, "emploi.freins.mobilite", "emploi.freins.logement"}, {NUMBER}]
