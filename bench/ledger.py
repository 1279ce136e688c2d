"""A consent acknowledged under a signed checkpoint, beside a bare durable insert through the same writer; and how fast
events become leaves.

Real files, real commits, a real hub in this process; the callers are threads that each wait for their answer.
"""

from __future__ import annotations

import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path

from sqlalchemy import text

from bench.harness import Result, Say, Scale, figure_of, rate_of
from connectors.kit.consent_events import Collection, Template, sign_event
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import DirectoryPartner, PartnerSlug, Root, RotatingKeys
from consent.ledger.leaf import EventClass
from consent.model import EventKind
from hub.app import close_hub, open_hub
from hub.home import HubHome
from hub.services import consents, register
from hub.services.runtime import Hub
from hub.settings import load_settings
from hub.store.journal import Draft
from hub.store.session import UnitOfWork

THREADS = 32
URL = "http://127.0.0.1:1"
COLLECTOR = "departement"
_FIELDS = ("droits.rsa.etat", "droits.rsa.date_debut_droit", "ressources.quotient_familial")
_KINDS = ("nir", "nir_gd", "insi", "sgd", "sg2d", "sdp", "gdp")
_PERSONS_AT_ONCE = 250
_BARE = text("INSERT INTO bench_bare (body) VALUES (:body)")
_EVENT = b"e"
_LEAVES = 10_000


@dataclass(frozen=True)
class Ground:
    """A hub with one partner that may collect, and the persons it registered."""

    hub: Hub
    keys: RotatingKeys
    refs: Iterator[str]
    """The persons, over and over."""
    tokens: TokenSet

    def events(self, count: int) -> list[dict[str, str]]:
        """Return so many signed agreements, as they are sent, one person after the other."""
        policy, now = self.hub.policy.get(), self.hub.clock.now()
        template = Template(
            kind=EventKind.GRANTED,
            purpose="accompagnement_global",
            notice=(policy.notice("accompagnement_global", "1"), "fr"),
            fields=_FIELDS,
            sources=(COLLECTOR,),
            recipients=((COLLECTOR, ()),),
            controllers=("Département",),
            retention="P2Y",
            withdrawal_method="au guichet",
            end=now + timedelta(days=30),
            collection=Collection(evidence="E1", agent=b64url.encode(bytes(32)), second_agent=b64url.encode(b"2" * 32)),
        )
        made = []
        for ref in islice(self.refs, count):
            signed = sign_event(template, ref, self.tokens, self.keys(), policy, now)
            made.append({"event": signed.jws, "ref": ref, "salt": signed.salt})
        return made

    def examine(self, event: dict[str, str]) -> consents.Submission:
        """Check signatures, certificate, schema, names and notice, as the hub does before its writer is asked."""
        directory, policy = self.hub.directory.get(), self.hub.policy.get()
        return consents.examine(event, directory.partner(COLLECTOR), directory, policy, self.hub.clock.now())

    def accept(self, submission: consents.Submission) -> None:
        """Have one agreement accepted: resolve, fold, check, seal, chain, leaf, checkpoint, commit."""
        policy, keyring = self.hub.policy.get(), self.hub.keyring
        self.hub.writer.run(lambda uow: consents.accept(uow, keyring, policy, COLLECTOR, submission))

    def bare(self, row: bytes) -> None:
        """Insert one row of the same size, durably, through the same writer, as everything else in the hub does."""
        self.hub.writer.run(lambda uow: uow.connection.execute(_BARE, {"body": row}))

    def barest(self, row: bytes) -> None:
        """The same past SQLAlchemy, by plain SQL, as the store's own hottest statements."""
        self.hub.writer.run(lambda uow: uow.sql.run("INSERT INTO bench_bare (body) VALUES (?)", (row,)))


@contextmanager
def ground(folder: Path, persons: int) -> Iterator[Ground]:
    """Make the hub, its partner and so many persons; close it at the end."""
    clock, home = SystemClock(), HubHome(folder / "hub")
    entry = home.create(url=URL, host="127.0.0.1", port=1, operator="bench", clock=clock)
    identity, root = SigningKey.generate(), Root.create(folder / "root.json")
    seal_key = SealKey.generate().public_jwk
    partner = DirectoryPartner(
        PartnerSlug(COLLECTOR), "Bench", COLLECTOR, "bench", "active", identity.public_jwk, seal_key, "",
        supplies=_FIELDS, nir_autorise=True, can_collect=True,
    )  # fmt: skip
    home.install_directory(root.sign_directory([entry, partner], 1, clock.now()), root.public_jwk, clock)
    hub = open_hub(load_settings(home.path, {}))
    try:
        hub.writer.run(lambda uow: uow.sql.run("CREATE TABLE bench_bare (id INTEGER PRIMARY KEY, body BLOB)", ()))
        yield Ground(hub, RotatingKeys(identity, COLLECTOR, clock), cycle(_register(hub, partner, persons)), _tokens())
    finally:
        close_hub(hub)


def _register(hub: Hub, partner: DirectoryPartner, persons: int) -> list[str]:
    refs: list[str] = []
    while len(refs) < persons:
        count = min(_PERSONS_AT_ONCE, persons - len(refs))
        wires = [
            {"record_key": b64url.encode(secrets.token_bytes(16)), "sections": ["droits"], **_tokens().to_wire()}
            for _ in range(count)
        ]
        prepared = register.prepare(hub.keyring, partner, wires)
        made = hub.writer.run(lambda uow: register.register(uow, hub.keyring, COLLECTOR, prepared))  # noqa: B023
        refs += [row["ref"] for row in made]
    return refs


def _tokens() -> TokenSet:
    flags: dict[str, str | int | bool] = {
        "nir": "coherent", "date_precision": "jour", "ne_a_l_etranger": False, "nombre_prenoms": 1,
    }  # fmt: skip
    return TokenSet(tuple((kind, secrets.token_bytes(32)) for kind in _KINDS), flags)


def together(operations: Sequence[Callable[[], None]]) -> tuple[float, float]:
    """Run ``operations`` from :data:`THREADS` threads that wait for each; return how many a second, and the 99th
    percentile of one in milliseconds."""
    took: list[float] = []
    start = threading.Barrier(THREADS + 1)

    def caller(mine: Sequence[Callable[[], None]]) -> None:
        start.wait()
        for operation in mine:
            began = time.perf_counter()
            operation()
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=caller, args=(operations[n::THREADS],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    assert len(took) == len(operations), "a caller failed"
    return len(operations) / seconds, statistics.quantiles(took, n=100)[98] * 1000


def integrate(hub: Hub, leaves: int) -> float:
    """Have ``leaves`` waiting events put into the log and signed; return how many a second of CPU."""
    took = 0.0

    def work(uow: UnitOfWork) -> None:
        nonlocal took
        uow.journal.append_all([Draft(EventClass.POLICY, {"event": "bench"}) for _ in range(leaves)])
        began = time.thread_time()
        hub.sequencer.integrate(uow.connection, uow.at)
        took = time.thread_time() - began

    hub.writer.run(work)
    return leaves / took


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    many, pairs = THREADS * max(2, round(scale.seconds * 100)), min(scale.pairs, 7)
    accepted, service, late, late_bare, barest = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder, ground(Path(folder), 2 * pairs * many) as made:
        say(f"{2 * pairs * many:,} persons; {THREADS} callers; {many} first agreements a run")
        for _ in range(pairs):
            submissions = [made.examine(event) for event in made.events(many)]
            row = _EVENT * (len(submissions[0].jws) + 76)
            bare, bare_p99 = together([lambda: made.bare(row)] * many)  # noqa: B023
            ours, p99 = together([lambda s=s: made.accept(s) for s in submissions])  # type: ignore[misc]
            barest.append(together([lambda: made.barest(row)] * many)[0])  # noqa: B023
            accepted.append((ours, bare))
            late.append(p99)
            late_bare.append(bare_p99)
            events = made.events(many)
            whole, _ = together([lambda e=e: made.accept(made.examine(e)) for e in events])  # type: ignore[misc]
            service.append((whole, bare))
            say(f"accepted {ours:,.0f}/s (p99 {p99:.0f} ms), whole {whole:,.0f}/s, bare {bare:,.0f}/s")
        # The persons come round: each has one agreement, read by nobody for a while.
        second = [made.examine(event) for event in made.events(many)]
        again, _ = together([lambda s=s: made.accept(s) for s in second])  # type: ignore[misc]
        leaves = [integrate(made.hub, min(_LEAVES, many * 10)) for _ in range(pairs)]
    return Result(
        figures=(
            figure_of("consent accepted, under a signed checkpoint", accepted, "wanted ≥ 0.35×, ≥ 1,000/s"),
            figure_of("consent, the whole service", service, "with its two signatures, schema and notice"),
        ),
        wanted="≥ 0.35×, ≥ 1,000/s, p99 ≤ 50 ms; integration ≥ 50,000 leaves/s",
        measured=(
            f"{THREADS} threads that each wait for a durable answer. Accepted: the register's part of an examined "
            "agreement (resolve, fold what is there, check, seal, chain, leaf, signed checkpoint, commit); the whole "
            "service verifies it first. Bare: one insert of as many bytes through the same writer, which then has "
            "nothing to put in the log. Each is its person's first."
        ),
        dominates="SQLite: a consent touches eight tables and as many indexes, the bare row one; then the flush.",
        information=(
            f"accepted, of persons who have one agreement already, unsealed and parsed again: {again:,.0f}/s",
            f"the bare insert past SQLAlchemy, by plain SQL: {rate_of(barest)}",
            f"p99 of an accepted consent: {rate_of(late, ' ms')}; of the bare insert: {rate_of(late_bare, ' ms')}",
            f"integration, {min(_LEAVES, many * 10):,} waiting events in one go, CPU: {rate_of(leaves, ' leaves/s')}",
        ),
    )
