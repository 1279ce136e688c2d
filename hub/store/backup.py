"""Backups of the hub's files: SQLite's own online copy, made whole or not at all, dated, pruned by age.

A copy is what an erased person could come back from, so its age is bounded by ``config/retention.toml``: each new
copy removes those that are too old. Files are 0600 in a 0700 folder.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import sync
from hub.store.engine import sqlite_module

_STAMP: Final = "%Y%m%dT%H%M%S%fZ"
_NAME: Final = re.compile(r"(hub|secrets|keys)-([0-9]{8}T[0-9]{12}Z)(\.db)?")


def copy_database(engine: Engine, target: Path) -> None:
    """Copy the database behind ``engine``, as it is at one moment, to the new 0600 file ``target``, durably.

    Readers and the writer go on. Raises ``MaillonError(CONFLICT)`` when ``target`` exists, ``STORAGE`` when the disk
    refuses: no half copy is left then.
    """
    if target.exists():
        raise MaillonError(ErrorKind.CONFLICT, f"{target.name} exists and is not overwritten")
    module, temporary = sqlite_module(), target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        source, copy = engine.raw_connection(), module.connect(temporary, isolation_level=None)
        try:
            driver = source.driver_connection
            assert driver is not None  # noqa: S101 (only a connection that was detached has none)
            driver.backup(copy)
            # One file, without a write-ahead log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            copy.close()
            source.close()
        sync(temporary)
        os.replace(temporary, target)
        sync(target.parent)
    except (OSError, module.Error) as error:
        raise MaillonError(ErrorKind.STORAGE, f"{target.name}: the backup could not be written") from error
    finally:
        temporary.unlink(missing_ok=True)


def copy_files(files: Iterable[Path], target: Path) -> None:
    """Copy small secret files into the new 0700 folder ``target``, each 0600, durably; those that are not there are
    left out. Raises as :func:`copy_database`."""
    if target.exists():
        raise MaillonError(ErrorKind.CONFLICT, f"{target.name} exists and is not overwritten")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(mode=0o700)
        for file in files:
            if file.is_file():
                descriptor = os.open(temporary / file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as copy:
                    copy.write(file.read_bytes())
                    copy.flush()
                    os.fsync(copy.fileno())
        sync(temporary)
        os.replace(temporary, target)
        sync(target.parent)
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"{target.name}: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def new_name(folder: Path, kind: str, at: datetime) -> Path:
    """Return where a backup of ``kind`` (``hub``, ``secrets``, ``keys``) of ``at`` goes; makes the folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{kind}-{at.astimezone(UTC):{_STAMP}}{'' if kind == 'keys' else '.db'}"


def made_at(path: Path) -> datetime | None:
    """Return when the backup ``path`` was made, by its name; None for anything else."""
    match = _NAME.fullmatch(path.name)
    return None if match is None else datetime.strptime(match[2], _STAMP).replace(tzinfo=UTC)


def prune(folder: Path, kind: str, at: datetime, days: int) -> list[str]:
    """Remove the backups of ``kind`` older than ``days`` at ``at``; return their names. Other files are left alone."""
    removed = []
    for path in sorted(folder.iterdir()):
        made, match = made_at(path), _NAME.fullmatch(path.name)
        if made is not None and match is not None and match[1] == kind and made <= at - timedelta(days=days):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(path.name)
    if removed:
        sync(folder)
    return removed
