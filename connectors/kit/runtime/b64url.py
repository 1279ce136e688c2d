"""Base64url without padding (RFC 7515 §2), canonical or refused.

A lenient decoder lets one value have several spellings, and then a digest or a replay table can be walked around.
"""

from __future__ import annotations

import base64
import binascii

from connectors.kit.runtime.errors import ErrorKind, MaillonError

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_URL = bytes.maketrans(b"+/", b"-_")


def encode(data: bytes) -> str:
    """Return ``data`` as base64url text without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL).decode("ascii")


def decode(text: str, *, what: str = "base64url", length: int | None = None) -> bytes:
    """Return the bytes of ``text``; ``what`` names the member in the error, ``length`` is the only size accepted.

    Raises ``MaillonError(MALFORMED)`` for padding, foreign characters, non-zero trailing bits or another length.
    """
    try:
        raw = text.encode("ascii")
        if raw.translate(None, _ALPHABET):
            raise ValueError
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError):
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: not base64url") from None
    # Only the last group can be spelt in several ways.
    if encode(data[len(data) // 3 * 3 :]) != text[len(data) // 3 * 4 :]:
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: not canonical base64url")
    if length is not None and len(data) != length:
        raise MaillonError(ErrorKind.MALFORMED, f"{what}: {length} bytes expected")
    return data
