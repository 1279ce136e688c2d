"""Small conversions between the wire and the hub: schema checks as named refusals, instants as text."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from schemas.registry import SchemaViolation, validator


def check_schema(name: str, value: object) -> None:
    """Raise ``MaillonError(SCHEMA)`` with pointer and reason unless ``value`` follows the schema ``name``."""
    try:
        validator(name).check(value)
    except SchemaViolation as violation:
        raise MaillonError(ErrorKind.SCHEMA, violation.reason, pointer=violation.pointer) from None


def instant(at: datetime) -> str:
    """Return an aware datetime as RFC 3339 UTC with ``Z``, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
