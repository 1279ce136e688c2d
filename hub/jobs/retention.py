"""Every hour what is over ends, and erasures that were begun; every minute the size of the log is remembered."""

from __future__ import annotations

from hub.home import HubHome
from hub.services import erasure, restoring, retention
from hub.services.restoring import SeenSize
from hub.services.retention import Keeper
from hub.services.runtime import Hub


def keeper_of(hub: Hub) -> Keeper:
    """Return what retention needs of a hub."""
    return Keeper(hub.writer, hub.secrets, hub.keyring, hub.deadlines)


def keep(hub: Hub) -> int:
    """End what is over by the hub's clock, and erasures cut short; return how much there was."""
    finished = erasure.finish(hub.eraser)
    ended = retention.end_what_is_over(keeper_of(hub), hub.clock.now()).total
    erasure.empty_logs(hub.eraser)
    return finished + ended


def note_size(hub: Hub) -> None:
    """Remember how large the log is: an older database would be noticed at the next start. And finish an erasure whose
    last pages a long reader kept in a write-ahead log."""
    if hub.eraser.wal_is_left.is_set():
        erasure.empty_logs(hub.eraser)
    restoring.note_size(hub.reads, SeenSize(HubHome(hub.settings.home).log_seen))
