"""``maillon log fsck`` and ``maillon log export``: the whole log computed again, and handed to whoever asks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from connectors.kit.receipts.check import KeysFile
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.verify import TrustedKeys
from hub.cli.directory_files import open_directory
from hub.cli.output import EXIT_REFUSED, json_option, print_answer, progress_bar
from hub.log_check.export import export_log
from hub.log_check.finding import Wrong
from hub.log_check.fsck import Report, fsck
from hub.log_check.tree import Trust
from hub.log_check.trust import trust_of_file, trust_of_home

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
MAX_CHECKPOINT = 1 << 20


@click.command("fsck")
@click.option("--home", type=_FOLDER, help="The hub's home, or a copy: opens what is sealed and checks every row.")
@click.option("--db", type=_FILE, help="hub.db alone: the log, without the rows made from it. Needs --keys.")
@click.option("--keys", "keys_file", type=_FILE, help="Whose signatures count (default: the home's directory).")
@click.option("--against", multiple=True, type=_FILE, help="A checkpoint somebody kept: this log has to go on from it.")
@json_option
def fsck_command(
    home: Path | None, db: Path | None, keys_file: Path | None, against: tuple[Path, ...], as_json: bool
) -> None:
    """Compute the whole log again from the stored bytes and name the first thing wrong. Changes nothing.

    Works on a copy, and on the files of a hub at work. Without --against, an owner of the database who also has the
    log's key can have rewritten everything: keep checkpoints elsewhere (maillon log export, witnesses).

    \b
    Exit codes: 0 nothing wrong, 1 something is, 2 wrong usage
    Example:  maillon log fsck --home /srv/maillon/hub --against checkpoint.2026-11
    """
    database, trust = _given(home, db, keys_file, against)
    report = trust if isinstance(trust, Report) else fsck(database, trust, home=home, step=_draw(as_json))
    if not as_json:
        click.echo(err=True)
    found = report.finding
    document = {
        "finding": None if found is None else {"table": found.table, "place": found.place, "code": found.code},
        "leaves": report.leaves,
        "opened": report.opened,
        "emptied": report.emptied,
        "against": len(against),
        "cosigned": dict(report.cosigned),
    }
    if found is None:
        lines = [f"Nothing wrong: {report.leaves} leaves, {report.opened} events opened, {report.emptied} emptied."]
        lines += [f"Cosigned up to leaf {size}: {name}" for name, size in sorted(report.cosigned.items())]
        if not report.cosigned:
            lines.append("Cosigned by no witness of the directory: nobody but the hub stands behind this log.")
        if not against:
            lines.append("Not compared with a checkpoint kept elsewhere (--against).")
    else:
        lines = [f"WRONG: {found.table}, {found.place}: {found.words} ({found.code})."]
    print_answer(document, as_json, *lines)
    if found is not None:
        sys.exit(EXIT_REFUSED)


@click.command("export")
@click.option("--home", type=_FOLDER, help="The hub's home, or a copy.")
@click.option("--db", type=_FILE, help="hub.db alone.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@json_option
def export_command(home: Path | None, db: Path | None, out: Path, as_json: bool) -> None:
    """Write the public log into a folder (C2SP tlog-tiles): checkpoint, tiles, entries. Nothing personal is in it.

    Anybody checks it without the hub:  maillon verify FOLDER --keys cles.json

    \b
    Example:  maillon log export --home /srv/maillon/hub --out journal-2026-11
    """
    size, files = export_log(_database(home, db), out)
    print_answer(
        {"leaves": size, "files": files, "folder": str(out)}, as_json, f"{size} leaves in {files} files: {out}"
    )


def _database(home: Path | None, db: Path | None) -> Path:
    if (home is None) is (db is None):
        raise click.UsageError("one of --home and --db")
    return db if home is None else home / "hub.db"  # type: ignore[return-value]


def _given(
    home: Path | None, db: Path | None, keys_file: Path | None, against: Sequence[Path]
) -> tuple[Path, Trust | Report]:
    database = _database(home, db)
    notes = [_note(path) for path in against]
    if keys_file is not None:
        keys: TrustedKeys = KeysFile.read(keys_file).keys
        return database, trust_of_file(keys, notes)
    if home is None:
        raise click.UsageError("--db needs --keys")
    try:
        return database, trust_of_home(database, open_directory(home)[1], notes)
    except Wrong as found:
        return database, Report(found.finding)


def _note(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > MAX_CHECKPOINT:
        raise MaillonError(ErrorKind.TOO_LARGE, f"{path.name} is no checkpoint")
    return data


def _draw(as_json: bool) -> Callable[[str, int, int], None]:
    def draw(step: str, done: int, total: int) -> None:
        if not as_json:
            progress_bar(done, max(total, 1), f"{step:<10}")

    return draw
