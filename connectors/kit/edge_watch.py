"""The drop folder of one edge: swept now and then, and the hub told of whom its files brought."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.drop import DropFolder, DropReport
from connectors.kit.edge import Edge
from connectors.kit.edge_jobs import every
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_log = structlog.get_logger("edge")


@dataclass
class WatchReport:
    """What one round did: the sweep, what the hub was told, and why it was not told more."""

    swept: DropReport
    told: Told = field(default_factory=Told)
    unanswered: MaillonError | None = None


class Watcher:
    """One edge's drop folder. Keeps what it saw from one round to the next."""

    def __init__(self, edge: Edge) -> None:
        """Raises ``MaillonError(CONFIGURATION)`` when the settings name no folder, or one that is not there."""
        if not edge.settings.drop_folder:
            raise MaillonError(ErrorKind.CONFIGURATION, "drop_folder: not set in edge.toml")
        folder = edge.home.path / edge.settings.drop_folder
        self._edge = edge
        self._folder = DropFolder(folder, edge.home.path, edge.partner, edge.store, edge.tokeniser, edge.clock)

    def round(self, *, register: bool = True) -> WatchReport:
        """Sweep once and tell the hub; a hub that does not answer is told the next time. Raises as ``sweep``."""
        edge, report = self._edge, WatchReport(self._folder.sweep())
        if register:
            try:
                report.told = register_pending(edge.store, edge.hub, declares_sections=edge.partner.declares_sections)
            except MaillonError as error:
                report.unanswered = error
        return report


def start_watching(edge: Edge) -> BackgroundScheduler | None:
    """Sweep now and every ``drop_seconds``, in a thread; ``shutdown()`` on what is returned stops it.

    Returns ``None`` when the settings name no folder. Raises as :class:`Watcher`.
    """
    if not edge.settings.drop_folder:
        return None
    watcher = Watcher(edge)
    return every(edge.settings.drop_seconds, lambda: _quietly(watcher), edge.clock.now())


def _quietly(watcher: Watcher) -> None:
    try:
        report = watcher.round()
    except MaillonError as error:
        # Another process is sweeping: it does the same work.
        log = _log.info if error.kind is ErrorKind.CONFLICT else _log.warning
        log("drop:failed", kind=error.kind.value, detail=error.detail)
    except Exception as error:
        # The class alone: an exception's text may hold what it was working on.
        _log.error("drop:failed", error=type(error).__name__)
    else:
        swept, told = report.swept, report.told
        if report.unanswered is not None:
            _log.warning("drop:unanswered", kind=report.unanswered.kind.value)
        if swept.done or swept.rejected or swept.stopped or told.registered or told.refused or told.gone:
            _log.info(
                "drop",
                done=swept.done,
                rejected=swept.rejected,
                records=swept.records,
                stopped=swept.stopped,
                registered=told.registered,
                refused=told.refused,
                gone=told.gone,
            )
