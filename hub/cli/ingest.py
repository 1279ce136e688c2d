"""``maillon ingest``: bring files into an edge's store, and tell the hub who is held."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from connectors.kit import ingest as kit
from connectors.kit.edge import Edge
from connectors.kit.partner import SourceFile, bundled_directory
from connectors.kit.readers.table import is_of_headings
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.superseded import read_superseded_again
from hub.cli.connector import as_matched, matching_option
from hub.cli.edge_intake import told_lines
from hub.cli.output import EXIT_PARTIAL, home_option, json_option, print_answer, progress_bar

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_MOST_SHOWN: Final = 50
_MOST_LISTED: Final = 100_000
"""Entries of one file that ``--json`` names: a file may be all wrong, and long."""


@click.command("ingest")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@home_option
@click.option(
    "--source", "format_name", help="The format of FILES; may be left out when their names or the partner tell."
)
@click.option(
    "--confirm-removals", is_flag=True, help="Take away whoever a complete file no longer has, however many they are."
)
@click.option("--no-register", is_flag=True, help="Only fill the store; tell the hub later.")
@matching_option
@json_option
def ingest_files(
    files: tuple[Path, ...],
    home: Path,
    format_name: str | None,
    confirm_removals: bool,
    no_register: bool,
    matching: Path | None,
    as_json: bool,
) -> None:
    """Bring FILES into the edge's store and tell the hub who is held (tokens only). Again changes nothing.

    What cannot be mapped is set aside with its position, path and reason; the exit code is then 4. Interrupted, the
    same command goes on from the last commit.

    \b
    Example:  maillon ingest --home /srv/maillon/caf --source rsa_mensuel RSABEM.xml
    """
    here = Edge.open(home, SystemClock())
    try:
        if here.live is not None:
            raise MaillonError(ErrorKind.FORBIDDEN, "an edge in mode client keeps nothing; see: maillon edge follow")
        sources = [here.partner.source_file(file, format_name) for file in files]
        partner = as_matched(here.partner, home, {source.format for source in sources}, matching)
        read_superseded_again(sources, partner, here.store, here.clock.now())

        def progress(report: kit.IngestReport) -> None:
            told = f"{report.resumed + report.records:,} records, {report.quarantined.total():,} set aside"
            told += f", {report.classed:,} classed by how common their names are" if report.classed else ""
            progress_bar(report.bytes_read, report.bytes_total, told)

        report = kit.ingest(
            *(sources, partner, here.store, here.tokeniser, here.clock, progress), confirm_removals=confirm_removals
        )
        click.echo(err=True)
        found = [row for digest in report.digests for row in here.store.quarantined(digest, _MOST_LISTED)]
        aside = [
            {"position": row.position, "path": row.path, "reason": row.reason.value, "detail": row.detail}
            for row in found
        ]
        to_match = sources if any(is_of_headings(row.reason, row.detail) for row in found) else []
        told, unanswered = Told(), None
        try:
            if not no_register:
                told = register_pending(here.store, here.hub, declares_sections=here.partner.declares_sections)
        except MaillonError as error:
            unanswered = error
    finally:
        here.close()
    counts = report.as_dict()
    done = ", ".join(f"{count} {change.value}" for change, count in sorted(report.subjects.items())) or "nothing new"
    print_answer(
        {**counts, **vars(told), "quarantine": aside},
        as_json,
        f"{report.files} file(s), {report.records} records: {done}",
        *([f"{report.known_files} file(s) were already here, and not read again."] if report.known_files else []),
        *([f"Went on after the {report.resumed:,} records already here."] if report.resumed else []),
        *([f"{report.joined} answer(s) by number alone joined the person they are about."] if report.joined else []),
        *told_lines(told),
        *([f"{report.removed} record(s) gone from a complete file were taken away."] if report.removed else []),
        *([f"{report.removals_held} record(s) are missing: maillon edge removals"] if report.removals_held else []),
        *(f"trait left out: {warning} ({count})" for warning, count in sorted(report.warnings.items())),
        *(
            f"set aside: {row['position']} {row['path']}: {row['reason']} {row['detail']}"
            for row in aside[:_MOST_SHOWN]
        ),
        *([f"… and {len(aside) - _MOST_SHOWN} more set aside: --json names all"] if len(aside) > _MOST_SHOWN else []),
        *_to_be_matched(to_match, here, home),
    )
    if unanswered is not None:
        click.echo("The files are in the store; the same command again tells the hub.", err=True)
        raise unanswered
    if aside or report.removals_held or told.refused:
        raise SystemExit(EXIT_PARTIAL)


def _to_be_matched(sources: Sequence[SourceFile], here: Edge, home: Path) -> list[str]:
    """Return what to do about headings that are not those expected, the command ready to be run for one file."""
    if not sources:
        return []
    folder = here.partner.path
    whose = folder.name if folder.parent == bundled_directory() else str(folder)
    formats = {source.format for source in sources}
    file = str(sources[0].path) if len(sources) == 1 else "FILE"
    source = ["--source", *formats] if len(formats) == 1 else []
    command = ["maillon", "connector", "match", file, "--partner", whose, *source, "--home", str(home)]
    return [f"headings that are not those expected: say once which is which, then ingest again: {shlex.join(command)}"]
