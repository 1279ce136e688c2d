"""The one place that reads the time (DESIGN §3: pure functions take ``at``, aware UTC only)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Anything that knows the present moment."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time as an aware UTC datetime."""
        return datetime.now(UTC)


@dataclass
class FakeClock:
    """A clock that moves only when told to, for tests and simulations."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 15, 9, 0, tzinfo=UTC))

    def now(self) -> datetime:
        """Return the moment the clock was last set to."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move the clock by ``by`` (may be negative, to simulate a clock set back)."""
        self.at += by


def instant(at: datetime) -> str:
    """Return an aware datetime as RFC 3339 UTC with ``Z``, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_seconds(at: datetime) -> str:
    """Return an aware datetime as RFC 3339 UTC with ``Z``, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_epoch(at: datetime) -> int:
    """Return whole seconds since 1970 for an aware datetime (JOSE ``iat``/``exp``, RFC 7519 §2)."""
    if at.tzinfo is None:
        raise ValueError("a naive datetime has no place on a wire")
    return int(at.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Return the aware UTC datetime of ``seconds`` since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
