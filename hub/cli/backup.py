"""``maillon backup``, ``maillon restore``: dated copies that do not grow old, and putting one back, as a drill too."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import structlog

from connectors.kit.runtime.clock import SystemClock
from hub.cli.output import json_option, print_answer
from hub.deadlines import Deadlines, load_deadlines
from hub.home import HubHome
from hub.restore import Backups, Report, key_files
from hub.restore import drill as run_drill
from hub.restore import restore as run_restore
from hub.settings import load_settings
from hub.store.backup import copy_database, copy_files, new_name, prune
from hub.store.engine import open_engine

_home = click.option(
    "--home", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="The hub's."
)
_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("backup")
def backup() -> None:
    """Copy a running hub's files into FOLDER, whole, dated, 0600; copies that are too old are removed.

    How old they may be stands in config/retention.toml: an erasure is final once the last copy from before is gone.
    Give each kind a folder of its own, keys and databases on different media.
    """


@backup.command("hub")
@_folder
@_home
@json_option
def backup_hub(folder: Path, home: Path, as_json: bool) -> None:
    """Copy hub.db, while the hub runs.

    \b
    Example:  maillon backup hub /backup/hub --home /srv/maillon/hub
    """
    _database(folder, "hub", HubHome(home).database, _deadlines(home).hub_backup_days, as_json)


@backup.command("secrets")
@_folder
@_home
@json_option
def backup_secrets(folder: Path, home: Path, as_json: bool) -> None:
    """Copy secrets.db, while the hub runs: each day, and after each erasure.

    \b
    Example:  maillon backup secrets /backup/secrets --home /srv/maillon/hub
    """
    _database(folder, "secrets", HubHome(home).secrets, _deadlines(home).secrets_backup_days, as_json)


@backup.command("keys")
@_folder
@_home
@json_option
def backup_keys(folder: Path, home: Path, as_json: bool) -> None:
    """Copy the keys, the settings, the directory and the register of erasures: after each erasure or new partner.

    \b
    Example:  maillon backup keys /media/safe/keys --home /srv/maillon/hub
    """
    now = SystemClock().now()
    target = new_name(folder, "keys", now)
    copy_files(key_files(HubHome(home)), target)
    _told(target, prune(folder, "keys", now, _deadlines(home).keys_backup_days), as_json)


@click.group("restore")
@click.pass_context
def restore(context: click.Context) -> None:
    """Put backups back, with every later erasure done again before the hub serves; or show that it would work."""
    # The hub it opens says in its log what witnesses answer: beside the command's own answer, not inside it.
    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
    context.call_on_close(structlog.reset_defaults)


@restore.command("run")
@_home
@click.option("--hub", "hub_file", type=_file, help="A copy of hub.db; without it the one in the home stays.")
@click.option("--secrets", "secrets_file", type=_file, help="A copy of secrets.db; the same.")
@click.option(
    "--keys", "keys_folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A copy of the keys."
)
@click.option("--accept-loss", is_flag=True, help="Delete persons whose secrets these keys do not open.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def restore_run(
    home: Path,
    hub_file: Path | None,
    secrets_file: Path | None,
    keys_folder: Path | None,
    accept_loss: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Put backups into the stopped hub's home. What stood there is moved aside, not deleted.

    Everything after the backup is lost, withdrawals too: read the runbook first. Without any file, what stands in the
    home is made fit: an older database put there by hand.

    \b
    Example:  maillon restore run --home /srv/maillon/hub --hub hub-20261122T020000000000Z.db
    """
    if not yes:
        click.confirm("Everything written since these copies is lost, withdrawals too. Go on", abort=True, err=True)
    report = run_restore(
        HubHome(home), Backups(hub_file, secrets_file, keys_folder), SystemClock(), accept_loss=accept_loss
    )
    lines = _lines(report)
    if report.replaced is not None:
        lines.append(f"The former files are in {report.replaced}: erased persons are in them.")
        lines.append("Remove them once all is well.")
    print_answer(asdict(report), as_json, *lines)


@restore.command("drill")
@_home
@click.option("--hub", "hub_file", required=True, type=_file, help="A copy of hub.db.")
@click.option("--secrets", "secrets_file", required=True, type=_file, help="A copy of secrets.db.")
@click.option(
    "--keys", "keys_folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A copy of the keys."
)
@json_option
def restore_drill(home: Path, hub_file: Path, secrets_file: Path, keys_folder: Path | None, as_json: bool) -> None:
    """Do all of it in a folder that is removed afterwards. The hub may run; its home is not touched.

    \b
    Example:  maillon restore drill --home /srv/maillon/hub --hub hub-….db --secrets secrets-….db
    """
    report = run_drill(HubHome(home), Backups(hub_file, secrets_file, keys_folder), SystemClock())
    print_answer(asdict(report), as_json, *_lines(report))


def _database(folder: Path, kind: str, source: Path, days: int, as_json: bool) -> None:
    now = SystemClock().now()
    target, engine = new_name(folder, kind, now), open_engine(source, read_only=True)
    try:
        copy_database(engine, target)
    finally:
        engine.dispose()
    _told(target, prune(folder, kind, now, days), as_json)


def _deadlines(home: Path) -> Deadlines:
    return load_deadlines(load_settings(home).config_dir)


def _told(target: Path, removed: list[str], as_json: bool) -> None:
    answer: dict[str, Any] = {"backup": str(target), "removed": removed}
    print_answer(answer, as_json, f"Copied: {target}", *(f"Removed, too old: {name}" for name in removed))


def _lines(report: Report) -> list[str]:
    lines = [
        f"{report.persons} persons, {report.size} events; this hub had seen {report.seen}.",
        f"Erasures done again: {report.replayed}. Persons whose secrets did not open: {report.lost}.",
    ]
    if report.seen > report.size:
        lines.append(f"{report.seen - report.size} events are not in this copy: withdrawals may be among them.")
    return lines
