"""Putting backups back, for real or as a drill: files in place, erasures done again, and the log whole, before anything
is served.

Nothing is overwritten: what stood in the home is moved into ``replaced-…`` beside it, and moved back when the backup
turns out to be unusable. The register of erasures is never replaced, only added to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Final
from urllib.parse import quote

from connectors.kit.alone import alone
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.app import close_hub, open_hub
from hub.erasure_register import ErasureRegister
from hub.home import HubHome
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services import restoring
from hub.services.restoring import SeenSize
from hub.services.runtime import Hub
from hub.settings import load_settings
from hub.store.engine import sqlite_module

LOST: Final = "retention:persons:lost"
_BESIDE: Final = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Backups:
    """What to put back: files made by ``maillon backup``. None: what stands in the home stays."""

    hub: Path | None = None
    secrets: Path | None = None
    keys: Path | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a restoration found. ``seen``: how many events this hub had seen, ``size``: how many the backup has;
    ``replayed``: erasures done again; ``lost``: persons whose secrets did not open; ``replaced``: where the former
    files are now."""

    persons: int
    size: int
    seen: int
    replayed: int
    lost: int
    replaced: str | None


def key_files(home: HubHome) -> list[Path]:
    """Return the small files a hub cannot be put together again without, beside its databases."""
    return [
        *(home.settings, home.keyring, home.wrapping, home.log_keys, home.identity, home.seal),
        *(home.directory, home.root, home.erasures, home.log_seen),
    ]


def restore(
    home: HubHome, backups: Backups, clock: Clock, *, accept_loss: bool = False, ask_witnesses: bool = True
) -> Report:
    """Put ``backups`` into ``home``, whose hub is not running, and make it fit to serve.

    ``accept_loss``: persons whose secrets do not open with the keys at hand are deleted; they come back as strangers
    with the next registration, without agreements. Raises ``MaillonError``: ``CONFLICT`` while the hub runs or when
    secrets do not open, ``CONFIGURATION`` for a file that is no backup, ``LOG_STOPPED`` when a witness knows more of
    this log than the backup does; the home is then as it was.
    """
    for file in (backups.hub, backups.secrets):
        if file is not None:
            _check_database(file)
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(home.path / ".running", "this hub"), _in_place(home, backups, clock) as replaced:
        settings = load_settings(home.path, {})
        if not ask_witnesses:
            settings = replace(settings, witnesses=(), witness_quorum=0, witness_faulty=0)
        hub = open_hub(settings, clock=clock, restored=True)
        try:
            return _made_fit(hub, home, accept_loss, replaced)
        finally:
            close_hub(hub)


def drill(home: HubHome, backups: Backups, clock: Clock) -> Report:
    """Do all of :func:`restore` in a folder that is removed afterwards; ``home`` is read and not touched.

    Both databases have to come from backups. Raises as :func:`restore`.
    """
    if backups.hub is None or backups.secrets is None:
        raise MaillonError(ErrorKind.CONFIGURATION, "a drill needs the backups of hub.db and secrets.db")
    scratch = Path(tempfile.mkdtemp(prefix="maillon-drill-"))
    try:
        for file in key_files(home):
            if file.is_file():
                _copy(file, scratch / file.name)
        return restore(HubHome(scratch), backups, clock, accept_loss=True, ask_witnesses=False)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _made_fit(hub: Hub, home: HubHome, accept_loss: bool, replaced: Path | None) -> Report:
    owners, tags = hub.secrets.unreadable()
    known = hub.reads.run(lambda uow: set(uow.erasures.persons()))
    lost = sorted(PersonId(owner) for owner in owners if owner in known)
    if owners and not accept_loss:
        raise MaillonError(
            ErrorKind.CONFLICT,
            f"{len(lost)} persons' secrets do not open: take the keys of that day, or a later copy of secrets.db",
        )
    if owners:
        body = {"event": LOST, "persons": len(lost)}
        hub.writer.run(lambda uow: uow.erasures.lose(lost, tags, body))
        hub.secrets.drop(owners)
    made = restoring.make_fit(hub.eraser, SeenSize(home.log_seen))
    audit = fsck(home.database, trust_of_home(home.database, hub.directory.get()), home=home.path)
    if audit.finding is not None:
        raise MaillonError(ErrorKind.CONFIGURATION, f"this backup is damaged: {audit.finding}")
    persons = hub.reads.run(lambda uow: uow.persons.count())
    where = None if replaced is None else str(replaced)
    return Report(persons, made.size, made.seen, made.replayed, len(lost), where)


@contextmanager
def _in_place(home: HubHome, backups: Backups, clock: Clock) -> Iterator[Path | None]:
    """Put the backups in place; yield where the former files are, None when there were none. Undone by an exception."""
    aside = home.path / f"replaced-{clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}"
    coming: list[tuple[Path, Path]] = []
    for source, target in ((backups.hub, home.database), (backups.secrets, home.secrets)):
        if source is not None:
            # What stood in a home lies there with its write-ahead log: the newest events are in it.
            coming += [
                (each, target.with_name(each.name.replace(source.name, target.name, 1))) for each in _whole(source)
            ]
    if backups.keys is not None:
        coming += [(backups.keys / file.name, file) for file in key_files(home) if (backups.keys / file.name).is_file()]
    moved: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for _, target in coming:
            for end in _BESIDE:
                former = target.with_name(target.name + end)
                if former.exists():
                    aside.mkdir(mode=0o700, exist_ok=True)
                    os.replace(former, aside / former.name)
                    moved.append((aside / former.name, former))
        for source, target in coming:
            _copy(source, target)
            made.append(target)
        _keep_register(home, aside)
        yield aside if moved else None
    except BaseException:
        for target in made:
            for end in _BESIDE:
                target.with_name(target.name + end).unlink(missing_ok=True)
        for now, before in moved:
            os.replace(now, before)
        if aside.is_dir():
            aside.rmdir()
        raise


def _keep_register(home: HubHome, aside: Path) -> None:
    """Add to the register that came from a backup what the home's own knew."""
    register = ErasureRegister(home.erasures)
    for entry in ErasureRegister(aside / home.erasures.name).entries():
        register.append(entry)
    # The largest size that either knew of.
    seen = SeenSize(home.log_seen)
    seen.put(max(seen.get(), SeenSize(aside / home.log_seen.name).get()))


def _whole(database: Path) -> list[Path]:
    """Return a database file and, where it has one that holds anything, its write-ahead log."""
    wal = database.with_name(f"{database.name}-wal")
    return [database, *([wal] if wal.is_file() and wal.stat().st_size else [])]


def _check_database(file: Path) -> None:
    module = sqlite_module()
    # A copy alone is read as it lies, also from a folder nobody can write to.
    as_it_lies = "" if len(_whole(file)) > 1 else "&immutable=1"
    try:
        connection = module.connect(f"file:{quote(str(file.absolute()))}?mode=ro{as_it_lies}", uri=True)
        try:
            is_whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        finally:
            connection.close()
    except module.Error:
        is_whole = False
    if not is_whole:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{file.name} is not a whole SQLite database")


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as copy, source.open("rb") as original:
        shutil.copyfileobj(original, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())
