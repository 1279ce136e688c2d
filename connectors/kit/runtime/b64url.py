"""Base64url without padding (RFC 7515 §2), canonical or refused.

A lenient decoder lets one value have several spellings, and then a digest or a replay table can be walked around.
"""

from __future__ import annotations

import base64
import binascii
import re

from connectors.kit.runtime.errors import ErrorKind, MaillonError

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def encode(data: bytes) -> str:
    """Return ``data`` as base64url text without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str, *, what: str = "base64url", length: int | None = None) -> bytes:
    """Return the bytes of ``text``; ``what`` names the member in the error, ``length`` is the only size accepted.

    Raises ``MaillonError(MALFORMED)`` for padding, foreign characters, non-zero trailing bits or another length.
    """
    try:
        if _ALPHABET.fullmatch(text) is None:
            raise ValueError
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: not base64url") from None
    if encode(data) != text:
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: not canonical base64url")
    if length is not None and len(data) != length:
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: {length} bytes expected")
    return data
