"""Erasure of a person that was joined or split: its parts, what is left to do, and consent events of nobody's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "hub_0005"
down_revision = "hub_0004"
branch_labels = None
depends_on = None

_GUARD = "BEGIN SELECT RAISE(ABORT, '{table}: events are never changed'); END"
_CONSENT = 'person_id, seq, record_id, kind, collector, jws_digest, salt, receipt_id, "at"'


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_journal_emptied_by",
        "journal",
        ["emptied_by"],
        unique=False,
        sqlite_where=sa.text("emptied_by IS NOT NULL"),
    )
    op.create_index(
        "ix_person_ref_secret_of",
        "person_ref",
        ["secret_of"],
        unique=False,
        sqlite_where=sa.text("secret_of <> person_id"),
    )
    op.create_index("ix_review_record_id", "review", ["record_id"], unique=False)
    _free_consent_events()
    op.create_table(
        "erasure_part",
        sa.Column("part_id", sa.String(length=36), nullable=False),
        sa.Column("erasure_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.erasure_id"], name=op.f("fk_erasure_part_erasure_id")),
        sa.PrimaryKeyConstraint("part_id", name=op.f("pk_erasure_part")),
    )
    op.create_index("ix_erasure_part_erasure_id", "erasure_part", ["erasure_id"], unique=False)
    op.create_table(
        "erasure_pending",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("erasure_id", sa.String(length=36), nullable=False),
        sa.Column("part_id", sa.String(length=36), nullable=True),
        sa.Column("renewed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.erasure_id"], name=op.f("fk_erasure_pending_erasure_id")),
        sa.PrimaryKeyConstraint("owner_id", "erasure_id", name=op.f("pk_erasure_pending")),
    )
    op.execute(
        "INSERT INTO erasure_pending (owner_id, erasure_id, part_id, renewed) "
        "SELECT pending, erasure_id, erasure_id, 0 FROM erasure WHERE pending IS NOT NULL"
    )
    op.execute("DROP TRIGGER erasure_only_ends")
    op.execute("ALTER TABLE erasure DROP COLUMN pending")
    op.execute(f"CREATE TRIGGER erasure_no_update BEFORE UPDATE ON erasure {_GUARD.format(table='erasure')}")
    op.create_table(
        "unnamed_consent",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("erasure_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.erasure_id"], name=op.f("fk_unnamed_consent_erasure_id")),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_unnamed_consent_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_unnamed_consent")),
    )
    op.create_index("ix_unnamed_consent_erasure_id", "unnamed_consent", ["erasure_id"], unique=False)
    op.execute("ALTER TABLE kept_consent RENAME TO former_kept_consent")
    op.create_table(
        "kept_consent",
        sa.Column("erasure_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("part_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.erasure_id"], name=op.f("fk_kept_consent_erasure_id")),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_kept_consent_seq")),
        sa.PrimaryKeyConstraint("erasure_id", "seq", name=op.f("pk_kept_consent")),
    )
    op.execute("INSERT INTO kept_consent SELECT erasure_id, seq, erasure_id FROM former_kept_consent")
    op.execute("DROP TABLE former_kept_consent")


def _free_consent_events() -> None:
    """An event outlives the person it was accepted for where it is somebody else's too: no reference to ``person``."""
    op.execute("ALTER TABLE consent_event RENAME TO former_consent_event")
    op.create_table(
        "consent_event",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("jws_digest", sa.String(length=43), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("receipt_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_consent_event_seq")),
        sa.PrimaryKeyConstraint("person_id", "seq", name=op.f("pk_consent_event")),
        sa.UniqueConstraint("record_id", "jws_digest", name=op.f("uq_consent_event_record_id_jws_digest")),
        sa.UniqueConstraint("receipt_id", name=op.f("uq_consent_event_receipt_id")),
    )
    op.execute(
        f"INSERT INTO consent_event ({_CONSENT}) SELECT {_CONSENT} FROM former_consent_event"  # noqa: S608
    )
    # Its triggers go with it, and guard the table that takes its place.
    op.execute("DROP TABLE former_consent_event")
    guard = _GUARD.format(table="consent_event")
    op.execute(f"CREATE TRIGGER consent_event_no_update BEFORE UPDATE ON consent_event {guard}")
    gate = "WHEN NOT EXISTS (SELECT 1 FROM erasing)"
    op.execute(f"CREATE TRIGGER consent_event_no_delete BEFORE DELETE ON consent_event {gate} {guard}")
    op.execute(
        "CREATE TRIGGER consent_event_moves_person BEFORE INSERT ON consent_event "
        "BEGIN UPDATE person SET version = version + 1 WHERE person_id = NEW.person_id; END"
    )
