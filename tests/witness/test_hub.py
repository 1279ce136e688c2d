"""The hub before its witnesses: cosigned by a quorum, held up by no outage, stopped by what a witness can prove."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.witness import Witness
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.transport import FarSideError
from consent.ledger.checkpoint import KeyType, Signature, SignedCheckpoint, SignerKey
from consent.ledger.fork import Fork
from consent.ledger.witness import SIZE_MEDIA_TYPE
from hub.jobs.witnesses import MOST_SECONDS, Rounds
from hub.services.witnesses import Answer, Evidence, Named, Outcome, Witnesses
from tests.witness.log import LOG, FakeLog

SLUGS = ("caf", "cpam", "ccas")
NOTHING = Answer(404, "application/problem+json", b"")


class OwnLog(FakeLog):
    """The fake log as the hub sees its own."""

    def newest(self) -> SignedCheckpoint | None:
        return self.signed() if self.size else None

    def cosigned(self, names: Sequence[str]) -> dict[str, int]:
        return {name: size for size, kept in sorted(self.kept.items()) for name in names if name in kept}

    def keep(self, size: int, cosignatures: Sequence[Signature]) -> None:
        self.kept.setdefault(size, {}).update({each.key.name: each for each in cosignatures})

    @property
    def kept(self) -> dict[int, dict[str, Signature]]:
        found: dict[int, dict[str, Signature]] = self.__dict__.setdefault("_kept", {})
        return found


@dataclass
class Consortium:
    """Real witnesses behind a fake wire."""

    witnesses: dict[str, Witness]
    keys: dict[str, SignerKey]
    down: set[str] = field(default_factory=set)
    lies: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def named(self) -> dict[str, Named]:
        return {slug: Named(slug, slug, self.keys[slug].verifier) for slug in self.witnesses}

    def add_checkpoint(self, endpoint: str, body: bytes) -> Answer:
        self._reach(endpoint)
        if endpoint in self.lies:
            return self.lies[endpoint]()
        said = self.witnesses[endpoint].add_checkpoint(body)
        return Answer(said.status, said.media_type.split(";")[0], said.body)

    def latest(self, endpoint: str) -> Answer:
        self._reach(endpoint)
        note = self.witnesses[endpoint].latest()
        return NOTHING if note is None else Answer(200, "text/plain", note)

    def _reach(self, slug: str) -> None:
        self.asked.append(slug)
        if slug in self.down:
            raise FarSideError(ErrorKind.UNAVAILABLE, "down")


@pytest.fixture
def consortium(tmp_path: Path) -> Any:
    stores = {slug: EdgeStore.open(tmp_path / f"{slug}.db", b"s" * 32) for slug in SLUGS}
    keys = {
        slug: SignerKey.from_seed(f"{slug}.example/witness", slug.encode().ljust(32), KeyType.COSIGNATURE_V1)
        for slug in SLUGS
    }
    log_keys = frozenset({LOG.verifier})
    yield Consortium(
        {slug: Witness(keys[slug], stores[slug].log, lambda: log_keys, FakeClock()) for slug in SLUGS}, keys
    )
    for store in stores.values():
        store.close()


@dataclass
class Hub:
    """A hub's witnessing over a log, as opened once."""

    witnesses: Witnesses
    halted: list[str]

    def all(self) -> list[Outcome]:
        return [self.witnesses.submit(slug) for slug in SLUGS]

    @property
    def state(self) -> object:
        return self.witnesses.health()["state"]


def open_hub(log: OwnLog, consortium: Consortium, tmp_path: Path) -> Hub:
    halted: list[str] = []
    evidence = Evidence(tmp_path / "log.stopped", tmp_path / "evidence")
    own = frozenset({LOG.verifier})
    hub = Hub(Witnesses(log, consortium, consortium.named, own, halted.append, evidence, 3, 2), halted)
    hub.witnesses.check_kept()
    return hub


@pytest.fixture
def own() -> OwnLog:
    log = OwnLog()
    log.grow(5)
    return log


def test_every_witness_cosigns_and_all_is_kept(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    hub = open_hub(own, consortium, tmp_path)
    assert hub.state == "unknown"
    assert hub.all() == [Outcome.COSIGNED] * 3
    own.grow(300)
    assert hub.all() == [Outcome.COSIGNED] * 3
    assert {size: len(kept) for size, kept in own.kept.items()} == {5: 3, 305: 3}
    assert hub.witnesses.health() == {"state": "ok", "named": 3, "cosigning": 3, "quorum": 2}
    assert not any(hub.witnesses.is_behind(slug) for slug in SLUGS)


def test_an_outage_holds_nothing_up_and_is_told(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    hub = open_hub(own, consortium, tmp_path)
    consortium.down.update(SLUGS)
    assert hub.all() == [Outcome.UNREACHABLE] * 3
    assert (hub.state, hub.halted) == ("unknown", [])
    consortium.down.discard("caf")
    hub.all()
    assert hub.state == "late"
    consortium.down.clear()
    assert hub.all() == [Outcome.COSIGNED] * 3
    assert (hub.state, hub.halted) == ("ok", [])


def test_after_a_restart_it_goes_on_from_what_each_cosigned(
    own: OwnLog, consortium: Consortium, tmp_path: Path
) -> None:
    open_hub(own, consortium, tmp_path).all()
    own.grow(2)
    hub = open_hub(own, consortium, tmp_path)
    consortium.asked.clear()
    assert hub.all() == [Outcome.COSIGNED] * 3
    assert consortium.asked == list(SLUGS), "one question each"


def test_a_witness_that_knows_more_than_was_remembered(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    assert open_hub(own, consortium, tmp_path).all() == [Outcome.COSIGNED] * 3
    own.kept.clear()
    own.grow()
    assert open_hub(own, consortium, tmp_path).all() == [Outcome.COSIGNED] * 3


@pytest.mark.parametrize("grown", [0, 1, 2, 3, 9], ids=lambda grown: f"and grown by {grown} since")
@pytest.mark.parametrize("asked", ["at start", "later"])
def test_a_hub_restored_from_an_old_copy_signs_no_more(
    own: OwnLog, consortium: Consortium, tmp_path: Path, grown: int, asked: str
) -> None:
    open_hub(own, consortium, tmp_path).all()
    old = OwnLog(own.leaves[:3])
    old.grow(grown, "since")
    hub = open_hub(old, consortium, tmp_path)
    outcome = hub.witnesses.examine("caf") if asked == "at start" else hub.witnesses.submit("caf")
    assert outcome is Outcome.CONTRADICTED
    assert hub.halted == ["a witness knows a larger tree" if 3 + grown < 5 else "a witness knows another tree"]
    assert hub.state == "stopped"
    # Restarted with every witness out of reach, it has not forgotten.
    consortium.down.update(SLUGS)
    assert open_hub(old, consortium, tmp_path).halted == hub.halted
    # The right copy put back starts by itself.
    again = open_hub(own, consortium, tmp_path)
    assert (again.halted, again.state) == ([], "unknown")
    assert open_hub(own, consortium, tmp_path).halted == []


def test_two_witnesses_contradict_it_at_the_same_moment(
    own: OwnLog, consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_hub(own, consortium, tmp_path).all()
    hub = open_hub(OwnLog([b"another story", *own.leaves[1:]]), consortium, tmp_path)
    meeting, replace = threading.Barrier(2), os.replace

    def together(source: Any, target: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(0.3)
        replace(source, target)

    monkeypatch.setattr(os, "replace", together)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(hub.witnesses.examine, ("caf", "cpam"))) == [Outcome.CONTRADICTED] * 2
    Fork.parse((tmp_path / "evidence" / "fork.json").read_bytes()).verify([LOG.verifier])


def test_it_stops_even_when_the_reason_cannot_be_kept(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    open_hub(own, consortium, tmp_path).all()
    hub = open_hub(OwnLog(own.leaves[:3]), consortium, tmp_path / "of a disk that is gone" / "home")
    assert hub.witnesses.examine("caf") is Outcome.CONTRADICTED
    assert hub.state == "stopped"


def test_a_rewritten_row_signed_again(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    open_hub(own, consortium, tmp_path).all()
    rewritten = OwnLog([own.leaves[0], b"another story", *own.leaves[2:]])
    hub = open_hub(rewritten, consortium, tmp_path)
    assert hub.witnesses.submit("caf") is Outcome.CONTRADICTED
    first, second = Fork.parse((tmp_path / "evidence" / "fork.json").read_bytes()).verify([LOG.verifier])
    assert {first.checkpoint.root, second.checkpoint.root} == {own.root(), rewritten.root()}
    assert rewritten.kept == {}


def test_while_its_witnesses_are_away_a_restored_hub_signs_and_stops_when_one_is_back(
    own: OwnLog, consortium: Consortium, tmp_path: Path
) -> None:
    open_hub(own, consortium, tmp_path).all()
    consortium.down.update(SLUGS)
    hub = open_hub(OwnLog(own.leaves[:3]), consortium, tmp_path)
    assert [hub.witnesses.examine(slug) for slug in SLUGS] == [Outcome.UNREACHABLE] * 3
    assert (hub.state, hub.halted) == ("unknown", [])
    consortium.down.discard("ccas")
    hub.all()
    assert hub.state == "stopped"


@pytest.mark.parametrize(
    "lie",
    [
        Answer(409, SIZE_MEDIA_TYPE, b"999999\n"),
        Answer(409, SIZE_MEDIA_TYPE, b"-1\n"),
        Answer(409, SIZE_MEDIA_TYPE, b"many\n"),
        Answer(409, "application/json", b"{}"),
        Answer(422, "text/plain", b"root\n"),
        Answer(200, "text/plain", b"yes\n"),
        Answer(500, "text/html", b"<html>"),
        NOTHING,
    ],
)
def test_a_lying_witness_stops_nothing(own: OwnLog, consortium: Consortium, tmp_path: Path, lie: Answer) -> None:
    hub = open_hub(own, consortium, tmp_path)
    consortium.lies["caf"] = lambda: lie
    assert hub.all() == [Outcome.REFUSED, Outcome.COSIGNED, Outcome.COSIGNED]
    assert (hub.state, hub.halted) == ("ok", [])


def test_a_note_of_somebody_elses_key_stops_nothing(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    hub = open_hub(own, consortium, tmp_path)
    stranger = FakeLog(key=SignerKey.from_seed(LOG.name, b"x" * 32)).grow(99)
    consortium.latest = lambda endpoint: Answer(200, "text/plain", stranger.note())  # type: ignore[method-assign]
    assert hub.witnesses.examine("caf") is Outcome.REFUSED
    assert hub.halted == []


def test_the_cosignature_of_another_witness_is_not_taken_for_this_one(
    own: OwnLog, consortium: Consortium, tmp_path: Path
) -> None:
    hub = open_hub(own, consortium, tmp_path)
    other = consortium.witnesses["cpam"].add_checkpoint(own.request(0)).body
    consortium.lies["caf"] = lambda: Answer(200, "text/plain", other)
    assert hub.witnesses.submit("caf") is Outcome.REFUSED
    assert own.kept == {}


# When they are asked -------------------------------------------------------------------------------------------


class Now(Executor):
    """A pool that does it at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def test_each_is_asked_less_and_less_while_it_is_away_and_soon_when_it_is_back(
    own: OwnLog, consortium: Consortium, tmp_path: Path
) -> None:
    time = [0.0]
    hub = open_hub(own, consortium, tmp_path)
    rounds = Rounds(hub.witnesses, SLUGS, Now(), seconds=2, now=lambda: time[0], rand=lambda low, high: high)
    consortium.down.add("caf")
    when: list[float] = []
    while time[0] < 400:
        own.grow()
        before = consortium.asked.count("caf")
        rounds.tick()
        when += [time[0]] * (consortium.asked.count("caf") - before)
        time[0] += 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(when)]
    assert gaps[:5] == [4, 8, 16, 32, MOST_SECONDS]
    assert consortium.asked.count("cpam") > 150, "the others are asked as before"
    consortium.down.clear()
    time[0] += MOST_SECONDS
    rounds.tick()
    assert hub.state == "ok"


def test_who_has_cosigned_the_newest_is_left_alone(own: OwnLog, consortium: Consortium, tmp_path: Path) -> None:
    time = [0.0]
    hub = open_hub(own, consortium, tmp_path)
    rounds = Rounds(hub.witnesses, SLUGS, Now(), seconds=1, now=lambda: time[0])
    for _ in range(20):
        rounds.tick()
        time[0] += 5
    assert consortium.asked == list(SLUGS)


def test_a_witness_that_hangs_is_asked_once_and_holds_up_nobody(
    own: OwnLog, consortium: Consortium, tmp_path: Path
) -> None:
    hub = open_hub(own, consortium, tmp_path)
    goes_on = threading.Event()
    consortium.lies["caf"] = lambda: (goes_on.wait(120), NOTHING)[1]
    with ThreadPoolExecutor(3) as pool:
        rounds = Rounds(hub.witnesses, SLUGS, pool, seconds=0.001)
        end = monotonic() + 100
        try:
            while min(map(consortium.asked.count, ("cpam", "ccas"))) <= 20:
                assert monotonic() < end, consortium.asked
                own.grow()
                rounds.tick()
                threading.Event().wait(0.005)
            assert consortium.asked.count("caf") == 1
        finally:
            goes_on.set()
