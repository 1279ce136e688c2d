"""The read side of the log: whatever it hands out is checked with the ledger's own verifiers, by public keys alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from consent.ledger import envelope
from consent.ledger.checkpoint import open_note
from consent.ledger.envelope import first_gap
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.merkle import leaf_hash, root_from_hashes, verify_consistency, verify_inclusion
from consent.ledger.note import KeyType, SignerKey, VerifierKey
from consent.ledger.proof import LogProof, Policy
from consent.ledger.tile import ENTRIES, TileId, decode_bundle
from consent.ledger.witness import cosign
from consent.model import EventKind
from hub.app import close_hub, open_hub
from hub.services import log
from hub.store import tables
from hub.store.sealing import receipt_id_of
from hub.store.session import UnitOfWork
from tests.hub.conftest import World
from tests.hub.stores import Store

SIZE = 700


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("log"))
    store.add(SIZE)
    return store


@pytest.fixture(scope="module")
def hashes(store: Store) -> list[bytes]:
    return [leaf_hash(leaf) for leaf in store.writer.run(lambda uow: uow.log.leaves(0, SIZE))]


def _refused(run: Callable[..., Any], work: Callable[[UnitOfWork], object], kind: ErrorKind) -> None:
    with pytest.raises(MaillonError) as refused:
        run(work)
    assert refused.value.kind is kind


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, SIZE), data=st.data())
def test_every_proof_verifies(store: Store, hashes: list[bytes], size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root = root_from_hashes(hashes[:size])
    found = store.writer.run(lambda uow: log.inclusion_of(uow, hashes[index], size))
    assert found == store.writer.run(lambda uow: log.inclusion(uow, index, size))
    verify_inclusion(found.index, found.size, hashes[index], found.hashes, root)
    proof = store.writer.run(lambda uow: log.consistency(uow, old, size))
    verify_consistency(old, size, proof, root_from_hashes(hashes[:old]), root)


def test_what_is_not_in_the_log_has_no_proof(store: Store, hashes: list[bytes]) -> None:
    run = store.writer.run
    _refused(run, lambda uow: log.inclusion_of(uow, bytes(32)), ErrorKind.NOT_FOUND)
    _refused(run, lambda uow: log.inclusion_of(uow, hashes[600], 600), ErrorKind.NOT_FOUND)
    _refused(run, lambda uow: log.inclusion(uow, SIZE), ErrorKind.SCHEMA)
    _refused(run, lambda uow: log.inclusion(uow, -1), ErrorKind.SCHEMA)
    _refused(run, lambda uow: log.inclusion(uow, 0, SIZE + 1), ErrorKind.SCHEMA)
    _refused(run, lambda uow: log.consistency(uow, 5, 4), ErrorKind.SCHEMA)
    _refused(run, lambda uow: log.consistency(uow, 5, SIZE + 1), ErrorKind.SCHEMA)
    _refused(run, lambda uow: log.checkpoint(uow, 3), ErrorKind.NOT_FOUND)


def test_tiles_and_bundles_give_the_whole_log_again(store: Store, hashes: list[bytes]) -> None:
    run = store.writer.run
    wanted = [TileId(0, 0), TileId(0, 1), TileId(0, 2, SIZE - 512)]
    assert b"".join(run(lambda uow: log.tile(uow, each)) for each in wanted) == b"".join(hashes)  # noqa: B023
    leaves: list[bytes] = []
    for each in wanted:
        bundle = run(lambda uow: log.tile(uow, TileId(ENTRIES, each.index, each.width)))  # noqa: B023
        leaves += decode_bundle(bundle, each.width)
    assert [leaf_hash(leaf) for leaf in leaves] == hashes
    assert run(lambda uow: log.tile(uow, TileId(1, 0, 2)))[:32] == root_from_hashes(hashes[:256])
    assert run(lambda uow: log.tile(uow, TileId(0, 1, 7))) == b"".join(hashes[256:263])
    for absent in (TileId(0, 2), TileId(0, 2, SIZE - 511), TileId(0, 3, 1), TileId(2, 0, 1), TileId(ENTRIES, 2)):
        _refused(run, lambda uow: log.tile(uow, absent), ErrorKind.NOT_FOUND)  # noqa: B023


def test_a_checkpoint_comes_with_its_cosignatures(store: Store) -> None:
    witness = SignerKey.from_seed("hub.example/temoin", b"w" * 32, KeyType.COSIGNATURE_V1)
    log_key = store.sequencer.held[0].verifier
    note = store.writer.run(lambda uow: log.checkpoint(uow))
    line = cosign(open_note(note, [log_key]), witness, 1_800_000_000)
    store.writer.run(lambda uow: uow.log.cosign(SIZE, [(witness.name, line)]))
    both = store.writer.run(lambda uow: log.checkpoint(uow, SIZE))
    assert both == note + line
    opened = open_note(both, [log_key, witness.verifier])
    assert len(opened.signatures) == 2
    found = store.writer.run(lambda uow: log.inclusion(uow, 3))
    leaf = store.writer.run(lambda uow: uow.log.leaves(3, 4))[0]
    policy = Policy(log_key.name, frozenset({log_key}), frozenset({witness.verifier}), 1)
    LogProof(found.index, found.hashes, both).verify(leaf_hash(leaf), policy)


# --- with the hub around it -------------------------------------------------------------------------------------------


def _person(world: World, ref: str) -> PersonId:
    found = world.hub.reads.run(
        lambda uow: uow.persons.by_ref("departement", world.hub.keyring.ref_lookup("departement", ref))
    )
    assert found is not None
    return found


def test_the_directory_names_the_log_and_every_answer_is_under_its_signature(
    world: World, known: dict[str, str]
) -> None:
    world.consent(known["departement"], EventKind.GRANTED)
    world.pull(known["departement"])
    key = VerifierKey.parse(world.directory.partner("hub").log_key)
    note = world.hub.reads.run(lambda uow: log.checkpoint(uow))
    signed = open_note(note, [key])
    leaves = world.hub.reads.run(lambda uow: uow.log.leaves(0, signed.checkpoint.size))
    assert signed.signatures
    assert signed.checkpoint.origin == world.settings.origin == "127.0.0.1:8400/log"
    assert signed.checkpoint.root == root_from_hashes(map(leaf_hash, leaves))
    assert world.hub.reads.run(lambda uow: uow.journal.length()) == len(leaves)
    assert {Leaf.decode(leaf).event_class for leaf in leaves} >= {EventClass.CONSENT, EventClass.ACCESS, EventClass.KEY}


def test_a_source_proves_with_its_leaf_alone_that_its_order_is_in_the_log(world: World, known: dict[str, str]) -> None:
    world.consent(known["departement"], EventKind.GRANTED)
    world.pull(known["departement"])
    (order,) = world.edges.orders
    leaf = b64url.decode(order["leaf"])
    assert Leaf.decode(leaf).event_class is EventClass.ACCESS
    found = world.hub.reads.run(lambda uow: log.inclusion_of(uow, leaf_hash(leaf)))
    note = world.hub.reads.run(lambda uow: log.checkpoint(uow, found.size))
    key = VerifierKey.parse(world.directory.partner("hub").log_key)
    LogProof(found.index, found.hashes, note).verify(leaf_hash(leaf), Policy(key.name, frozenset({key})))


def test_what_the_log_holds_about_a_person_is_a_whole_chain(world: World, known: dict[str, str]) -> None:
    world.consent(known["departement"], EventKind.GRANTED)
    world.pull(known["departement"])
    world.pull("A" * 22)
    world.log("usager", "departement", ref=known["departement"])
    person = _person(world, known["departement"])
    events = world.hub.reads.run(lambda uow: log.events_of(uow, person))
    head = world.hub.reads.run(lambda uow: log.subject_head(uow, person))
    chain = []
    for each in events:
        assert each.opening is not None
        assert each.link is not None
        assert commitment(each.opening.r32, each.opening.envelope) == each.opening.leaf.commitment
        envelope.decode(each.opening.envelope)
        chain.append((each.link, leaf_hash(each.opening.leaf.encode())))
    assert first_gap(chain, head.leaf_hash) is None
    assert head.n == len(events)
    assert {EventClass.CONSENT, EventClass.ACCESS} <= {each.opening.leaf.event_class for each in events if each.opening}


def test_an_opening_is_for_whom_the_event_is_about(world: World, known: dict[str, str]) -> None:
    other = world.register("departement", 2)
    world.consent(known["departement"], EventKind.GRANTED)
    world.pull("A" * 22)
    run, person, stranger = world.hub.reads.run, _person(world, known["departement"]), _person(world, other)
    rows = run(lambda uow: uow.connection.execute(select(tables.journal.c.seq, tables.journal.c["class"])).all())
    about_person = {event.seq for event in run(lambda uow: log.events_of(uow, person))}
    about_stranger = {event.seq for event in run(lambda uow: log.events_of(uow, stranger))}
    about_no_one = set()
    for row in rows:
        if row.seq in about_person | about_stranger:
            _refused(run, lambda uow: log.opening_about_no_one(uow, row.seq), ErrorKind.NOT_FOUND)  # noqa: B023
        else:
            found = run(lambda uow: log.opening_about_no_one(uow, row.seq))  # noqa: B023
            assert found.content["subject"] is None
            about_no_one.add(row.seq)
    assert about_person | about_stranger | about_no_one == {row.seq for row in rows}
    assert not about_person & about_no_one
    assert not about_person & about_stranger
    (consent,) = [row.seq for row in rows if row[1] == "consent"]
    assert isinstance(run(lambda uow: log.opening(uow, person, consent)).body, str)
    _refused(run, lambda uow: log.opening(uow, stranger, consent), ErrorKind.NOT_FOUND)
    _refused(run, lambda uow: log.opening_about_no_one(uow, 10**6), ErrorKind.NOT_FOUND)


def _call(work: Callable[[None], object]) -> object:
    return work(None)


def test_a_receipt_is_named_by_what_its_leaf_binds_and_nobody_can_guess(world: World, known: dict[str, str]) -> None:
    made = world.consent(known["departement"], EventKind.GRANTED)
    found = world.hub.reads.run(lambda uow: uow.consents.by_receipt(made["receipt_id"]))
    assert found is not None
    opened = world.hub.reads.run(lambda uow: log.opening(uow, found.person_id, found.seq))
    assert receipt_id_of(opened.r32) == made["receipt_id"]
    assert world.hub.reads.run(lambda uow: uow.consents.by_receipt(new_uuid())) is None


def test_a_hub_does_not_open_on_another_logs_keys(world: World) -> None:
    close_hub(world.hub)
    _refused(
        lambda work: work(None),
        lambda _: open_hub(replace(world.settings, log_origin="x/log")),
        ErrorKind.CONFIGURATION,
    )
    kept = world.home.log_keys.read_bytes()
    for content in (b"", b"not a key\n", kept + kept[:-9] + b"\n"):
        world.home.log_keys.write_bytes(content)
        _refused(_call, lambda _: open_hub(world.settings), ErrorKind.CONFIGURATION)
