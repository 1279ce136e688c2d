"""What other partners say of the directory they hold, in requests they signed: nobody hears of a newer one in vain.

The directory comes from the hub, which could hold a newer one back, so that whoever was suspended goes on. It cannot
touch what a requester signs: a partner that has the newer one, by whatever way, tells every source it asks.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

import structlog

from connectors.kit.ledger.store import Alarm, LogStore

PATIENCE: Final = timedelta(minutes=5)
"""How long a directory may take to come round; an edge asks the hub each minute."""

_log = structlog.get_logger("edge")


class HeardDirectories:
    """The versions other partners have, and since when this edge has known that. Thread-safe."""

    def __init__(self, store: LogStore) -> None:
        """``store`` keeps the alarm."""
        self._store = store
        self._lock = threading.Lock()
        self._newer: dict[str, tuple[int, datetime]] = {}

    def hear(self, partner: str, version: int, own: int, at: datetime) -> None:
        """``partner`` has directory ``version``, in a request it signed; this edge has ``own``."""
        if version <= own:
            return
        with self._lock:
            _, since = self._newer.get(partner, (0, at))
            self._newer[partner] = (version, since)

    def review(self, own: int, at: datetime) -> None:
        """Raise the alarm for each partner that has had a newer directory too long; end it for those caught up with."""
        with self._lock:
            behind = {slug: heard for slug, heard in self._newer.items() if heard[0] > own}
            caught_up, self._newer = set(self._newer) - set(behind), behind
        for slug in caught_up:
            self._store.end_alarm(Alarm.DIRECTORY_BEHIND, slug.encode(), at)
        for slug, (_, since) in behind.items():
            overdue = at - since >= PATIENCE
            if overdue and self._store.raise_alarm(Alarm.DIRECTORY_BEHIND, slug.encode(), at):
                _log.error("edge:alarm", code=Alarm.DIRECTORY_BEHIND.value, partner=slug)
