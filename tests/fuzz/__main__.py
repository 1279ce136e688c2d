"""``python -m tests.fuzz SLUG --source FORMAT --minutes N``: fuzz one format, ``--each-reader`` or ``--all`` in turn.

What breaks is written to ``tests/fuzz/findings/`` and tried again by every test run. Coverage-guided with the
dependency group ``fuzz`` installed (``make fuzz`` does both); blind mutation of the samples without, or ``--blind``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ATHERIS = importlib.util.find_spec("atheris") is not None
MEMORY_MB = 600
TOLD_EVERY = 30.0


def say(line: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def one(slug: str, format_name: str, seconds: float, *, blind: bool, seed: int) -> None:
    """Fuzz one format in this process."""
    atheris = None if blind else importlib.import_module("atheris")
    if atheris is None:
        target = importlib.import_module("tests.fuzz.target")
    else:
        with atheris.instrument_imports(include=["connectors"]):
            target = importlib.import_module("tests.fuzz.target")
    runner = importlib.import_module("tests.fuzz.runner")
    partners = importlib.import_module("connectors.kit.partner")
    partner = partners.PartnerFolder.load(partners.bundled_directory() / slug)
    seeds, template = target.seeds(partner, format_name)
    find = runner.Finder(f"{slug}.{format_name}", partial(target.check, partner, format_name))
    as_file = partial(target.as_file, template=template)
    if atheris is None:
        runner.blindly(find, seeds, as_file, seconds, seed)
        sys.stderr.write(f"stat::number_of_executed_units: {find.tried}\n")
        return
    with tempfile.TemporaryDirectory() as corpus:
        for place, data in enumerate(seeds):
            (Path(corpus) / str(place)).write_bytes(data)
        flags = {
            "max_total_time": int(seconds),
            "timeout": int(target.SLOWEST * 2),
            "rss_limit_mb": MEMORY_MB,
            "max_len": target.LONGEST,
            "seed": seed,
            "print_final_stats": 1,
            "verbosity": 0,
            "artifact_prefix": f"{runner.FINDINGS}/{slug}.{format_name}.",
        }
        runner.guided(atheris, find, as_file, [*(f"-{k}={v}" for k, v in flags.items()), corpus])


def run(slug: str, format_name: str, seconds: float, *, blind: bool, seed: int) -> tuple[int, int]:
    """Fuzz one format in processes of their own until ``seconds`` have passed; return (inputs tried, findings).

    A process that libFuzzer ends early (a hang, too much memory) has left its input, and another takes over.
    """
    say(f"{slug} {format_name}, for {seconds:.0f} s")
    start, tried, found = time.monotonic(), 0, 0
    while (left := seconds - (time.monotonic() - start)) > 1:
        more = ["--blind"] if blind else []
        command = [sys.executable, "-m", "tests.fuzz", slug, "--source", format_name, "--child", str(left)]
        told = _run([*command, "--seed", str(seed), *more], lambda: say(f"  {time.monotonic() - start:.0f} s"))
        counts = re.findall(r"stat::number_of_executed_units:\s*(\d+)", told)
        tried += int(counts[-1]) if counts else 0
        news = re.findall(r"^found: .*|^.*SUMMARY: .*", told, re.MULTILINE)
        found += len(news)
        seed += 1
        for line in news:
            say(f"  {line}")
        if not counts and not news:
            raise SystemExit(told[-2000:])
    say(f"{slug} {format_name}: {tried:,} inputs in {seconds:.0f} s, {found} finding(s)")
    return tried, found


def _run(command: list[str], still: Callable[[], None]) -> str:
    """Return what ``command`` told on stderr; every ``TOLD_EVERY`` seconds of it, ``still`` is called."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                return process.communicate(timeout=TOLD_EVERY)[1]
            except subprocess.TimeoutExpired:
                still()
            except BaseException:  # whoever stops this command stops its child too
                process.kill()
                raise


def main() -> None:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=(__doc__ or "").splitlines()[0],
        epilog="Example: python -m tests.fuzz caf --source rsa_mensuel --minutes 10. Exits with 1 where it found any.",
    )
    parser.add_argument("slug", nargs="?")
    parser.add_argument("--source", help="the format; without it, each of the partner's in turn")
    parser.add_argument("--minutes", type=float, default=10.0, help="in total, shared between the formats")
    parser.add_argument("--each-reader", action="store_true", help="one format of each reader, --minutes for each")
    parser.add_argument("--all", action="store_true", help="every format of every partner")
    parser.add_argument("--blind", action="store_true", help="mutate the samples at random, without atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    blind = given.blind or not ATHERIS
    if given.child:
        one(given.slug, given.source, given.child, blind=blind, seed=given.seed)
        return
    if sum((bool(given.slug), given.all, given.each_reader)) != 1:
        parser.error("SLUG, --each-reader or --all")
    partners = importlib.import_module("connectors.kit.partner")
    known = partners.discover([partners.bundled_directory()])
    wanted = [
        (slug, name)
        for slug, partner in known.items()
        for name in partner.formats
        if not given.slug or (slug == given.slug and given.source in (None, name))
    ]
    if given.each_reader:
        wanted = list(
            {type(known[slug].formats[name].reader): (slug, name) for slug, name in reversed(wanted)}.values()
        )
    if not wanted:
        parser.error("no such partner or format")
    if blind and not given.blind:
        say("without atheris (make fuzz installs it): blind mutation")
    share = given.minutes * 60 / (1 if given.each_reader else len(wanted))
    totals = [run(slug, name, share, blind=blind, seed=given.seed) for slug, name in wanted]
    say(f"total: {sum(t for t, _ in totals):,} inputs, {sum(f for _, f in totals)} finding(s)")
    raise SystemExit(1 if any(found for _, found in totals) else 0)


if __name__ == "__main__":
    main()
