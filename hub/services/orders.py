"""Release orders: made by the hub, sent to every source at once, with no transaction open (DESIGN §7)."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.runtime import b64url, strict_json
from connectors.kit.runtime.clock import from_epoch, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import OrderId, PersonId, Ref
from connectors.kit.seal import Typ
from connectors.kit.transport import INDISPONIBLE, JOSE, JSON, Transport, outcome_of
from connectors.kit.trust import DirectoryPartner, OperationalKeys, subject_digest
from consent.ledger.leaf import Leaf
from consent.order import ORDER_LIFETIME
from hub.services.requests import PullRequest

_MAX_HEADER: Final = 2048


class Sources(Protocol):
    """How a source edge is reached."""

    def send(self, endpoint: str, order: AddressedOrder) -> str:
        """Send an order to the edge at ``endpoint``; return the sealed fragment. Raises ``MaillonError``."""
        ...


class HttpSources:
    """Edges over HTTP: ``POST <endpoint>/v1/orders``, bounded in time and size by the transport, in number here."""

    def __init__(self, transport: Transport, at_once: int) -> None:
        """``transport`` carries the time limits. An edge gets ``at_once`` orders at a time: one that hangs holds up no
        more pulls than that, and the others' requests, a withdrawal among them, find a thread."""
        self._transport = transport
        self._at_once = at_once
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def send(self, endpoint: str, order: AddressedOrder) -> str:
        """Return the edge's JWE; raises as ``Transport.call``, ``UNAVAILABLE`` when the edge has its fill,
        ``FRAGMENT_REFUSED`` for what cannot be a JWE."""
        with self._lock:
            if self._under_way[endpoint] >= self._at_once:
                raise MaillonError(ErrorKind.UNAVAILABLE, "this source has too many orders under way")
            self._under_way[endpoint] += 1
        try:
            reply = self._transport.call(
                "POST", f"{endpoint}/v1/orders", body=order.to_body(), content_type=JSON, accept=JOSE
            )
        finally:
            with self._lock:
                self._under_way[endpoint] -= 1
        if not reply.body.isascii():
            raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "not a JWE")
        return reply.body.decode("ascii")


@dataclass(frozen=True, slots=True)
class Planned:
    """An order decided and logged, not yet signed. ``fields`` is the mask the source may send."""

    order_id: OrderId
    source: DirectoryPartner
    fields: int
    leaf: Leaf
    authorities: tuple[str, ...]
    pseudonym_of: PersonId
    """Whose secret makes the ref this source has of the person."""
    ref_epoch: int


@dataclass(frozen=True, slots=True)
class Received:
    """What came of one order: the sealed fragment, or the typed absence to state."""

    planned: Planned
    order: str
    expires_at: datetime
    fragment: str | None
    outcome: str
    as_of: datetime


def sign_order(
    planned: Planned,
    request: PullRequest,
    ref: Ref,
    paths: Sequence[str],
    policy_version: str,
    keys: OperationalKeys,
    at: datetime,
) -> AddressedOrder:
    """Return the order: the requester's own request, the consents relied on, and the log's leaf of this order."""
    said = {
        "order_id": planned.order_id,
        "recipient": request.recipient.slug,
        "fields": list(paths),
        "request": request.jws,
        "authorities": list(planned.authorities),
        "policy_version": policy_version,
    }
    return sign_for(planned.source, ref, Typ.ORDER, said, planned.leaf, keys, at)


def sign_for(
    source: DirectoryPartner,
    ref: Ref,
    typ: Typ,
    said: Mapping[str, Any],
    leaf: Leaf,
    keys: OperationalKeys,
    at: datetime,
) -> AddressedOrder:
    """Return an order of ``typ`` that says ``said``, to one source about whom it knows by ``ref``, logged as ``leaf``.

    The person stands in it as a digest under a salt of its own: the requester is shown it too.
    """
    salt = secrets.token_bytes(16)
    payload = {
        "v": 1,
        **said,
        "source": source.slug,
        "subject": subject_digest(ref, salt),
        "leaf": b64url.encode(leaf.encode()),
        "iat": to_epoch(at),
        "exp": _expiry(at),
    }
    return AddressedOrder(keys.sign(payload, typ), ref, b64url.encode(salt))


def _expiry(signed_at: datetime) -> int:
    return to_epoch(signed_at + ORDER_LIFETIME)


def send_all(
    pool: ThreadPoolExecutor,
    sources: Sources,
    orders: Mapping[OrderId, tuple[Planned, AddressedOrder]],
    recipient_key: str,
    signed_at: datetime,
    now: Callable[[], datetime],
) -> list[Received]:
    """Send every order at the same time and wait for all; a source that fails costs the others nothing."""
    expires_at = from_epoch(_expiry(signed_at))

    def one(planned: Planned, addressed: AddressedOrder) -> Received:
        order = addressed.order
        try:
            fragment = sources.send(planned.source.endpoint, addressed)
            check_sealed_to(fragment, recipient_key)
        except MaillonError as error:
            return Received(planned, order, expires_at, None, outcome_of(error), now())
        except Exception:  # an edge, or our own client, failing in a way nobody foresaw is still just a missing source
            return Received(planned, order, expires_at, None, INDISPONIBLE, now())
        return Received(planned, order, expires_at, fragment, "fragment", now())

    return [future.result() for future in [pool.submit(one, *order) for order in orders.values()]]


def check_sealed_to(fragment: str, recipient_key: str, typ: Typ = Typ.SEALED_FRAGMENT) -> None:
    """Raise ``MaillonError(FRAGMENT_REFUSED)`` unless ``fragment`` is a JWE sealed to the key of that thumbprint.

    All the hub can see of a fragment: five parts and a header. What is inside is for the recipient alone to judge.
    """
    parts = fragment.split(".")
    if len(fragment) > seal.MAX_COMPACT or len(parts) != 5 or parts[1] or len(parts[0]) > _MAX_HEADER:
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "not a JWE")
    try:
        for part in parts:
            b64url.decode(part)
        header = strict_json.loads_object(b64url.decode(parts[0]), max_depth=3)
    except MaillonError:
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "not a JWE") from None
    if header.get("typ") != typ or header.get("kid") != recipient_key:
        raise MaillonError(ErrorKind.FRAGMENT_REFUSED, "sealed to another key")
