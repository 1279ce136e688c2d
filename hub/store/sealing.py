"""How an event's content is kept: exact bytes, encrypted under a key of its own, bound to its leaf (DESIGN §8).

``sealed = nonce12 ‖ AES-256-GCM(k_event, nonce, r32 ‖ envelope, aad = leaf header)``. AES-GCM does not commit to its
key, so whoever opens an event checks the leaf's commitment too; without ``r32`` that commitment tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import uuid_of
from consent.ledger.envelope import Link
from consent.ledger.leaf import CLASS_BYTES, EVENT_ID_BYTES, SALT_BYTES, TAG, EventClass, Leaf, commitment

_NONCE: Final = 12
_BEGINNINGS: Final = {event_class.value: TAG + bytes([byte]) for event_class, byte in CLASS_BYTES.items()}

Body = Mapping[str, Any] | str
"""What an event says: an object, or the consent JWS exactly as it came."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a leaf to whoever may read it: ``commitment(r32, envelope)`` is the leaf's commitment."""

    leaf: Leaf
    r32: bytes = field(repr=False)
    envelope: bytes = field(repr=False)

    @property
    def content(self) -> dict[str, Any]:
        """The envelope as JSON: ``v``, ``body``, ``subject``."""
        content: dict[str, Any] = orjson.loads(self.envelope)
        return content

    @property
    def body(self) -> Any:
        """What the event says."""
        return self.content["body"]


def canonical(payload: Mapping[str, object]) -> bytes:
    """Return the JCS bytes (RFC 8785) of an event's payload: ASCII member names, no fractions.

    Within those bounds sorted compact JSON is JCS; a test holds it against ``rfc8785``, which is fifty times slower.
    """
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def envelope_of(body: Body, link: Link | None) -> bytes:
    """Return the exact bytes an event commits to: those of ``consent.ledger.envelope``, sooner."""
    return canonical({"v": 1, "body": body, "subject": None if link is None else link.to_wire()})


def seal_event(
    key: bytes, event_class: EventClass, event_id: str, at_us: int, envelope: bytes
) -> tuple[Leaf, bytes, bytes]:
    """Return an event's leaf, its sealed content and its ``r32``. ``key``: the subject's or the system's, 32 bytes."""
    identifier = event_id_bytes(event_id)
    drawn = secrets.token_bytes(SALT_BYTES + _NONCE)
    r32, nonce = drawn[:SALT_BYTES], drawn[SALT_BYTES:]
    header = header_of(event_class.value, identifier, at_us)
    sealed = nonce + AESGCM(event_key(key, identifier)).encrypt(nonce, r32 + envelope, header)
    digest = hashlib.sha256(sealed).digest()
    return Leaf(event_class, identifier, at_us, commitment(r32, envelope), digest), sealed, r32


def open_event(key: bytes, leaf: Leaf, sealed: bytes) -> Opening:
    """Return the opening of ``leaf``; ``MaillonError(STORAGE)`` unless it is exactly what was sealed then."""
    return open_alone(event_key(key, leaf.event_id), leaf, sealed)


def open_alone(key: bytes, leaf: Leaf, sealed: bytes) -> Opening:
    """Return :func:`open_event` with the key of this one event (:func:`event_key`)."""
    try:
        if not hmac.compare_digest(hashlib.sha256(sealed).digest(), leaf.ciphertext_digest):
            raise ValueError("ciphertext")
        plain = AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], leaf.header())
        r32, envelope = plain[:SALT_BYTES], plain[SALT_BYTES:]
        if not hmac.compare_digest(commitment(r32, envelope), leaf.commitment):
            raise ValueError("commitment")
    except (InvalidTag, ValueError):
        raise MaillonError(ErrorKind.STORAGE, "an event is not what the log says it was: maillon log fsck") from None
    return Opening(leaf, r32, envelope)


def header_of(class_name: str, event_id: bytes, at_us: int) -> bytes:
    """Return ``Leaf.header()`` of a leaf whose digests are not known yet, or not needed; a test holds them together."""
    return _BEGINNINGS[class_name] + event_id + at_us.to_bytes(8, "big", signed=True)


def receipt_id_of(r32: bytes) -> str:
    """Return the id of an event's receipt: a UUID that the event's leaf binds and that nobody can tell from it."""
    return uuid_of(hashlib.sha256(b"maillon/receipt-id/v1" + r32).digest()[:16])


def event_id_bytes(event_id: str) -> bytes:
    """Return the 16 bytes of an event's UUID."""
    identifier = bytes.fromhex(event_id.replace("-", ""))
    if len(identifier) != EVENT_ID_BYTES:
        raise ValueError("an event id is a UUID")
    return identifier


def event_key(key: bytes, event_id: bytes) -> bytes:
    """Return the key of one event (32 bytes), derived from its subject's or the system's ``key``."""
    return hmac.digest(key, TAG + event_id, "sha256")
