"""A store of its own in a folder, without the hub around it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, select

from connectors.kit.runtime.clock import Clock, FakeClock
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash, root_from_hashes
from consent.ledger.note import SignerKey
from consent.ledger.replay import Reveal, replay
from hub.store import tables
from hub.store.access import AccessEvent, AccessKind
from hub.store.engine import open_engine
from hub.store.journal import Draft, leaf_of, opening_of
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import UnitOfWork, Writer
from hub.wrapping import WrappingKeys

SYSTEM_KEY = b"k" * 32
ORIGIN = "hub.example/log"
LOG_KEY = SignerKey.from_seed(ORIGIN, b"l" * 32)


def open_sequencer(*keys: SignerKey) -> Sequencer:
    """The sequencer of the store's log."""
    return Sequencer(keys or (LOG_KEY,))


def open_secrets(folder: Path, clock: Clock) -> SecretStore:
    """The secrets of the store in ``folder``; its wrapping keys are made the first time."""
    path = folder / "wrapping.keys"
    wrapping = WrappingKeys.load(path) if path.exists() else WrappingKeys.create(path)
    return SecretStore(folder / "secrets.db", wrapping, clock, system_key=SYSTEM_KEY)


def refused_access(uow: UnitOfWork, person: PersonId | None = None) -> int:
    payload = {"fields": ["droits.rsa.etat"]}
    event = AccessEvent(
        EventId(new_uuid()),
        AccessKind.DECIDED,
        "0" * 32,
        person,
        "ccas",
        "refused",
        payload,
        agent="a",
        fields={"droits.rsa.etat": "x"},
    )
    return uow.access.append(event).seq


class Store:
    """A writer on a folder, which can be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.engine = open_engine(folder / "hub.db")
        upgrade(self.engine, "hub")
        self.start()

    def start(self, *keys: SignerKey) -> None:
        self.sequencer = open_sequencer(*keys)
        self.secrets = open_secrets(self.folder, self.clock)
        self.writer = Writer(self.engine, self.secrets, self.sequencer, self.clock)
        vkeys = [key.verifier.vkey for key in self.sequencer.held]
        self.writer.run(lambda uow: uow.in_force.take_log_keys(vkeys))

    def restart(self, *keys: SignerKey) -> None:
        self.writer.close()
        self.secrets.close()
        self.start(*keys)

    def add(self, count: int) -> None:
        self.writer.run(lambda uow: uow.journal.append_all(drafts(count)))


def drafts(count: int) -> list[Draft]:
    return [Draft(EventClass.POLICY, {"event": "x"}) for _ in range(count)]


def recompute(engine: Engine) -> int:
    """Compute the whole log again from the journal, in the simplest way; return its size."""
    with engine.connect() as connection:
        events = connection.execute(select(tables.journal).order_by(tables.journal.c.seq)).all()
        entries = connection.execute(select(tables.entry).order_by(tables.entry.c.leaf_index)).all()
        notes = connection.execute(select(tables.checkpoint).order_by(tables.checkpoint.c.size)).all()
        tiles = connection.execute(select(tables.tile)).all()
        assert connection.execute(select(tables.inbox)).all() == []
        (size,) = connection.execute(select(tables.tree_head.c.size)).scalars()
        keys = connection.execute(select(tables.log_key)).all()
    leaves = [leaf_of(row).encode() for row in events]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert [row.leaf_index for row in entries] == list(range(len(events)))
    assert [row.seq for row in entries] == [row.seq for row in events]
    assert [row.leaf_hash for row in entries] == hashes
    assert size == len(events) == (notes[-1].size if notes else 0)
    for row in notes:
        assert row.root == root_from_hashes(hashes[: row.size])
    lowest = sorted((row for row in tiles if row.level == 0), key=lambda row: row.idx)
    assert b"".join(row.hashes for row in lowest) == b"".join(hashes)
    index = {row.seq: row.leaf_index for row in entries}
    reveals = {index[r.seq]: r for r in events if r.seq in {key.seq for key in keys}}
    openings = {n: opening_of(row, SYSTEM_KEY) for n, row in reveals.items()}
    fault = replay(
        leaves,
        [row.note for row in notes],
        KeyHistory(ORIGIN, (KeySpan(LOG_KEY.verifier),)),
        {n: Reveal(opened.r32, opened.envelope) for n, opened in openings.items()},
    )
    assert fault is None
    return size
