"""What comes from elsewhere, held against its schema: whatever does not follow it is refused by its place."""

from __future__ import annotations

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from schemas.registry import SchemaViolation, validator


def check_schema(name: str, value: object, what: str = "") -> None:
    """Raise ``MaillonError(SCHEMA)`` with pointer and reason, after ``what`` it is about, unless ``value`` follows the
    schema ``name``."""
    try:
        validator(name).check(value)
    except SchemaViolation as violation:
        reason = f"{what}: {violation.reason}" if what else violation.reason
        raise MaillonError(ErrorKind.SCHEMA, reason, pointer=violation.pointer) from None
