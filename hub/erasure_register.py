"""Who was erased, in a file of its own beside the keyring: what a restored older database is held against.

One line an erasure, only ever appended, 0600. Whom it was about is a keyed mark of the hub's own random id, one for
each person that had turned out to be the one: without the keyring it says nothing, with it an id that only old backups
still hold can be compared. A backup that is put back
brings erased persons back with it; every line that its own log does not have is then done again before the hub serves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import orjson

from connectors.kit.runtime import b64url, keys, strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import sync
from connectors.kit.runtime.ids import PersonId
from hub.keyring import Keyring

_MARK = 16


@dataclass(frozen=True, slots=True)
class Erased:
    """One erasure. ``marks``: of whom, the person itself first; ``decision``: the DPO's JWS; ``proof_until``: how long
    the agreements are kept as proof."""

    erasure_id: str
    marks: tuple[bytes, ...]
    at: datetime
    decision: str
    proof_until: datetime | None

    def to_line(self) -> bytes:
        """Return the line, with its end."""
        value = {
            "v": 2,
            "erasure_id": self.erasure_id,
            "marks": [b64url.encode(mark) for mark in self.marks],
            "at": self.at.isoformat(),
            "decision": self.decision,
            "proof_until": None if self.proof_until is None else self.proof_until.isoformat(),
        }
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) + b"\n"

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return what a line says; raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        until = value["proof_until"]
        # Lines of version 1 are about one person each.
        marks = [value["mark"]] if value["v"] == 1 else value["marks"]
        return cls(
            str(value["erasure_id"]),
            tuple(b64url.decode(mark, length=_MARK) for mark in marks),
            datetime.fromisoformat(value["at"]),
            str(value["decision"]),
            None if until is None else datetime.fromisoformat(until),
        )


def mark_of(keyring: Keyring, person: PersonId) -> bytes:
    """Return the 16 bytes that stand for a person in the register, under this keyring alone."""
    return keyring.handle("hub", "erased", person)[:_MARK]


class ErasureRegister:
    """The file. One process writes it."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made by the first erasure."""
        self._path = path

    def entries(self) -> list[Erased]:
        """Return every erasure, oldest first. Raises ``MaillonError(CONFIGURATION)`` when the file is damaged.

        A last line without its end was cut by a crash: whoever wrote it has not said that it did, and writes it again.
        """
        if not self._path.exists():
            return []
        try:
            lines = keys.read_private(self._path).split(b"\n")[:-1]
            return [Erased.of(strict_json.loads_object(line)) for line in lines]
        except MaillonError as error:
            if error.kind is ErrorKind.CONFIGURATION:
                raise
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self._path.name} is damaged") from None
        except (KeyError, TypeError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self._path.name} is damaged") from None

    def append(self, erased: Erased) -> None:
        """Add an erasure, durably; one that is in already is not added twice. Raises ``MaillonError(STORAGE)``."""
        if any(entry.erasure_id == erased.erasure_id for entry in self.entries()):
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                whole = content.rfind(b"\n") + 1
                os.ftruncate(descriptor, whole)
                os.pwrite(descriptor, erased.to_line(), whole)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync(self._path.parent)
        except OSError as error:
            raise MaillonError(ErrorKind.STORAGE, f"{self._path.name}: {error.strerror}") from None
