"""Where the next page of the access log begins, told so that it says nothing: not how many events have passed, not
whether another reader is at the same place.

AES-SIV (RFC 5297) of the event's number under a key of the reader's own: forged or another's, a cursor opens nothing.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.keyring import Keyring

_NUMBER: Final = 8
_TAG: Final = 16


def seal_cursor(keyring: Keyring, reader: str, seq: int) -> str:
    """Return the cursor of event ``seq`` for ``reader``: 24 bytes, base64url."""
    return b64url.encode(AESSIV(keyring.cursor_key(reader)).encrypt(seq.to_bytes(_NUMBER, "big"), None))


def open_cursor(keyring: Keyring, reader: str, cursor: str) -> int:
    """Return the event a cursor of ``reader`` stands for; raises ``MaillonError(SCHEMA)`` for any other text."""
    try:
        sealed = b64url.decode(cursor, what="cursor", length=_TAG + _NUMBER)
        return int.from_bytes(AESSIV(keyring.cursor_key(reader)).decrypt(sealed, None), "big")
    except (InvalidTag, MaillonError):
        raise MaillonError(ErrorKind.SCHEMA, "not the next of an answer to you", pointer="/cursor") from None
