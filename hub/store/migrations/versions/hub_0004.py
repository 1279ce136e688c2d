"""Rotations of keys: their events, and how far one has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "hub_0004"
down_revision = "hub_0003"
branch_labels = None
depends_on = None

_GUARD = "BEGIN SELECT RAISE(ABORT, 'rotation_event: events are never changed'); END"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rotation_event",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=True),
        sa.Column("check", sa.String(length=32), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_rotation_event_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_rotation_event")),
    )
    op.execute(f"CREATE TRIGGER rotation_event_no_update BEFORE UPDATE ON rotation_event {_GUARD}")
    op.execute(f"CREATE TRIGGER rotation_event_no_delete BEFORE DELETE ON rotation_event {_GUARD}")
    op.create_table(
        "rewrapping",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("below", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_rewrapping")),
    )
