"""How the edge store keeps a row: sealed to its place, found again by a keyed digest.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; the row's place (table, keys) is the additional data, so a
row moved elsewhere does not open. What SQLite must find or compare stands as an HMAC-SHA256.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from connectors.kit.runtime.errors import ErrorKind, MaillonError

KEY_BYTES: Final = 32
_PACK_ABOVE: Final = 512
"""A fragment repeats its provenance in every statement: packed, it is a quarter of the writing. Only the source
chooses any part of it, so a length tells no more than the sections do."""
_LATEST: Final = 8
"""Names kept with their keys: of one record, the subject's and the file's are asked for several times in a row."""


class RowSeal:
    """Seals and names rows under one 32-byte key; ``MaillonError(CONFIGURATION)`` for a key of another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MaillonError(ErrorKind.CONFIGURATION, f"the edge store's key is {KEY_BYTES} bytes")
        self._aead = AESGCM(_derive(key, b"maillon/edge-store-seal/v1"))
        # Keyed once and copied for each name: a third of the time of keying it anew.
        self._keyed = keyed = HMAC(_derive(key, b"maillon/edge-store-index/v1"), SHA256())
        self._key = lru_cache(_LATEST)(lambda name: _digest(keyed, name.encode())[:16])

    def key(self, kind: str, value: str) -> bytes:
        """Return the 16 bytes under which ``value``, a ``kind`` of thing, is found again."""
        return self._key(f"{kind}\0{value}")

    def tag(self, kind: str, value: object) -> bytes:
        """Return the 32 bytes that are equal when two JSON values of a ``kind`` are."""
        return _digest(self._keyed, kind.encode() + b"\0" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS))

    def seal(self, value: object, *place: bytes, packed: bool = True) -> bytes:
        """Return the JSON ``value`` sealed to ``place``: nonce, ciphertext, authentication tag.

        Not ``packed`` where most of it is digests, which do not get shorter and take as long.
        """
        data = orjson.dumps(value)
        data = b"z" + zlib.compress(data, 1) if packed and len(data) > _PACK_ABOVE else b"j" + data
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, data, b"\0".join(place))

    def unseal(self, sealed: bytes, *place: bytes) -> Any:
        """Return what was sealed to ``place``; ``MaillonError(STORAGE)`` when it was altered, or sealed elsewhere."""
        try:
            data = self._aead.decrypt(sealed[:12], sealed[12:], b"\0".join(place))
        except (InvalidTag, ValueError):
            raise MaillonError(ErrorKind.STORAGE, "an edge store row was altered or moved") from None
        return orjson.loads(zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:])


def _digest(keyed: HMAC, message: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(message)
    return mac.finalize()


def _derive(key: bytes, info: bytes) -> bytes:
    # The store's key is uniform, so HKDF's extract step (RFC 5869 §3.3) is not needed.
    return HKDFExpand(SHA256(), KEY_BYTES, info).derive(key)
