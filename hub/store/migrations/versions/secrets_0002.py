"""Keys of single events, and which secrets are copies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "secrets_0002"
down_revision = "secrets_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "event_key",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("owner_id", "event_id", name=op.f("pk_event_key")),
    )
    op.create_index("ix_event_key_event_id", "event_key", ["event_id"], unique=False)
    op.create_index("ix_event_key_expires_at", "event_key", ["expires_at"], unique=False)
    op.create_table(
        "secret_copy",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("of_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_secret_copy")),
    )
    op.create_index("ix_secret_copy_of_id", "secret_copy", ["of_id"], unique=False)
