"""What makes an event's leaf again for whoever has its content: its id and time, the salt of its commitment, and the
digest of the ciphertext it is kept as.

Receipts, key changes and a person's own copy all state it in these members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from consent.ledger.exact import HASH_BYTES, LedgerError
from consent.ledger.jws import from_base64url, to_base64url
from consent.ledger.leaf import SALT_BYTES, EventClass, Leaf, commitment

OPENING: Final = frozenset({"event_id", "at", "r32", "ciphertext_digest"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def opening_members(leaf: Leaf, r32: bytes) -> dict[str, str]:
    """Return the members :data:`OPENING` of a leaf whose commitment has the salt ``r32``."""
    return {
        "event_id": str(UUID(bytes=leaf.event_id)),
        "at": instant(leaf.at_us),
        "r32": to_base64url(r32),
        "ciphertext_digest": to_base64url(leaf.ciphertext_digest),
    }


def read_leaf(event_class: EventClass, opening: object, payload: bytes) -> Leaf:
    """Return the leaf of ``payload`` from the members :data:`OPENING` of a JSON object.

    Raises ``LedgerError("receipt_form")``.
    """
    if not isinstance(opening, Mapping) or set(opening) != OPENING:
        raise LedgerError("receipt_form")
    return Leaf(
        event_class,
        uuid_bytes(opening["event_id"]),
        microseconds(opening["at"]),
        commitment(from_base64url(opening["r32"], "receipt_form", SALT_BYTES), payload),
        from_base64url(opening["ciphertext_digest"], "receipt_form", HASH_BYTES),
    )


def instant(at_us: int) -> str:
    """Return microseconds since 1970 as RFC 3339 UTC with six digits. Raises ``LedgerError("instant")``."""
    try:
        return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        raise LedgerError("instant") from None


def microseconds(text: object) -> int:
    """Return the microseconds since 1970 that :func:`instant` wrote; raises ``LedgerError("receipt_form")``."""
    try:
        if not isinstance(text, str) or _INSTANT.fullmatch(text) is None:
            raise ValueError
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        raise LedgerError("receipt_form") from None


def uuid_bytes(text: object) -> bytes:
    """Return the 16 bytes of a UUID in its one spelling; raises ``LedgerError("receipt_form")``."""
    try:
        if not isinstance(text, str) or str(UUID(text)) != text:
            raise ValueError
        return UUID(text).bytes
    except ValueError:
        raise LedgerError("receipt_form") from None
