"""One byte form for one value (RFC 8785, JCS) and its digest: what gets signed, chained and versioned."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import rfc8785


def jcs(value: Mapping[str, object] | Sequence[object]) -> bytes:
    """Return the canonical JSON bytes of ``value`` (RFC 8785).

    Raises ``ValueError`` for what JSON cannot hold: NaN, an integer beyond 2^53 - 1, a non-text key, a date.
    """
    try:
        return rfc8785.dumps(cast(Any, value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(type(error).__name__) from None


def digest(data: bytes | Mapping[str, object]) -> str:
    """Return the SHA-256 of bytes, or of a payload's canonical form, as base64url without padding (43 characters)."""
    raw = hashlib.sha256(data if isinstance(data, bytes) else jcs(data)).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
