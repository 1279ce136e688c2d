"""The watch of an edge: every order is shown to be in the log, or an alarm is raised with its evidence in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.store import Alarm
from connectors.kit.ledger.watch import Round, Watch
from connectors.kit.ledger.witness import Witness
from connectors.kit.runtime.clock import FakeClock
from consent.ledger.checkpoint import SignerKey
from consent.ledger.fork import Fork
from consent.ledger.proof import LogProof
from tests.witness.log import LOG, ORIGIN, FakeLog

SECOND = timedelta(seconds=1)


@pytest.fixture
def watch(store: EdgeStore, clock: FakeClock, log: FakeLog) -> Watch:
    return Watch(store.log, lambda: frozenset({LOG.verifier}), log, clock)


def codes(store: EdgeStore) -> list[str]:
    return [alarm.code.value for alarm in store.log.alarms()]


def serve(store: EdgeStore, clock: FakeClock, leaf: bytes, order: str = "an order") -> None:
    assert store.log.keep_order(leaf, order, "r", clock.now())


def test_an_order_in_the_log_is_proven_and_its_text_goes(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    for number in (1, 4):
        serve(store, clock, log.leaves[number])
    assert watch.round() == Round(size=5, proven=2)
    assert store._db.all("SELECT state, place, body FROM log_order ORDER BY place") == [(1, 1, None), (1, 4, None)]
    asked = len(log.asked)
    assert watch.round() == Round(size=5)
    assert log.asked[asked:] == ["checkpoint"], "what is proven is not asked again"


def test_a_missing_order_is_told_within_two_minutes(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    serve(store, clock, b"never logged", "eyJ the order")
    began = clock.now()
    while not codes(store):
        watch.round()
        log.grow()
        clock.advance(30 * SECOND)
        assert clock.now() - began <= timedelta(minutes=2)
    (alarm,) = store.log.alarms()
    assert alarm.code is Alarm.ORDER_MISSING
    assert b"eyJ the order" in alarm.evidence
    assert ORIGIN.encode() in alarm.evidence
    for _ in range(3):
        watch.round()
    assert codes(store) == ["order-missing"], "one alarm, not one a round"


def test_a_sequencer_that_is_a_moment_late_is_no_alarm(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    serve(store, clock, b"soon")
    assert watch.round().waiting == 1
    clock.advance(19 * SECOND)
    watch.round()
    assert codes(store) == []
    log.leaves.append(b"soon")
    assert watch.round().proven == 1


def test_an_order_logged_only_when_asked_for_ends_the_alarm_and_keeps_the_evidence(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    serve(store, clock, b"late")
    clock.advance(30 * SECOND)
    assert watch.round().missing == 1
    log.leaves.append(b"late")
    assert watch.round().proven == 1
    assert codes(store) == []
    (ended,) = store.log.alarms(ended=True)
    assert (ended.ended, bool(ended.evidence)) == (clock.now(), True)


def test_a_proof_of_something_else_shows_nothing(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    honest = log.inclusion

    def lying(leaf_hash: bytes, size: int) -> LogProof | None:
        from consent.ledger.merkle import leaf_hash as hashed

        return honest(hashed(log.leaves[0]), size)

    log.inclusion = lying  # type: ignore[method-assign]
    serve(store, clock, b"never logged")
    clock.advance(30 * SECOND)
    assert watch.round().missing == 1


def test_a_silent_hub_is_an_alarm_too_and_ends_by_itself(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    serve(store, clock, log.leaves[0])
    log.down = True
    began = clock.now()
    while not codes(store):
        assert watch.round().stopped == "unavailable"
        clock.advance(30 * SECOND)
        assert clock.now() - began <= timedelta(minutes=2)
    assert codes(store) == ["orders-unproven"]
    log.down = False
    assert watch.round().proven == 1
    assert codes(store) == []


def test_a_silent_hub_that_ordered_nothing_is_none(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch
) -> None:
    log.down = True
    for _ in range(10):
        watch.round()
        clock.advance(60 * SECOND)
    assert codes(store) == []


def test_it_follows_the_tree_witnessing_moved(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch, witness: Witness
) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    log.grow(3)
    assert watch.round().size == 8
    assert witness.add_checkpoint(log.grow().request(5)).body == b"8\n"
    assert witness.add_checkpoint(log.request(8)).status == 200


def test_one_story_to_the_witness_and_another_to_the_watch(
    store: EdgeStore, clock: FakeClock, log: FakeLog, witness: Witness
) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    other = FakeLog([b"another story", *log.leaves[1:]])
    watch = Watch(store.log, lambda: frozenset({LOG.verifier}), other, clock)
    assert watch.round().stopped == "fork"
    (alarm,) = store.log.alarms()
    Fork.parse(alarm.evidence).verify([LOG.verifier])
    larger = Watch(store.log, lambda: frozenset({LOG.verifier}), other.grow(), clock)
    assert larger.round().stopped == "not-an-extension"
    assert codes(store) == ["fork", "not-an-extension"]


def test_a_hub_restored_from_an_old_copy(store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch) -> None:
    watch.round()
    kept, log.leaves = log.leaves, log.leaves[:3]
    assert watch.round().stopped == "tree-shrank"
    assert codes(store) == ["tree-shrank"]
    log.leaves = kept
    assert watch.round().stopped == ""
    assert codes(store) == []


def test_a_checkpoint_of_another_key(store: EdgeStore, clock: FakeClock, log: FakeLog) -> None:
    stranger = FakeLog(log.leaves, SignerKey.from_seed(ORIGIN, b"x" * 32))
    watch = Watch(store.log, lambda: frozenset({LOG.verifier}), stranger, clock)
    assert watch.round().stopped == "bad-checkpoint"
    assert store.log.tree(frozenset({LOG.verifier})).size == 0


def test_no_log_in_the_directory(store: EdgeStore, clock: FakeClock, log: FakeLog) -> None:
    watch = Watch(store.log, frozenset, log, clock)
    serve(store, clock, log.leaves[0])
    clock.advance(91 * SECOND)
    assert watch.round().stopped
    assert codes(store) == ["orders-unproven"]


def test_an_alarm_a_person_settled_stays_settled(
    store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch, witness: Witness
) -> None:
    watch.round()
    other = FakeLog([b"another story", *log.leaves[1:]])
    assert witness.add_checkpoint(other.request(5)).status == 409
    (alarm,) = store.log.alarms()
    assert store.log.settle(alarm.number, clock.now())
    assert not store.log.settle(alarm.number, clock.now())
    assert codes(store) == []
    assert witness.add_checkpoint(other.request(5)).status == 409
    assert codes(store) == ["fork"], "the same again is told again"


def test_old_leaves_are_forgotten(store: EdgeStore, clock: FakeClock, log: FakeLog, watch: Watch) -> None:
    serve(store, clock, log.leaves[0])
    watch.round()
    clock.advance(timedelta(days=367))
    watch.round()
    assert store._db.all("SELECT count(*) FROM log_order") == [(0,)]


def test_a_round_that_takes_too_long_goes_on_in_the_next(store: EdgeStore, clock: FakeClock, log: FakeLog) -> None:
    for leaf in log.leaves:
        serve(store, clock, leaf)
    hurried = Watch(store.log, lambda: frozenset({LOG.verifier}), log, clock, round_seconds=-1)
    assert hurried.round() == Round(size=5, waiting=5)
    assert codes(store) == []
