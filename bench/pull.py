"""A pull from three live edges, beside a bare chain of the same hops: real processes, loopback, the tick off."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import bare_chain
from bench.harness import Figure, Result, Say, Scale, figure_of, rate_of
from connectors.kit.edge import Edge
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.pull import pull
from connectors.kit.pull_request import Ask, sign_request
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.transport import JOSE, Transport
from consent.model import Attributes
from hub.cli.demo.deployment import HUB, Deployment, must
from hub.cli.demo.processes import Fleet, Running, free_ports
from hub.cli.demo.scenario import AGENTS, RECIPIENT, SHIPPED

SOURCES = ("caf", "cpam", "france_travail")
CLIENTS = 8
FIELDS = ("droits.*", "ressources.*", "emploi.*", "identite.*")
_ASK: dict[str, Any] = {
    "purpose": "accompagnement_global",
    "role": "referent_parcours",
    "agent": "a.martin",
    "case": "2026-17",
}


@dataclass(frozen=True)
class Sizes:
    """Bytes of one pull on the wire: its request, one order, one fragment."""

    request: int
    order: int
    fragment: int


@contextmanager
def deployment(base: Path) -> Iterator[Deployment]:
    """Run a hub with the tick off and the demo's four edges, filled; one person agreed to three sources."""
    made = Deployment.create(base, {slug: slug for slug in (*SOURCES, RECIPIENT)})
    settings = made.home(HUB) / "hub.toml"
    settings.write_text("tick_ms = 0\n" + settings.read_text("utf-8"), "utf-8")
    with made.fleet:
        made.start()
        for slug in made.partners:
            made.ingest(slug, [file.path for file in PartnerFolder.load(bundled_directory() / slug).samples("demo")])
        must(
            *("consent", "grant", "--home", str(made.home(RECIPIENT)), "--person", SHIPPED.maelle, *AGENTS),
            *("--notice", _ASK["purpose"], *(part for slug in SOURCES for part in ("--source", slug))),
        )
        yield made


@contextmanager
def chain(base: Path, sizes: Sizes) -> Iterator[str]:
    """Run the bare chain; yield the URL of its front."""
    fleet = Fleet(base)
    with fleet:
        *behind, before = free_ports(len(SOURCES) + 1)
        told = {bare_chain.ANSWER_BYTES: str(sizes.fragment)}
        backs = [_serve(fleet, "back", told, base, port) for port in behind]
        environment = {
            bare_chain.DATABASE: str(base / "bare.db"),
            bare_chain.BACKS: " ".join(back.url for back in backs),
            bare_chain.ORDER_BYTES: str(sizes.order),
        }
        front = _serve(fleet, "front", environment, base, before)
        for running in fleet.running.values():
            running.wait_healthy()
        yield front.url


def _serve(fleet: Fleet, kind: str, environment: dict[str, str], base: Path, port: int) -> Running:
    home = base / str(port)
    home.mkdir(parents=True)
    return fleet.start_module(f"{kind}-{port}", "bench.bare_chain", [kind, str(port), str(home)], port, environment)


def whole(edge: Edge) -> None:
    """Do one pull as a desk does: sign the request, send it, open and assemble three fragments."""
    got = pull(edge, SHIPPED.maelle, fields=FIELDS, **_ASK)
    if got.reports or got.dossier["gaps"]:
        raise RuntimeError("a source did not answer")


def weigh(edge: Edge) -> Sizes:
    """Do one pull and return what it weighed; raises when not all three sources answered."""
    index = edge.policy.index
    fields = index.paths(sum(index.select(selector) for selector in FIELDS))
    case, agent = edge.tag("case", _ASK["case"]), edge.tag("agent", _ASK["agent"])
    ref, tokens = edge.store.ref_of(SHIPPED.maelle), edge.store.tokens_of(SHIPPED.maelle)
    if ref is None or tokens is None:
        raise RuntimeError("the person is not registered")
    ask = Ask(_ASK["purpose"], _ASK["role"], Attributes(), agent, case, fields)
    sent = sign_request(ask, ref, tokens, edge.operational(), edge.directory.version, edge.clock.now())
    items = edge.hub.pull(sent.jws, sent.ref, sent.salt)["fragments"]
    assert sorted(item["source"] for item in items) == sorted(SOURCES), "not every source answered"
    order, fragment = (round(statistics.mean(len(item[part]) for item in items)) for part in ("order", "fragment"))
    return Sizes(len(sent.jws), order, fragment)


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        say("a hub, four edges, four bare endpoints: starting")
        with deployment(base / "ours") as made:
            edge = Edge.open(made.home(RECIPIENT), SystemClock())
            sizes = weigh(edge)
            with chain(base / "bare", sizes) as url:
                transport, body = Transport(), b"q" * sizes.request

                def bare() -> None:
                    transport.call("POST", f"{url}/v1/pulls", body=body, content_type=JOSE, accept=JOSE)

                figures, cpu = _measure(lambda: whole(edge), bare, made, scale, say)
            edge.close()
    return Result(
        figures=figures,
        wanted="a ratio, no bound",
        measured=(
            "`connectors.kit.pull.pull` as a desk calls it, from three edges of the demo, durable, tick off. Bare: one "
            "Flask endpoint with two durable inserts through the hub's own writer and three parallel calls to bare "
            f"Flask endpoints, same server, same client, same bytes ({sizes.request:,} asked, orders of "
            f"{sizes.order:,}, fragments of {sizes.fragment:,})."
        ),
        dominates=cpu,
    )


def _measure(
    ours: Callable[[], None], bare: Callable[[], None], made: Deployment, scale: Scale, say: Say
) -> tuple[tuple[Figure, ...], str]:
    for operation in (ours, bare) * 3:
        operation()
    latencies, rates, shares = [], [], []
    for _ in range(scale.pairs):
        latencies.append((_median_ms(ours, 20), _median_ms(bare, 20)))
        before, mine = _cpu(made), time.process_time()
        done, seconds = _many(ours, scale.seconds * 10)
        mine = time.process_time() - mine
        shares.append(
            {name: (cpu - before[name]) / done for name, cpu in _cpu(made).items()} | {"the desk": mine / done}
        )
        rates.append((done / seconds, (bare_done := _many(bare, scale.seconds * 10))[0] / bare_done[1]))
        say("{:.1f} ms, bare {:.1f} ms; {:.0f}/s, bare {:.0f}/s".format(*latencies[-1], *rates[-1]))
    told = [f"{name} {rate_of(share[name] for share in shares).median * 1000:.1f} ms" for name in shares[0]]
    slow = figure_of("pull, 1 client, p50", latencies, "time: less is better", unit=" ms")
    return (slow, figure_of(f"pull, {CLIENTS} clients", rates)), f"CPU of one pull: {', '.join(told)}."


def _median_ms(operation: Callable[[], None], times: int) -> float:
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        operation()
        samples.append((time.perf_counter() - start) * 1000)
    return statistics.median(samples)


def _many(operation: Callable[[], None], seconds: float) -> tuple[int, float]:
    """Repeat ``operation`` from ``CLIENTS`` threads for about ``seconds``; return how often, and how long it took."""
    start = time.perf_counter()

    def client(_: int) -> int:
        done = 0
        while time.perf_counter() - start < seconds:
            operation()
            done += 1
        return done

    with ThreadPoolExecutor(CLIENTS) as pool:
        done = sum(pool.map(client, range(CLIENTS)))
    return done, time.perf_counter() - start


def _cpu(made: Deployment) -> dict[str, float]:
    """Return the CPU seconds of each process group of ours, edges that answer taken together (Linux; else empty)."""
    found: dict[str, float] = {}
    groups = {
        running.process.pid: "the hub" if name == HUB else "each source"
        for name, running in made.fleet.running.items()
        if name != RECIPIENT
    }
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        name = groups.get(int(state[2]))
        if name is not None:
            share = len(SOURCES) if name == "each source" else 1
            seconds = (int(state[11]) + int(state[12])) / os.sysconf("SC_CLK_TCK")
            found[name] = found.get(name, 0.0) + seconds / share
    return found
