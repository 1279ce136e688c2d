"""``maillon log``: the keys that check it, its audit, its export. Nothing here needs the hub to be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import Transport
from connectors.kit.trust import fingerprint
from hub.cli.directory_files import open_directory
from hub.cli.ledger_evidence import check_evidence
from hub.cli.log_audit import export_command, fsck_command
from hub.cli.log_person import person_command
from hub.cli.output import json_option, print_answer
from hub.home import HubHome
from hub.keyring import Keyring
from hub.services.log_keys import proved
from hub.store.engine import open_engine
from hub.store.in_force import log_key_changes
from hub.store.log import Log


@click.group("log")
def log() -> None:
    """The log of every event: who may check it, and whether it is whole."""


for command in (check_evidence, fsck_command, export_command, person_command):
    log.add_command(command)


@log.command("keys")
@click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An edge's home, the hub's, or the folder of the root: what holds root.pub.jwk and directory.jws.",
)
@click.option("--quorum", type=click.IntRange(min=0), help="Witnesses needed (default: more than half).")
@click.option("--faulty", default=0, show_default=True, type=click.IntRange(min=0), help="Witnesses that may lie.")
@click.option("--witness", "witnesses", multiple=True, help="Partner that witnesses (default: all that have a key).")
@click.option("--no-witness", is_flag=True, help="Count no witness: the log's own word alone.")
@click.option("--hub", "hub_url", help="Ask the hub there for changes of its log's key (the hub's home has them).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@json_option
def keys(
    home: Path,
    quorum: int | None,
    faulty: int,
    witnesses: tuple[str, ...],
    no_witness: bool,
    hub_url: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the public keys that receipts and the log are checked with. All of it is public: hand it to anybody.

    Every key the log has had is in it, with the proof of each change, when the hub's home or --hub tells of them;
    otherwise the one the directory names.

    \b
    Example:  maillon log keys --home departement --hub https://hub.example.fr --out cles.json
    """
    root, directory = open_directory(home)
    changes = _changes(home, hub_url)
    content = keys_file(directory, root, quorum, faulty, () if no_witness else witnesses or None, changes)
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, "utf-8")
    told = {
        "keys": str(out),
        "root_fingerprint": fingerprint(root),
        "witnesses": len(content["witnesses"]),
        "quorum": content["quorum"],
    }
    print_answer(
        told,
        as_json,
        f"Keys written: {out} ({told['witnesses']} witnesses, {told['quorum']} needed).",
        "They are vouched for by the consortium root. Whoever uses them compares this fingerprint:",
        f"  {told['root_fingerprint']}",
    )


def _changes(home: Path, hub_url: str | None) -> dict[str, Any] | None:
    """Return what the hub tells of its log's keys: over HTTP, or from the files of its own home; None elsewhere."""
    files = HubHome(home)
    if hub_url is not None:
        transport = Transport()
        try:
            told = transport.call_json("GET", f"{hub_url.rstrip('/')}/log/keys")
        finally:
            transport.close()
        if not isinstance(told, dict):
            raise MaillonError(ErrorKind.MALFORMED, "log keys: not an object")
        return told
    if not (files.database.is_file() and files.keyring.is_file()):
        return None
    engine = open_engine(files.database, read_only=True)
    try:
        with engine.connect() as connection, connection.begin():
            log = Log(connection, SystemClock().now())
            if not log.size():
                return None
            # With the keyring alone: a unit of work would open secrets.db, which belongs to the hub that runs.
            return proved(log, *log_key_changes(connection, Keyring.load(files.keyring).system_key))
    finally:
        engine.dispose()
