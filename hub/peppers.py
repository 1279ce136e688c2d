"""The index peppers, one per epoch, as the chain a stored token went through (docs/adr/0020-rotation.md).

What is stored is ``t₁ = HMAC(K₁, token)`` cut to 24 bytes; a rotation re-wraps it, ``t₂ = HMAC(K₂, t₁)`` cut again,
with nothing but what is stored. So a fresh token goes through every pepper in turn, and no pepper may ever be lost.
A stolen keyring of before a rotation then no longer suffices for a database of after it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_STORED: Final = 24
"""Bytes of an index token that are kept: 8 to look up, 16 to decide."""
_CHECK: Final = 16


class Form(NamedTuple):
    """A token as it is stored under one epoch: a signed 64-bit look-up and an independent 128-bit value."""

    epoch: int
    lookup: int
    value: bytes


class Peppers:
    """The chain, and how much of it is in use. Changed by the writer's thread alone; any thread may read."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """``keys`` are 32 bytes each, oldest first."""
        self._keys = tuple(keys)
        self.searched_from = 1
        """The oldest epoch rows may still stand under. Too early a one costs look-ups, too late a one would miss
        persons: it moves only once no row is left."""

    @property
    def epoch(self) -> int:
        """The epoch new tokens are stored under."""
        return len(self._keys)

    @property
    def is_rotating(self) -> bool:
        """Whether rows of an earlier epoch may be left."""
        return self.searched_from < self.epoch

    def extend(self, keys: Iterable[bytes]) -> None:
        """Go on to new epochs, whose peppers are durable already."""
        self._keys = (*self._keys, *keys)

    def forms(self, token: bytes) -> list[Form]:
        """Return a connector's token as each epoch in use stores it, the present one last."""
        made = []
        for epoch, key in enumerate(self._keys, start=1):
            token = _step(key, token)
            if epoch >= self.searched_from:
                made.append(_form(epoch, token))
        return made

    def lift(self, form: Form) -> Form:
        """Return what a rotation makes of a stored token: its form of the present epoch."""
        stored = form.lookup.to_bytes(8, "big", signed=True) + form.value
        for key in self._keys[form.epoch :]:
            stored = _step(key, stored)
        return _form(self.epoch, stored)

    def check(self, epoch: int) -> bytes:
        """Return 16 bytes by which the pepper of ``epoch`` is recognised, and nothing else learnt."""
        info = b"maillon/index-pepper-check/v1" + epoch.to_bytes(4, "big")
        return HKDF(algorithm=SHA256(), length=_CHECK, salt=None, info=info).derive(self._keys[epoch - 1])


def new_pepper() -> bytes:
    """Draw a pepper."""
    return secrets.token_bytes(32)


def _step(key: bytes, token: bytes) -> bytes:
    return hmac.digest(key, token, "sha256")[:_STORED]


def _form(epoch: int, stored: bytes) -> Form:
    return Form(epoch, int.from_bytes(stored[:8], "big", signed=True), stored[8:])
