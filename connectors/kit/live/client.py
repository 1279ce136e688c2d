"""Asking a partner's API about one person: the parameters, the tries, and an exchange or why there is none.

Only ``GET`` is ever sent, so only reads are ever tried again, after a random wait (full jitter) or the one the far
side asked for. The question stands in the URL because that is how these APIs are made: it is never logged.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from connectors.kit.birthplace import with_birthplace
from connectors.kit.identity import Identity, parse_identity
from connectors.kit.live.calendar import PARIS
from connectors.kit.live.gate import Closed, Gate, retry_after
from connectors.kit.live.spec import HABILITATION, OURS, PERIMETER, SCHOOL_YEAR, Endpoint, Limits
from connectors.kit.port import Json
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import (
    INDISPONIBLE,
    JSON,
    MAINTENANCE,
    PERSONNE_INCONNUE,
    FarSideError,
    RawReply,
    Transport,
)

MAX_ANSWER: Final = 1024 * 1024
FIRST_WAIT: Final = 0.2
"""Seconds: the longest wait before the second try; twice as long before each further one."""
FRANCE: Final = "99100"
SEPTEMBER: Final = 9
_MEDIA: Final = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,80}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer as one line of NDJSON, fit for the ``exchange`` reader; the answer's ``status``."""

    line: bytes
    status: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer to use: the absence to state, and why, in a word fit for a log."""

    outcome: str
    why: str


Judge = Callable[[RawReply], bool]
"""Whether an answer below 400 is one of that API."""


@dataclass(frozen=True)
class ApiClient:
    """One partner's API, as this edge may ask it. Safe to share between threads."""

    limits: Limits
    transport: Transport
    gate: Gate
    clock: Clock
    sleep: Callable[[float], None]
    base_url: str
    token: str | None = None
    habilitation: str = ""
    perimeter: tuple[str, ...] = ()
    dice: random.Random = field(default_factory=random.SystemRandom)

    def ask(self, endpoint: Endpoint, traits: Mapping[str, object], until: datetime) -> Exchange | Unanswered:
        """Ask about the person of ``traits`` and return the exchange, before ``until`` at best."""
        given = parameters(endpoint, traits, self.habilitation, self.clock.now(), self.perimeter)
        if any(not given.get(name) for name in endpoint.required):
            return Unanswered(PERSONNE_INCONNUE, "traits")
        said = self._first_found(endpoint, given, until)
        if isinstance(said, Unanswered):
            return said
        params = {name.removesuffix("[]"): v for name, v in given.items() if endpoint.params[name] not in OURS}
        at = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        payload = said.body.decode("utf-8", "replace")
        record = {"params": params, "status": said.status, "payload": payload, "collecte_le": at}
        return Exchange(orjson.dumps(record), said.status)

    def _first_found(self, endpoint: Endpoint, given: Json, until: datetime) -> RawReply | Unanswered:
        """Ask each variant of the question in turn; « not found » is the answer only when all have said so."""
        said: RawReply | Unanswered = Unanswered(INDISPONIBLE, "time")
        for variant in endpoint.variants:
            said = self.get(endpoint.path, {**given, **variant}, until, _is_json)
            if isinstance(said, Unanswered) or said.status != 404:
                break
        return said

    def get(
        self,
        path: str,
        given: Mapping[str, object],
        until: datetime,
        is_answer: Judge,
        *,
        cursor_header: str = "",
        max_bytes: int = MAX_ANSWER,
    ) -> RawReply | Unanswered:
        """Return an answer of the API, of any status below 500 that is one, trying again while there is time."""
        url = f"{self.base_url}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        said: RawReply | Unanswered = Unanswered(INDISPONIBLE, "time")
        for attempt in range(self.limits.tries):
            if attempt:
                self._pause(self.dice.uniform(0, FIRST_WAIT * 2 ** (attempt - 1)), until)
            left = self._left(until)
            if left <= 0:
                break
            entered = self.gate.enter(self.clock.now(), left)
            if isinstance(entered, Closed):
                # What an earlier try was told says more than a door that closed because of it.
                return said if attempt else Unanswered(entered.outcome, entered.why)
            self._pause(entered, until)
            said = self._once(url, self._left(until), is_answer, cursor_header, max_bytes)
            if isinstance(said, RawReply):
                break
        return said

    def _once(
        self, url: str, left: float, is_answer: Judge, cursor_header: str, max_bytes: int
    ) -> RawReply | Unanswered:
        """Call once; tell the gate how it went. ``Unanswered`` may be tried again."""
        try:
            said = self.transport.ask(
                url, bearer=self.token, answer_seconds=left, cursor_header=cursor_header, max_bytes=max_bytes
            )
        except FarSideError as error:
            self.gate.failed(self.clock.now())
            return Unanswered(INDISPONIBLE, f"{error.kind.value}: {error.detail}")
        at = self.clock.now()
        wait = retry_after(said.retry_after, at)
        if said.status == 429 or (said.status == 503 and wait is not None):
            outcome = MAINTENANCE if said.status == 503 else INDISPONIBLE
            self.gate.asked_to_wait(at, 1.0 if wait is None else wait, outcome)
            return Unanswered(outcome, f"HTTP {said.status}")
        if said.status >= 500 or (said.status < 400 and not is_answer(said)):
            self.gate.failed(at)
            return Unanswered(INDISPONIBLE, f"HTTP {said.status}" if said.status >= 500 else _no_answer(said))
        self.gate.answered(at)
        return said

    def _left(self, until: datetime) -> float:
        return (until - self.clock.now()).total_seconds()

    def _pause(self, seconds: float, until: datetime) -> None:
        if seconds > 0:
            self.sleep(min(seconds, max(0.0, self._left(until))))


def parameters(
    endpoint: Endpoint, traits: Mapping[str, object], habilitation: str, at: datetime, perimeter: Sequence[str] = ()
) -> Json:
    """Return the question: parameter → text, number or list of texts; a trait that is not known is left out.

    Raises ``MaillonError(SCHEMA)`` for traits that are none (``parse_identity``).
    """
    identity = with_birthplace(parse_identity(traits, at.date()))
    known = _known(identity) | {
        HABILITATION: habilitation,
        PERIMETER: list(perimeter),
        SCHOOL_YEAR: str(school_year(at.astimezone(PARIS).date())),
    }
    found = {name: known[trait] for name, trait in endpoint.params.items()}
    return {name: value for name, value in found.items() if value}


def school_year(day: date) -> int:
    """Return the year in which the school year of ``day`` began: it begins with September."""
    return day.year if day.month >= SEPTEMBER else day.year - 1


def _known(identity: Identity) -> dict[str, Any]:
    born = identity.date_naissance
    given = list(identity.prenoms)
    if len(given) == 1:
        # Some sources write all given names in one text; an API wants the first one first.
        given = [name for name in re.split(r"[,\s]+", given[0]) if name]
    commune, country = identity.code_cog_insee_commune_naissance, identity.code_cog_insee_pays_naissance
    return {
        "nom_naissance": identity.nom_naissance,
        "nom_usage": identity.nom_usage,
        "prenoms": given,
        "sexe": identity.sexe,
        "date_naissance": born.value if born.day else "",
        "annee_naissance": born.year,
        "mois_naissance": born.month,
        "jour_naissance": born.day,
        "code_cog_insee_commune_naissance": commune,
        "code_cog_insee_pays_naissance": country or (FRANCE if commune else ""),
        "nir": identity.nir or "",
    }


def _is_json(said: RawReply) -> bool:
    if said.status != 200 or (said.media_type != JSON and not said.media_type.endswith("+json")):
        return False
    try:
        orjson.loads(said.body)
    except orjson.JSONDecodeError:
        return False
    return True


def _no_answer(said: RawReply) -> str:
    """Say why that is no answer. The far side's own words are told only where they are a media type."""
    media = said.media_type if _MEDIA.fullmatch(said.media_type) else "no content type"
    return f"not an answer: HTTP {said.status}, {media}, {len(said.body)} bytes"


def check_token(text: str) -> str:
    """Return the API's bearer token; ``MaillonError(CONFIGURATION)`` for text that cannot stand in a header."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise MaillonError(ErrorKind.CONFIGURATION, "api_token: not a token")
    return token


def deadline(at: datetime, seconds: float, latest: datetime) -> datetime:
    """Return when the calls of one order must be over: ``seconds`` from now, half a second before ``latest``."""
    return min(at + timedelta(seconds=seconds), latest - timedelta(seconds=0.5))
