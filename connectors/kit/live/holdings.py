"""What an edge in mode ``client`` holds of a person: nothing, until an order comes and the API is asked.

The answer goes the way a file goes (reader, partner's schema, mapping, fragment's schema). Of its persons, the one
that proves to be the one asked about is kept, in memory, for the API's ``ttl_seconds`` and no longer; what it says of
others is dropped. Nothing of an answer is ever written to disk.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from connectors.kit.edge_store import WEAK_ABSENCES
from connectors.kit.identity import IdentityRefused, parse_identity
from connectors.kit.live.client import ApiClient, Exchange, Unanswered, deadline
from connectors.kit.live.spec import ApiSpec, Endpoint
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Json, Quarantined
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import MaillonError
from connectors.kit.tokens import Tokeniser, TokenSet, tokens_of
from connectors.kit.transport import INDISPONIBLE

MOST_KEPT: Final = 10_000
"""Answers in memory at once; the oldest go first."""
CALLS_AT_ONCE: Final = 16
_PRECISIONS: Final = ("inconnue", "annee", "mois", "jour")

Statements = Mapping[str, Json]

_log = structlog.get_logger("edge")


class Persons(Protocol):
    """What is needed of the edge store: who a local id is."""

    def identity_of(self, local_id: str) -> Json | None:
        """Return the traits held of the person."""
        ...

    def tokens_of(self, local_id: str) -> TokenSet | None:
        """Return the person's tokens."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    statements: Statements
    since: datetime
    until: datetime

    def serves(self, at: datetime) -> bool:
        # Not before it was fetched either: a clock set back would have it serve for as long again.
        return self.since <= at < self.until


class LiveHoldings:
    """See the module. Safe to share between threads."""

    def __init__(
        self,
        partner: PartnerFolder,
        api: ApiSpec,
        client: ApiClient,
        persons: Persons,
        tokeniser: Tokeniser,
        clock: Clock,
    ) -> None:
        """``partner`` gives formats and mapping, ``api`` its endpoints, ``client`` asks them."""
        self._partner = partner
        self._api = api
        self._client = client
        self._persons = persons
        self._tokeniser = tokeniser
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="api")

    def fragment_of(self, local_id: str, wanted: Collection[str], latest: datetime) -> Json | None:
        """Return what the API says of the person on the ``wanted`` paths, as one fragment; ``None`` when on none.

        Every endpoint that can supply one of them is asked, all at once, and each that does not answer before the
        order's time (or ``latest``, when the order ends) is an absence stated for its own fields.
        """
        limits = self._api.limits
        until = deadline(self._clock.now(), limits.order_seconds, latest)
        found: dict[str, Json] = {}
        asked: dict[Future[Statements], Endpoint] = {}
        for endpoint in self._api.endpoints.values():
            if not self._targets(endpoint).isdisjoint(wanted):
                kept = self._recall(local_id, endpoint)
                if kept is None:
                    asked[self._pool.submit(self._fetch, local_id, endpoint, until)] = endpoint
                else:
                    _merge(found, kept)
        done, late = wait(asked, timeout=max(0.0, (until - self._clock.now()).total_seconds()))
        for future in done:
            _merge(found, future.result())
        for future in late:
            future.cancel()
            _merge(found, self._absent(asked[future], INDISPONIBLE))
        return {"v": 1, "statements": found} if found else None

    def forget_expired(self, at: datetime) -> None:
        """Drop every answer whose time is over."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if kept.serves(at)}

    def state(self) -> str:
        """Return the state of the API as :meth:`Gate.state` names it."""
        return self._client.gate.state(self._clock.now())

    def close(self) -> None:
        """Forget everything; calls under way are left to their time limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._kept.clear()

    def _fetch(self, local_id: str, endpoint: Endpoint, until: datetime) -> Statements:
        try:
            said = self._client.ask(endpoint, self._persons.identity_of(local_id) or {}, until)
            if isinstance(said, Unanswered):
                _log.warning("live:unanswered", format=endpoint.format, outcome=said.outcome, why=said.why)
                return self._absent(endpoint, said.outcome)
            statements = self._own(said, local_id, endpoint)
        except MaillonError as error:
            _log.warning("live:failed", format=endpoint.format, kind=error.kind.value)
            return self._absent(endpoint, INDISPONIBLE)
        except Exception as error:
            # The class alone: an exception's text may hold what it was working on.
            _log.error("live:failed", format=endpoint.format, error=type(error).__name__)
            return self._absent(endpoint, INDISPONIBLE)
        if statements is None:
            return self._absent(endpoint, INDISPONIBLE)
        self._keep(local_id, endpoint, statements)
        return statements

    def _own(self, exchange: Exchange, local_id: str, endpoint: Endpoint) -> Statements | None:
        """Return what an exchange says of the person asked about; ``None`` when it says nothing usable of them."""
        persons = []
        now = self._clock.now()
        for found in map_stream(io.BytesIO(exchange.line), self._partner.formats[endpoint.format], now):
            if isinstance(found, Quarantined):
                _log.warning("live:set-aside", format=endpoint.format, **_named(found))
            elif exchange.status >= 400 or self._is_about(found, local_id, now):
                # A refusal speaks of nobody but the person asked about.
                persons.append(found)
        if len(persons) != 1:
            _log.warning("live:not-one-person", format=endpoint.format, matching=len(persons))
            return None
        statements: Statements = persons[0].fragment["statements"]
        return statements

    def _is_about(self, found: SubjectFragment, local_id: str, at: datetime) -> bool:
        """Apply the recipient's own test before anything is signed; of a birth date known in part, that part."""
        known = self._persons.tokens_of(local_id)
        try:
            stated = tokens_of(parse_identity(found.identity_traits, at.date()), self._tokeniser)
        except IdentityRefused:
            return False
        if known is None:
            return False
        coarser = min((each.flags.get("date_precision") for each in (known, stated)), key=_PRECISIONS.index)
        kinds = {"jour": ("sgd", "gdp"), "mois": ("sg_ym",), "annee": ("sg_y",)}.get(str(coarser), ())
        return any(not set(known.of(kind)).isdisjoint(stated.of(kind)) for kind in kinds)

    def _targets(self, endpoint: Endpoint) -> frozenset[str]:
        return self._partner.formats[endpoint.format].mapping.targets()

    def _absent(self, endpoint: Endpoint, code: str) -> Statements:
        said: dict[str, Any] = {
            "absence": code,
            "source": self._partner.slug,
            "date_collecte": self._clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return dict.fromkeys(sorted(self._targets(endpoint)), said)

    def _recall(self, local_id: str, endpoint: Endpoint) -> Statements | None:
        with self._lock:
            kept = self._kept.get((local_id, endpoint.format))
        return kept.statements if kept is not None and kept.serves(self._clock.now()) else None

    def _keep(self, local_id: str, endpoint: Endpoint, statements: Statements) -> None:
        if all(said.get("absence") in WEAK_ABSENCES for said in statements.values()):
            return
        now = self._clock.now()
        until = now + timedelta(seconds=self._api.limits.ttl_seconds)
        with self._lock:
            self._kept.pop((local_id, endpoint.format), None)
            self._kept[local_id, endpoint.format] = _Kept(statements, now, until)
            while len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]


def _named(entry: Quarantined) -> dict[str, str]:
    return {"reason": entry.reason.value, "path": entry.path, "detail": entry.detail}


def _merge(found: dict[str, Json], said: Statements) -> None:
    """Add statements; of two on one path a value stays before an absence, an absence before none at all."""
    for path, statement in said.items():
        if "valeur" in statement or path not in found:
            found[path] = statement
