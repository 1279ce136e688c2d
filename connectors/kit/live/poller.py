"""Fetching a partner's feed now and then: page after page from a kept cursor, never twice at once.

A page is ingested like a file; its cursor is kept after it, in the edge store. Whatever stops the process, the next
poll fetches at most one page again, and ingesting it again changes nothing. A page of which nothing could be taken is
not passed: its records would come again only when they change, so the feed stops there until somebody looks.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from connectors.kit.alone import alone
from connectors.kit.edge import Edge
from connectors.kit.edge_jobs import every
from connectors.kit.ingest import IngestReport, ingest_stream, settle_names
from connectors.kit.live.client import ApiClient, Unanswered
from connectors.kit.live.edge_client import api_transport, read_token
from connectors.kit.live.gate import Gate
from connectors.kit.live.spec import FeedSpec
from connectors.kit.port import Reason
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import RawReply

MAX_PAGE: Final = 64 * 1024 * 1024
MAX_CURSOR: Final = 500
_CURSOR_REFUSED: Final = frozenset({400, 404, 410, 422})
NOTHING_TAKEN: Final = "nothing of the page could be taken"

_log = structlog.get_logger("edge")


@dataclass
class PollReport:
    """What one poll did. Counts only."""

    pages: int = 0
    ingested: IngestReport = field(default_factory=IngestReport)
    told: Told = field(default_factory=Told)
    stopped: str = ""
    """Why it ended before the last page: a word, empty when it did not."""
    is_cursor_refused: bool = False
    """The feed answered to the cursor as one does that has forgotten it."""


class Poller:
    """Polls one edge's feed. One object may be shared between threads; two processes exclude one another too."""

    def __init__(self, edge: Edge, feed: FeedSpec, client: ApiClient) -> None:
        """``client`` fetches, ``edge`` keeps and registers."""
        self._edge = edge
        self._feed = feed
        self._client = client

    def poll(self, *, register: bool = True, from_start: bool = False, pass_page: bool = False) -> PollReport:
        """Fetch what is new; see the module. Raises ``MaillonError``: ``CONFLICT`` when a poll is under way already,
        and what the hub's client raises, by when everything fetched is kept.

        ``from_start`` forgets the cursor first. ``pass_page`` goes past the first page even when nothing can be taken.
        """
        report = PollReport()
        with alone(self._edge.home.poll_lock, "a poll"):
            if from_start:
                with self._edge.store.batch():
                    self._edge.store.archive.drop_cursor(self._feed.format)
            while not report.stopped and self._page(report, pass_page and not report.pages):
                if report.pages == self._feed.most_pages:
                    report.stopped = "most_pages reached"
            settle_names(self._edge.store, self._edge.clock)
            if register:
                report.told = register_pending(
                    self._edge.store, self._edge.hub, declares_sections=self._edge.partner.declares_sections
                )
        return report

    def _page(self, report: PollReport, pass_page: bool) -> bool:
        """Fetch and keep one page; say whether there is another."""
        edge, feed = self._edge, self._feed
        cursor = edge.store.archive.cursor(feed.format)
        given = {} if cursor is None else {feed.cursor_parameter: cursor}
        until = edge.clock.now() + timedelta(seconds=feed.limits.order_seconds)
        said = self._client.get(
            feed.path, given, until, self._is_page, cursor_header=feed.cursor_header, max_bytes=MAX_PAGE
        )
        if isinstance(said, Unanswered) or said.status >= 400:
            report.stopped = said.why if isinstance(said, Unanswered) else f"HTTP {said.status}"
            report.is_cursor_refused = (
                cursor is not None and isinstance(said, RawReply) and said.status in _CURSOR_REFUSED
            )
            return False
        if said.status == 204:
            return False
        if not self._take(said.body, report.ingested) and not pass_page:
            report.stopped = NOTHING_TAKEN
            return False
        report.pages += 1
        following = said.next_cursor.strip()
        if not following or following == cursor:
            return False
        if len(following) > MAX_CURSOR or not following.isprintable():
            report.stopped = "the next cursor is none"
            return False
        with edge.store.batch():
            edge.store.archive.set_cursor(feed.format, following, edge.clock.now())
        return True

    def _take(self, body: bytes, ingested: IngestReport) -> bool:
        """Bring a page into the store; say whether it may be passed: something was taken, or nothing was there."""
        edge, format = self._edge, self._feed.format
        taken, aside = ingested.subjects.total(), Counter(ingested.quarantined)
        stopped_at, digest = f"{format}: stopped at", hashlib.sha256(body).digest()
        with edge.store.batch():
            # What the page left when the feed stopped there: it is read again, or another one stands in its place.
            if before := edge.store.archive.cursor(stopped_at):
                edge.store.forget_quarantined(bytes.fromhex(before))
                edge.store.archive.drop_cursor(stopped_at)
        ingest_stream(
            *(io.BytesIO(body), digest, edge.partner, format, edge.store, edge.tokeniser, edge.clock, ingested)
        )
        entries = ingested.quarantined - aside
        if ingested.subjects.total() > taken or not entries:
            return True
        with edge.store.batch():
            if set(entries) == {Reason.EMPTY}:
                # Of a file more often a failed export; of a feed, what it says when nothing is new.
                edge.store.forget_quarantined(digest)
                ingested.quarantined = aside
                return True
            edge.store.archive.set_cursor(stopped_at, digest.hex(), edge.clock.now())
        return False

    def _is_page(self, said: RawReply) -> bool:
        media = self._edge.partner.formats[self._feed.format].media
        return said.status == 204 or (said.status == 200 and said.media_type in media and bool(said.body.strip()))


def open_poller(edge: Edge) -> Poller:
    """Return what polls the feed of ``edge``; ``MaillonError(CONFIGURATION)`` when its partner folder has none."""
    feed = edge.partner.feed
    if feed is None:
        raise MaillonError(ErrorKind.CONFIGURATION, "the partner folder has no [feed]")
    client = ApiClient(
        limits=feed.limits,
        transport=api_transport(edge.home, edge.settings, feed.limits),
        gate=Gate(feed.limits, feed.maintenance, edge.clock.now()),
        clock=edge.clock,
        sleep=time.sleep,
        base_url=(edge.settings.api_url or feed.base_url).rstrip("/"),
        token=read_token(edge.home, edge.settings),
    )
    return Poller(edge, feed, client)


def start_polling(edge: Edge) -> BackgroundScheduler | None:
    """Poll now and every ``poll_seconds``, with jitter, in a thread; ``shutdown()`` on what is returned stops it.

    Returns ``None`` when the settings ask for no polling. Raises as :func:`open_poller`.
    """
    if not edge.settings.poll_seconds:
        return None
    poller = open_poller(edge)
    jitter = edge.partner.feed.jitter_seconds if edge.partner.feed else 0
    return every(edge.settings.poll_seconds, lambda: _poll_quietly(poller), edge.clock.now(), jitter)


def _poll_quietly(poller: Poller) -> None:
    try:
        report = poller.poll()
    except MaillonError as error:
        _log.warning("poll:failed", kind=error.kind.value, detail=error.detail)
    except Exception as error:
        # The class alone: an exception's text may hold what it was working on.
        _log.error("poll:failed", error=type(error).__name__)
    else:
        told: dict[str, Any] = {"pages": report.pages, "registered": report.told.registered, "stopped": report.stopped}
        aside = dict(sorted(report.ingested.quarantined.items()))
        _log.info("poll", records=report.ingested.records, set_aside=aside, **told)
