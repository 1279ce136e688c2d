"""One byte form for one value (RFC 8785, JCS) and its digest: what gets signed, chained and versioned."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import rfc8785

_I_JSON_MAX: Final = 2**53 - 1


def jcs(value: Mapping[str, object] | Sequence[object]) -> bytes:
    """Return the canonical JSON bytes of ``value`` (RFC 8785).

    Raises ``ValueError`` for what JSON cannot hold: NaN, an integer beyond 2^53 - 1, a non-text key, a date.
    """
    if _is_plain(value):
        # What is signed here is nearly all names: the standard library writes the same bytes three times faster.
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    try:
        return rfc8785.dumps(cast(Any, value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(type(error).__name__) from None


def _is_plain(value: object) -> bool:
    """Say whether sorted compact JSON is canonical for ``value``: no fraction, and member names in plain ASCII, whose
    order is the same in code points as in UTF-16."""
    if isinstance(value, dict):
        return all(type(name) is str and name.isascii() for name in value) and _is_plain(list(value.values()))
    if isinstance(value, list):
        return all(type(item) is str or item is None or _is_plain(item) for item in value)
    if type(value) is int:
        return abs(value) <= _I_JSON_MAX
    return value is None or type(value) in (str, bool)


def digest(data: bytes | Mapping[str, object]) -> str:
    """Return the SHA-256 of bytes, or of a payload's canonical form, as base64url without padding (43 characters)."""
    raw = hashlib.sha256(data if isinstance(data, bytes) else jcs(data)).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
