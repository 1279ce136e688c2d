"""One event as the log holds it: 105 bytes that say when and of what kind, and bind the rest without telling it.

Layout, big endian: tag (16) ‖ class (1) ‖ event id (16) ‖ time (8) ‖ commitment (32) ‖ digest of ciphertext (32).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from consent.ledger.exact import HASH_BYTES, LedgerError

TAG: Final = b"maillon/event/v1"
"""Domain of leaves and of commitments: 16 bytes, so that a leaf's header is 41 bytes and its whole 105."""
EVENT_ID_BYTES: Final = 16
SALT_BYTES: Final = 32
_HEADER: Final = struct.Struct(f">{len(TAG)}sB{EVENT_ID_BYTES}sq")
_LEAF: Final = struct.Struct(f">{len(TAG)}sB{EVENT_ID_BYTES}sq{HASH_BYTES}s{HASH_BYTES}s")
LEAF_BYTES: Final = _LEAF.size
_EARLIEST, _LATEST = -(2**63), 2**63 - 1


class EventClass(StrEnum):
    """What an event is about."""

    CONSENT = "consent"
    ACCESS = "access"
    ERASURE = "erasure"
    RETENTION = "retention"
    POLICY = "policy"
    KEY = "key"
    MATCH = "match"


# Written out: a member added or moved must never change what an old leaf says.
CLASS_BYTES: Final = {
    EventClass.CONSENT: 1,
    EventClass.ACCESS: 2,
    EventClass.ERASURE: 3,
    EventClass.RETENTION: 4,
    EventClass.POLICY: 5,
    EventClass.KEY: 6,
    EventClass.MATCH: 7,
}
_CLASSES: Final = {byte: event_class for event_class, byte in CLASS_BYTES.items()}


def commitment(r32: bytes, payload: bytes) -> bytes:
    """Return ``SHA-256(TAG ‖ r32 ‖ payload)``: 32 bytes that bind ``payload`` and, without ``r32``, tell nothing.

    Raises ``LedgerError("salt")`` unless ``r32`` is 32 bytes: a shorter one could borrow its end from the payload.
    """
    if len(r32) != SALT_BYTES:
        raise LedgerError("salt")
    return hashlib.sha256(TAG + r32 + payload).digest()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One event. ``event_id``: the 16 bytes of a random UUID; ``at_us``: microseconds since 1970 UTC, signed 64-bit;
    ``commitment`` and ``ciphertext_digest``: 32 bytes each."""

    event_class: EventClass
    event_id: bytes
    at_us: int
    commitment: bytes
    ciphertext_digest: bytes

    def __post_init__(self) -> None:
        """Hold the lengths; raises :class:`LedgerError`."""
        if len(self.event_id) != EVENT_ID_BYTES:
            raise LedgerError("leaf_event_id")
        if not _EARLIEST <= self.at_us <= _LATEST:
            raise LedgerError("leaf_time")
        if len(self.commitment) != HASH_BYTES or len(self.ciphertext_digest) != HASH_BYTES:
            raise LedgerError("leaf_digest")

    def header(self) -> bytes:
        """Return tag ‖ class ‖ event id ‖ time: 41 bytes, the associated data of the payload's AEAD."""
        return _HEADER.pack(TAG, CLASS_BYTES[self.event_class], self.event_id, self.at_us)

    def encode(self) -> bytes:
        """Return the 105 bytes the tree hashes."""
        return self.header() + self.commitment + self.ciphertext_digest

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the leaf of exactly these 105 bytes.

        Raises ``LedgerError``: ``leaf_length``, ``leaf_tag``, ``leaf_class``.
        """
        if len(data) != LEAF_BYTES:
            raise LedgerError("leaf_length")
        tag, class_byte, event_id, at_us, bound, sealed = _LEAF.unpack(data)
        if tag != TAG:
            raise LedgerError("leaf_tag")
        event_class = _CLASSES.get(class_byte)
        if event_class is None:
            raise LedgerError("leaf_class")
        return cls(event_class, event_id, at_us, bound, sealed)
