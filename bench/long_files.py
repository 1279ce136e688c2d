"""A CSV and an XML stream too long for the memory, killed with ``kill -9`` in the middle and gone on with.

``python -m bench.long_files --gigabytes 1 --persons 1000000`` takes hours and is no part of ``make bench``: it prints a
Markdown table. Each file is brought into a new edge store by a process of its own, which draws the same progress bar as
``maillon ingest``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import rsa_stream
from bench.caf_stream import peak_mb
from bench.readers import HEADINGS, row
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import IngestReport, ingest
from connectors.kit.partner import PartnerFolder, SourceFile, bundled_directory
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.tokens import HmacTokeniser
from hub.cli.output import progress_bar

LIMIT_MB = 300


@dataclass(frozen=True)
class Done:
    """What the process that finished a file says of itself."""

    records: int
    resumed: int
    set_aside: int
    held: int
    first_commit: float
    seconds: float
    peak_mb: float


def table(path: Path, size: float) -> int:
    """Write the département's export until it holds ``size`` bytes; return how many persons that is."""
    chance, number = random.Random(3), 0  # noqa: S311 (the same file every time)
    with path.open("w", encoding="utf-8") as out:
        out.write(";".join(HEADINGS) + "\n")
        while out.tell() < size:
            for _ in range(1000):
                out.write(";".join(row(number, chance)) + "\n")
                number += 1
    return number


def child(slug: str, format_name: str, path: str, store_path: str, hold: str) -> None:
    """Bring one file in, telling the peak memory at each commit on standard output, and the end as JSON.

    With a ``hold`` above 0 it waits to be killed at the second commit that has so many records: however late the
    killer comes, the file is not finished.
    """
    began, first, held = time.perf_counter(), 0.0, False
    store = EdgeStore.open(Path(store_path), b"s" * 32)

    def progress(report: IngestReport) -> None:
        nonlocal first, held
        if held:
            sys.stdin.read()
        held = 0 < int(hold) <= report.resumed + report.records
        first = first or time.perf_counter() - began
        progress_bar(report.bytes_read, report.bytes_total, f"{report.resumed + report.records:,} records")
        print(report.resumed + report.records, f"{peak_mb():.0f}", flush=True)

    partner = PartnerFolder.load(bundled_directory() / slug)
    file = SourceFile(Path(path), format_name)
    report = ingest([file], partner, store, HmacTokeniser(b"k" * 32, 1), SystemClock(), progress)
    counts = (report.records, report.resumed, report.quarantined.total(), store.count())
    store.close()
    print(json.dumps(asdict(Done(*counts, first, time.perf_counter() - began, peak_mb()))), flush=True)


def measure(slug: str, format_name: str, path: Path, folder: Path, records: int) -> str:
    """Ingest ``path``, killing the first process once half of ``records`` are in; return a row of the table."""
    command = [sys.executable, "-m", "bench.long_files", "--child", slug, format_name, str(path)]
    command.append(str(folder / f"{format_name}.db"))
    half = [*command, str((records + 1) // 2)]
    began = time.perf_counter()
    with subprocess.Popen(half, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if len(line.split()) < 2:  # cut short: the next one tells
                continue
            reached, peak = line.split()[0], float(line.split()[1])
            if int(reached) * 2 >= records:
                break
        first.kill()
    killed = time.perf_counter() - began
    second = subprocess.run([*command, "0"], stdout=subprocess.PIPE, text=True, check=True)
    done = Done(**json.loads(second.stdout.splitlines()[-1]))
    assert not done.set_aside
    assert done.resumed + done.records == records
    assert max(peak, done.peak_mb) < LIMIT_MB
    size = f"{path.stat().st_size / 1e6:,.0f} MB, {done.held:,} persons"
    return (
        f"| {format_name} | {size} | {max(peak, done.peak_mb):.0f} MB | {killed + done.seconds:,.0f} s | "
        f"{killed:,.0f} s, {int(reached):,} records | {done.first_commit:,.1f} s |"
    )


def main() -> None:
    """Write the files, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.long_files", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    print("| file | size | peak memory | time in all | killed after | second process: to its first commit |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "export.csv"
        rows = table(path, given.gigabytes * 1e9)
        print(measure("departement", "accompagnement", path, folder, rows), flush=True)
        path.unlink()
        path = folder / "flux.xml"
        rsa_stream.write(path, given.persons)
        with path.open("rb") as stream:
            stream.seek(-120, 2)
            households = int(stream.read().split(b"<NBTOTDOSRSATRANSM>")[1].split(b"<")[0])
        print(measure("caf", "rsa_mensuel", path, folder, households), flush=True)


if __name__ == "__main__":
    main()
