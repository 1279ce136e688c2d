"""What runs by itself: forgetting used-once values and old checkpoints, ending what is kept no longer, taking a new
directory or policy, having the log cosigned, going on with a rotation of keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.runtime.errors import MaillonError
from connectors.kit.runtime.scheduling import SteadyScheduler
from hub.jobs import retention
from hub.jobs.witnesses import Rounds
from hub.services import link_rotation, log, pepper_rotation
from hub.services.pepper_rotation import Rotator
from hub.services.runtime import Hub

_log = structlog.get_logger("hub")


def start(hub: Hub) -> BackgroundScheduler:
    """Start the hub's jobs; ``shutdown()`` on what is returned stops them."""
    scheduler = SteadyScheduler()
    every = scheduler.add_job
    every(_quietly("purge", lambda: purge(hub)), "interval", seconds=hub.settings.purge_seconds)
    every(_quietly("checkpoints", lambda: hub.writer.run(log.thin)), "interval", seconds=hub.settings.purge_seconds)
    every(_quietly("log-seen", lambda: retention.note_size(hub)), "interval", seconds=hub.settings.purge_seconds)
    # At once too: a hub that was off for months catches up before anybody asks.
    first = hub.clock.now() + timedelta(seconds=1)
    every(_quietly("retention", lambda: retention.keep(hub)), "interval", hours=1, next_run_time=first)
    rotator = Rotator(hub.writer, hub.reads, hub.keyring)
    every(_quietly("pepper", lambda: pepper_rotation.run(rotator)), "interval", seconds=1)
    every(
        _quietly("klink", lambda: link_rotation.run(rotator, wait=time.sleep, clock=time.monotonic)),
        "interval",
        seconds=1,
    )
    if hub.settings.directory_seconds:
        seconds = hub.settings.directory_seconds
        every(_quietly("directory", hub.directory.refresh), "interval", seconds=seconds)
        every(_quietly("policy", hub.policy.refresh), "interval", seconds=seconds)
    if hub.settings.witnesses:
        pool = ThreadPoolExecutor(len(hub.settings.witnesses), thread_name_prefix="maillon-witness")
        rounds = Rounds(hub.witnesses, hub.settings.witnesses, pool, seconds=hub.settings.witness_seconds)
        every(_quietly("witnesses", rounds.tick), "interval", seconds=1)
    scheduler.start()
    return scheduler


def purge(hub: Hub) -> int:
    """Forget used-once values that could no longer be accepted anyway; return how many."""
    return hub.writer.run(lambda uow: uow.bookkeeping.purge())


def _quietly(name: str, job: Callable[[], Any]) -> Callable[[], None]:
    """Log what a job did, or what it stumbled over: one failing must not end the others."""

    def run() -> None:
        try:
            done = job()
        except MaillonError as error:
            _log.warning(f"job:{name}:refused", kind=error.kind.value, detail=error.detail)
        except Exception as error:
            _log.error(f"job:{name}:failed", error=type(error).__name__)
        else:
            if done:
                _log.info(f"job:{name}", done=int(done))

    return run
