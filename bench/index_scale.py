"""The index as it grows: registering and looking up among a million persons, beside ten thousand and bare inserts.

The table is filled in bulk with tokens drawn at random, of the kinds and in the numbers a real record has, in the
order of its key; a third of the tokens of close dates are shared by two persons, as namesakes share them. What is then
measured is the product's own path: ``prepare`` and ``register`` through the writer, with the log, in requests of a
hundred records; and ``candidates`` and ``match`` on a reader. Bare: the same rows into the same tables, one commit a
request, by ``executemany`` alone.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from bench.harness import Figure, Result, Say, Scale, figure_of
from connectors.kit.identity import parse_identity
from connectors.kit.runtime import b64url
from connectors.kit.runtime.ids import PartnerSlug, PersonId, new_uuid
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from connectors.kit.trust import DirectoryPartner
from hub.app import close_hub, create_app
from hub.index.placing import candidates
from hub.index.rules import IndexRecord, Link, match
from hub.services.register import Registration, prepare, register
from hub.store.engine import sqlite_module
from hub.store.index import IndexedToken
from hub.store.session import UnitOfWork
from tests.hub.conftest import World

_BATCH = 100
_LOOKUPS = 1_000
_SHARED = frozenset({"sg_ym", "sg_y", "sg_yd", "sg_dm", "sg_md", "sgp"})
_FLAGS = '{"date_precision":"jour","ne_a_l_etranger":false,"nir":"coherent","nombre_prenoms":2,"premier_janvier":false}'
_CAF = DirectoryPartner(PartnerSlug("caf"), "CAF", "caisse", "CAF", "active", {}, {}, "", nir_autorise=True)


def run(scale: Scale, say: Say) -> Result:
    """Measure at the sizes of ``scale``: 10,000 and 1,000,000 persons; ``--quick``: 500 and 2,000."""
    small, large = (500, 2_000) if scale.pairs < 5 else (10_000, int(os.environ.get("BENCH_PERSONS", "1000000")))
    kinds = [kind for kind, _ in _real_tokens().tokens]
    say(f"{len(kinds)} tokens a record")
    measured = {size: _measure(size, kinds, scale, say) for size in (small, large)}
    look_up = figure_of(
        f"look-up among {large:,} beside {small:,}",
        list(zip(measured[large]["medians"], measured[small]["medians"], strict=True)),
        f"p99 {measured[large]['p99']:.1f} ms beside {measured[small]['p99']:.1f} ms; wanted ≤ 1.5×, 5 ms",
        unit=" ms",
    )
    figures = (measured[large]["registration"], look_up)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Result(
        figures,
        "registration ≥ 0.4× of bare inserts of the same rows and ≥ 300/s; look-up ≤ 1.5× and p99 ≤ 5 ms; ≤ 500 MB",
        f"{large:,} persons, {measured[large]['file']:.1f} GB of database, {memory:.0f} MB of memory at most.",
        "the tokens of a record: some sixty rows in two trees, in places far apart.",
    )


def _measure(size: int, kinds: list[str], scale: Scale, say: Say) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="maillon-scale-") as folder:
        world = World(Path(folder))
        say(f"{size:,}: filling")
        began = time.monotonic()
        close_hub(world.hub)
        # In a process of its own: what building takes is not the hub's memory.
        filling = multiprocessing.get_context("spawn").Process(target=_fill, args=(world.home.database, size, kinds))
        filling.start()
        filling.join()
        assert filling.exitcode == 0
        world.app = create_app(world.settings, clock=world.clock, sources=world.edges)
        say(f"{size:,}: filled in {time.monotonic() - began:.0f} s")
        lookups = _look_up(world, size, scale)
        say(f"{size:,}: look-up {statistics.median(lookups['medians']):.2f} ms, p99 {lookups['p99']:.1f} ms")
        registration = _register(world, size, scale)
        say(f"{size:,}: registration {registration.ours}, bare {registration.bare}")
        file = world.home.database.stat().st_size / 1e9
        close_hub(world.hub)
        return {**lookups, "registration": registration, "file": file}


def _real_tokens(seed: int = 0) -> TokenSet:
    """The tokens of a person with a NIR, two given names and a birthplace in France."""
    rng = random.Random(seed)  # noqa: S311
    letters = "abcdeilmnorstuv"
    name = "".join(rng.choice(letters) for _ in range(8)).capitalize()
    given = ["".join(rng.choice(letters) for _ in range(6)).capitalize() for _ in range(2)]
    identity = parse_identity(
        {
            "nom_naissance": name,
            "prenoms": given,
            "sexe": "F",
            "date_naissance": f"{rng.randint(1940, 2005)}-{rng.randint(1, 12):02}-{rng.randint(2, 28):02}",
            "code_cog_insee_commune_naissance": "45234",
        },
        date(2026, 11, 22),
    )
    made = tokens_of(identity, HmacTokeniser(bytes(32), 1))
    return TokenSet((("nir", rng.randbytes(32)), ("nir_gd", rng.randbytes(32)), *made.tokens), made.flags)


def _fill(path: Path, size: int, kinds: list[str]) -> None:
    """Put ``size`` persons with a record each into the file, in the order of the token table's key."""
    connection = sqlite_module().connect(str(path), isolation_level=None)
    for pragma in (
        "journal_mode=OFF",
        "synchronous=OFF",
        "cache_size=-400000",
        "temp_store=MEMORY",
        "foreign_keys=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
    index = connection.execute("SELECT sql FROM sqlite_master WHERE name='ix_token_person_id'").fetchone()[0]
    connection.execute("DROP INDEX ix_token_person_id")
    connection.execute("BEGIN")
    persons, at = [_uuid(n) for n in range(size)], 1_700_000_000_000_000
    for statement, rows in (
        ("INSERT INTO person VALUES (?, ?, 0, 0)", ((p, at) for p in persons)),
        ("INSERT INTO subject_head VALUES (?, 0, NULL)", ((p,) for p in persons)),
        ("INSERT INTO record VALUES (?, 'cpam', ?, ?, ?)", ((p, os.urandom(16), _FLAGS, at) for p in persons)),
        ("INSERT INTO link VALUES (?, ?, ?, NULL, 'new', 'hub')", ((p, p, at) for p in persons)),
        ("INSERT INTO holding VALUES (?, 'cpam', ?, 'droits', ?)", ((p, p, at) for p in persons)),
        ("INSERT INTO token VALUES (?, ?, 1, ?, ?, ?)", _token_rows(persons, kinds)),
    ):
        connection.executemany(statement, rows)
    connection.execute(index)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _token_rows(persons: list[str], kinds: list[str]) -> Iterator[tuple[object, ...]]:
    size, count = len(persons), len(persons) * len(kinds)
    step, low = 2**64 // count, -(2**63)
    shared: tuple[int, bytes] | None = None
    stride = next(n for n in range(size // 3 + 1, 2 * size) if size % n and _coprime(n, size))
    for n in range(count):
        whose, kind = persons[(n * stride) % size], kinds[n // size]
        lookup, value = (low + n * step, os.urandom(16)) if shared is None else shared
        shared = (lookup, value) if shared is None and kind in _SHARED and n % 3 == 0 else None
        yield lookup, kind, value, whose, whose


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def _uuid(n: int) -> str:
    text = f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}{n:016x}"
    return "-".join((text[:8], text[8:12], "4" + text[13:16], "8" + text[17:20], text[20:32]))


def _look_up(world: World, size: int, scale: Scale) -> dict[str, Any]:
    rng = random.Random(1)  # noqa: S311
    people = [PersonId(_uuid(rng.randrange(size))) for _ in range(_LOOKUPS if scale.pairs > 5 else 100)]
    taken: list[float] = []
    for person in people:
        tokens = world.hub.reads.run(lambda uow, p=person: _stored(uow, p))
        record = IndexRecord(_by_kind(tokens), world.hub.reads.run(lambda uow, p=person: _flags(uow, p)))

        def find(uow: UnitOfWork, tokens: tuple[IndexedToken, ...] = tokens, record: IndexRecord = record) -> object:
            return match(record, candidates(uow.index, tokens, record) or ())

        for n in range(2):  # the first reads from the disk, as a stranger's would; the second is what is counted
            began = time.perf_counter()
            answer = world.hub.reads.run(find)
            if n:
                taken.append((time.perf_counter() - began) * 1000)
        assert isinstance(answer, Link)
        assert answer.person == person
    groups = [taken[n :: scale.pairs] for n in range(scale.pairs)]
    return {"medians": [statistics.median(group) for group in groups], "p99": statistics.quantiles(taken, n=100)[98]}


def _stored(uow: UnitOfWork, person: PersonId) -> tuple[IndexedToken, ...]:
    return tuple(uow.index.tokens_of(person, person))


def _flags(uow: UnitOfWork, person: PersonId) -> dict[str, Any]:
    return dict(uow.index.records_of(person)[0].flags)


def _by_kind(tokens: tuple[IndexedToken, ...]) -> dict[str, frozenset[bytes]]:
    kinds: dict[str, set[bytes]] = {}
    for token in tokens:
        kinds.setdefault(token.kind, set()).add(token.value)
    return {kind: frozenset(values) for kind, values in kinds.items()}


def _register(world: World, size: int, scale: Scale) -> Figure:
    hub = world.hub
    bare = _bare(world.home.database)
    samples: list[tuple[float, float]] = []
    made = iter(range(10**9))
    for _ in range(max(3, scale.pairs // 2)):
        records = [
            {"record_key": b64url.encode(secrets.token_bytes(16)), "sections": ["droits"], **_real_tokens(n).to_wire()}
            for n in islice(made, _BATCH)
        ]
        began = time.perf_counter()
        prepared = prepare(hub.keyring, _CAF, records)
        hub.writer.run(lambda uow, p=prepared: register(uow, hub.keyring, "caf", p))
        ours = _BATCH / (time.perf_counter() - began)
        began = time.perf_counter()
        _insert_bare(bare, prepared)
        samples.append((ours, _BATCH / (time.perf_counter() - began)))
    bare.close()
    return figure_of(f"registration among {size:,}", samples, "records; with match events, log and refs; wanted ≥ 0.4×")


def _bare(path: Path) -> Any:
    """The same file, so that the bare inserts meet the same trees; events go to a table of their own, unsigned."""
    connection = sqlite_module().connect(str(path), isolation_level=None, timeout=30)
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE bare_journal (seq INTEGER PRIMARY KEY, event_id TEXT UNIQUE, sealed BLOB)")
    return connection


def _insert_bare(connection: Any, prepared: list[Registration]) -> None:
    at, zero = 1_700_000_000_000_000, bytes(32)
    connection.execute("BEGIN IMMEDIATE")
    rows = [(new_uuid(), new_uuid(), r) for r in prepared]
    many = connection.executemany
    many("INSERT INTO person VALUES (?, ?, 0, 0)", [(p, at) for p, _, _ in rows])
    many("INSERT INTO subject_head VALUES (?, 1, ?)", [(p, zero) for p, _, _ in rows])
    many("INSERT INTO record VALUES (?, 'bare', ?, ?, ?)", [(r, each.stored_key, _FLAGS, at) for _, r, each in rows])
    many("INSERT INTO link VALUES (?, ?, ?, NULL, 'new', 'hub')", [(p, r, at) for p, r, _ in rows])
    many("INSERT INTO holding VALUES (?, 'bare', ?, 'droits', ?)", [(p, r, at) for p, r, _ in rows])
    many(
        "INSERT INTO person_ref VALUES (?, 'bare', 1, ?, ?)",
        [(p, os.urandom(16), p) for p, _, _ in rows],
    )
    many("INSERT INTO bare_journal (event_id, sealed) VALUES (?, ?)", [(new_uuid(), os.urandom(400)) for _ in rows])
    tokens = [
        (t.lookup, t.kind, t.epoch, t.value, r, p)
        for p, r, each in rows
        for t in sorted(each.tokens, key=lambda t: t.lookup)
    ]
    many("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", tokens)
    connection.execute("COMMIT")
