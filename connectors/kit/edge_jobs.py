"""What an edge does by itself now and then: APScheduler, one run at a time, a late run made up for once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.runtime.scheduling import SteadyScheduler


def every(seconds: int, job: Callable[[], None], at: datetime, jitter: int = 0) -> BackgroundScheduler:
    """Run ``job`` at ``at`` and every ``seconds`` from then on, in a thread; ``shutdown()`` on the result stops it.

    ``jitter`` starts each run up to so many seconds late. One that is due while the last is not over is left out.
    """
    scheduler = SteadyScheduler()
    scheduler.add_job(job, "interval", seconds=seconds, jitter=jitter, next_run_time=at.astimezone(UTC))
    scheduler.start()
    return scheduler
