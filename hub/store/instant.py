"""Moments as the store keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, types

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(types.TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole microseconds since 1970: exact, sortable, the same on every engine."""

    impl = BigInteger
    cache_ok = True

    @staticmethod
    def to_microseconds(at: datetime) -> int:
        """Return whole microseconds since 1970; ``ValueError`` for a naive datetime."""
        if at.tzinfo is None:
            raise ValueError("a naive datetime has no place in the store")
        return (at - _EPOCH) // timedelta(microseconds=1)

    @staticmethod
    def from_microseconds(at_us: int) -> datetime:
        """Return the aware datetime of whole microseconds since 1970."""
        return _EPOCH + timedelta(microseconds=at_us)

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:  # noqa: ARG002 (SQLAlchemy's)
        """Refuse naive datetimes: they have no place in the store."""
        return None if value is None else self.to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's)
        """Return the aware datetime."""
        return None if value is None else self.from_microseconds(value)
