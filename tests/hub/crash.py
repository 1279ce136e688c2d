"""``python -m tests.hub.crash --runs 200``: the writer killed with SIGKILL, at random moments and at every failpoint.

One process prepares a real hub (keys, policy, persons, signed consent events) and forks a writer for each run: no
import is paid twice. The writer accepts consents, registers persons and logs accesses from four threads, and says what
was acknowledged through a pipe. Then it is killed. After each run everything is computed again from the files.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection, text
from sqlalchemy import select as query

from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.ids import EventId, PersonId, new_trace_id, new_uuid
from consent.ledger.checkpoint import open_note
from consent.ledger.merkle import leaf_hash
from consent.ledger.tile import Frontier, append
from consent.model import EventKind
from hub.app import close_hub
from hub.home import HubHome
from hub.keyring import Keyring
from hub.services import consents, register
from hub.store import tables
from hub.store.access import AccessEvent, AccessFilter, AccessKind
from hub.store.engine import open_engine
from hub.store.journal import leaf_of
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import Reads, UnitOfWork, Writer
from hub.wrapping import WrappingKeys
from tests.hub.conftest import World, record_key, tokens
from tests.hub.failpoints import FAILPOINTS, RANDOM, arm, die

THREADS = 4
PER_RUN = 40
COLLECTOR = "departement"
LONGEST = 0.06
"""Seconds after which a writer killed at a random moment is killed at the latest."""
HANGS = 120.0
"""Seconds without a word after which a writer counts as hanging."""


@dataclass
class Report:
    """What the runs came to."""

    runs: dict[str, int] = field(default_factory=collections.Counter)
    interrupted: int = 0
    acknowledged: dict[str, int] = field(default_factory=collections.Counter)
    leaves: int = 0
    checkpoints: int = 0
    lost: int = 0
    duplicates: int = 0
    inconsistent: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing twice, nothing that does not fit together."""
        return self.lost == self.duplicates == self.inconsistent == 0

    def __str__(self) -> str:
        points = ", ".join(f"{name}: {count}" for name, count in sorted(self.runs.items()))
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(self.acknowledged.items()))
        return (
            f"{sum(self.runs.values())} runs ({points}), {self.interrupted} cut short, {self.seconds:.1f} s\n"
            f"acknowledged: {said}; {self.leaves} leaves, {self.checkpoints} checkpoints\n"
            f"lost: {self.lost}, duplicate indices: {self.duplicates}, inconsistent: {self.inconsistent}"
        )


Work = Callable[[UnitOfWork], str]


@dataclass(frozen=True)
class Item:
    """One write: what it does, and the kind and name under which it is acknowledged."""

    kind: str
    work: Work


class Store:
    """The hub's files, opened as the hub does, without the hub."""

    def __init__(self, home: HubHome, origin: str, clock: FakeClock, *, writes: bool) -> None:
        self.keyring = Keyring.load(home.keyring)
        wrapping, key = WrappingKeys.load(home.wrapping), self.keyring.system_key
        self.secrets = SecretStore(home.secrets, wrapping, clock, system_key=key)
        self.sequencer = Sequencer(home.log_signers(origin))
        self.engine = open_engine(home.database)
        self.writer = Writer(self.engine, self.secrets, self.sequencer, clock) if writes else None
        self.reads = Reads(open_engine(home.database, read_only=True), self.secrets, clock)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reads.close()
        self.secrets.close()
        self.engine.dispose()


class Crash:
    """The prepared hub, the runs and what must hold after each."""

    def __init__(self, folder: Path, runs: int, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (moments, not secrets)
        self.report = Report()
        world = World(folder)
        self.home, self.origin, self.clock = world.home, world.settings.origin, world.clock
        self.policy, self.partner = world.hub.policy.get(), world.directory.partner(COLLECTOR)
        persons = min(250, 2 * runs)
        refs = [world.register(COLLECTOR, n) for n in range(1, persons + 1)]
        directory, now = world.hub.directory.get(), self.clock.now()
        bodies = [world.event(refs[n % len(refs)], EventKind.GRANTED) for n in range(runs * PER_RUN * 3 // 4)]
        self.submissions = [consents.examine(body, self.partner, directory, self.policy, now) for body in bodies]
        self.persons = [
            PersonId(found)
            for found in world.hub.reads.run(
                lambda uow: list(uow.connection.execute(query(tables.person.c.person_id)).scalars())
            )
        ]
        close_hub(world.hub)
        self.newcomer = persons
        self.done: set[str] = set()
        self.acknowledged: list[tuple[str, str]] = []
        self.tree = Frontier()
        self.roots: dict[int, bytes] = {0: self.tree.root()}
        self.leaves: list[bytes] = []
        self.signed = 0

    def run(self, point: str) -> None:
        """One writer, killed at ``point``; then check everything."""
        items = list(self._items())
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._write(items, point, self.chance.randint(1, 12), writing)
        os.close(writing)
        said = self._listen(pid, reading, point)
        os.close(reading)
        self.report.runs[point] += 1
        self.report.interrupted += len(said) < len(items)
        for line in said:
            kind, _, name = line.partition(" ")
            self.report.acknowledged[kind] += 1
            self.acknowledged.append((kind, name))
            self.done.add(name.rpartition("/")[2])
        self.check(said)

    def _items(self) -> Iterator[Item]:
        """Consents mostly; new persons and accesses, which draw secrets, among them. A month later each time: an
        access is then the first of its month."""
        self.clock.advance(timedelta(days=31))
        fresh = [each for each in self.submissions if each.digest not in self.done]
        for _ in range(PER_RUN):
            roll = self.chance.random()
            if roll < 0.7:
                # Now and then one that was acknowledged already: it changes nothing.
                yield self._consent(self.chance.choice(fresh if self.chance.random() < 0.9 else self.submissions))
            elif roll < 0.85:
                yield self._newcomer()
            else:
                yield self._access(self.chance.choice(self.persons))

    def _consent(self, submission: consents.Submission) -> Item:
        def accept(uow: UnitOfWork) -> str:
            made = consents.accept(uow, self._keyring, self.policy, COLLECTOR, submission)
            return f"{made['receipt_id']}/{submission.event.record_id}/{submission.digest}"

        return Item("consent", accept)

    def _newcomer(self) -> Item:
        self.newcomer += 1
        number = self.newcomer
        made = tokens(1).to_wire()
        chance = random.Random(number)  # noqa: S311
        made["tokens"] = [[kind, b64url.encode(chance.randbytes(32))] for kind, _ in made["tokens"]]
        wire = {"record_key": record_key(number), "sections": [], **made}

        def add(uow: UnitOfWork) -> str:
            prepared = register.prepare(self._keyring, self.partner, [wire])
            return str(register.register(uow, self._keyring, COLLECTOR, prepared)[0]["ref"])

        return Item("person", add)

    def _access(self, person: PersonId) -> Item:
        def log(uow: UnitOfWork) -> str:
            event_id = EventId(new_uuid())
            fields = {"event_id": event_id, "kind": AccessKind.READ, "trace_id": new_trace_id()}
            uow.access.append(AccessEvent(**fields, person_id=person, partner="ccas", outcome="read", payload={}))  # type: ignore[arg-type]
            return f"{event_id}/{person}"

        return Item("access", log)

    # --- in the writer's process ---------------------------------------------------------------------------------

    def _write(self, items: list[Item], point: str, nth: int, writing: int) -> None:
        """Write until killed; never returns."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        store = Store(self.home, self.origin, self.clock, writes=True)
        self._keyring = store.keyring
        arm(store.engine, point, nth)
        os.write(writing, b"ready\n")

        def send(mine: list[Item]) -> None:
            for item in mine:
                assert store.writer is not None
                name = store.writer.run(item.work)
                os.write(writing, f"{item.kind} {name}\n".encode())

        threads = [threading.Thread(target=send, args=(items[n::THREADS],)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(writing, b"end\n")
        die()

    # --- in the process that stays -------------------------------------------------------------------------------

    def _listen(self, pid: int, reading: int, point: str) -> list[str]:
        """Return the whole lines the writer said before it died: at once, at its failpoint, or by our hand."""
        said, limit = b"", None
        while True:
            ready, _, _ = select.select([reading], [], [], 0.002 if limit is not None else HANGS)
            if ready:
                part = os.read(reading, 1 << 16)
                if not part:
                    break
                said += part
                if limit is None and b"\n" in said and point == RANDOM:
                    limit = time.monotonic() + self.chance.random() * LONGEST
            elif limit is None:
                os.kill(pid, signal.SIGKILL)  # a writer that hangs: nothing it might still say counts
                raise AssertionError("the writer hangs")
            if limit is not None and time.monotonic() >= limit:
                os.kill(pid, signal.SIGKILL)
                limit = time.monotonic() + HANGS
        os.waitpid(pid, 0)
        return [line for line in said.decode().split("\n")[:-1] if " " in line]

    def check(self, said: list[str]) -> None:
        """Count what was lost, stands twice or does not fit together."""
        store = Store(self.home, self.origin, self.clock, writes=False)
        try:
            with store.engine.connect() as connection:
                self._check_tree(connection, store)
                self._check_secrets(connection, store)
            for line in said:
                kind, _, name = line.partition(" ")
                self.report.lost += not self._is_kept(store, kind, name)
        finally:
            store.close()

    def check_all(self) -> None:
        """Look for everything ever acknowledged once more, and at the files themselves."""
        store = Store(self.home, self.origin, self.clock, writes=False)
        self.report.lost += sum(not self._is_kept(store, kind, name) for kind, name in self.acknowledged)
        with store.engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            digests = connection.execute(query(tables.consent_event.c.jws_digest)).scalars().all()
            self.report.duplicates += len(digests) - len(set(digests))
        store.close()

    def _check_tree(self, connection: Connection, store: Store) -> None:
        count = len(self.leaves)
        rows = connection.execute(
            query(tables.journal, tables.entry.c.leaf_index, tables.entry.c.leaf_hash)
            .outerjoin(tables.entry, tables.entry.c.seq == tables.journal.c.seq)
            .order_by(tables.journal.c.seq)
            .offset(count)
        ).all()
        hashes = [leaf_hash(leaf_of(row).encode()) for row in rows]
        for n, (row, hashed) in enumerate(zip(rows, hashes, strict=True), start=count):
            self.report.duplicates += row.leaf_index is not None and row.leaf_index != n
            self.report.inconsistent += row.leaf_hash != hashed
            self.tree, _ = append(self.tree, [hashed])
            self.roots[n + 1] = self.tree.root()
        self.leaves += hashes
        numbers = connection.execute(query(tables.entry.c.leaf_index)).scalars().all()
        self.report.duplicates += len(numbers) - len(set(numbers))
        self.report.inconsistent += sorted(numbers) != list(range(len(self.leaves)))
        self.report.inconsistent += connection.execute(query(tables.inbox)).first() is not None
        self.report.inconsistent += connection.execute(query(tables.erasing)).first() is not None
        keys = [signer.verifier for signer in store.sequencer.held]
        notes = connection.execute(query(tables.checkpoint).order_by(tables.checkpoint.c.size)).all()
        for row in notes:
            if row.size > self.signed:
                signed = open_note(row.note, keys)
                told = (signed.checkpoint.size, signed.checkpoint.root)
                self.report.inconsistent += not signed.signatures or told != (row.size, self.roots.get(row.size))
        self.signed = notes[-1].size if notes else 0
        self.report.inconsistent += self.signed != len(self.leaves)
        self.report.leaves, self.report.checkpoints = len(self.leaves), len(notes)
        store.sequencer.check(connection)

    def _check_secrets(self, connection: Connection, store: Store) -> None:
        """Nothing is in the hub's file whose key is not in the other: that one was durable before."""
        tags = {
            tag
            for table in (tables.access_event, tables.match_event)
            for tag in connection.execute(query(table.c.subject_tag).distinct()).scalars()
            if tag is not None
        }
        persons = [PersonId(found) for found in connection.execute(query(tables.person.c.person_id)).scalars()]
        self.report.inconsistent += len(tags - set(store.secrets.by_tag(tags)))
        self.report.inconsistent += len(set(persons) - set(store.secrets.refs(persons)))

    def _is_kept(self, store: Store, kind: str, name: str) -> bool:
        first, second, digest, *_ = (*name.split("/"), "", "")

        def look(uow: UnitOfWork) -> bool:
            if kind == "consent":
                found = uow.consents.by_receipt(first)
                if found is None or found != uow.consents.record(second).accepted.get(digest):
                    return False
                index = uow.log.index_of_event(found.seq)
                return index is not None and uow.consents.opening(found) is not None
            if kind == "person":
                person = register.resolve(uow, store.keyring, COLLECTOR, first)
                return person is not None and store.keyring.ref(COLLECTOR, uow.secrets.refs([person])[person]) == first
            rows, _ = uow.access.search(AccessFilter(owner=second), 10_000)
            return first in {row.event_id for row in rows}

        return store.reads.run(look)


def crash(folder: Path, runs: int, seed: int, say: Callable[[str], None] = lambda line: None) -> Report:
    """Run ``runs`` writers, half of them killed at a random moment, the others at each failpoint in turn."""
    began = time.monotonic()
    made = Crash(folder, runs, seed)
    for number in range(runs):
        made.run(RANDOM if number % 2 else FAILPOINTS[number // 2 % len(FAILPOINTS)])
        if (number + 1) % 20 == 0:
            say(f"{number + 1} runs …")
    made.check_all()
    made.report.seconds = time.monotonic() - began
    return made.report


def _say(where: TextIO, line: str) -> None:
    where.write(f"{line}\n")
    where.flush()


def main() -> int:
    """Run and report; 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub.crash", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = crash(Path(folder), given.runs, given.seed, lambda line: _say(sys.stderr, line))
    _say(sys.stdout, str(report))
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
