"""Consent events as a collector makes them: whole, signed, chained, and refused when something is missing."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.consent_events import Collection, Previous, evidence_digest
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ
from connectors.kit.tokens import match_subject
from connectors.kit.trust import open_certified, subject_digest
from consent.canonical import digest
from consent.lifecycle import RecordStatus, fold
from consent.model import EventKind
from consent.records import parse_event
from tests.kit.world import AT, EMAIL, LEA, NOA, QUOTIENT, START, World

AGENT = b64url.encode(b"a" * 32)


def test_an_event_says_everything_the_schema_asks(world: World) -> None:
    event = world.consent(at=AT)
    identity = world.identities["departement"].public_jwk
    payload, _ = open_certified(event.jws, Typ.CONSENT, "departement", identity)
    assert payload == event.payload
    assert (payload["seq"], payload["prev"], payload["sensitivity"]) == (0, None, "C2")
    assert payload["lawful_basis"] == "dpv:Consent"
    assert payload["subject"] == subject_digest(world.my_ref, b64url.decode(event.salt))
    assert world.my_ref not in event.jws
    assert match_subject(payload["subject_proofs"], LEA, payload["record_id"])
    assert not match_subject(payload["subject_proofs"], NOA, payload["record_id"])
    assert payload["controllers"] == ["Département"]
    assert world.consent(controllers=()).payload["controllers"] == ["departement"]


def test_an_informations_ground_is_not_consent(world: World) -> None:
    notice = next(n for n in world.policy.notices if n.regime == "information")
    event = world.consent(kind=EventKind.INFORMED, purpose=notice.purpose, notice=(notice, "falc"), actor="institution")
    assert event.payload["lawful_basis"] == "eu-gdpr:A6-1-e"
    assert event.payload["notice"]["sha256"] == notice.sha256["falc"]


def test_events_of_one_record_are_a_chain(world: World) -> None:
    granted = world.consent(at=AT)
    seen = Previous(record_id=granted.payload["record_id"], seq=0, digest=digest(granted.payload))
    narrowed = world.consent(at=AT + timedelta(days=1), kind=EventKind.NARROWED, fields=(START,), follows=seen)
    seen = Previous(record_id=seen.record_id, seq=1, digest=digest(narrowed.payload))
    nothing: dict[str, Any] = {"fields": (), "sources": (), "recipients": (), "notice": None, "end": None}
    withdrawn = world.consent(at=AT + timedelta(days=2), kind=EventKind.REVOKED, follows=seen, **nothing)
    events = [parse_event(event.payload, world.policy.index) for event in (granted, narrowed, withdrawn)]
    (record,) = fold(events).records.values()
    assert record.status is RecordStatus.REVOKED
    assert len({event.payload["event_id"] for event in (granted, narrowed, withdrawn)}) == 3
    assert narrowed.payload["sensitivity"] == "C2"


@pytest.mark.parametrize(
    ("changes", "kind", "pointer"),
    [
        ({"fields": ()}, ErrorKind.SCHEMA, "/pii_information"),
        ({"fields": ("droits.rsa.inconnu",)}, ErrorKind.UNKNOWN_FIELD, "/pii_information"),
        ({"sources": ()}, ErrorKind.SCHEMA, "/sources"),
        ({"recipients": ()}, ErrorKind.SCHEMA, "/controllers"),
        ({"end": None}, ErrorKind.SCHEMA, "/validity/to"),
        ({"notice": None}, ErrorKind.SCHEMA, "/notice"),
        ({"retention": None}, ErrorKind.SCHEMA, "/retention"),
        ({"actor": "institution"}, ErrorKind.SCHEMA, "/actor"),
        ({"actor": "representant"}, ErrorKind.SCHEMA, "/mandate"),
        ({"end": AT - timedelta(days=3)}, ErrorKind.SCHEMA, "/validity"),
    ],
)
def test_what_an_agreement_cannot_be_without(
    world: World, changes: dict[str, Any], kind: ErrorKind, pointer: str
) -> None:
    with pytest.raises(MaillonError) as caught:
        world.consent(**({"controllers": ()} | changes))
    assert (caught.value.kind, caught.value.pointer) == (kind, pointer)


def test_a_language_the_notice_has_not(world: World) -> None:
    notice = next(n for n in world.policy.notices if n.regime == "accord")
    with pytest.raises(MaillonError) as caught:
        world.consent(notice=(notice, "br"))
    assert caught.value.kind is ErrorKind.UNKNOWN_NOTICE


def test_evidence_one_needs_a_second_agent(world: World) -> None:
    alone = Collection(evidence="E1", agent=AGENT, second_agent=AGENT)
    with pytest.raises(MaillonError) as caught:
        world.consent(collection=alone)
    assert caught.value.kind is ErrorKind.SCHEMA
    with_witness = Collection(evidence="E1", agent=AGENT, second_agent=b64url.encode(b"b" * 32))
    assert world.consent(collection=with_witness).payload["collection"]["evidence"] == "E1"


def test_a_protection_concerns_the_whole_person(world: World) -> None:
    nothing: dict[str, Any] = {"sources": (), "recipients": (), "notice": None, "end": None, "purpose": None}
    event = world.consent(kind=EventKind.PROTECTED, fields=(EMAIL, QUOTIENT), cause="protection_renforcee", **nothing)
    assert event.payload["purpose"] is None
    assert event.payload["lawful_basis"] is None
    parse_event(event.payload, world.policy.index)


def test_the_digest_of_a_proof_is_its_sha256() -> None:
    assert evidence_digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_event_is_no_other_message(world: World) -> None:
    with pytest.raises(MaillonError):
        seal.peek(world.consent().jws, Typ.REQUEST)
