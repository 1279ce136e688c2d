"""The keys that wrap every person's secrets: 4096 independent ones, each of which can be destroyed.

A person's secrets are wrapped by the key of its bucket, the first three hex digits of its (random) id. To erase one
person for good, its bucket gets a new key, the others' secrets are wrapped again under it, and the old key is
overwritten: a backup of ``secrets.db`` then opens for no one of that bucket with the keys of today (DESIGN §4).

One 0600 file of fixed size: each bucket has two slots of 32 bytes, one of them zero except while it changes keys.
A slot never crosses a disk sector, so what a crash leaves is a slot as it was or as it was to be.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.kit.runtime import keys
from connectors.kit.runtime.errors import ErrorKind, MaillonError

BUCKETS: Final = 4096
_KEY: Final = 32
_NONCE: Final = 12
_ABSENT: Final = bytes(_KEY)


def bucket_of(owner: str) -> int:
    """Return the bucket of a person (or of an erasure receipt) by its random UUID."""
    return int(owner[:3], 16)


class WrappingKeys:
    """The opened file. Thread-safe: a key is replaced by two steps, between which both are there."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Use :meth:`create` or :meth:`load`."""
        self._path = path
        self._lock = threading.Lock()
        self._slots = [content[at : at + _KEY] for at in range(0, len(content), _KEY)]
        # Known at any time without looking at all: normally none.
        self._changing = {bucket for bucket in range(len(self._slots) // 2) if len(self.slots(bucket)) == 2}

    @classmethod
    def create(cls, path: Path) -> WrappingKeys:
        """Make new keys at ``path``; raises as ``keys.write_private``."""
        content = b"".join(secrets.token_bytes(_KEY) + _ABSENT for _ in range(BUCKETS))
        keys.write_private(path, content)
        return cls(path, content)

    @classmethod
    def load(cls, path: Path) -> WrappingKeys:
        """Return the keys at ``path``; ``MaillonError(CONFIGURATION)`` when they are none, or not private."""
        content = keys.read_private(path)
        made = cls(path, content)
        if len(content) != BUCKETS * 2 * _KEY or any(made.slots(bucket) == () for bucket in range(BUCKETS)):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} does not hold the wrapping keys")
        return made

    def slots(self, bucket: int) -> tuple[int, ...]:
        """Return which slots of ``bucket`` hold a key: one, or both while it changes keys."""
        return tuple(slot for slot in (0, 1) if self._slots[2 * bucket + slot] != _ABSENT)

    def changing(self) -> list[int]:
        """Return the buckets whose change of keys was begun and not finished."""
        return sorted(self._changing)

    def wrap(self, owner: str, use: str, secret: bytes, *, slot: int | None = None) -> bytes:
        """Return ``secret`` encrypted (AES-256-GCM) for its owner and use: slot ‖ nonce ‖ ciphertext.

        ``slot`` is the key to use while the bucket has two; without it, the one there is.
        """
        bucket = bucket_of(owner)
        slot = self.slots(bucket)[0] if slot is None else slot
        nonce = secrets.token_bytes(_NONCE)
        return bytes([slot]) + nonce + self._cipher(bucket, slot).encrypt(nonce, secret, _bound(owner, use))

    def unwrap(self, owner: str, use: str, wrapped: bytes) -> bytes:
        """Return what :meth:`wrap` encrypted; ``MaillonError(STORAGE)`` when it is not this owner's, or its key was
        destroyed."""
        try:
            cipher = self._cipher(bucket_of(owner), wrapped[0])
            return cipher.decrypt(wrapped[1 : 1 + _NONCE], wrapped[1 + _NONCE :], _bound(owner, use))
        except (InvalidTag, IndexError, ValueError):
            raise MaillonError(ErrorKind.STORAGE, "a person's secret does not open with these keys") from None

    def begin_change(self, bucket: int) -> int:
        """Give ``bucket`` a second key, durably, and return its slot. Raises ``MaillonError(STORAGE)``."""
        (old,) = self.slots(bucket)
        self._write(bucket, 1 - old, secrets.token_bytes(_KEY))
        return 1 - old

    def finish_change(self, bucket: int, keep: int) -> None:
        """Destroy the key of ``bucket`` that is not in slot ``keep``, durably: overwritten in its place on disk."""
        if self._slots[2 * bucket + keep] == _ABSENT:
            raise MaillonError(ErrorKind.STORAGE, "the key to keep is not there")
        self._write(bucket, 1 - keep, _ABSENT)

    def renew(self, bucket: int) -> None:
        """Destroy every key of ``bucket`` and give it a new one: for a bucket under whose keys nothing is kept."""
        self._write(bucket, 0, secrets.token_bytes(_KEY))
        self._write(bucket, 1, _ABSENT)

    def _cipher(self, bucket: int, slot: int) -> AESGCM:
        key = self._slots[2 * bucket + slot] if slot in (0, 1) else _ABSENT
        if key == _ABSENT:
            raise ValueError("no key in this slot")
        return AESGCM(key)

    def _write(self, bucket: int, slot: int, key: bytes) -> None:
        number = 2 * bucket + slot
        with self._lock:
            try:
                descriptor = os.open(self._path, os.O_WRONLY)
                try:
                    os.pwrite(descriptor, key, number * _KEY)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise MaillonError(ErrorKind.STORAGE, f"{self._path.name}: {error.strerror}") from None
            self._slots[number] = key
            if len(self.slots(bucket)) == 2:
                self._changing.add(bucket)
            else:
                self._changing.discard(bucket)


def _bound(owner: str, use: str) -> bytes:
    return f"{owner}/{use}".encode()
