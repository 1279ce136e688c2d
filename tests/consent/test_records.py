"""Reading events: what a payload must say, and errors that name the member without its value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consent.mandates import DECIDING, Mandate, MandateNature
from consent.model import EventKind, EvidenceLevel
from consent.records import RecordError, parse_event
from schemas.registry import validator
from tests.consent import world
from tests.consent.world import INDEX, mandate, payload

SECRET = "SECRET-VALUE"  # noqa: S105  (a marker that must never appear in an error)


def test_an_event_says_what_its_payload_says() -> None:
    event = payload(
        "granted",
        pii_information=["moi.tel", "moi.nom"],
        mandate=mandate("tutelle", "guardian", scope=["moi.*"]),
        supersedes="r0",
    )
    read = parse_event(event, INDEX)
    assert (read.record_id, read.kind, read.seq, read.prev) == ("r1", EventKind.GRANTED, 0, None)
    assert (read.purpose, read.collector, read.supersedes) == ("suivi", "departement", "r0")
    assert INDEX.paths(read.scope.fields) == ("moi.nom", "moi.tel")
    assert read.scope.sources == {"caf"}
    assert read.scope.recipients == (("departement", frozenset()),)
    assert (read.start, read.end) == (world.at(0), world.at(10))
    assert read.at == world.at(0)
    assert read.evidence is EvidenceLevel.E2
    assert read.notice is not None
    assert (read.notice.notice_id, read.notice.sha256) == ("suivi", world.TEXT_SHA256)
    assert read.digest == world.payload_digest(event)
    assert read.mandate == Mandate(
        MandateNature.TUTELLE,
        "guardian",
        frozenset({"personne", "biens"}),
        INDEX.select("moi.*"),
        world.at(0),
        world.at(100),
    )


def test_instants_may_have_a_fraction_and_stay_utc() -> None:
    event = payload("granted", at="2026-01-01T00:00:00.25Z")
    assert parse_event(event, INDEX).at == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    assert parse_event(event, INDEX).at.tzinfo is UTC


GOOD = payload("granted")


def proof(**changed: Any) -> dict[str, Any]:
    """Return the collection with members changed."""
    return {"collection": GOOD["collection"] | changed}


def measure(**changed: Any) -> dict[str, Any]:
    """Return a mandate with members changed, and its actor."""
    return {"mandate": mandate("tutelle") | changed, "actor": "representant"}


@pytest.mark.parametrize(
    ("kind", "changed", "pointer"),
    [
        ("granted", {"kind": SECRET}, "/kind"),
        ("granted", {"kind": None}, "/kind"),
        ("granted", {"kind": 3}, "/kind"),
        ("granted", {"record_id": ""}, "/record_id"),
        ("granted", {"event_id": 7}, "/event_id"),
        ("granted", {"collector": None}, "/collector"),
        ("granted", {"seq": -1}, "/seq"),
        ("granted", {"seq": True}, "/seq"),
        ("granted", {"seq": "0"}, "/seq"),
        ("granted", {"prev": 3}, "/prev"),
        ("granted", {"at": "2026-01-01"}, "/at"),
        ("granted", {"at": "2026-01-01T00:00:00+01:00"}, "/at"),
        ("granted", {"at": "2026-01-01T00:00:00"}, "/at"),
        ("granted", {"at": "2026-02-30T00:00:00Z"}, "/at"),
        ("granted", {"at": "2026-01-01T00:00:00Z\n"}, "/at"),
        ("granted", {"purpose": None}, "/purpose"),
        ("granted", {"purpose": 4}, "/purpose"),
        ("denied", {"purpose": None}, "/purpose"),
        ("frozen", {"purpose": "suivi"}, "/purpose"),
        ("protected", {"purpose": "suivi"}, "/purpose"),
        ("granted", {"pii_information": []}, "/pii_information"),
        ("denied", {"pii_information": []}, "/pii_information"),
        ("protected", {"pii_information": []}, "/pii_information"),
        ("granted", {"pii_information": [SECRET]}, "/pii_information"),
        ("granted", {"pii_information": "moi.nom"}, "/pii_information"),
        ("granted", {"pii_information": ["moi.nom", "moi.nom"]}, "/pii_information"),
        ("granted", {"pii_information": [1]}, "/pii_information"),
        ("granted", {"sources": []}, "/sources"),
        ("granted", {"sources": [""]}, "/sources"),
        ("informed", {"sources": []}, "/sources"),
        ("narrowed", {"sources": []}, "/sources"),
        ("renewed", {"recipients": []}, "/recipients"),
        ("granted", {"recipients": ["departement"]}, "/recipients/0"),
        ("granted", {"recipients": [{"roles": []}]}, "/recipients/0/partner"),
        ("granted", {"recipients": [{"partner": "x", "roles": [1]}]}, "/recipients/0/roles"),
        ("granted", {"recipients": [{"partner": "x", "roles": []}, {"partner": "x", "roles": ["y"]}]}, "/recipients"),
        ("granted", {"notice": None}, "/notice"),
        ("renewed", {"notice": None}, "/notice"),
        ("informed", {"notice": None}, "/notice"),
        ("granted", {"notice": "suivi"}, "/notice"),
        ("granted", {"notice": {"id": "suivi"}}, "/notice/version"),
        ("granted", {"validity": None}, "/validity"),
        ("granted", {"validity": {"from": world.instant(0), "to": None}}, "/validity/to"),
        ("renewed", {"validity": {"from": world.instant(0), "to": None}}, "/validity/to"),
        ("granted", {"validity": {"from": world.instant(1), "to": world.instant(1)}}, "/validity"),
        ("denied", {"validity": {"from": world.instant(2), "to": world.instant(1)}}, "/validity"),
        ("granted", {"collection": None}, "/collection"),
        ("granted", proof(evidence="E4"), "/collection/evidence"),
        ("granted", proof(evidence=None), "/collection/evidence"),
        ("granted", proof(evidence="E1", second_agent=None), "/collection/second_agent"),
        ("granted", proof(evidence="E1", second_agent="a"), "/collection/second_agent"),
        ("granted", proof(evidence="E2", evidence_hash=None), "/collection/evidence_hash"),
        ("renewed", proof(evidence="E3", evidence_hash=None), "/collection/evidence_hash"),
        ("granted", {"actor": "institution"}, "/actor"),
        ("denied", {"actor": "institution"}, "/actor"),
        ("revoked", {"actor": "institution"}, "/actor"),
        ("objected", {"actor": "institution"}, "/actor"),
        ("granted", {"actor": SECRET}, "/actor"),
        ("granted", {"actor": "representant"}, "/mandate"),
        ("granted", {"mandate": mandate("tutelle"), "actor": "personne"}, "/mandate"),
        ("granted", measure(nature="unknown"), "/mandate/nature"),
        ("granted", measure(mandatary=None), "/mandate/mandatary"),
        ("granted", measure(scope=[SECRET]), "/mandate/scope"),
        ("granted", measure(champ="personne"), "/mandate/champ"),
        ("granted", measure(valid_to=None), "/mandate/valid_to"),
        ("granted", {"subject": object()}, "/"),
    ],
)
def test_a_wrong_member_is_named_and_its_value_is_not(kind: str, changed: dict[str, Any], pointer: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_event(payload(kind) | changed, INDEX)
    assert error.value.pointer == pointer
    assert str(error.value) == f"{pointer}: {error.value.reason}"
    assert SECRET not in str(error.value)


def test_weak_proofs_need_nothing_beside_them_and_other_kinds_none_at_all() -> None:
    bare = {"channel": "papier", "evidence": "E0", "agent": None, "second_agent": None, "evidence_hash": None}
    assert parse_event(payload("granted", collection=bare), INDEX).evidence is EvidenceLevel.E0
    for kind in ("denied", "revoked", "informed", "objected", "narrowed"):
        assert parse_event(payload(kind, collection=bare | {"evidence": "E3"}), INDEX).evidence is EvidenceLevel.E0


def test_a_refusal_may_concern_everyone() -> None:
    read = parse_event(payload("denied", sources=[], recipients=[]), INDEX)
    assert read.scope.covers(world.question(source="anyone", recipient="anyone"))


@pytest.mark.parametrize("nature", list(MandateNature))
def test_a_mandate_decides_by_nature_field_and_dates(nature: MandateNature) -> None:
    start, end = world.at(2), world.at(4)
    held = Mandate(nature, "h", frozenset({"personne"}), 1, start, end)
    moment = timedelta(microseconds=1)
    able = nature in DECIDING
    assert [held.decides(at) for at in (start - moment, start, end - moment, end)] == [False, able, able, False]
    assert not Mandate(nature, "h", frozenset({"biens"}), 1, start, end).decides(start)


def test_the_tests_own_payloads_fit_the_schema_where_it_matters() -> None:
    """Everything ``parse_event`` reads has the name and form that ``consent_event.schema.json`` asks for."""
    schema = validator("consent_event")
    b64 = "A" * 43
    event = payload("granted", mandate=mandate("tutelle", b64)) | {
        "record_id": "0e37df36-f698-41e6-8bdc-6d6b2e4d6d34",
        "event_id": "0e37df36-f698-41e6-8bdc-6d6b2e4d6d35",
        "certificate": f"{b64}.{b64}.{b64}{b64}",
        "subject": b64,
        "subject_proofs": [{"kind": "sgd", "proof": b64}],
        "pii_information": ["identite.sexe"],
        "sensitivity": "C1",
        "controllers": ["departement"],
        "lawful_basis": "eu-gdpr:A6-1-a",
        "retention": "P2Y",
        "withdrawal_method": "au guichet",
        "collection": {
            "channel": "guichet",
            "evidence": "E1",
            "agent": b64,
            "second_agent": "B" * 42 + "A",
            "evidence_hash": None,
        },
        "cause": None,
    }
    schema.check(event)
