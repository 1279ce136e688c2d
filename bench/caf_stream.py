"""A CAF stream into the edge store, beside bare lxml over the same bytes; each run alone in its own process.

``python -m bench.caf_stream ours|bare FILE`` is such a run: it prints one JSON object.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from bench import rsa_stream
from bench.harness import Figure, Result, Say, Scale, figure_of
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import ingest
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, SourceFile, bundled_directory
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.tokens import HmacTokeniser

FORMAT = "rsa_mensuel"


@dataclass(frozen=True)
class Run:
    """What one process did: persons, quarantined entries, seconds, CPU seconds, peak resident memory in MB."""

    persons: int
    quarantined: int
    seconds: float
    cpu: float
    peak_mb: float


def ours(path: Path) -> tuple[int, int]:
    """Bring the file into a new edge store with the shipped CAF folder; return (persons kept, entries set aside)."""
    partner = PartnerFolder.load(bundled_directory() / "caf")
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeStore.open(Path(folder) / "edge.db", b"s" * 32)
        report = ingest([SourceFile(path, FORMAT)], partner, store, HmacTokeniser(b"k" * 32, 1), SystemClock())
        store.close()
    return report.subjects.total(), report.quarantined.total()


def bare(path: Path) -> tuple[int, int]:
    """Walk the file's households with lxml, clearing each, and count persons: the least any reader must do."""
    persons = 0
    for _, element in etree.iterparse(str(path), events=("end",), tag="InfosFoyerRSA"):
        persons += len(element.findall("Personne"))
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
    return persons, 0


def read(path: Path) -> tuple[int, int]:
    """Only read the records (a part of ``ours``)."""
    native = PartnerFolder.load(bundled_directory() / "caf").formats[FORMAT]
    with path.open("rb") as stream:
        return sum(1 for _ in native.reader.read(stream)), 0


def mapped(path: Path) -> tuple[int, int]:
    """Only read, check and map the records (a part of ``ours``)."""
    native = PartnerFolder.load(bundled_directory() / "caf").formats[FORMAT]
    with path.open("rb") as stream:
        return sum(1 for _ in map_stream(stream, native, SystemClock().now())), 0


WORK: dict[str, Callable[[Path], tuple[int, int]]] = {"ours": ours, "bare": bare, "read": read, "mapped": mapped}


def measure(kind: str, path: Path) -> Run:
    """Do one run of ``WORK[kind]`` in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.caf_stream", kind, str(path)], capture_output=True, check=True)
    return Run(**json.loads(done.stdout))


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    figures: list[Figure] = []
    told, parts = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for persons in scale.persons:
            path = Path(folder) / f"flux-{persons}.xml"
            written = rsa_stream.write(path, persons)
            say(f"{written:,} persons, {path.stat().st_size / 1e6:,.0f} MB of XML")
            runs = []
            for _ in range(max(1, min(5, 60_000 // persons))):
                runs.append((measure("ours", path), measure("bare", path)))
                say(f"  {runs[-1][0].seconds:.1f} s, bare {runs[-1][1].seconds:.2f} s, {runs[-1][0].peak_mb:.0f} MB")
            assert all(run.persons == written and not run.quarantined for pair in runs for run in pair)
            peak = max(ours.peak_mb for ours, _ in runs)
            rates = [(written / ours.cpu, written / bare.cpu) for ours, bare in runs]
            figures.append(figure_of(f"caf_stream, {persons:,} persons", rates, f"peak {peak:.0f} MB"))
            took = min(ours.seconds for ours, _ in runs)
            told.append(f"{persons:,} persons: {took:.0f} s by the clock, peak {peak:.0f} MB of resident memory")
            if persons == scale.persons[min(1, len(scale.persons) - 1)]:
                parts = _parts(path, runs[-1][0])
            path.unlink()
    return Result(
        figures=tuple(figures),
        wanted="memory flat, ≤ 250 MB at 200,000 persons",
        measured=(
            "a generated monthly RSA stream through the shipped CAF folder: reader, record schema, mapping, fragment "
            "schema, tokens, sealed rows, one durable commit per 500 persons. "
            "Bare: `lxml.etree.iterparse` over the same file, clearing."
        ),
        dominates=parts,
        information=tuple(told),
    )


def _parts(path: Path, whole: Run) -> str:
    read_seconds, mapped_seconds = measure("read", path).cpu, measure("mapped", path).cpu
    shares = (read_seconds, mapped_seconds - read_seconds, whole.cpu - mapped_seconds)
    names = ("reading", "checking and mapping", "identity, tokens and store")
    told = ", ".join(f"{name} {share / whole.cpu:.0%}" for name, share in zip(names, shares, strict=True))
    return f"of the CPU: {told}."


def peak_mb() -> float:
    """Return this process's peak resident memory in MB."""
    try:
        # Not getrusage alone: on Linux its maximum begins with what the parent held when it started this process.
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(kind: str, path: str) -> None:
    """Do one run here and print it."""
    wall, cpu = time.perf_counter(), time.process_time()
    persons, quarantined = WORK[kind](Path(path))
    done = Run(persons, quarantined, time.perf_counter() - wall, time.process_time() - cpu, peak_mb())
    print(json.dumps(done.__dict__))


if __name__ == "__main__":
    main(*sys.argv[1:])
