"""Reading text that has exactly one spelling: what two readers could read differently is refused."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

MAX_SIZE: Final = 2**63 - 1
"""Largest tree, index or instant that all implementations of these formats can hold."""
HASH_BYTES: Final = 32
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class LedgerError(ValueError):
    """Something of the log that is malformed or false. ``code`` names what, never with a value from the input."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def decimal(text: str, code: str, most: int = MAX_SIZE) -> int:
    """Return the ASCII decimal ``text`` between 0 and ``most``; a sign, a leading zero or a space is refused.

    Raises ``LedgerError(code)``.
    """
    if _DECIMAL.fullmatch(text) is None or int(text) > most:
        raise LedgerError(code)
    return int(text)


def from_base64(text: str, code: str, length: int | None = None) -> bytes:
    """Return the bytes of ``text``, the one padded base64 (RFC 4648 §4) of them, ``length`` long when given.

    Raises ``LedgerError(code)``.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise LedgerError(code) from None
    if to_base64(data) != text or (length is not None and len(data) != length):
        raise LedgerError(code)
    return data


def to_base64(data: bytes) -> str:
    """Return the padded base64 of ``data`` (RFC 4648 §4)."""
    return base64.b64encode(data).decode("ascii")


def utf8(data: bytes, code: str) -> str:
    """Return ``data`` as text; raises ``LedgerError(code)`` unless it is UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise LedgerError(code) from None


def is_one(value: object) -> bool:
    """Say whether ``value`` is the number 1: not ``true``, not ``1.0``, which Python calls equal to it."""
    return type(value) is int and value == 1


def check_hash(value: object, code: str) -> None:
    """Raise ``LedgerError(code)`` unless ``value`` is 32 bytes."""
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise LedgerError(code)


def check_size(value: object, code: str, most: int = MAX_SIZE) -> None:
    """Raise ``LedgerError(code)`` unless ``value`` is a whole number between 0 and ``most``."""
    if type(value) is not int or not 0 <= value <= most:
        raise LedgerError(code)
