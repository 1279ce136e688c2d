"""Erasing one person among a million, beside a bare durable commit: from the decision to emptied write-ahead logs."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.harness import Result, Say, Scale, figure_of
from connectors.kit.erasure_decision import sign_decision
from connectors.kit.policy_folder import PACKAGED_CONFIG
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.ids import EventId, PersonId, new_trace_id, new_uuid
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import jws_digest
from connectors.kit.trust import OperationalKeys
from consent.ledger.note import SignerKey
from hub.deadlines import load_deadlines
from hub.erasure_register import ErasureRegister
from hub.keyring import Keyring
from hub.services.erasure import Decision, Eraser, erase
from hub.services.matching import By, join
from hub.store.access import AccessEvent, AccessKind
from hub.store.engine import open_engine, sqlite_module
from hub.store.instant import Instant
from hub.store.migrations import upgrade
from hub.store.persons import RefRow
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import Reads, UnitOfWork, Writer
from hub.store.trace import end_of_traces, month_of
from hub.wrapping import WrappingKeys

TOKENS: Final = 9
"""Per record. One record a person; the erased have three, of persons that turned out to be one."""
JOINED: Final = 3
CONSENTS: Final = 20
ACCESSES: Final = 200
PARTNER: Final = "departement"
_KINDS: Final = " ".join(f"kind{n}:1" for n in range(TOKENS))
_PART: Final = 20_000


def run(scale: Scale, say: Say) -> Result:
    """Fill a store with as many persons as the largest stream of ``scale`` has times five, erase some, say how long."""
    persons = max(scale.persons) * 5
    with tempfile.TemporaryDirectory(prefix="maillon-bench-") as folder:
        home = Path(folder)
        say(f"a store of {persons:,} persons …")
        eraser = _open(home)
        began = time.perf_counter()
        _fill(home, persons)
        filled = time.perf_counter() - began
        erased = [_live(eraser, persons, number) for number in range(scale.pairs)]
        size = sum(path.stat().st_size for path in home.iterdir()) / 2**30
        say(f"  {size:.1f} GiB in {filled:.0f} s; {scale.pairs} erasures …")
        keys = OperationalKeys.mint(SigningKey.generate(), "dpo", SystemClock().now())
        samples = [(_erase(eraser, keys, ref), _commit(eraser)) for ref in erased]
        _close(eraser)
    slowest = 1000 / min(ours for ours, _ in samples)
    return Result(
        (figure_of("erasure against a bare durable commit", samples, f"{persons:,} persons"),),
        "one erasure in at most 1 s at 1,000,000 persons",
        f"slowest of {scale.pairs} at {persons:,} persons: {slowest:,.0f} ms.",
        "the neighbours' secrets wrapped again, and syncs: two commits, register, key slots, two logs emptied.",
        (
            f"each erased person: {JOINED} persons a review joined, with {JOINED} records, "
            f"{JOINED * TOKENS} tokens, {CONSENTS} consent events, {ACCESSES} traces",
            f"{persons // 4096} neighbours share each of {JOINED} buckets; the store has {size:.1f} GiB",
        ),
    )


def _open(home: Path) -> Eraser:
    clock, keyring = SystemClock(), Keyring.create(home / "keyring.json")
    keyring.add_partners([PARTNER])
    engine = open_engine(home / "hub.db")
    upgrade(engine, "hub")
    store = SecretStore(
        home / "secrets.db", WrappingKeys.create(home / "wrapping.keys"), clock, system_key=keyring.system_key
    )
    sequencer = Sequencer([SignerKey.from_seed("bench.example/log", secrets.token_bytes(32))])
    writer = Writer(engine, store, sequencer, clock)
    reads = Reads(open_engine(home / "hub.db", read_only=True), store, clock)
    register = ErasureRegister(home / "erasures.log")
    return Eraser(writer, reads, store, keyring, register, load_deadlines(PACKAGED_CONFIG))


def _fill(home: Path, persons: int) -> None:
    """Write everybody straight into the tables: ids in their order, evenly over the buckets; no event about them."""
    at = SystemClock().now()
    now, ends = Instant.to_microseconds(at), Instant.to_microseconds(end_of_traces(month_of(at), 12))
    wrapping = WrappingKeys.load(home / "wrapping.keys")
    with _unsafe(home / "hub.db") as connection:
        for part in _parts(persons):
            connection.execute("BEGIN")
            for sql, rows in _rows([_id(n, persons) for n in part], part, now):
                connection.executemany(sql, rows)
            connection.execute("COMMIT")
    with _unsafe(home / "secrets.db") as connection:
        for part in _parts(persons):
            wrapped, traces = [], []
            for n in part:
                who = _id(n, persons)
                wrapped += [(who, use, wrapping.wrap(who, use, bytes(32)), now) for use in ("s_ref", "k_consent")]
                key = wrapping.wrap(who, f"k_trace/{month_of(at)}", bytes(32))
                traces.append((who, month_of(at), secrets.token_bytes(16), key, ends, 0))
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO person_secret (person_id, use, wrapped, created_at) VALUES (?, ?, ?, ?)", wrapped
            )
            connection.executemany("INSERT INTO trace_key VALUES (?, ?, ?, ?, ?, ?)", traces)
            connection.execute("COMMIT")


def _rows(ids: list[str], numbers: range, now: int) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
    records = [f"{who[:-1]}r" for who in ids]
    yield "INSERT INTO person VALUES (?, ?, 0, 0)", [(who, now) for who in ids]
    yield "INSERT INTO subject_head VALUES (?, 0, NULL)", [(who,) for who in ids]
    yield (
        "INSERT INTO record VALUES (?, ?, ?, '{}', ?)",
        [(each, PARTNER, secrets.token_bytes(16), now) for each in records],
    )
    yield (
        "INSERT INTO link VALUES (?, ?, ?, NULL, 'new', 'hub')",
        [(who, each, now) for who, each in zip(ids, records, strict=True)],
    )
    yield (
        "INSERT INTO holding VALUES (?, ?, ?, 'droits', ?)",
        [(who, PARTNER, each, now) for who, each in zip(ids, records, strict=True)],
    )
    yield "INSERT INTO person_ref VALUES (?, ?, 1, ?, ?)", [(who, PARTNER, secrets.token_bytes(16), who) for who in ids]
    yield (
        "INSERT INTO token_set VALUES (?, ?, ?, 1, ?, ?, ?)",
        [
            (n, each, who, _KINDS, TOKENS, b"".join(_token(n * TOKENS + k) for k in range(TOKENS)))
            for n, who, each in zip(numbers, ids, records, strict=True)
        ],
    )
    yield (
        "INSERT INTO token VALUES (?, ?)",
        [(n * TOKENS + k, n) for n in numbers for k in range(TOKENS)],
    )


def _token(lookup: int) -> bytes:
    return lookup.to_bytes(8, "big", signed=True) + secrets.token_bytes(16)


def _live(eraser: Eraser, persons: int, number: int) -> str:
    """Let three persons, each with a partner's record, agreements and a year of being asked about, turn out to be one;
    return a ref of it."""
    first = persons // 2 + 7919 * number % (persons // 3)
    joined = [PersonId(_id((first + persons // 8 * n) % persons, persons)) for n in range(JOINED)]
    ref = eraser.keyring.ref(PARTNER, secrets.token_bytes(32))

    def write(uow: UnitOfWork) -> None:
        uow.persons.add_refs([RefRow(joined[0], PARTNER, 2, eraser.keyring.ref_lookup(PARTNER, ref), joined[0])])
        for n in range(CONSENTS):
            jws = secrets.token_urlsafe(1500)
            uow.consents.append(
                joined[n % JOINED],
                record_id=new_uuid(),
                kind="granted",
                collector=PARTNER,
                jws=jws,
                digest=jws_digest(jws),
                salt=bytes(16),
            )
        for n in range(ACCESSES):
            payload = {"record": {"fields": ["x" * 20] * 40}}
            whom = joined[n % JOINED]
            event = AccessEvent(
                EventId(new_uuid()), AccessKind.DECIDED, new_trace_id(), whom, PARTNER, "allowed", payload
            )
            uow.access.append(event)
        kept = joined[0]
        for other in joined[1:]:
            kept = join(uow, kept, other, By("bench", "one person"))

    eraser.writer.run(write)
    return ref


def _erase(eraser: Eraser, keys: OperationalKeys, ref: str) -> float:
    signed = sign_decision(PARTNER, ref, "traitement_illicite", "2026-17", keys, SystemClock().now())
    decision = Decision(
        PARTNER, ref, eraser.deadlines.reasons["traitement_illicite"], signed.jws, jws_digest(signed.jws)
    )
    began = time.perf_counter()
    erase(eraser, decision)
    return 1 / (time.perf_counter() - began)


def _commit(eraser: Eraser) -> float:
    """One row, durably, by the same writer."""
    expires: datetime = SystemClock().now()
    began = time.perf_counter()
    eraser.writer.run(lambda uow: uow.bookkeeping.use_once("bench", new_uuid(), expires))
    return 1 / (time.perf_counter() - began)


@contextmanager
def _unsafe(path: Path) -> Iterator[Any]:
    """A connection for filling: nothing here has to survive a power cut, and each reference is right as it is made."""
    connection = sqlite_module().connect(path, isolation_level=None)
    for pragma in ("synchronous=OFF", "foreign_keys=OFF", "temp_store=MEMORY", "cache_size=-400000"):
        connection.execute(f"PRAGMA {pragma}")
    try:
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _parts(persons: int) -> Iterator[range]:
    for first in range(0, persons, _PART):
        yield range(first, min(first + _PART, persons))


def _id(number: int, persons: int) -> str:
    head = number * 2**32 // persons
    return f"{head:08x}-0000-4000-8000-{number:012x}"


def _close(eraser: Eraser) -> None:
    eraser.writer.close()
    eraser.reads.close()
    eraser.secrets.close()
