"""How often what needs no token may be asked, all askers together: no address of anyone is looked at, or kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from connectors.kit.runtime.errors import ErrorKind, MaillonError


class Rate:
    """A bucket that fills with ``per_second`` tokens a second and holds two seconds' worth; 0: no bound.

    Thread-safe.
    """

    def __init__(self, per_second: int, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` is a monotonic clock in seconds."""
        self._rate = per_second
        self._most = 2.0 * per_second
        self._now = now
        self._lock = threading.Lock()
        self._left, self._at = self._most, now()

    def take(self) -> None:
        """Take one token; ``MaillonError(TOO_MANY)`` when none is left."""
        if not self._rate:
            return
        with self._lock:
            at = self._now()
            self._left = min(self._most, self._left + (at - self._at) * self._rate)
            self._at = at
            if self._left < 1:
                raise MaillonError(ErrorKind.TOO_MANY, "too many requests: try again in a second")
            self._left -= 1
