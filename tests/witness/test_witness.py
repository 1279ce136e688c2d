"""The witness of an edge: what it signs, what it refuses and with which status; no crash makes it sign twice."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.store import Alarm, LogStore
from connectors.kit.ledger.witness import Witness
from connectors.kit.runtime.clock import FakeClock, to_epoch
from connectors.kit.runtime.errors import MaillonError
from consent.ledger.checkpoint import SignerKey
from consent.ledger.fork import Fork
from consent.ledger.witness import AddCheckpoint, WitnessState, read_cosignatures
from tests.witness.conftest import KEY
from tests.witness.log import LOG, ORIGIN, FakeLog

SIZE = "text/x.tlog.size"


def test_it_cosigns_a_log_that_only_grows(witness: Witness, log: FakeLog, clock: FakeClock) -> None:
    known = 0
    for more in (0, 1, 3, 0, 300):
        log.grow(more)
        said = witness.add_checkpoint(log.request(known))
        assert said.status == 200
        (cosignature,) = read_cosignatures(log.signed(), said.body, [KEY.verifier])
        assert cosignature.time == to_epoch(clock.now())
        known = log.size
    assert witness.latest() == log.note()


def test_the_size_it_knows_is_told_with_409(witness: Witness, log: FakeLog) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    log.grow(4)
    for old in (0, 3, 6):
        said = witness.add_checkpoint(log.request(old))
        assert (said.status, said.media_type, said.body) == (409, SIZE, b"5\n")


def test_statuses(witness: Witness, log: FakeLog) -> None:
    stranger = FakeLog(log.leaves, SignerKey.from_seed(ORIGIN, b"x" * 32))
    elsewhere = FakeLog(log.leaves, SignerKey.from_seed("other.example/log", b"l" * 32))
    assert witness.add_checkpoint(b"old 0\n\n").status == 400
    assert witness.add_checkpoint(elsewhere.request(0)).status == 404
    assert witness.add_checkpoint(stranger.request(0)).status == 403
    assert witness.add_checkpoint(AddCheckpoint(6, (), log.note()).encode()).status == 400
    assert witness.latest() is None, "nothing of this was taken"


def test_no_log_in_the_directory_is_an_unknown_log(store: EdgeStore, clock: FakeClock, log: FakeLog) -> None:
    assert Witness(KEY, store.log, frozenset, clock).add_checkpoint(log.request(0)).status == 404


def test_a_rewritten_row_is_refused_and_kept_as_proof(witness: Witness, log: FakeLog, store: EdgeStore) -> None:
    """The owner changes a row, builds the tree anew and signs it again."""
    assert witness.add_checkpoint(log.request(0)).status == 200
    rewritten = FakeLog([log.leaves[0], b"another story", *log.leaves[2:]])
    said = witness.add_checkpoint(rewritten.request(5))
    assert (said.status, said.media_type) == (409, "application/json")
    (alarm,) = store.log.alarms()
    assert alarm.code is Alarm.FORK
    assert alarm.evidence == said.body
    first, second = Fork.parse(alarm.evidence).verify([LOG.verifier])
    assert {first.checkpoint.root, second.checkpoint.root} == {log.root(), rewritten.root()}
    assert witness.latest() == log.note(), "and the tree it knows has not moved"


def test_a_rewritten_row_under_a_larger_tree(witness: Witness, log: FakeLog, store: EdgeStore) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    rewritten = FakeLog([log.leaves[0], b"another story", *log.leaves[2:], b"more"])
    for _ in range(3):
        rewritten.grow()
        assert witness.add_checkpoint(rewritten.request(5)).status == 422
    (alarm,) = store.log.alarms()
    assert alarm.code is Alarm.NOT_AN_EXTENSION, "one, however often it is tried"
    pair = Fork.parse(alarm.evidence)
    assert pair.first == log.note()
    assert witness.latest() == log.note()


def test_a_truncated_log(witness: Witness, log: FakeLog) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    cut = FakeLog(log.leaves[:3])
    said = witness.add_checkpoint(cut.request(3))
    assert (said.status, said.body) == (409, b"5\n")
    assert witness.add_checkpoint(AddCheckpoint(5, (), cut.note()).encode()).status == 400


def test_an_inserted_row_of_yesterday(witness: Witness, log: FakeLog) -> None:
    assert witness.add_checkpoint(log.request(0)).status == 200
    backdated = FakeLog([*log.leaves[:2], b"of yesterday", *log.leaves[2:]])
    assert witness.add_checkpoint(backdated.request(5)).status == 422


def test_kill_9_between_what_it_knows_and_what_it_answers(tmp_path: Path, log: FakeLog, clock: FakeClock) -> None:
    child = [sys.executable, "-m", "tests.witness.dying_child", str(tmp_path / "e.db")]
    done = subprocess.run(child, input=log.request(0), check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    store = EdgeStore.open(tmp_path / "e.db", b"s" * 32)
    witness = Witness(KEY, store.log, lambda: frozenset({LOG.verifier}), clock)
    assert witness.latest() == log.note(), "durable before anything was signed"
    other = FakeLog([b"another story", *log.leaves[1:]])
    assert witness.add_checkpoint(other.request(0)).status == 409
    assert witness.add_checkpoint(log.request(0)).body == b"5\n"
    assert witness.add_checkpoint(log.request(5)).status == 200, "one more question is all it cost"
    store.close()


def test_a_full_disk_signs_nothing(store: EdgeStore, witness: Witness, log: FakeLog) -> None:
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(MaillonError):
        witness.add_checkpoint(log.request(0))
    store._db.execute("PRAGMA query_only = OFF")
    assert witness.latest() is None


class Barrier(LogStore):
    """A store on which two judgements are made before either is written."""

    meeting: threading.Barrier

    def advance(self, old: WitnessState, new: WitnessState) -> bool:
        # Met once: the loser judges again, and must not wait for anyone.
        if self.meeting.n_waiting < 2 and not self.meeting.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meeting.wait(5)
            self.meeting.abort()
        return super().advance(old, new)


@pytest.mark.parametrize("separate", [False, True], ids=["two threads", "two processes' connections"])
@pytest.mark.parametrize("known", [0, 5], ids=["the first tree", "a later tree"])
def test_of_two_stories_at_the_same_moment_one_is_signed(
    tmp_path: Path, clock: FakeClock, log: FakeLog, separate: bool, known: int
) -> None:
    one = EdgeStore.open(tmp_path / "e.db", b"s" * 32)
    two = EdgeStore.open(tmp_path / "e.db", b"s" * 32) if separate else one
    if known:
        first = Witness(KEY, one.log, lambda: frozenset({LOG.verifier}), clock)
        assert first.add_checkpoint(log.request(0)).status == 200
    stories = FakeLog(list(log.leaves)).grow(1, "one"), FakeLog(list(log.leaves)).grow(1, "other")
    meeting = threading.Barrier(2)
    answers = []

    def ask(edge: EdgeStore, told: FakeLog) -> None:
        kept = edge.log
        waiting = Barrier(kept.db, kept.rows)
        object.__setattr__(waiting, "meeting", meeting)
        witness = Witness(KEY, waiting, lambda: frozenset({LOG.verifier}), clock)
        answers.append(witness.add_checkpoint(told.request(known)))

    threads = [threading.Thread(target=ask, args=pair) for pair in zip((one, two), stories, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert one.log.tree(frozenset({LOG.verifier})).note in [story.note() for story in stories]
    for opened in {one, two}:
        opened.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_whatever_it_is_asked_all_it_signed_is_one_history(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Against the naive rule: of any two trees cosigned, the smaller is a prefix of the larger."""
    store = EdgeStore.open(tmp_path_factory.mktemp("w") / "e.db", b"s" * 32)
    witness = Witness(KEY, store.log, lambda: frozenset({LOG.verifier}), FakeClock())
    histories = [FakeLog([b"a", b"b", b"c", b"d", b"e", b"f"]), FakeLog([b"a", b"b", b"X", b"d", b"e", b"f"])]
    cosigned: list[list[bytes]] = []
    for _ in range(data.draw(st.integers(1, 12))):
        told = data.draw(st.sampled_from(histories))
        size, old = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
        if witness.add_checkpoint(told.request(old, size)).status == 200:
            cosigned.append(told.leaves[:size])
    for one in cosigned:
        for other in cosigned:
            assert one[: len(other)] == other[: len(one)]
    store.close()


def test_another_log_key_of_the_same_name_counts_only_from_the_directory(
    store: EdgeStore, clock: FakeClock, log: FakeLog
) -> None:
    """The key changed: the tree known stays, and the new key must go on from it."""
    keys = {LOG.verifier}
    witness = Witness(KEY, store.log, lambda: frozenset(keys), clock)
    assert witness.add_checkpoint(log.request(0)).status == 200
    renewed = replace(log.grow(), key=SignerKey.from_seed(ORIGIN, b"n" * 32))
    assert witness.add_checkpoint(renewed.request(5)).status == 403
    keys.clear()
    keys.add(renewed.key.verifier)
    assert witness.add_checkpoint(renewed.request(0)).body == b"5\n"
    assert witness.add_checkpoint(renewed.request(5)).status == 200
