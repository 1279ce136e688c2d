"""Noticing that the database is older than what this hub has seen, and making a restored backup fit to serve.

An older copy put back in silence would bring erased persons and withdrawn agreements back, and sign another history
over the one that partners saw. Two small files beside the keyring know better: the register of erasures, and the size
of the log when it was last looked at. Whoever replaces those too is found out by the witnesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import replace_file
from consent.ledger.leaf import EventClass
from hub.services import erasure
from hub.services.erasure import Eraser
from hub.store.erasures import emptied_of
from hub.store.session import Reads, UnitOfWork

RESTORED: Final = "retention:store:restored"


class SeenSize:
    """The file that holds how many leaves the log had when it was last looked at."""

    def __init__(self, path: Path) -> None:
        """Name the file; without it nothing was seen yet."""
        self._path = path

    def get(self) -> int:
        """Return the size; ``MaillonError(CONFIGURATION)`` when the file does not hold one."""
        try:
            return int(self._path.read_text("ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self._path.name} is damaged") from None

    def put(self, size: int) -> None:
        """Replace the size, whole or not at all. Raises ``MaillonError(STORAGE)``."""
        replace_file(self._path, f"{size}\n".encode("ascii"))


@dataclass(frozen=True, slots=True)
class Restored:
    """What making a backup fit did: how many leaves it has, how many this hub had seen, how many erasures came back."""

    size: int
    seen: int
    replayed: int


def note_size(reads: Reads, seen: SeenSize) -> None:
    """Remember how large the log is now."""
    seen.put(reads.run(lambda uow: uow.log.size()))


def check_not_older(eraser: Eraser, seen: SeenSize) -> None:
    """Raise ``MaillonError(CONFIGURATION)`` when the database is older than what this hub has seen or erased."""
    size = eraser.reads.run(lambda uow: uow.log.size())
    if size < seen.get() or erasure.undone(eraser):
        raise MaillonError(
            ErrorKind.CONFIGURATION, "hub.db is older than what this hub has signed or erased: maillon restore"
        )


def make_fit(eraser: Eraser, seen: SeenSize) -> Restored:
    """Do the register's erasures again, write in the log that a backup was put back, and accept its size."""
    size, before = eraser.reads.run(lambda uow: uow.log.size()), seen.get()
    replayed = erasure.replay(eraser)

    def write(uow: UnitOfWork) -> None:
        body = {"event": RESTORED, "size": size, "seen": before, "replayed": replayed, "emptied": emptied_of(())}
        uow.journal.append(EventClass.RETENTION, body)

    eraser.writer.run(write)
    note_size(eraser.reads, seen)
    return Restored(size, before, replayed)
