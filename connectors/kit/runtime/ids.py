"""Identifiers: minted here and nowhere else, one ``NewType`` each so that mypy keeps them apart."""

from __future__ import annotations

import re
import secrets
import uuid
from typing import NewType

PartnerSlug = NewType("PartnerSlug", str)
"""A partner's short name, ``^[a-z][a-z0-9_]{1,31}$``."""
Ref = NewType("Ref", str)
"""A person's pseudonym at one partner: 16 bytes, base64url. Two partners' refs of one person do not compare."""
PersonId = NewType("PersonId", str)
"""The hub's own random person id. Never leaves the hub."""
RecordId = NewType("RecordId", str)
"""A consent record's id."""
EventId = NewType("EventId", str)
OrderId = NewType("OrderId", str)
TraceId = NewType("TraceId", str)
"""One pull, end to end: W3C trace-context form, 32 hex digits."""
LocalId = NewType("LocalId", str)
"""A partner's own number for a person. Never leaves that partner's edge."""

_SLUG = re.compile(r"[a-z][a-z0-9_]{1,31}")


def new_uuid() -> str:
    """Return a random UUID (version 4) in its canonical text form."""
    return uuid_of(secrets.token_bytes(16))


def uuid_of(data: bytes) -> str:
    """Return 16 bytes, which must be as good as random, as a UUID (version 4) in its canonical text form."""
    return str(uuid.UUID(bytes=data, version=4))


def new_trace_id() -> TraceId:
    """Return a random W3C trace id: 32 lower-case hex digits."""
    return TraceId(secrets.token_hex(16))


def new_nonce() -> str:
    """Return 128 random bits as base64url, for single-use protocol values."""
    return secrets.token_urlsafe(16)


def is_slug(text: str) -> bool:
    """Say whether ``text`` is a well-formed partner slug."""
    return _SLUG.fullmatch(text) is not None
