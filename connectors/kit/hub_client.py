"""Every operation of the hub, as a partner, DPO or operator calls it (docs/protocol.md, ``schemas/openapi.yaml``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from connectors.kit.runtime import strict_json
from connectors.kit.runtime.clock import Clock, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.seal import Typ
from connectors.kit.transport import JOSE, MAX_BYTES, FarSideError, ProblemError, Transport
from connectors.kit.trust import OperationalKeys

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = timedelta(seconds=60)
ANSWER_SECONDS: Final = 20.0
"""The hub itself waits up to 10 s for the sources of a pull."""
MAX_COPY: Final = 256 * 1024 * 1024
"""Bytes of a person's own copy: some 10 KiB an event, over a life."""
_RENEW_BEFORE: Final = timedelta(seconds=30)
_FORM: Final = "application/x-www-form-urlencoded"

T = TypeVar("T")


def client_assertion(keys: OperationalKeys, hub_url: str, at: datetime) -> str:
    """Return the RFC 7523 client assertion of ``keys`` for the hub at ``hub_url``, good for 60 s."""
    claims = {
        "iss": keys.slug,
        "sub": keys.slug,
        "aud": f"{hub_url}/oauth/token",
        "jti": new_uuid(),
        "iat": to_epoch(at),
        "exp": to_epoch(at + ASSERTION_LIFETIME),
    }
    return keys.sign(claims, Typ.CLIENT_ASSERTION)


class HubClient:
    """The hub seen from one caller. Thread-safe.

    Each method raises ``ProblemError`` (the hub refused, and says why), ``FarSideError`` (no proper answer) or
    ``MaillonError(TLS_REQUIRED)``.
    """

    def __init__(
        self, hub_url: str, operational: Callable[[], OperationalKeys], clock: Clock, transport: Transport
    ) -> None:
        """``operational`` gives the caller's live keys (``trust.RotatingKeys``); ``hub_url`` has no trailing slash."""
        self._url = hub_url.rstrip("/")
        self._operational = operational
        self._clock = clock
        self._transport = transport
        self._lock = threading.Lock()
        self._token: tuple[str, datetime] | None = None

    def register(self, records: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
        """Register ``{record_key, tokens, flags, sections}``; returns ``{record_key, ref}`` in the same order."""
        registrations = self._post("/v1/registrations", {"records": list(records)}, _list("registrations"))
        if [row.get("record_key") for row in registrations] != [record["record_key"] for record in records]:
            raise FarSideError(ErrorKind.MALFORMED, "registrations: not those that were asked")
        return registrations

    def send_event(self, event: str, ref: str, salt: str) -> dict[str, Any]:
        """Hand over a signed consent event; returns ``{record_id, seq, state, receipt_id, receipt or recu}``."""
        return self._post("/v1/consents", {"event": event, "ref": ref, "salt": salt}, _object)

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """Return the receipt of an event this partner took down, or ``{recu: "en_attente"}``."""
        return self._get(f"/log/receipts/{receipt_id}", _object)

    def search_consents(self, ref: str) -> dict[str, Any]:
        """Return the folded consent records about ``ref`` that this partner collected or is a recipient of."""
        return self._post("/v1/consents/search", {"ref": ref}, _object)

    def pull(self, request: str, ref: str, salt: str) -> dict[str, Any]:
        """Send a signed pull request; returns the pull answer of docs/protocol.md."""
        return self._post("/v1/pulls", {"request": request, "ref": ref, "salt": salt}, _object)

    def access_log(self, view: str, **criteria: object) -> dict[str, Any]:
        """Search the access log under ``view`` (``partenaire``, ``usager`` or ``dpo``)."""
        return self._post("/v1/access-log/search", {"view": view, **criteria}, _object)

    def explain(self, trace_id: str) -> dict[str, Any]:
        """Return the decision per field of one operation, replayed from the log (DPO)."""
        return self._post("/v1/explanations", {"trace_id": trace_id}, _object)

    def erase(self, decision: str, ref: str, salt: str) -> dict[str, Any]:
        """Hand over a signed decision to erase somebody; returns the erasure's receipt (DPO)."""
        return self._post("/v1/erasures", {"decision": decision, "ref": ref, "salt": salt}, _object)

    def erasure_receipt(self, erasure_id: str) -> dict[str, Any]:
        """Return an erasure's receipt, under the newest checkpoint (DPO)."""
        return self._post("/v1/erasures/receipt", {"erasure_id": erasure_id}, _object)

    def kept_agreements(self, erasure_id: str, complaint: str) -> list[str]:
        """Return the agreements of an erased person that are kept as proof (DPO); logged with ``complaint``."""
        asked = {"erasure_id": erasure_id, "complaint": complaint}
        agreements = self._post("/v1/erasures/agreements", asked, _object).get("agreements")
        if not isinstance(agreements, list) or not all(isinstance(jws, str) for jws in agreements):
            raise FarSideError(ErrorKind.MALFORMED, "agreements is not a list of texts")
        return agreements

    def ask_index(self, operation: str, document: Mapping[str, object]) -> dict[str, Any]:
        """Call one of the index's operations (``reviews/search``, ``persons/split``, …); returns its answer."""
        return self._post(f"/v1/{operation}", document, _object)

    def copy_person(self, asked: Mapping[str, object]) -> dict[str, Any]:
        """Return ``{reading, witnesses, copy}``: a person's own copy of her history (DPO); logged (``asked``: schema
        ``person_copy_request``)."""
        return self._post("/v1/persons/copy", dict(asked), _object, max_bytes=MAX_COPY)

    def index_stats(self) -> dict[str, Any]:
        """Return counts over the index (DPO, operator)."""
        return _object(self._transport.call_json("GET", f"{self._url}/v1/index/stats", bearer=self._bearer()))

    def rotations(self) -> dict[str, Any]:
        """Return how rotations of keys stand (DPO, operator)."""
        return self._get("/v1/index/rotations", _object)

    def rotate(self, what: str, **of: object) -> dict[str, Any]:
        """Begin a rotation of ``what``, or go on with it; returns :meth:`rotations` (operator)."""
        return self._post("/v1/index/rotations", {"what": what, **of}, _object)

    def ref_map(self, after: str | None = None) -> dict[str, Any]:
        """Return a page of this partner's map from old refs to new, ``{epoch, map, next}``; no ``map``: none waits."""
        return self._post("/v1/refs/map", {"after": after}, _offer)

    def acknowledge_refs(self, epoch: int) -> dict[str, Any]:
        """Say that this partner has the refs of ``epoch``; returns ``{epoch, until}``."""
        return self._post("/v1/refs/acknowledgement", {"epoch": epoch}, _object)

    def suspend(self, slug: str, suspended: bool, reason: str) -> dict[str, Any]:
        """Suspend a partner at the hub, or end its suspension (operator)."""
        return self._post("/v1/partners/suspend", {"slug": slug, "suspended": suspended, "reason": reason}, _object)

    def directory(self) -> str:
        """Return the directory JWS the hub serves. It is worth nothing before ``trust.Directory.verify``."""
        reply = self._transport.call("GET", f"{self._url}/v1/directory", accept=JOSE)
        if not reply.body.isascii():
            raise FarSideError(ErrorKind.MALFORMED, "directory: not a JWS")
        return reply.body.decode("ascii")

    def notices(self) -> dict[str, Any]:
        """Return the notices with the SHA-256 of each exact text."""
        return _object(self._transport.call_json("GET", f"{self._url}/v1/notices"))

    def health(self) -> dict[str, Any]:
        """Return the hub's health."""
        return _object(self._transport.call_json("GET", f"{self._url}/health"))

    def _post(self, path: str, document: object, shape: Callable[[Any], T], max_bytes: int = MAX_BYTES) -> T:
        return self._call("POST", path, document, shape, max_bytes)

    def _get(self, path: str, shape: Callable[[Any], T]) -> T:
        return self._call("GET", path, None, shape)

    def _call(
        self, method: str, path: str, document: object, shape: Callable[[Any], T], max_bytes: int = MAX_BYTES
    ) -> T:
        token, url = self._bearer(), self._url + path
        try:
            return shape(self._transport.call_json(method, url, document, bearer=token, max_bytes=max_bytes))
        except ProblemError as error:
            # The hub forgets nothing, but it may have new keys since it gave this token: ask once for another.
            if error.status != 401:
                raise
        token = self._bearer(stale=token)
        return shape(self._transport.call_json(method, url, document, bearer=token, max_bytes=max_bytes))

    def _bearer(self, stale: str | None = None) -> str:
        with self._lock:
            now = self._clock.now()
            if self._token is None or self._token[0] == stale or now >= self._token[1] - _RENEW_BEFORE:
                self._token = self._ask_token(now)
            return self._token[0]

    def _ask_token(self, now: datetime) -> tuple[str, datetime]:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": client_assertion(self._operational(), self._url, now),
        }
        body = urlencode(form).encode("ascii")
        reply = self._transport.call("POST", f"{self._url}/oauth/token", body=body, content_type=_FORM)
        try:
            answer = strict_json.loads_object(reply.body)
        except MaillonError as error:
            raise FarSideError(error.kind, error.detail) from None
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or type(seconds) is not int or not 0 < seconds <= 3600:
            raise FarSideError(ErrorKind.MALFORMED, "token answer")
        return token, now + timedelta(seconds=seconds)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FarSideError(ErrorKind.MALFORMED, "answer is not an object")
    return value


def _offer(value: Any) -> dict[str, Any]:
    offered = _object(value)
    texts = (offered.get("map"), offered.get("next"))
    if type(offered.get("epoch")) is not int or not all(text is None or isinstance(text, str) for text in texts):
        raise FarSideError(ErrorKind.MALFORMED, "not an offer of refs")
    return offered


def _list(member: str) -> Callable[[Any], list[dict[str, str]]]:
    def shape(value: Any) -> list[dict[str, str]]:
        rows = _object(value).get(member)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FarSideError(ErrorKind.MALFORMED, f"{member} is not a list of objects")
        return rows

    return shape
