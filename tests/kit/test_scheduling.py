"""What runs by itself goes on when the clock is set back, and is not left out when the machine is late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.executors import base as executor
from apscheduler.schedulers import base as library

from connectors.kit.edge_jobs import every
from connectors.kit.runtime import clock as runtime_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[timedelta]]:
    """How far the machine's time of day is off, everywhere the scheduler reads it."""
    off = [timedelta()]

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + off[0]

    for module in (library, executor, runtime_clock):
        monkeypatch.setattr(module, "datetime", Shifted)
    return iter([off])


def ran(count: threading.Semaphore, times: int) -> bool:
    """Long before the hours a clock is set back by, and long enough for a busy machine."""
    return all(count.acquire(timeout=60) for _ in range(times))


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(hours=3)])
def test_a_clock_that_jumps_stops_nothing(clock: Iterator[list[timedelta]], jump: timedelta) -> None:
    off, count = next(clock), threading.Semaphore(0)
    scheduler = every(1, count.release, datetime.now(UTC))
    try:
        assert ran(count, 2)
        off[0] = jump
        assert ran(count, 3), "it waits for the time of day it had noted"
    finally:
        scheduler.shutdown(wait=True)


def test_a_run_that_begins_late_is_made_up_for_once() -> None:
    count = threading.Semaphore(0)
    scheduler = every(3600, count.release, datetime.now(UTC) - timedelta(hours=29, minutes=30))
    try:
        assert ran(count, 1), "a machine that was busy, or asleep, leaves it out"
        time.sleep(0.2)
        assert not count.acquire(blocking=False), "once"
    finally:
        scheduler.shutdown(wait=True)
