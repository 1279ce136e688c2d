"""The scheduler of everything that runs by itself: APScheduler, minding a clock set back and a slow machine.

One run of a job at a time, a late one made up for once. Of itself APScheduler drops a run that begins more than a
second late, so that what is to be done at the start is left out on a busy machine; and it notes the next run as a time
of day, so that a clock set back three hours stops everything for three hours.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.runtime.clock import SystemClock

SET_BACK: Final = timedelta(seconds=5)
"""A clock that goes back by less is only being kept right."""


class SteadyScheduler(BackgroundScheduler):  # type: ignore[misc] # the library has no types
    """See the module. Sleeping is by the machine's steady clock: it wakes when a job was due, and runs it then."""

    def __init__(self) -> None:
        """Make a scheduler that ``start()`` starts in a thread of its own, and ``shutdown()`` ends."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        once = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        super().__init__(timezone="UTC", job_defaults=once)
        self._clock = SystemClock()  # the library reads the machine's too
        self._latest = self._clock.now()

    def _process_jobs(self) -> Any:
        now = self._clock.now()
        if self._latest - now > SET_BACK:
            for job in self.get_jobs():
                job.modify(next_run_time=now)
        self._latest = now
        return super()._process_jobs()
