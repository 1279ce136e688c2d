"""The log over HTTP: what anybody may read, exactly; receipts for their collector alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from connectors.kit.receipts.check import check_receipt
from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.checkpoint import VerifierKey, open_note
from consent.ledger.exact import from_base64
from consent.ledger.leaf import Leaf
from consent.ledger.merkle import leaf_hash, root_from_hashes, verify_consistency
from consent.ledger.proof import LogProof, Policy
from consent.ledger.tile import decode_bundle
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from hub.services import log
from hub.store.sealing import receipt_id_of
from hub.web.common.rate import Rate
from schemas.registry import validator
from tests.hub.conftest import World, problem


def get(world: World, path: str, name: str | None = None) -> TestResponse:
    headers = {"Authorization": f"Bearer {world.token(name)}"} if name else {}
    return world.client.get(path, headers=headers)


def log_key(world: World) -> VerifierKey:
    return VerifierKey.parse(world.directory.partner("hub").log_key)


@pytest.fixture
def granted(world: World, known: dict[str, str]) -> dict[str, object]:
    answer = world.post("departement", "/v1/consents", world.event(known["departement"], EventKind.GRANTED))
    assert answer.status_code == 201
    found: dict[str, object] = answer.get_json()
    return found


def test_a_consent_is_acknowledged_with_its_receipt(world: World, granted: dict[str, object]) -> None:
    keys = TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk))
    r32 = b64url.decode(granted["receipt"]["event"]["r32"])  # type: ignore[index]
    assert granted["receipt_id"] == receipt_id_of(r32), "named by what the leaf binds"
    validator("consent_answer").check(granted)
    checked = check_receipt(granted["receipt"], keys)  # type: ignore[arg-type]
    assert checked.verdict.code is None
    assert checked.verdict.record is not None
    assert checked.verdict.record["record_id"] == granted["record_id"]


@pytest.mark.parametrize("kind", [EventKind.DENIED, EventKind.INFORMED, EventKind.PROTECTED, EventKind.FROZEN])
def test_every_event_has_one(world: World, known: dict[str, str], kind: EventKind) -> None:
    facts: dict[str, object] = {}
    if kind in (EventKind.DENIED, EventKind.PROTECTED):
        facts = {"fields": ("contact.telephone",)}
    if kind is EventKind.INFORMED:
        notice = next(n for n in world.hub.policy.get().notices if n.regime == "information")
        facts = {"notice": (notice, "fr"), "purpose": notice.purpose, "actor": "institution"}
    answer = world.consent(known["departement"], kind, **facts)
    keys = TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk))
    assert check_receipt(answer["receipt"], keys).verdict.code is None


def test_the_same_event_again_has_the_same_receipt(world: World, known: dict[str, str]) -> None:
    event = world.event(known["departement"], EventKind.GRANTED)
    first, again = (world.ok("departement", "/v1/consents", event) for _ in range(2))
    assert first["receipt"] == again["receipt"]


def test_a_receipt_is_its_collectors_alone(world: World, granted: dict[str, object]) -> None:
    path = f"/log/receipts/{granted['receipt_id']}"
    assert get(world, path, "departement").get_json() == granted["receipt"]
    problem(get(world, path, "ccas"), ErrorKind.NOT_FOUND)
    problem(get(world, path, "caf"), ErrorKind.NOT_FOUND)
    problem(get(world, path, "dpo"), ErrorKind.FORBIDDEN)
    problem(get(world, path), ErrorKind.AUTHENTICATION)
    problem(get(world, "/log/receipts/00000000-0000-4000-8000-000000000000", "departement"), ErrorKind.NOT_FOUND)
    problem(get(world, "/log/receipts/x", "departement"), ErrorKind.NOT_FOUND)


def test_what_is_not_in_the_log_yet_is_said_to_wait(
    world: World, known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the sequencer comes after the commit: the event holds, its receipt follows."""
    monkeypatch.setattr(log, "covering", lambda uow, index: None)
    answer = world.post("departement", "/v1/consents", world.event(known["departement"], EventKind.GRANTED))
    assert answer.status_code == 202
    assert answer.get_json()["recu"] == "en_attente"
    validator("consent_answer").check(answer.get_json())
    later = get(world, f"/log/receipts/{answer.get_json()['receipt_id']}", "departement")
    assert (later.status_code, later.get_json()) == (202, {"recu": "en_attente"})


def test_anybody_can_rebuild_the_tree(world: World, granted: dict[str, object]) -> None:
    world.log()
    answer = get(world, "/log/checkpoint")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    signed = open_note(answer.data, [log_key(world)])
    size = signed.checkpoint.size
    bundle = get(world, f"/log/tile/entries/000.p/{size}")
    hashes = get(world, f"/log/tile/0/000.p/{size}")
    assert {bundle.content_type, hashes.content_type} == {"application/octet-stream"}
    assert "immutable" in bundle.headers["Cache-Control"]
    leaves = decode_bundle(bundle.data, size)
    assert b"".join(map(leaf_hash, leaves)) == hashes.data
    assert root_from_hashes(map(leaf_hash, leaves)) == signed.checkpoint.root
    assert [Leaf.decode(leaf).encode() for leaf in leaves] == leaves


def test_the_public_part_says_nothing_of_anyone(
    world: World, known: dict[str, str], granted: dict[str, object]
) -> None:
    world.pull(known["departement"])
    size = open_note(get(world, "/log/checkpoint").data, [log_key(world)]).checkpoint.size
    public = b"".join(
        get(world, path).data
        for path in ("/log/checkpoint", f"/log/tile/entries/000.p/{size}", f"/log/tile/0/000.p/{size}")
    )
    # Three letters turn up in random bytes now and then: the slug as a content would hold it.
    slug = '"caf"'
    for word in (*known.values(), str(granted["record_id"]), "departement", "accompagnement_global", "granted", slug):
        assert word.encode() not in public
        assert b64url.encode(word.encode()).encode() not in public


def test_proofs_by_leaf_and_by_index(world: World, granted: dict[str, object]) -> None:
    policy = Policy(log_key(world).name, frozenset({log_key(world)}))
    size = open_note(get(world, "/log/checkpoint").data, [log_key(world)]).checkpoint.size
    leaves = decode_bundle(get(world, f"/log/tile/entries/000.p/{size}").data, size)
    for index, leaf in enumerate(leaves):
        hashed = leaf_hash(leaf)
        for query in (f"index={index}", f"leaf={b64url.encode(hashed)}", f"index={index}&size={size}"):
            answer = get(world, f"/log/proof/inclusion?{query}")
            assert answer.content_type == "text/plain; charset=utf-8"
            proof = LogProof.parse(answer.data)
            assert proof.index == index
            proof.verify(hashed, policy)


def test_consistency_between_two_checkpoints(world: World, known: dict[str, str]) -> None:
    old = open_note(get(world, "/log/checkpoint").data, [log_key(world)]).checkpoint
    world.consent(known["departement"], EventKind.GRANTED)
    new = open_note(get(world, "/log/checkpoint").data, [log_key(world)]).checkpoint
    found = get(world, f"/log/proof/consistency?old={old.size}&new={new.size}").get_json()
    validator("log_consistency").check(found)
    proof = [from_base64(each, "hash") for each in found["hashes"]]
    verify_consistency(old.size, new.size, proof, old.root, new.root)


@pytest.mark.parametrize(
    "path",
    [
        "/log/proof/inclusion",
        "/log/proof/inclusion?index=+1",
        "/log/proof/inclusion?index=%2B1",
        "/log/proof/inclusion?index=01",
        "/log/proof/inclusion?index=-1",
        "/log/proof/inclusion?index=1.0",
        "/log/proof/inclusion?index=1e3",
        "/log/proof/inclusion?index=0x1",
        "/log/proof/inclusion?index=%D9%A1",
        "/log/proof/inclusion?index= 1",
        "/log/proof/inclusion?index=",
        "/log/proof/inclusion?index=99999999999999999999",
        "/log/proof/inclusion?index=0&index=0",
        "/log/proof/inclusion?index=0&leaf=AA",
        "/log/proof/inclusion?index=0&other=1",
        "/log/proof/inclusion?leaf=AA",
        "/log/proof/inclusion?leaf=" + "A" * 42 + "B",
        "/log/proof/inclusion?leaf=" + "A" * 43 + "=",
        "/log/proof/inclusion?index=0&size=01",
        "/log/proof/consistency",
        "/log/proof/consistency?old=1",
        "/log/proof/consistency?old=1&new=%0a2",
        "/log/checkpoint?size=1",
        "/log/tile/0/000.p/1?x=1",
    ],
)
def test_what_has_another_spelling_is_refused(world: World, path: str) -> None:
    problem(get(world, path), ErrorKind.MALFORMED)


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/0/000",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/200",
        "/log/tile/0/000.p/01",
        "/log/tile/00/000.p/1",
        "/log/tile/+0/000.p/1",
        "/log/tile/64/000.p/1",
        "/log/tile/-1/000.p/1",
        "/log/tile/0/0.p/1",
        "/log/tile/0/x000/000.p/1",
        "/log/tile/0/001.p/1",
        "/log/tile/entries/000.p/99",
        "/log/tile/entries/../0/000.p/1",
        "/log/tile/data/000.p/1",
        "/log/tile/" + "0/" * 500,
        "/log/tile/",
        "/log/proof/inclusion?leaf=" + "A" * 43,
    ],
)
def test_what_is_not_in_the_log_is_not_found(world: World, path: str) -> None:
    problem(get(world, path), ErrorKind.NOT_FOUND)


@pytest.mark.parametrize(
    "path",
    [
        "/log/proof/inclusion?index=10000",
        "/log/proof/inclusion?index=0&size=10000",
        "/log/proof/inclusion?index=1&size=1",
        "/log/proof/inclusion?index=0&size=0",
        "/log/proof/consistency?old=1&new=10000",
        "/log/proof/consistency?old=2&new=1",
    ],
)
def test_what_no_tree_of_this_log_has_is_refused(world: World, known: dict[str, str], path: str) -> None:
    answer = get(world, path)
    assert answer.status_code in (404, 422)
    assert answer.content_type == "application/problem+json"


def test_a_tile_as_it_was_stays_there(world: World, known: dict[str, str]) -> None:
    before = get(world, "/log/tile/0/000.p/1").data
    world.consent(known["departement"], EventKind.GRANTED)
    assert get(world, "/log/tile/0/000.p/1").data == before
    assert len(before) == 32


def test_readers_together_are_bounded(tmp_path: Path) -> None:
    # One a second: a machine on which forty take forty seconds is not the one this is run on.
    world = World(tmp_path, log_requests_per_second=1)
    answers = [get(world, path) for _ in range(20) for path in ("/log/checkpoint", "/log/tile/0/000.p/1")]
    assert [answer.status_code for answer in answers[:2]] == [200] * 2
    assert {answer.status_code for answer in answers} == {200, 429}
    for whole in (answers[::2], answers[1::2]):
        problem(next(answer for answer in whole if answer.status_code == 429), ErrorKind.TOO_MANY)


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    rate = Rate(2, lambda: now[0])
    for _ in range(4):
        rate.take()
    with pytest.raises(MaillonError):
        rate.take()
    now[0] = 0.5
    rate.take()
    with pytest.raises(MaillonError):
        rate.take()
    now[0] = 1000.0
    for _ in range(4):
        rate.take()
    with pytest.raises(MaillonError):
        rate.take()
    unbounded = Rate(0, lambda: 0.0)
    for _ in range(1000):
        unbounded.take()


def test_a_receipt_says_nothing_the_collector_did_not_write(world: World, granted: dict[str, object]) -> None:
    """The ref, the person and other partners' ids stay at the hub."""
    text = json.dumps(granted["receipt"])
    with world.hub.reads._engine.connect() as connection:  # the stored id, to look for
        person = connection.exec_driver_sql("SELECT person_id FROM consent_event").scalar_one()
    assert person not in text
