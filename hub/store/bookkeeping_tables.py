"""What the hub remembers for a while only: part of ``hub.db`` (:mod:`hub.store.tables`)."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, String, Table

from hub.store.tables import Instant, hub

# Values that may be used once: token assertions and request nonces. Purged after ``expires_at``.
used_once = Table(
    "used_once",
    hub,
    Column("scope", String(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("scope", "digest"),
    Index("ix_used_once_expires_at", "expires_at"),
)
