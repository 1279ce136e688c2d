"""What a source does with a release order: check everything, in the order of docs/protocol.md, then answer it.

The hub is not believed. The order must be its own, the request inside the requester's own, the consents those of
collectors the root-signed directory knows, about the person held here; and this edge's own copy of the policy, and its
partner's own rules, must let each field go. The decision itself is ``consent.order.check_order``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from connectors.kit import seal, trust
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.source_fragment import build_statements, seal_fragment
from connectors.kit.tokens import TokenSet, match_subject
from connectors.kit.trust import Certificate, Directory, OperationalKeys
from consent import order as law
from consent.ledger.exact import LedgerError
from consent.ledger.leaf import EventClass, Leaf
from consent.policy import Policy
from consent.records import ConsentEvent, RecordError, parse_event

LEAF_AGE: Final = 60
"""How many seconds before its order a leaf may have been made, at most; and after it, for whole seconds and skew:"""
LEAF_SKEW: Final = 5
ORDERS_PER_REQUEST: Final = 2
"""The hub's second gate may discard a fragment and order once more, narrower (DESIGN §7)."""

Json = dict[str, Any]


class Reason(StrEnum):
    """Why an order is refused; the hub is told this and nothing else."""

    SIGNATURE = "signature"
    CERTIFICATE = "certificate"
    DIRECTORY = "directory"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    WRONG_SOURCE = "wrong_source"
    REQUEST_SIGNATURE = "request_signature"
    REQUEST_EXPIRED = "request_expired"
    REQUEST_REPLAYED = "request_replayed"
    FIELDS_BEYOND_REQUEST = "fields_beyond_request"
    NO_AUTHORITY = "no_authority"
    AUTHORITY_SIGNATURE = "authority_signature"
    WRONG_SUBJECT = "wrong_subject"
    PARTNER_POLICY = "partner_policy"
    POLICY_VERSION = "policy_version"
    UNKNOWN_REF = "unknown_ref"
    LEAF = "leaf"


class OrderRefused(MaillonError):  # noqa: N818  (a name of the protocol)
    """``ErrorKind.ORDER_REFUSED`` with its ``reason``."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(ErrorKind.ORDER_REFUSED, reason.value)
        self.reason = reason


class OnceStore(Protocol):
    """Where what may be used once is written down (``edge_store.EdgeStore``)."""

    def batch(self) -> AbstractContextManager[None]:
        """Make the writes inside one durable transaction."""
        ...

    def remember_order(self, order_id: str, expires_at: datetime) -> bool:
        """Remember an order; ``False`` when it was seen before."""
        ...

    def remember_nonce(self, digest: str, expires_at: datetime) -> bool:
        """Remember a request's nonce; ``False`` when it was seen before."""
        ...

    def keep_order(self, leaf: bytes, order: str, ref: str, at: datetime) -> bool:
        """Remember an order about ``ref`` whose ``leaf`` must be in the log; ``False``: another order had the same."""
        ...


class SourceStore(OnceStore, Protocol):
    """What an order needs of the edge store (``edge_store.EdgeStore``)."""

    def local_of(self, ref: str) -> str | None:
        """Return the local id behind a ref."""
        ...

    def tokens_of(self, local_id: str) -> TokenSet | None:
        """Return the person's tokens."""
        ...

    def fragment_of(self, local_id: str) -> Json | None:
        """Return everything held about the person, as one fragment."""
        ...


class Live(Protocol):
    """What answers in place of the store where nothing is stored (``live.holdings.LiveHoldings``)."""

    def fragment_of(self, local_id: str, wanted: Collection[str], latest: datetime) -> Json | None:
        """Return what can be had of the person on the ``wanted`` paths before ``latest``, as one fragment."""
        ...


class ReleasePolicy(Protocol):
    """A partner's own rules (manifest ``[release]``)."""

    def releases(self, recipient_kind: str, purpose: str) -> Collection[str]:
        """Return the paths that may go to that kind of recipient for that purpose."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The edge that answers, at one moment."""

    slug: str
    directory: Directory
    policy: Policy
    store: SourceStore
    release: ReleasePolicy
    keys: OperationalKeys
    live: Live | None = None
    """Asked instead of the store, once the order has passed every check."""
    hear: Callable[[str, int], None] = lambda *_: None
    """Told which directory version a requester signed that it has."""


@dataclass(frozen=True, slots=True)
class _Request:
    payload: Json
    certificate: Certificate
    digest: str


def answer_order(addressed: AddressedOrder, source: Source, at: datetime) -> str:
    """Return the sealed fragment (JWE) that answers the order.

    It holds the ordered fields only: each a statement, or a typed absence where nothing is held or this partner's own
    rules keep it. Raises :class:`OrderRefused` with the first check that fails, and ``MaillonError(SCHEMA)`` for an
    order the hub signed but that is none. Nothing is remembered of a refused order but its replay guards.
    """
    token = addressed.order
    order = _order(token, source, at)
    request = _request(order["request"], source, at)
    events = [_event(jws, source) for jws in order["authorities"]]
    try:
        law.check_order(
            order, request.payload, [event for event, _ in events], source.policy, _active(source), source.slug, at
        )
    except law.OrderRefused as refused:
        raise OrderRefused(Reason(refused.code)) from None
    local_id, tokens = _subject(order, addressed, request, [payload for _, payload in events], source)
    recipient = source.directory.partner(order["recipient"])
    free = source.release.releases(recipient.kind, request.payload["purpose"])
    if not any(path in free for path in order["fields"]):
        raise OrderRefused(Reason.PARTNER_POLICY)
    remember_once(source.store, addressed, order, request.payload["requester"], request.payload, at)
    held = _held(local_id, [path for path in order["fields"] if path in free], source, from_epoch(order["exp"]))
    statements = build_statements(held, order["fields"], free, source.slug, at)
    return seal_fragment(
        statements, tokens, source.keys, order, seal.jws_digest(token), request.digest, request.certificate.seal_key, at
    )


def _held(local_id: str, wanted: Sequence[str], source: Source, latest: datetime) -> Json | None:
    return (
        source.store.fragment_of(local_id) if source.live is None else source.live.fragment_of(local_id, wanted, latest)
    )


_FROM_HUB: Final = {
    ErrorKind.BAD_SIGNATURE: Reason.SIGNATURE,
    ErrorKind.UNTRUSTED_KEY: Reason.CERTIFICATE,
    ErrorKind.EXPIRED: Reason.CERTIFICATE,
    ErrorKind.UNKNOWN_PARTNER: Reason.DIRECTORY,
    ErrorKind.SUSPENDED: Reason.DIRECTORY,
}
_FROM_REQUESTER: Final = {**_FROM_HUB, ErrorKind.BAD_SIGNATURE: Reason.REQUEST_SIGNATURE}


def _order(token: str, source: Source, at: datetime) -> Json:
    if at >= source.directory.valid_until:
        raise OrderRefused(Reason.DIRECTORY)
    try:
        hub = source.directory.partner(trust.HUB)
        order, certificate = trust.open_certified(token, Typ.ORDER, hub.slug, hub.identity_key)
        certificate.check_alive(at)
    except MaillonError as error:
        raise OrderRefused(_FROM_HUB.get(error.kind, Reason.SIGNATURE)) from None
    check_schema("order", order, "order")
    return order


def _request(token: str, source: Source, at: datetime) -> _Request:
    try:
        payload, certificate = trust.verify_certified(token, Typ.REQUEST, "requester", source.directory, at)
        check_schema("request", payload)
    except MaillonError as error:
        raise OrderRefused(_FROM_REQUESTER.get(error.kind, Reason.REQUEST_SIGNATURE)) from None
    # The key to seal to is the one the requester's identity vouches for, and the one it says it expects.
    if payload["seal_key"] != certificate.seal_key_id:
        raise OrderRefused(Reason.REQUEST_SIGNATURE)
    source.hear(payload["requester"], payload["directory"])
    return _Request(payload, certificate, seal.jws_digest(token))


def _event(token: str, source: Source) -> tuple[ConsentEvent, Json]:
    """Return a consent event and its payload.

    Its certificate had to live when it was signed, which is not before it was said; it need not live now.
    """
    try:
        payload, certificate, _ = trust.open_listed(token, Typ.CONSENT, "collector", source.directory)
        check_schema("consent_event", payload)
        event = parse_event(payload, source.policy.index)
        certificate.check_alive(max(event.at, certificate.issued_at))
    except (MaillonError, RecordError):
        raise OrderRefused(Reason.AUTHORITY_SIGNATURE) from None
    return event, payload


def _active(source: Source) -> dict[str, trust.DirectoryPartner]:
    return {partner.slug: partner for partner in source.directory.partners() if partner.is_active}


def _subject(
    order: Json, addressed: AddressedOrder, request: _Request, events: Sequence[Json], source: Source
) -> tuple[str, TokenSet]:
    """Return who the ref is here, once order, request and every consent are shown to be about that person."""
    if addressed.subject != order["subject"]:
        raise OrderRefused(Reason.WRONG_SUBJECT)
    local_id = source.store.local_of(addressed.ref)
    tokens = None if local_id is None else source.store.tokens_of(local_id)
    if local_id is None or tokens is None:
        raise OrderRefused(Reason.UNKNOWN_REF)
    claims = [(request.payload["subject_proofs"], request.payload["nonce"])]
    claims += [(event["subject_proofs"], event["record_id"]) for event in events]
    if not all(match_subject(proofs, tokens, context) for proofs, context in claims):
        raise OrderRefused(Reason.WRONG_SUBJECT)
    return local_id, tokens


def check_leaf(order: Json) -> bytes:
    """Return the leaf the hub says it logged the order as: of an access, made about when the order was signed.

    Raises :class:`OrderRefused`.

    One leaf is one order's: were an old one accepted, the hub could show it again and again, and log nothing.
    """
    try:
        encoded = b64url.decode(order["leaf"], what="leaf")
        leaf = Leaf.decode(encoded)
    except (MaillonError, LedgerError):
        raise OrderRefused(Reason.LEAF) from None
    logged, signed = leaf.at_us / 1_000_000, order["iat"]
    if leaf.event_class is not EventClass.ACCESS or not 0 <= signed + LEAF_SKEW - logged <= LEAF_AGE + LEAF_SKEW:
        raise OrderRefused(Reason.LEAF)
    return encoded


def remember_once(
    store: OnceStore,
    addressed: AddressedOrder,
    order: Json,
    requester: str,
    request: Json,
    at: datetime,
    beside: Callable[[], None] = lambda: None,
) -> None:
    """Make the order's id, its leaf and the request's nonce durable, with what ``beside`` writes, before anything
    leaves.

    Raises :class:`OrderRefused` for what was seen before, and for a leaf that is not this order's alone.
    """
    leaf, seen = check_leaf(order), None
    # The requester's own: a source of the same pull sees the nonce, and could use it up in requests of its own.
    nonce, ends = f"{requester}/{request['nonce']}", from_epoch(request["exp"])
    with store.batch():
        if not store.remember_order(order["order_id"], from_epoch(order["exp"])):
            seen = Reason.REPLAYED
        elif not any(store.remember_nonce(f"{nonce}/{use}", ends) for use in range(ORDERS_PER_REQUEST)):
            seen = Reason.REQUEST_REPLAYED
        elif not store.keep_order(leaf, addressed.order, addressed.ref, at):
            seen = Reason.LEAF
        else:
            beside()
    if seen is not None:
        raise OrderRefused(seen)
