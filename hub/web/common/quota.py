"""How much one partner may ask in an hour: whoever steals its keys cannot try a whole list of guesses in a night."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from connectors.kit.runtime.errors import ErrorKind, MaillonError

_HOUR = 3600.0


class QuotaExceeded(MaillonError):  # noqa: N818  (as its base)
    """``ErrorKind.TOO_MANY``; ``retry_after`` is in whole seconds."""

    def __init__(self, what: str, retry_after: int) -> None:
        super().__init__(ErrorKind.TOO_MANY, f"{what}: more than this partner may ask in an hour")
        self.retry_after = retry_after


class Quota:
    """A bucket for each partner that holds an hour's worth and fills evenly; 0: no bound. Thread-safe.

    What is refused takes nothing. Kept in memory alone: a restart of the hub fills every bucket.
    """

    def __init__(self, what: str, per_hour: int, now: Callable[[], float] = time.monotonic) -> None:
        """``what`` is the setting's name; ``now`` a monotonic clock in seconds."""
        self._what = what
        self._most = float(per_hour)
        self._now = now
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, slug: str, count: int = 1) -> None:
        """Take ``count`` of what ``slug`` has left; if that is less, take nothing and raise :class:`QuotaExceeded`."""
        if not self._most:
            return
        with self._lock:
            at = self._now()
            left, before = self._left.get(slug, (self._most, at))
            left = min(self._most, left + (at - before) * self._most / _HOUR)
            if count > left:
                self._left[slug] = (left, at)
                raise QuotaExceeded(self._what, math.ceil((count - left) * _HOUR / self._most))
            self._left[slug] = (left - count, at)
