"""A watched folder: whole files that appear in it are ingested once, then moved aside with a report beside them.

A file is taken when it has not changed for :data:`SETTLED` and nobody has it open for writing. It is first renamed
into ``.en_cours``, out of reach of whoever would write to that name again, then ingested, then moved to ``traites``, or
to ``rejetes`` when nothing of it could be taken. Whatever stops the process, the next sweep goes on from there, and
ingesting a file again changes nothing. Names of files may hold names of people: none is logged.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import orjson
import structlog

from connectors.kit.alone import alone
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import IngestReport, ingest
from connectors.kit.matching import as_confirmed
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import replace_file
from connectors.kit.superseded import read_superseded_again
from connectors.kit.tokens import Tokeniser

SETTLED: Final = timedelta(seconds=10)
UNDER_WAY, DONE, REJECTED = ".en_cours", "traites", "rejetes"
REPORT: Final = ".rapport.json"
_UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~", REPORT)
"""How programs that copy or edit name a file they have not finished."""
_MOST_REPORTED: Final = 1000

_log = structlog.get_logger("edge")


@dataclass
class DropReport:
    """What one sweep did. Counts only."""

    done: int = 0
    rejected: int = 0
    waiting: int = 0
    """Files still being written, or seen for the first time."""
    records: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    removals_held: int = 0
    stopped: str = ""
    """Why it ended before the last file: a word, empty when it did not."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it stood, and since when it has stood so."""

    state: tuple[int, int, int]
    since: datetime


class DropFolder:
    """Sweeps one folder into one store. Two sweeps never run at once, in one process or two."""

    def __init__(
        self, folder: Path, home: Path, partner: PartnerFolder, store: EdgeStore, tokeniser: Tokeniser, clock: Clock
    ) -> None:
        """``home`` is the edge's, for its lock and the column matchings confirmed there.

        Raises ``MaillonError(CONFIGURATION)`` when ``folder`` is none.
        """
        if not folder.is_dir():
            raise MaillonError(ErrorKind.CONFIGURATION, "drop_folder: no such folder")
        self._folder = folder
        self._home = home
        self._partner = partner
        self._store = store
        self._tokeniser = tokeniser
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}

    def sweep(self) -> DropReport:
        """Take what is whole; see the module. Raises ``MaillonError``: ``CONFLICT`` when a sweep is under way already,
        ``STORAGE`` when the folder cannot be read or written.
        """
        report = DropReport()
        with alone(self._home / "drop.lock", "a sweep of the drop folder"):
            try:
                # Left by a process that was stopped: before anything newer.
                for format, path in self._files(self._folder / UNDER_WAY):
                    self._take(format, path, report)
                there = list(self._files(self._folder))
                self._seen = {path: self._seen[path] for _, path in there if path in self._seen}
                for format, path in there:
                    if report.stopped:
                        break
                    if self._is_whole(path):
                        self._take(format, self._claim(format, path), report)
                    else:
                        report.waiting += 1
            except OSError as error:
                raise MaillonError(ErrorKind.STORAGE, f"drop folder: {error.strerror}") from None
        return report

    def _files(self, folder: Path) -> Iterator[tuple[str | None, Path]]:
        """Yield the (format, file) of a folder and of its subfolders named after a format, the oldest first."""
        found = []
        for format in (None, *self._partner.formats):
            place = folder if format is None else folder / format
            for entry in os.scandir(place) if place.is_dir() else ():
                name = entry.name.lower()
                if (
                    entry.is_file(follow_symlinks=False)
                    and not name.startswith((".", "~"))
                    and not name.endswith(_UNFINISHED)
                ):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name, format, Path(entry.path)))
        for *_, format, path in sorted(found, key=lambda row: row[:2]):
            yield format, path

    def _is_whole(self, path: Path) -> bool:
        now = self._clock.now()
        try:
            stat = path.stat(follow_symlinks=False)
        except FileNotFoundError:  # its owner took it back
            return False
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        seen = self._seen.get(path)
        if seen is None or seen.state != state:
            self._seen[path] = _Seen(state, now)
            return False
        return now - seen.since >= SETTLED and not _is_being_written(path)

    def _claim(self, format: str | None, path: Path) -> Path:
        return _move(path, self._folder / UNDER_WAY / (format or ""))

    def _take(self, format: str | None, path: Path, report: DropReport) -> None:
        """Ingest one file and move it aside, or leave it where it is when the store cannot take it now."""
        told: dict[str, object]
        try:
            if not os.access(path, os.R_OK):
                raise MaillonError(ErrorKind.FORBIDDEN, "this edge may not read the file")
            source = self._partner.source_file(path, format)
            partner = as_confirmed(self._partner, self._home, {source.format})
            read_superseded_again([source], partner, self._store, self._clock.now())
            found = ingest([source], partner, self._store, self._tokeniser, self._clock)
        except MaillonError as error:
            if error.kind is ErrorKind.STORAGE:
                report.stopped = error.kind.value
                return
            taken, told = False, {"error": error.kind.value, "detail": error.detail}
        except Exception as error:
            # The class alone: an exception's text may hold what it was working on. The other files go on.
            _log.error("drop:failed", error=type(error).__name__)
            taken, told = False, {"error": ErrorKind.INTERNAL.value, "detail": type(error).__name__}
        else:
            taken = bool(found.known_files or found.resumed or found.subjects.total())
            told = found.as_dict() | {"quarantine": self._entries(found)}
            report.records += found.records
            report.removals_held += found.removals_held
            report.quarantined.update(reason.value for reason in found.quarantined.elements())
        target = _move(path, self._folder / (DONE if taken else REJECTED))
        self._tell(target.with_name(target.name + REPORT), told)
        if taken:
            report.done += 1
        else:
            report.rejected += 1

    def _tell(self, file: Path, told: dict[str, object]) -> None:
        """Write a report, which is whole as soon as it has its name: whoever waits for it may read it then."""
        try:
            replace_file(file, orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
        except MaillonError:  # it names the file
            raise MaillonError(ErrorKind.STORAGE, "drop folder: a report cannot be written") from None

    def _entries(self, found: IngestReport) -> list[dict[str, object]]:
        return [
            {
                "number": each.number,
                "position": each.entry.position,
                "path": each.entry.path,
                "reason": each.entry.reason.value,
                "detail": each.entry.detail,
            }
            for digest in found.digests
            for each in self._store.waiting.entries(file_digest=digest, limit=_MOST_REPORTED)
        ]


def _is_being_written(path: Path) -> bool:
    """Say whether another process has the file open for writing, where the system can tell (a lease, on Linux)."""
    lease = getattr(fcntl, "F_SETLEASE", None)
    if lease is None:
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.fcntl(handle, lease, fcntl.F_RDLCK)
        fcntl.fcntl(handle, lease, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # another owner's file, or a file system without leases: its size was stable, that must do
        return False
    finally:
        os.close(handle)
    return False


def _move(path: Path, folder: Path) -> Path:
    """Move a file into ``folder`` of the same file system, under its own name or a free one; return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}.{number}{path.suffix}"
    path.rename(target)
    return target
