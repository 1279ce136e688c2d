"""Days, months, instants, and birth dates as far as they are known."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from connectors.kit.dates import FIRST_DAY, day_of, is_day, parse_birth_date
from connectors.kit.port import Reason
from connectors.kit.transforms.base import Refused, Table, is_blank
from connectors.kit.transforms.codes import code

_TIME = r"(?:[T ][0-9:.,]+(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_FRENCH_DATE = re.compile(r"([0-3]?[0-9])([-/.])([01]?[0-9])\2([0-9]{4})" + _TIME)
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})" + _TIME)
_ISO_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")


def calendar_date(value: Any, _: Table) -> str:
    """A full date, ISO or French; a time beside it is dropped, never converted (DOMAIN §5)."""
    written = str(value).strip()
    if is_day(written):
        return written
    if found := _FRENCH_DATE.fullmatch(written):
        written = f"{found[4]}-{found[3]:>02}-{found[1]:>02}"
    elif found := _ISO_DATE.fullmatch(written):
        written = found[1]
    try:
        return date.fromisoformat(written).isoformat()
    except ValueError:
        raise Refused(Reason.BAD_DATE) from None


def month(value: Any, _: Table) -> str:
    """The month of a date, or a month alone: ``2021-08``."""
    written = str(value).strip()
    return written if _ISO_MONTH.fullmatch(written) else calendar_date(written, {})[:7]


def first_of_month(value: Any, _: Table) -> str | None:
    """``[year, month]`` as the first day of that month; nothing when either is unknown."""
    if not isinstance(value, list) or len(value) != 2 or None in value:
        return None
    try:
        return date(int(value[0]), int(value[1]), 1).isoformat()
    except (TypeError, ValueError, OverflowError):
        raise Refused(Reason.BAD_DATE) from None


def instant(value: Any, _: Table) -> str:
    """An aware instant as RFC 3339 UTC with ``Z``, to the second."""
    try:
        at = datetime.fromisoformat(str(value))
        utc = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_DATE) from None
    if at.tzinfo is None:
        raise Refused(Reason.BAD_DATE, "fuseau")
    if utc.year < 1900:  # nothing was collected then; and before the year 1000 ``strftime`` leaves zeros out
        raise Refused(Reason.BAD_DATE)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def birth_date(value: Any, _: Table) -> str:
    """A birth date, whole or partial, as far as it is known: ``1990-05-17``, ``1990-05``, ``1990``."""
    written = str(value)
    day = day_of(written)
    if day is not None and day >= FIRST_DAY:  # almost all
        return day
    known, why = parse_birth_date(written)
    if not known.value:
        raise Refused(Reason.BAD_DATE, why.value if why else "")
    return known.value


def birth_date_parts(value: Any, _: Table) -> str | None:
    """A birth date from ``[year, month, day]``, each of which may be unknown."""
    if not isinstance(value, list) or len(value) != 3:
        raise Refused(Reason.BAD_VALUE)
    try:
        year, month_, day = int(value[0] or 0), int(value[1] or 0), int(value[2] or 0)
    except (TypeError, ValueError):
        raise Refused(Reason.BAD_DATE, "date_naissance") from None
    return birth_date(f"{year:04}-{month_:02}-{day:02}", {}) if year else None


def birth_date_or_parts(value: Any, _: Table) -> str | None:
    """A birth date from ``[date, year, month, day]``: the date where it is written whole, else its parts."""
    if not isinstance(value, list) or len(value) != 4:
        raise Refused(Reason.BAD_VALUE)
    whole, *parts = value
    return birth_date_parts(parts, {}) if is_blank(whole) else birth_date(whole, {})


def birth_date_typed(value: Any, table: Table) -> str:
    """A birth date from ``[date, type]``: parts the type (CNAF TYPEDTNAI) says are unknown are dropped.

    The table gives the precision: ``jour``, ``mois`` or ``annee``. No type means that the date is whole.
    """
    written, kind = value
    precision = "jour" if is_blank(kind) else code(kind, table)
    return birth_date(written, {})[: {"jour": 10, "mois": 7, "annee": 4}[precision]]
