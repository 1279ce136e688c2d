"""Birth dates as sources write them: full or partial, never moved by a time zone (DOMAIN §5)."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date

from connectors.kit.reasons import Reason

FIRST_YEAR = 1850
"""No one alive, and no file at hand, was born before."""

FIRST_DAY = f"{FIRST_YEAR}-01-01"
_TIME = r"(?:[T ][0-9]{2}:[0-9]{2}.*)?"
_ANY_TIME = re.compile(_TIME)
_YEAR_FIRST = re.compile(r"([0-9]{4})(?:[-/.]([0-9]{1,2})(?:[-/.]([0-9]{1,2}))?)?" + _TIME)
_DAY_FIRST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})" + _TIME)
_EIGHT = re.compile(r"[0-9]{8}")


def day_of(text: str) -> str | None:
    """Return the day that ``text`` begins with, when it is one of the calendar and nothing but a time follows."""
    day, time = text[:10], text[10:]
    return day if is_day(day) and (not time or _ANY_TIME.fullmatch(time)) else None


def is_day(text: str) -> bool:
    """Say whether ``text`` is a day of the calendar as ISO 8601 writes it with hyphens: ``1901-02-03``."""
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, repr=False)
class PartialDate:
    """A birth date as far as it is known; 0 stands for an unknown part. ``repr`` shows nothing of it."""

    year: int = 0
    month: int = 0
    day: int = 0

    @property
    def precision(self) -> str:
        """``jour``, ``mois``, ``annee`` or ``inconnue``."""
        return "jour" if self.day else "mois" if self.month else "annee" if self.year else "inconnue"

    @property
    def value(self) -> str:
        """The known parts: ``1901-02-03``, ``1901-02``, ``1901`` or ``""``."""
        return f"{self.year:04}-{self.month:02}-{self.day:02}"[
            : {"jour": 10, "mois": 7, "annee": 4}.get(self.precision, 0)
        ]


UNKNOWN = PartialDate()


def parse_birth_date(text: str, today: date | None = None) -> tuple[PartialDate, Reason | None]:
    """Return the birth date written in ``text``, or ``UNKNOWN`` and why.

    Read: ISO 8601 with a time part or none (the time and its zone are ignored: ``2000-01-01T00:00:00+01:00`` is
    1 January), CNAV partial dates ``2012-04-00`` and ``2012-00-00``, ``2012-04``, ``2012``, French ``14/03/1987``, and
    eight digits in either order (a year from 1850 is never also a day and a month). ``today`` bounds the future.
    """
    text = text.strip()
    if not text:
        return UNKNOWN, Reason.ABSENT
    if is_day(text) and text >= FIRST_DAY:  # almost all
        known = PartialDate(int(text[:4]), int(text[5:7]), int(text[8:]))
        return (known, None) if today is None or text <= today.isoformat() else (UNKNOWN, Reason.FUTURE)
    if found := _YEAR_FIRST.fullmatch(text):
        parts = found.group(1), found.group(2), found.group(3)
    elif found := _DAY_FIRST.fullmatch(text):
        parts = found.group(3), found.group(2), found.group(1)
    elif not _EIGHT.fullmatch(text):
        return UNKNOWN, Reason.FORMAT
    elif int(text[:4]) >= FIRST_YEAR and int(text[4:6]) <= 12:
        parts = text[:4], text[4:6], text[6:]
    else:
        parts = text[4:], text[2:4], text[:2]
    year, month, day = (int(part or 0) for part in parts)
    if year < FIRST_YEAR:
        return UNKNOWN, Reason.OUT_OF_RANGE
    if month > 12 or day > (monthrange(year, month)[1] if month else 31):
        return UNKNOWN, Reason.IMPOSSIBLE
    known = PartialDate(year, month, day if month else 0)
    if today is not None and (year, month, known.day) > (today.year, today.month, today.day):
        return UNKNOWN, Reason.FUTURE
    return known, None
