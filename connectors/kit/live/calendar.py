"""When a partner says its API is closed: weekly windows and dated ones, in legal time of mainland France. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from connectors.kit.port import Json

PARIS: Final = ZoneInfo("Europe/Paris")
DAYS: Final = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Closed from ``opens`` to ``closes`` (half-open) on these days of the week, or between two instants.

    A weekly window whose end is not after its start ends the next day.
    """

    days: frozenset[int] = frozenset()
    opens: time = time()
    closes: time = time()
    start: datetime | None = None
    end: datetime | None = None

    def closed_until(self, at: datetime) -> datetime | None:
        """Return when this window ends if it holds at ``at`` (aware), else ``None``."""
        if self.start is not None and self.end is not None:
            return self.end if self.start <= at < self.end else None
        local = at.astimezone(PARIS)
        for day in (local.date() - _DAY, local.date()):
            if day.weekday() in self.days:
                ends = day + _DAY if self.closes <= self.opens else day
                start = datetime.combine(day, self.opens, PARIS).astimezone(UTC)
                # Of an end that comes twice, the night the hour is put back, the second: too long does no harm.
                local_end = datetime.combine(ends, self.closes, PARIS)
                end = max(local_end.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
                if start <= at < end:
                    return end
        return None


def window(row: Json) -> Window:
    """Read one row: ``{days, from, to}`` or ``{start, end}`` (TOML local times; date-times). Raises ``ValueError``."""
    if "start" in row:
        start, end = (_aware(row[name]) for name in ("start", "end"))
        if start >= end:
            raise ValueError("end: not after start")
        return Window(start=start, end=end)
    days = frozenset(DAYS.index(day) for day in row["days"])
    return Window(days, time.fromisoformat(row["from"]), time.fromisoformat(row["to"]))


def closed_until(windows: Iterable[Window], at: datetime) -> datetime | None:
    """Return when the last of the windows holding at ``at`` ends; ``None`` when the API is open."""
    return max((end for each in windows if (end := each.closed_until(at)) is not None), default=None)


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return (at.replace(tzinfo=PARIS) if at.tzinfo is None else at).astimezone(UTC)
