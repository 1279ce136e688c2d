"""What a source does when the reviewer wants masked traits: check everything, note it, answer what may be shown.

Neither the hub nor its word is enough: the request is the reviewer's own, signed under the key that the **root-signed
directory** gives (``reviewer_key`` of the entry ``hub``), and the partner's ``[[release]]`` rows for the kind ``hub``
and the purpose ``revue_identite`` let each trait go or keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from connectors.kit import seal, trust
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.birthplace import with_birthplace
from connectors.kit.identity import parse_identity
from connectors.kit.orders import OnceStore, OrderRefused, Reason, ReleasePolicy, remember_once
from connectors.kit.rarity import NameShares
from connectors.kit.review.keys import reviewer_jwk
from connectors.kit.review.masks import PURPOSE, marks_of, masked
from connectors.kit.review.reviewer import LIFETIME, REVIEWER
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import thumbprint
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.tokens import Tokeniser
from connectors.kit.trust import Certificate, Directory, OperationalKeys
from consent.order import ORDER_LIFETIME

MOST_A_DAY: Final = 200
"""Looks at one edge in 24 hours: more is no review but a harvest, whoever signs it."""
MOST_RECORDS: Final = 8
"""Records of one person answered for."""
_DAY: Final = timedelta(days=1)

Json = dict[str, Any]


class NotedLooks(Protocol):
    """Where looks are written down (``review.looks``)."""

    def keep(self, review_id: str, local_ids: Sequence[str], fields: Sequence[str], at: datetime) -> None:
        """Write one look down."""
        ...

    def since(self, at: datetime) -> int:
        """Return how many there were from ``at`` on."""
        ...


class TraitStore(OnceStore, Protocol):
    """What a look needs of the edge store (``edge_store.EdgeStore``)."""

    @property
    def looks(self) -> NotedLooks:
        """The looks there were."""
        ...

    def locals_of(self, ref: str) -> list[str]:
        """Return the local ids behind a ref."""
        ...

    def identity_of(self, local_id: str) -> Json | None:
        """Return the traits held."""
        ...


@dataclass(frozen=True, slots=True)
class LookSource:
    """The edge that answers, at one moment."""

    slug: str
    directory: Directory
    store: TraitStore
    release: ReleasePolicy
    keys: OperationalKeys
    tokeniser: Tokeniser
    shares: NameShares


def answer_look(addressed: AddressedOrder, source: LookSource, at: datetime) -> str:
    """Return the masked traits (JWE ``maillon-traits+jwe``) of the person the order is about, sealed to the reviewer.

    Raises :class:`OrderRefused` with the first check that fails, ``MaillonError(SCHEMA)`` for an order the hub signed
    but that is none. Order, nonce, leaf and the note of the look are durable before anything leaves.
    """
    order, certificate, request = _checked(addressed, source, at)
    local_ids = source.store.locals_of(addressed.ref)[:MOST_RECORDS]
    held = [traits for local_id in local_ids if (traits := source.store.identity_of(local_id)) is not None]
    if not held:
        raise OrderRefused(Reason.UNKNOWN_REF)
    free = source.release.releases(trust.HUB, PURPOSE)
    fields = [field for field in request["fields"] if field in free]
    if not fields or source.store.looks.since(at - _DAY) >= MOST_A_DAY:
        raise OrderRefused(Reason.PARTNER_POLICY)
    # Both sides of a review may be here: two orders of one request.
    remember_once(
        source.store,
        addressed,
        order,
        REVIEWER,
        request,
        at,
        lambda: source.store.looks.keep(request["review_id"], local_ids, fields, at),
    )
    request_digest = seal.jws_digest(order["request"])
    mark = marks_of(source.tokeniser, request_digest)
    identities = [with_birthplace(parse_identity(traits, at.date())) for traits in held]
    payload = {
        "v": 1,
        "source": source.slug,
        "order_id": order["order_id"],
        "order_digest": seal.jws_digest(addressed.order),
        "request_digest": request_digest,
        "recipient_key": thumbprint(certificate.seal_key),
        "iat": to_epoch(at),
        "records": [
            masked(identity, fields, mark, prenom_connu=source.shares.knows_given(identity)) for identity in identities
        ],
    }
    inner = source.keys.sign(payload, Typ.TRAITS).encode("ascii")
    return seal.seal(inner, Typ.SEALED_TRAITS, certificate.seal_key)


def _checked(addressed: AddressedOrder, source: LookSource, at: datetime) -> tuple[Json, Certificate, Json]:
    """Return the hub's order, the reviewer's certificate and its request, every signature and time of them checked."""
    if at >= source.directory.valid_until:
        raise OrderRefused(Reason.DIRECTORY)
    try:
        hub = source.directory.partner(trust.HUB)
        order, certified = trust.open_certified(addressed.order, Typ.LOOK_ORDER, hub.slug, hub.identity_key)
        certified.check_alive(at)
    except MaillonError as error:
        expired = error.kind in (ErrorKind.EXPIRED, ErrorKind.UNTRUSTED_KEY)
        raise OrderRefused(Reason.CERTIFICATE if expired else Reason.SIGNATURE) from None
    check_schema("look_order", order, "look_order")
    if order["source"] != source.slug:
        raise OrderRefused(Reason.WRONG_SOURCE)
    _check_times(order, ORDER_LIFETIME, at, Reason.EXPIRED)
    if addressed.subject != order["subject"]:
        raise OrderRefused(Reason.WRONG_SUBJECT)
    reviewer = reviewer_jwk(hub)
    if reviewer is None:  # the consortium has named none
        raise OrderRefused(Reason.DIRECTORY)
    try:
        request, certificate = trust.open_certified(order["request"], Typ.LOOK, REVIEWER, reviewer)
        certificate.check_alive(at)
        check_schema("look", request)
    except MaillonError:
        raise OrderRefused(Reason.REQUEST_SIGNATURE) from None
    if request["seal_key"] != certificate.seal_key_id:
        raise OrderRefused(Reason.REQUEST_SIGNATURE)
    _check_times(request, LIFETIME, at, Reason.REQUEST_EXPIRED)
    return order, certificate, request


def _check_times(payload: Json, longest: timedelta, at: datetime, reason: Reason) -> None:
    try:
        seal.check_lifetime(payload, at, longest, reason.value)
    except MaillonError:
        raise OrderRefused(reason) from None
