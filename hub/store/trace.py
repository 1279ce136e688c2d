"""One month of one person's traces, and how long it lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Trace:
    """One month of one person: the tag its events are found by, the key that opens them.

    ``owner`` is the person; once erased, the erasure receipt (``restricted``), which alone leads to them until
    ``expires_at``.
    """

    owner: str
    month: str
    tag: bytes
    key: bytes = field(repr=False)
    expires_at: datetime
    restricted: bool


def month_of(at: datetime) -> str:
    """Return the month of an instant, ``YYYY-MM``, UTC."""
    return f"{at.astimezone(UTC):%Y-%m}"


def end_of_traces(month: str, months: int) -> datetime:
    """Return when the traces of ``month`` end: ``months`` whole months after its own end."""
    year, number = (int(part) for part in month.split("-"))
    later = year * 12 + number + months
    return datetime(later // 12, later % 12 + 1, 1, tzinfo=UTC)


def trace_use(month: str) -> str:
    """Return what the wrapped key of a month is bound to."""
    return f"k_trace/{month}"
