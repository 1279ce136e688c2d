"""What a running edge does about the log by itself: a round of the watch now and every ``log_seconds``."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.ledger.watch import Watch
from connectors.kit.runtime.scheduling import SteadyScheduler

if TYPE_CHECKING:
    from connectors.kit.edge import Edge

_log = structlog.get_logger("edge")


def start_following(edge: Edge) -> BackgroundScheduler:
    """Follow the log in a thread, one round at a time; ``shutdown()`` on what is returned stops it."""
    scheduler = SteadyScheduler()
    seconds = edge.settings.log_seconds
    scheduler.add_job(
        lambda: _quietly(edge.watch),
        "interval",
        seconds=seconds,
        jitter=seconds // 5,
        next_run_time=edge.clock.now().astimezone(UTC),
    )
    scheduler.start()
    return scheduler


def _quietly(watch: Watch) -> None:
    try:
        watch.round()
    except Exception as error:
        # The class alone: an exception's text may hold what it was working on.
        _log.error("log:round:failed", error=type(error).__name__)
