"""Has every witness cosign the newest checkpoint: each in its own time, none waited for by anyone.

A witness that does not answer is asked again later and later, at random moments, so that many hubs and a witness that
comes back do not meet all at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Final

import structlog

from hub.services.witnesses import Outcome, Witnesses

MOST_SECONDS: Final = 60.0

_log = structlog.get_logger("hub")


class Rounds:
    """When each witness is asked. :meth:`tick` returns at once."""

    def __init__(
        self,
        witnesses: Witnesses,
        slugs: Iterable[str],
        pool: Executor,
        *,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
        rand: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``seconds`` is between two questions to one witness, at least; it doubles with each failure to a minute."""
        self._witnesses = witnesses
        self._pool = pool
        self._seconds = seconds
        self._now = now
        self._rand = rand
        self._lock = threading.Lock()
        self._due = dict.fromkeys(slugs, float("-inf"))
        self._failures = dict.fromkeys(self._due, 0)
        self._asking: set[str] = set()

    def tick(self) -> None:
        """Have every witness whose turn it is asked, each in a thread of the pool."""
        now = self._now()
        with self._lock:
            turn = [slug for slug, due in self._due.items() if due <= now and slug not in self._asking]
            self._asking.update(turn)
        for slug in turn:
            self._pool.submit(self._ask, slug)

    def _ask(self, slug: str) -> None:
        failed = True
        try:
            # What failed is asked even when there is nothing new: it may have come back knowing more.
            if self._failures[slug] or self._witnesses.is_behind(slug):
                failed = self._witnesses.submit(slug) is not Outcome.COSIGNED
            else:
                failed = False
        except Exception as error:
            # The class alone: an exception's text may hold what it was working on.
            _log.error("witness:failed", witness=slug, error=type(error).__name__)
        finally:
            with self._lock:
                self._failures[slug] = self._failures[slug] + 1 if failed else 0
                wait = min(MOST_SECONDS, self._seconds * 2 ** min(self._failures[slug], 10))
                self._due[slug] = self._now() + wait * self._rand(0.5, 1.0)
                self._asking.discard(slug)
