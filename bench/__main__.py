"""``python -m bench``: every figure, as a Markdown table and in ``bench/results.md``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import (
    caf_stream,
    decide,
    erasure,
    flood,
    index_scale,
    known,
    leak,
    ledger,
    linkage,
    log_check,
    pull,
    readers,
    validate,
)
from bench.harness import QUICK, Result, Say, Scale

BENCHES: dict[str, Callable[[Scale, Say], Result]] = {
    "decide": decide.run,
    "validate": validate.run,
    "readers": readers.run,
    "caf_stream": caf_stream.run,
    "linkage": linkage.run,
    "pull": pull.run,
    "ledger": ledger.run,
    "log_check": log_check.run,
    "index_scale": index_scale.run,
    "erasure": erasure.run,
    "flood": flood.run,
    "known": known.run,
    "leak": leak.run,
}
RESULTS = Path(__file__).parent / "results.md"


def report(results: Mapping[str, Result], load: float) -> str:
    """Return ``results`` as the Markdown page ``bench/results.md``; ``load`` is what else the machine was doing."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {platform.system()}"
    lines = [
        "# Figures",
        "",
        f"`make bench`, {datetime.now(UTC):%Y-%m-%d}, {machine}; load average {load:.1f} when it began.",
        "",
        "Medians (lowest–highest) of interleaved runs beside the bare limit of the same stack; the ratio is taken pair",
        "by pair. Computation is timed in CPU seconds, the pull by the clock. Only ratios compare between machines.",
        "",
        "| figure | ours | bare | ratio | |",
        "|---|---|---|---|---|",
        *(figure.line() for result in results.values() for figure in result.figures),
        "",
    ]
    for name, result in results.items():
        lines.append(
            f"- **{name}** (wanted: {result.wanted}). Measured: {result.measured} Dominates: {result.dominates}"
        )
        lines += [f"  - {fact}" for fact in result.information]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benches asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHES, action="append", help="this figure alone (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="seconds, not minutes; the numbers mean little")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    given = parser.parse_args()
    scale = QUICK if given.quick else Scale()
    say = partial(print, file=sys.stderr, flush=True)
    results, load = {}, os.getloadavg()[0]
    for name in given.only or BENCHES:
        say(f"{name} …")
        results[name] = BENCHES[name](scale, lambda line: say(f"  {line}"))
    page = report(results, load)
    print(json.dumps({name: asdict(result) for name, result in results.items()}) if given.json else page)
    if not given.quick and not given.only:
        RESULTS.write_text(page, encoding="utf-8")
        say(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS.name}")


if __name__ == "__main__":
    main()
