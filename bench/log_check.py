"""The audit's tree part, an inclusion proof through the service, and ``maillon verify`` from a cold start.

The audit reads every leaf from the journal, hashes it, compares it with its entry and every tile: beside it, what no
audit can do without, the two SHA-256 a leaf. Proofs are beside hashing as many nodes as they have.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bench.harness import Figure, Result, Say, Scale, compare, figure_of
from consent.ledger import tile
from consent.ledger.checkpoint import Checkpoint, SignerKey, sign
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from hub.log_check.snapshot import open_snapshot
from hub.log_check.tree import Trust, check_tree
from hub.services import log
from hub.store.engine import open_engine, sqlite_module
from hub.store.migrations import upgrade
from hub.store.session import UnitOfWork

ORIGIN = "bench.example/log"
KEY = SignerKey.from_seed(ORIGIN, b"b" * 32)
TRUST = Trust(KeyHistory(ORIGIN, (KeySpan(KEY.verifier),)))
_SEALED = b"s" * 900
_BATCH = 10_000
_NODES = 20


def build(path: Path, leaves: int) -> None:
    """Write a hub's database of so many access events, with the log over them."""
    engine = open_engine(path)
    upgrade(engine, "hub")
    engine.dispose()
    connection: Any = sqlite_module().connect(str(path), isolation_level=None)
    connection.execute("DROP TRIGGER journal_to_inbox")
    connection.execute("PRAGMA synchronous=OFF")
    frontier = tile.Frontier()
    for start in range(0, leaves, _BATCH):
        numbers = range(start, min(start + _BATCH, leaves))
        rows = [_leaf(number) for number in numbers]
        hashes = [leaf_hash(leaf.encode()) for leaf in rows]
        frontier, changed = tile.append(frontier, hashes)
        connection.execute("BEGIN")
        connection.executemany(
            'INSERT INTO journal (seq, event_id, class, "at", commitment, ciphertext_digest, sealed) '
            "VALUES (?, ?, 'access', ?, ?, ?, ?)",
            [
                (n + 1, _uuid(leaf.event_id), leaf.at_us, leaf.commitment, leaf.ciphertext_digest, _SEALED)
                for n, leaf in zip(numbers, rows, strict=True)
            ],
        )
        connection.executemany(
            "INSERT INTO entry VALUES (?, ?, ?)", [(n, n + 1, h) for n, h in zip(numbers, hashes, strict=True)]
        )
        connection.executemany(
            "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes",
            [(each.level, each.index, data) for each, data in changed],
        )
        connection.execute("COMMIT")
    note = sign(Checkpoint(ORIGIN, leaves, frontier.root()), [KEY])
    connection.execute("UPDATE tree_head SET size = ?", (leaves,))
    connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", (leaves, frontier.root(), note, leaves))
    connection.close()


def audit(path: Path) -> int:
    """Do the tree part of ``maillon log fsck``; return how many leaves."""
    with open_snapshot(path) as snapshot:
        return check_tree(snapshot, TRUST, lambda *_: None).size


def bare(leaves: list[bytes]) -> int:
    """Hash each leaf and one node a leaf; return how many leaves."""
    sha256, node = hashlib.sha256, b"\x01" + bytes(64)
    for leaf in leaves:
        sha256(b"\x00" + leaf).digest()
        sha256(node).digest()
    return len(leaves)


def run(scale: Scale, say: Say) -> Result:
    """Measure; the log has as many leaves as the largest stream has persons."""
    leaves = max(scale.persons) * (5 if max(scale.persons) >= 200_000 else 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hub.db"
        say(f"a log of {leaves:,} leaves")
        build(path, leaves)
        encoded = [_leaf(number).encode() for number in range(min(leaves, 200_000))]
        samples = []
        for _ in range(min(scale.pairs, 5)):
            samples.append((_rate(lambda: audit(path)), _rate(lambda: bare(encoded))))
            say(f"audit {samples[-1][0]:,.0f} leaves/s, bare {samples[-1][1]:,.0f}")
        figures = (
            figure_of(f"log fsck, tree part, {leaves:,} leaves", samples, "wanted ≥ 200,000/s"),
            _proofs(path, leaves, scale),
        )
    return Result(
        figures,
        "fsck ≥ 200,000 leaves/s; inclusion proofs ≥ 2,000/s at 1 M leaves; verify < 0.5 s",
        "leaves read from the database, hashed, held against entries, tiles and the signed root.",
        "reading rows and packing leaves; a proof: the tiles it hashes out.",
    )


def _proofs(path: Path, leaves: int, scale: Scale) -> Figure:
    engine = open_engine(path, read_only=True)
    chance, node = random.Random(1), b"\x01" + bytes(64)  # noqa: S311 (which leaf is asked for)
    try:
        with engine.connect() as connection, connection.begin():
            # Proofs read no secret.
            uow = UnitOfWork(connection, cast(Any, None), datetime.now(UTC))

            def ours() -> int:
                log.inclusion(uow, chance.randrange(leaves))
                return 1

            def hashes() -> int:
                for _ in range(_NODES):
                    hashlib.sha256(node).digest()
                return 1

            return compare(f"inclusion proof, {leaves:,} leaves", ours, hashes, scale, "wanted ≥ 2,000/s")
    finally:
        engine.dispose()


def _rate(work: Any) -> float:
    start = time.process_time()
    done: int = work()
    return done / (time.process_time() - start)


def _leaf(number: int) -> Leaf:
    digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return Leaf(EventClass.ACCESS, digest[:16], 1_800_000_000_000_000 + number, digest, digest[::-1])


def _uuid(event_id: bytes) -> str:
    text = event_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
