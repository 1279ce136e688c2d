"""When to stop asking a source that fails, and when to try it again: a circuit breaker, and a bucket of tokens. Pure.

States and moments in, states out; nothing here reads a clock or holds a lock (``gate`` does).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

LONGEST: Final = 16
"""An open breaker waits twice as long each time, up to so many times the first wait."""


class Phase(StrEnum):
    """What a breaker lets through: everything, nothing, or one call that decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """``failures`` in a row open it for ``wait``; a trial call that never came back is given up after ``trial``."""

    failures: int
    wait: timedelta
    trial: timedelta


@dataclass(frozen=True, slots=True)
class Breaker:
    """One source's state. A new one is closed."""

    failures: int = 0
    """In a row, while closed."""
    opened: int = 0
    """Times in a row that it opened; 0 while closed."""
    until: datetime | None = None
    """Open until then; half-open from then on."""
    trial: datetime | None = None
    """When the call that decides was let through."""

    def phase(self, at: datetime) -> Phase:
        """Return the phase at that moment."""
        if self.until is None:
            return Phase.CLOSED
        return Phase.OPEN if at < self.until else Phase.HALF_OPEN

    def ask(self, rules: BreakerRules, at: datetime) -> tuple[Breaker, bool]:
        """Say whether a call may be made now, and the state once that is settled."""
        phase = self.phase(at)
        if phase is not Phase.HALF_OPEN:
            return self, phase is Phase.CLOSED
        if self.trial is not None and at < self.trial + rules.trial:
            return self, False
        return Breaker(opened=self.opened, until=self.until, trial=at), True

    def succeeded(self, at: datetime) -> Breaker:
        """Return the state after a good answer. One that comes while open was asked before it opened: no news."""
        return self if self.phase(at) is Phase.OPEN else Breaker()

    def failed(self, rules: BreakerRules, at: datetime) -> Breaker:
        """Return the state after a failure."""
        phase = self.phase(at)
        if phase is Phase.OPEN:
            return self
        if phase is Phase.CLOSED and self.failures + 1 < rules.failures:
            return Breaker(failures=self.failures + 1)
        times = min(2**self.opened, LONGEST)
        return Breaker(opened=self.opened + 1 if times < LONGEST else self.opened, until=at + rules.wait * times)

    def earlier(self, by: timedelta) -> Breaker:
        """Return the state as it stands once the clock was set back by ``by``."""
        until, trial = (None if moment is None else moment - by for moment in (self.until, self.trial))
        return replace(self, until=until, trial=trial)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: ``tokens`` were there at ``at``; negative when calls have reserved those to come."""

    tokens: float
    at: datetime

    def reserve(self, rate: float, burst: int, at: datetime, patience: float) -> tuple[Bucket, float | None]:
        """Take one token; return the seconds to wait for it, ``None`` (nothing taken) when above ``patience``.

        ``rate`` tokens a second come back, never more than ``burst`` at once.
        """
        now = max(at, self.at)  # a clock set back gives nothing
        there = min(float(burst), self.tokens + rate * (now - self.at).total_seconds())
        wait = max(0.0, (1 - there) / rate)
        if wait > patience:
            return Bucket(there, now), None
        return Bucket(there - 1, now), wait
