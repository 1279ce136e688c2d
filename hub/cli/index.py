"""``maillon index``: whose records are whose. ``link`` compares two files as two partners' registrations would be."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.index_files import Refused, open_file
from hub.cli.index_link import IN_MEMORY, Linkage
from hub.cli.index_pairs import Pair
from hub.cli.output import json_option, print_answer, progress_bar, table

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def index() -> None:
    """Tell whose records are whose."""


@index.command("link")
@click.option("--a", "file_a", type=_FILE, required=True, help="The first file; it is registered first.")
@click.option("--b", "file_b", type=_FILE, required=True, help="The second file.")
@click.option("--freq", type=_FILE, help="How common names are: CSV kind (S, G), name, share.")
@click.option("--out", type=_NEW_FILE, required=True, help="Where the pairs go: CSV id_a, id_b, decision, rule.")
@click.option("--refused", "refused_file", type=_NEW_FILE, help="Where refused rows go: CSV file, line, reason.")
@click.option("--on-disk", is_flag=True, help="Use the hub's own store, as for files above 200,000 rows.")
@click.option("--explain", is_flag=True, help="Add to each pair the kinds of token that agree (docs/index.md).")
@json_option
def link(
    file_a: Path,
    file_b: Path,
    freq: Path | None,
    out: Path,
    refused_file: Path | None,
    on_disk: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Link the records of two CSV files by the hub's rules, on keyed tokens alone.

    Each row becomes tokens as in a partner's connector, under a key drawn for this run; a hub in a temporary folder
    registers file A, then file B, and decides by the same code as a real one. Columns, all but the first may be
    missing: rec_id, nir, birth_name, usage_name, given_names, birth_date, sex, birth_place.
    Decision `auto` is a link, by rule R1 to R4; `review` a doubt for a human, with its reason.

    Without --freq, names are counted in each file itself: below some hundred thousand rows no name is then known to
    be rare, and rule R3 links almost nobody.

    \b
    Example:  maillon index link --a caf.csv --b cpam.csv --freq names.csv --out pairs.csv --explain
    """
    today = SystemClock().now().date()
    files = {"a": open_file(file_a, today), "b": open_file(file_b, today)}
    if out.resolve() in {file_a.resolve(), file_b.resolve(), *([freq.resolve()] if freq else [])}:
        raise MaillonError(ErrorKind.CONFIGURATION, "--out is one of the files that are read")
    try:
        long = sum(file.size() for file in files.values()) > IN_MEMORY
        with Linkage(on_disk=on_disk or long) as linkage:
            linkage.run(files, freq, progress_bar)
            counts = _write(out, linkage.pairs(explain=explain), explain)
    finally:
        click.echo(err=True)
    if refused_file is not None:
        _write_refused(refused_file, linkage.refused)
    summary = _summary(linkage.registered, counts, linkage.refused, linkage.warnings, out)
    print_answer(summary, as_json, *_lines(summary))


def _write(path: Path, pairs: Iterable[Pair], explain: bool) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id_a", "id_b", "decision", "rule", *(["agreed"] if explain else [])))
        for pair in pairs:
            counts[pair.decision, pair.rule] += 1
            agreed = [" ".join(pair.agreed)] if explain else []
            rows.writerow((pair.id_a, pair.id_b, pair.decision, pair.rule, *agreed))
    return counts


def _write_refused(path: Path, refused: list[Refused]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "line", "reason"))
        rows.writerows((each.file, each.line, each.reason) for each in refused)


def _summary(
    registered: dict[str, int],
    counts: Counter[tuple[str, str]],
    refused: list[Refused],
    warnings: Counter[str],
    out: Path,
) -> dict[str, Any]:
    return {
        "records": registered,
        "auto": {rule: n for (decision, rule), n in sorted(counts.items()) if decision == "auto"},
        "review": {rule: n for (decision, rule), n in sorted(counts.items()) if decision == "review"},
        "refused": dict(sorted(Counter(each.reason for each in refused).items())),
        "traits_set_aside": dict(sorted(warnings.items())),
        "out": str(out),
    }


def _lines(summary: dict[str, Any]) -> list[str]:
    rows = [(what, name, str(n)) for what in ("auto", "review", "refused") for name, n in summary[what].items()]
    registered = ", ".join(f"{n} of {name}" for name, n in summary["records"].items())
    return [f"{registered}. Pairs: {summary['out']}", *table(("", "rule or reason", "number"), rows)]
