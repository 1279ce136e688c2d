"""Maintenance windows: every night, one night a week, one date, and the nights when the hour changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.kit.live.calendar import closed_until, window


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SUNDAY = window({"days": ["dimanche"], "from": "02:00", "to": "06:00"})
NIGHTS = window({"days": ["lundi", "mardi"], "from": "23:30", "to": "01:00"})
DATED = window({"start": "2026-03-10T20:00", "end": "2026-03-11T08:00+01:00"})


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2026-01-18T00:59:59", None),
        ("2026-01-18T01:00:00", "2026-01-18T05:00:00"),  # 02:00 in Paris, in winter
        ("2026-01-18T05:00:00", None),
        ("2026-07-19T00:00:00", "2026-07-19T04:00:00"),  # and in summer
        # 29 March 2026: 02:00 is 03:00 already; the window is an hour shorter.
        ("2026-03-29T00:59:59", None),
        ("2026-03-29T01:00:00", "2026-03-29T04:00:00"),
        ("2026-01-19T22:30:00", "2026-01-20T00:00:00"),
        ("2026-01-20T23:59:00", "2026-01-21T00:00:00"),  # Tuesday's, into Wednesday
        ("2026-01-21T22:45:00", None),
        ("2026-03-10T18:59:59", None),
        ("2026-03-10T19:00:00", "2026-03-11T07:00:00"),
        ("2026-03-11T07:00:00", None),
    ],
)
def test_closed_until(at: str, ends: str | None) -> None:
    assert closed_until([SUNDAY, NIGHTS, DATED], utc(at)) == (ends and utc(ends))


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        # 25 October 2026: 02:30 comes twice, at 00:30 and 01:30 UTC. What ends then ends the second time.
        ("2026-10-24T22:59:59", None),
        ("2026-10-24T23:00:00", "2026-10-25T01:30:00"),
        ("2026-10-25T01:29:59", "2026-10-25T01:30:00"),
        ("2026-10-25T01:30:00", None),
        # 29 March 2026: 02:30 never comes; it would have been 01:30 UTC.
        ("2026-03-29T00:59:59", "2026-03-29T01:30:00"),
        ("2026-03-29T01:30:00", None),
    ],
)
def test_an_end_in_the_hour_that_comes_twice_or_never(at: str, ends: str | None) -> None:
    night = window({"days": ["dimanche"], "from": "01:00", "to": "02:30"})
    assert closed_until([night], utc(at)) == (ends and utc(ends))


def test_the_last_to_end_decides() -> None:
    long = window({"start": "2026-01-18T00:00+00:00", "end": "2026-01-18T12:00+00:00"})
    assert closed_until([long, SUNDAY], utc("2026-01-18T02:00:00")) == utc("2026-01-18T12:00:00")


@pytest.mark.parametrize(
    "row",
    [
        {"start": "2026-01-02", "end": "2026-01-01"},
        {"start": "x", "end": "2026-01-01"},
        {"days": ["lundi"], "from": "25:00", "to": "01:00"},
    ],
)
def test_what_is_no_window_is_refused(row: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        window(row)
