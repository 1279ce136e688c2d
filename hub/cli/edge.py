"""``maillon edge`` and ``maillon ingest``: make an edge, have it join, run it, bring files into it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from connectors.kit import ingest as kit
from connectors.kit.drop import SETTLED
from connectors.kit.edge import Edge
from connectors.kit.edge_home import CLIENT, HOME_VARIABLE, PARTNER, EdgeHome, EdgeSettings
from connectors.kit.edge_watch import Watcher
from connectors.kit.live.poller import open_poller
from connectors.kit.live.roster import follow
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.serving import serve
from connectors.kit.superseded import read_superseded_again
from connectors.kit.trust import fingerprint
from hub.cli.connector import as_matched, find_partner, matching_option, partners_option
from hub.cli.edge_alarms import alarms
from hub.cli.edge_link import link
from hub.cli.edge_looks import gaps, looks
from hub.cli.edge_names import names
from hub.cli.edge_records import history, quarantine, removals
from hub.cli.edge_refs import refs
from hub.cli.output import EXIT_PARTIAL, home_option, json_option, print_answer, progress_bar

_MOST_SHOWN = 50
_MOST_LISTED = 100_000
"""Entries of one file that ``--json`` names: a file may be all wrong, and long."""
_existing = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("edge")
def edge() -> None:
    """A partner's edge: make it, have it join the consortium, run it."""


edge.add_command(alarms)
edge.add_command(refs)
edge.add_command(gaps)
edge.add_command(history)
edge.add_command(link)
edge.add_command(looks)
edge.add_command(names)
edge.add_command(quarantine)
edge.add_command(removals)


@edge.command("init")
@click.argument("home", type=click.Path(path_type=Path, file_okay=False))
@click.option("--partner", "name", required=True, help="Slug of a shipped partner, or the path of its folder.")
@click.option("--hub-url", required=True)
@click.option("--url", default="", help="Where the hub reaches this edge; absent when the edge only asks.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8410, show_default=True)
@click.option("--tls-cert", default="", help="PEM; required off loopback.")
@click.option("--tls-key", default="", help="PEM; required off loopback.")
@click.option("--co-hosted", is_flag=True, help="This edge runs on the hub's machine; /health will say so.")
@click.option(
    "--mode",
    type=click.Choice([PARTNER, CLIENT]),
    default=PARTNER,
    show_default=True,
    help="client: answers by asking the partner's API, under one habilitation.",
)
@click.option("--api-url", default="", help="Mode client: instead of the manifest's, e.g. the simulator's address.")
@click.option("--api-token", default="", help="Mode client: 0600 file with the bearer token.")
@click.option("--api-habilitation", default="", help="Mode client: SIRET of the administration habilitated.")
@click.option(
    "--api-perimeter", default="", help="Mode client: codes of the territory asked about, where the API asks."
)
@partners_option
@json_option
def init(
    home: Path,
    name: str,
    hub_url: str,
    url: str,
    host: str,
    port: int,
    tls_cert: str,
    tls_key: str,
    co_hosted: bool,
    mode: str,
    api_url: str,
    api_token: str,
    api_habilitation: str,
    api_perimeter: str,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make an edge in HOME: its keys, its settings, its identity file to be admitted.

    \b
    Example:  maillon edge init /srv/maillon/caf --partner caf --hub-url https://hub.example.fr \\
                --url https://caf.example.fr --port 8411
    """
    partner = find_partner(name, folders)
    settings = EdgeSettings(
        slug=partner.slug,
        hub_url=hub_url,
        url=url,
        listen_host=host,
        listen_port=port,
        tls_cert=tls_cert and str(Path(tls_cert).resolve()),
        tls_key=tls_key and str(Path(tls_key).resolve()),
        co_hosted=co_hosted,
        partner_folder=str(partner.path),
        mode=mode,
        api_url=api_url,
        api_token=api_token and str(Path(api_token).resolve()),
        api_habilitation=api_habilitation,
        api_perimeter=api_perimeter,
    )
    made = EdgeHome(home).create(partner, settings)
    identity = home / f"{partner.slug}.identity.json"
    identity.write_text(json.dumps(made.to_wire(), indent=2) + "\n", "utf-8")
    print_answer(
        {"home": str(home), "identity": str(identity), "fingerprint": fingerprint(made.identity_key)},
        as_json,
        f"The edge {partner.slug} is made in {home}. Its fingerprint, to be read to the consortium:",
        "",
        f"  {fingerprint(made.identity_key)}",
        "",
        f"Give them {identity}; they give back directory.jws, {partner.slug}.klink.jwe and root.pub.jwk.",
    )


@edge.command("join")
@home_option
@click.option("--root-key", required=True, type=_existing, help="root.pub.jwk")
@click.option("--fingerprint", "root_fingerprint", required=True, help="The root's fingerprint, as read to you.")
@click.option("--directory", required=True, type=_existing, help="directory.jws")
@click.option("--klink", required=True, type=_existing, help="<slug>.klink.jwe")
@json_option
def join(home: Path, root_key: Path, root_fingerprint: str, directory: Path, klink: Path, as_json: bool) -> None:
    """Check and keep what the consortium gave: the root's key, the directory, this edge's token key.

    \b
    Example:  maillon edge join --home /srv/maillon/caf --root-key root.pub.jwk \\
                --fingerprint "1a2b …" --directory directory.jws --klink caf.klink.jwe
    """
    joined = EdgeHome(home).join(
        strict_json.loads(root_key.read_bytes()),
        root_fingerprint,
        directory.read_text("utf-8"),
        klink.read_text("utf-8"),
        SystemClock().now(),
    )
    print_answer(
        {"version": joined.version, "partners": [partner.slug for partner in joined.partners()]},
        as_json,
        f"Joined: directory version {joined.version}, {len(joined.partners())} partners.",
    )


@edge.command("run")
@home_option
def run(home: Path) -> None:
    """Run the edge of HOME until it is stopped. Logs are JSON lines.

    \b
    Example:  maillon edge run --home /srv/maillon/caf
    """
    files = EdgeHome(home)
    settings = files.settings()
    os.environ[HOME_VARIABLE] = str(home.resolve())
    serve("connectors.kit.edge_app:from_environment", files.listen(settings), home)


@edge.command("poll")
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
        *_told(report.told),
        *(f"set aside: {each} ({n}); maillon edge quarantine list" for each, n in report.ingested.quarantined.items()),
        *([f"stopped before the end: {report.stopped}"] if report.stopped else []),
        *(["if the partner no longer knows the cursor: --from-start"] if report.is_cursor_refused else []),
    )
    if report.stopped or report.ingested.quarantined or report.told.refused:
        raise SystemExit(EXIT_PARTIAL)


@edge.command("watch")
@home_option
@click.option("--no-register", is_flag=True, help="Only fill the store; tell the hub later.")
@json_option
def watch(home: Path, no_register: bool, as_json: bool) -> None:
    """Ingest once what lies whole in the edge's drop folder (drop_folder in edge.toml), and tell the hub who is held.

    A file is whole when it does not change for ten seconds; this command waits them. It is then moved to traites, or
    to rejetes when nothing of it could be taken, with a report beside it. A running edge does it by itself.

    
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
        *_told(report.told),
        *([f"{held} record(s) are missing: maillon edge removals"] if held else []),
        *(f"set aside: {reason} ({count})" for reason, count in sorted(aside.items())),
        *([f"stopped before the last file: {swept.stopped}"] if swept.stopped else []),
    )
    if report.unanswered is not None:
        raise report.unanswered
    if rejected or swept.waiting or aside or held or swept.stopped or report.told.refused:
        raise SystemExit(EXIT_PARTIAL)


@edge.command("follow")
@click.argument("files", nargs=-1, required=True, type=_existing)
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
        *_told(told),
        *(f"set aside: {reason} ({count})" for reason, count in aside.items()),
    )
    if aside or told.refused:
        raise SystemExit(EXIT_PARTIAL)


def _told(told: Told) -> list[str]:
    return [
        f"{told.registered} person(s) told to the hub, by tokens only.",
        *([f"{told.gone} record(s) told as held no more."] if told.gone else []),
        *([f"{told.refused} record(s) refused by the hub: maillon edge quarantine list"] if told.refused else []),
    ]


@click.command("ingest")
@click.argument("files", nargs=-1, required=True, type=_existing)
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
        aside = [
            {"position": row.position, "path": row.path, "reason": row.reason.value, "detail": row.detail}
            for digest in report.digests
            for row in here.store.quarantined(digest, _MOST_LISTED)
        ]
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
        *_told(told),
        *([f"{report.removed} record(s) gone from a complete file were taken away."] if report.removed else []),
        *([f"{report.removals_held} record(s) are missing: maillon edge removals"] if report.removals_held else []),
        *(f"trait left out: {warning} ({count})" for warning, count in sorted(report.warnings.items())),
        *(
            f"set aside: {row['position']} {row['path']}: {row['reason']} {row['detail']}"
            for row in aside[:_MOST_SHOWN]
        ),
        *([f"… and {len(aside) - _MOST_SHOWN} more set aside: --json names all"] if len(aside) > _MOST_SHOWN else []),
    )
    if unanswered is not None:
        click.echo("The files are in the store; the same command again tells the hub.", err=True)
        raise unanswered
    if aside or report.removals_held or told.refused:
        raise SystemExit(EXIT_PARTIAL)
