"""Keys read and contents opened lately, so that each event does not cost a query of ``secrets.db`` and an unsealing;
emptied when any key is destroyed."""

from __future__ import annotations

import threading
from typing import Final, Generic, NewType, TypeVar

K = TypeVar("K")
V = TypeVar("V")
Reading = NewType("Reading", int)

MOST_KEYS: Final = 20_000
MOST_CONTENTS: Final = 5_000
"""About 25 MB of agreements."""


class KeyCache(Generic[K, V]):
    """At most ``most`` values, oldest out first. Thread-safe.

    Whoever is about to read from the file takes a :meth:`token` first: what was read before a :meth:`clear` is not
    kept after it, or a destroyed key would live on here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: dict[K, V] = {}
        self._cleared = 0

    def get(self, key: K) -> V | None:
        """Return the value held for ``key``."""
        return self._held.get(key)

    def token(self) -> Reading:
        """Return what :meth:`put` is to be given for a value read from now on."""
        return Reading(self._cleared)

    def put(self, key: K, value: V, read: Reading) -> None:
        """Hold ``value``, read since ``read``, unless keys were destroyed in the meantime."""
        with self._lock:
            if self._cleared != read:
                return
            if len(self._held) >= self._most:
                del self._held[next(iter(self._held))]
            self._held[key] = value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._cleared += 1
