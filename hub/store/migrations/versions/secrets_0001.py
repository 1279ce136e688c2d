"""The first tables of secrets.db."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "secrets_0001"
down_revision = None
branch_labels = ("secrets",)
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "person_secret",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("use", sa.String(length=24), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("person_id", "use", name=op.f("pk_person_secret")),
    )
    op.create_index("ix_person_secret_expires_at", "person_secret", ["expires_at"], unique=False)
    op.create_table(
        "trace_key",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "month", name=op.f("pk_trace_key")),
        sa.UniqueConstraint("tag", name=op.f("uq_trace_key_tag")),
    )
    op.create_index("ix_trace_key_expires_at", "trace_key", ["expires_at"], unique=False)
