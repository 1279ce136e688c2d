"""What a human decided about whose records are whose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "hub_0002"
down_revision = "hub_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "must_not_link",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("other_id", sa.String(length=36), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "other_id", name=op.f("pk_must_not_link")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "absorbed",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("into_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_absorbed")),
    )
    op.create_index("ix_absorbed_into_id", "absorbed", ["into_id"], unique=False)
    op.create_table(
        "consent_owner",
        sa.Column("event_seq", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("given_under", sa.String(length=36), nullable=False),
        sa.Column("gives", sa.Boolean(), nullable=False),
        sa.Column("since_seq", sa.Integer(), nullable=False),
        sa.Column("until_seq", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("event_seq", "person_id", "since_seq", name=op.f("pk_consent_owner")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_consent_owner_person_id", "consent_owner", ["person_id"], unique=False)
    op.create_table(
        "split_access",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "seq", name=op.f("pk_split_access")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_split_access_seq", "split_access", ["seq"], unique=False)
    op.create_table(
        "link_notice",
        sa.Column("notice_id", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("access_seq", sa.Integer(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("is_certain", sa.Boolean(), nullable=False),
        sa.Column("secret_of", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_link_notice")),
    )
    op.create_index("ix_link_notice_partner", "link_notice", ["partner", "at"], unique=False)
