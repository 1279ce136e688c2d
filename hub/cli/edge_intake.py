"""``maillon edge poll``, ``watch`` and ``follow``: bring persons into an edge, and tell the hub who is held."""

from __future__ import annotations

import time
from pathlib import Path

import click

from connectors.kit.drop import SETTLED
from connectors.kit.edge import Edge
from connectors.kit.edge_watch import Watcher
from connectors.kit.live.poller import open_poller
from connectors.kit.live.roster import follow
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.connector import find_partner, partners_option
from hub.cli.output import EXIT_PARTIAL, home_option, json_option, print_answer

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("poll")
@home_option
@click.option("--from-start", is_flag=True, help="Forget the cursor: all is read again, and what is known stays.")
@click.option("--pass-page", is_flag=True, help="Go past the page the feed stopped at; what it held stays set aside.")
@click.option("--no-register", is_flag=True, help="Only fill the store; tell the hub later.")
@json_option
def poll_feed(home: Path, from_start: bool, pass_page: bool, no_register: bool, as_json: bool) -> None:
    """Fetch what is new in the partner's feed, from where the last poll ended, and tell the hub who is held.

    A running edge does it by itself (poll_seconds). It stops at a page of which nothing can be taken: docs/edge.md.

    \b
    Example:  maillon edge poll --home /srv/maillon/bailleur --from-start
    """
    here = Edge.open(home, SystemClock())
    try:
        report = open_poller(here).poll(register=not no_register, from_start=from_start, pass_page=pass_page)
    finally:
        here.close()
    print_answer(
        {
            **report.ingested.as_dict(),
            "pages": report.pages,
            **vars(report.told),
            "stopped": report.stopped,
        },
        as_json,
        f"{report.pages} page(s), {report.ingested.records} records.",
        *told_lines(report.told),
        *(f"set aside: {each} ({n}); maillon edge quarantine list" for each, n in report.ingested.quarantined.items()),
        *([f"stopped before the end: {report.stopped}"] if report.stopped else []),
        *(["if the partner no longer knows the cursor: --from-start"] if report.is_cursor_refused else []),
    )
    if report.stopped or report.ingested.quarantined or report.told.refused:
        raise SystemExit(EXIT_PARTIAL)


@click.command("watch")
@home_option
@click.option("--no-register", is_flag=True, help="Only fill the store; tell the hub later.")
@json_option
def watch(home: Path, no_register: bool, as_json: bool) -> None:
    """Ingest once what lies whole in the edge's drop folder (drop_folder in edge.toml), and tell the hub who is held.

    A file is whole when it does not change for ten seconds; this command waits them. It is then moved to traites, or
    to rejetes when nothing of it could be taken, with a report beside it. A running edge does it by itself.

    \b
    Example:  maillon edge watch --home /srv/maillon/departement
    """
    here = Edge.open(home, SystemClock())
    try:
        watcher = Watcher(here)
        first = watcher.round(register=False).swept
        if first.waiting:
            time.sleep(SETTLED.total_seconds())
        report = watcher.round(register=not no_register)
    finally:
        here.close()
    swept = report.swept
    done, rejected = first.done + swept.done, first.rejected + swept.rejected
    aside = first.quarantined + swept.quarantined
    held, records = first.removals_held + swept.removals_held, first.records + swept.records
    print_answer(
        {
            "done": done,
            "rejected": rejected,
            "waiting": swept.waiting,
            "records": records,
            "quarantined": dict(sorted(aside.items())),
            "removals_held": held,
            "stopped": swept.stopped,
            **vars(report.told),
        },
        as_json,
        f"{done} file(s) taken, {rejected} rejected, {swept.waiting} not whole yet; {records} records.",
        *told_lines(report.told),
        *([f"{held} record(s) are missing: maillon edge removals"] if held else []),
        *(f"set aside: {reason} ({count})" for reason, count in sorted(aside.items())),
        *([f"stopped before the last file: {swept.stopped}"] if swept.stopped else []),
    )
    if report.unanswered is not None:
        raise report.unanswered
    if rejected or swept.waiting or aside or held or swept.stopped or report.told.refused:
        raise SystemExit(EXIT_PARTIAL)


@click.command("follow")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@home_option
@click.option("--of", "whose", required=True, help="Whose files these are: slug of a partner, or its folder's path.")
@click.option("--source", "format_name", help="The format of FILES; may be left out when their names tell.")
@partners_option
@json_option
def follow_persons(
    files: tuple[Path, ...],
    home: Path,
    whose: str,
    format_name: str | None,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Tell an edge in mode client about whom it may be asked: who is in FILES, and nothing else of them.

    \b
    Example:  maillon edge follow --home /srv/maillon/cpam --of departement suivi.csv
    """
    partner = find_partner(whose, folders)
    here = Edge.open(home, SystemClock())
    try:
        if here.live is None:
            raise MaillonError(ErrorKind.FORBIDDEN, "only an edge in mode client follows; see: maillon ingest")
        sources = [partner.source_file(file, format_name) for file in files]
        report = follow(
            sources, partner, here.store, here.tokeniser, here.clock, nir_autorise=here.partner.nir_autorise
        )
        told = register_pending(here.store, here.hub, declares_sections=False, live=True)
    finally:
        here.close()
    aside = {reason.value: count for reason, count in sorted(report.aside.items())}
    print_answer(
        {"known": report.known, "unchanged": report.unchanged, **vars(told), "set_aside": aside},
        as_json,
        f"{report.known} person(s) new or changed, {report.unchanged} as before.",
        *told_lines(told),
        *(f"set aside: {reason} ({count})" for reason, count in aside.items()),
    )
    if aside or told.refused:
        raise SystemExit(EXIT_PARTIAL)


def told_lines(told: Told) -> list[str]:
    """Return what a person reads of what was told to the hub, a line each."""
    return [
        f"{told.registered} person(s) told to the hub, by tokens only.",
        *([f"{told.gone} record(s) told as held no more."] if told.gone else []),
        *([f"{told.refused} record(s) refused by the hub: maillon edge quarantine list"] if told.refused else []),
    ]
