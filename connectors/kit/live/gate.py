"""One door to a partner's API: its calendar, what it asked us to wait for, the breaker, the rate. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from connectors.kit.live.breaker import Breaker, BreakerRules, Bucket, Phase
from connectors.kit.live.calendar import Window, closed_until
from connectors.kit.live.spec import Limits
from connectors.kit.transport import INDISPONIBLE, MAINTENANCE

LONGEST_PAUSE: Final = timedelta(hours=1)
"""A ``Retry-After`` beyond this is an error of the far side: it would stop us for as long as it pleases."""
SET_BACK: Final = timedelta(seconds=5)
"""Less than this, and threads merely came in another order than they read the clock."""


@dataclass(frozen=True, slots=True)
class Closed:
    """No call now: the absence to state, and why, in a word fit for a log."""

    outcome: str
    why: str


class Gate:
    """Keeps the state of one partner's API in this process."""

    def __init__(self, limits: Limits, maintenance: Sequence[Window], at: datetime) -> None:
        """Start closed (that is: letting calls through), with a full bucket."""
        self._limits = limits
        self._maintenance = tuple(maintenance)
        wait = timedelta(seconds=limits.open_seconds)
        self._rules = BreakerRules(limits.failures, wait, timedelta(seconds=2 * limits.order_seconds))
        self._breaker = Breaker()
        self._bucket = Bucket(float(limits.burst), at)
        self._pause: tuple[datetime, str] | None = None
        self._seen = at
        self._lock = threading.Lock()

    def enter(self, at: datetime, patience: float) -> float | Closed:
        """Return how many seconds (at most ``patience``) to wait before calling, or why not to call."""
        if closed_until(self._maintenance, at) is not None:
            return Closed(MAINTENANCE, "maintenance calendar")
        with self._lock:
            self._keep_time(at)
            pause = 0.0
            if self._pause is not None:
                ends, outcome = self._pause
                pause = max(0.0, (ends - at).total_seconds())
                if pause > patience:
                    return Closed(outcome, "retry-after")
            wait_until = at + timedelta(seconds=pause)
            asked, allowed = self._breaker.ask(self._rules, wait_until)
            if not allowed:
                return Closed(INDISPONIBLE, "breaker")
            self._bucket, wait = self._bucket.reserve(
                self._limits.rate, self._limits.burst, wait_until, patience - pause
            )
            if wait is None:
                return Closed(INDISPONIBLE, "rate")
            self._breaker = asked
            return pause + wait

    def answered(self, at: datetime) -> None:
        """It answered as an API does, whatever it said."""
        with self._lock:
            self._keep_time(at)
            self._breaker = self._breaker.succeeded(at)

    def failed(self, at: datetime) -> None:
        """It did not answer, or not as an API does."""
        with self._lock:
            self._keep_time(at)
            self._breaker = self._breaker.failed(self._rules, at)

    def asked_to_wait(self, at: datetime, seconds: float, outcome: str) -> None:
        """It answered that it wants peace for so long (429, 503 with ``Retry-After``)."""
        ends = at + min(timedelta(seconds=seconds), LONGEST_PAUSE)
        with self._lock:
            self._keep_time(at)
            self._breaker = self._breaker.succeeded(at)
            if self._pause is None or self._pause[0] < ends:
                self._pause = (ends, outcome)

    def state(self, at: datetime) -> str:
        """Return ``closed``, ``open``, ``half_open``, or ``maintenance``, for a health page."""
        if closed_until(self._maintenance, at) is not None:
            return MAINTENANCE
        with self._lock:
            self._keep_time(at)
            if self._pause is not None and at < self._pause[0] and self._pause[1] == MAINTENANCE:
                return MAINTENANCE
            phase: Phase = self._breaker.phase(at)
        return phase.value

    def _keep_time(self, at: datetime) -> None:
        """After the clock was set back, what waits waits as long as it had to: not for the hours set back as well."""
        back = self._seen - at
        if back > SET_BACK:
            self._breaker = self._breaker.earlier(back)
            self._bucket = replace(self._bucket, at=self._bucket.at - back)
            if self._pause is not None:
                self._pause = (self._pause[0] - back, self._pause[1])
        if back > SET_BACK or back < timedelta(0):
            self._seen = at


def retry_after(text: str, at: datetime) -> float | None:
    """Return the seconds a ``Retry-After`` asks for, written as such or as a date (RFC 9110 §10.2.3), else ``None``."""
    written = text.strip()
    if written.isascii() and written.isdigit():
        return float(min(int(written[:9]), 10**6))
    try:
        until = parsedate_to_datetime(written)
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        return max(0.0, (until - at).total_seconds())
    except (ValueError, OverflowError):  # a year no calendar has
        return None
