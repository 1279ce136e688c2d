"""What the tests of readers share: files in memory, files that never are, and what came out."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Mapping
from typing import Any

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers import BUILT_IN

CSV = {"columns": ["id", "nom"], "optional": ["note"]}


def read(
    name: str, data: bytes | io.RawIOBase, options: Mapping[str, Any] | None = None
) -> list[RawRecord | Quarantined]:
    stream: Any = io.BytesIO(data) if isinstance(data, bytes) else io.BufferedReader(data)
    return list(BUILT_IN[name](options or {}).read(stream))


def reasons(found: list[RawRecord | Quarantined]) -> list[tuple[str, Reason]]:
    return [(item.position, item.reason) for item in found if isinstance(item, Quarantined)]


def records(found: list[RawRecord | Quarantined]) -> list[dict[str, Any]]:
    return [item.data for item in found if isinstance(item, RawRecord)]


class Endless(io.RawIOBase):
    """``head``, then ``size`` bytes of ``filler``, then ``tail``: a huge file that is never in memory."""

    def __init__(self, head: bytes, filler: bytes, size: int, tail: bytes = b"") -> None:
        self.head, self.filler, self.left, self.tail = head, filler, size, tail
        self.given, self.size = 0, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.head:
            chunk, self.head = self.head[: len(buffer)], self.head[len(buffer) :]
        elif self.left > 0:
            start = (self.size - self.left) % len(self.filler)
            endless = self.filler * (len(buffer) // len(self.filler) + 2)
            chunk = endless[start : start + min(len(buffer), self.left)]
            self.left -= len(chunk)
        else:
            chunk, self.tail = self.tail[: len(buffer)], self.tail[len(buffer) :]
        buffer[: len(chunk)] = chunk
        self.given += len(chunk)
        return len(chunk)


def peak(
    name: str, stream: Endless, options: Mapping[str, Any] | None = None
) -> tuple[list[RawRecord | Quarantined], int]:
    tracemalloc.start()
    try:
        found = read(name, stream, options)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
