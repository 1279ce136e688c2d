"""Hashes of large complete subtrees, kept from one proof to the next: they never change, and cost most of a proof."""

from __future__ import annotations

import threading
from typing import Final

from consent.ledger.merkle import SubtreeReader
from consent.ledger.tile import TILE_HEIGHT

_MOST: Final = 100_000
"""About 20 MB; a log of a million leaves has eight thousand."""


class Subtrees:
    """The kept hashes of one log, of subtrees a tile high at least. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[int, int], bytes] = {}

    def over(self, reader: SubtreeReader) -> SubtreeReader:
        """Return ``reader``, asking it only for what is not held. It must read what was committed."""

        def read(level: int, index: int) -> bytes:
            if level < TILE_HEIGHT:
                return reader(level, index)
            found = self._held.get((level, index))
            return self._keep(level, index, reader(level, index)) if found is None else found

        return read

    def _keep(self, level: int, index: int, hashed: bytes) -> bytes:
        with self._lock:
            if len(self._held) >= _MOST:
                self._held.clear()
            self._held[level, index] = hashed
        return hashed
