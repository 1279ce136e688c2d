"""The first tables of hub.db."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "hub_0001"
down_revision = None
branch_labels = ("hub",)
depends_on = None

_EVENTS = (
    "journal",
    "consent_event",
    "access_event",
    "access_field",
    "access_agent",
    "partner_event",
    "directory_version",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("class", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sa.UniqueConstraint("event_id", name=op.f("uq_journal_event_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "person",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person")),
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("record_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_record")),
        sa.UniqueConstraint("partner", "record_key", name=op.f("uq_record_partner_record_key")),
    )
    op.create_table(
        "used_once",
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "digest", name=op.f("pk_used_once")),
    )
    op.create_index("ix_used_once_expires_at", "used_once", ["expires_at"], unique=False)
    op.create_table(
        "access_event",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=True),
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("purpose", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_access_event_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_access_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_access_event_event_id")),
    )
    op.create_index("ix_access_event_partner", "access_event", ["partner", "seq"], unique=False)
    op.create_index("ix_access_event_person_id", "access_event", ["person_id", "seq"], unique=False)
    op.create_index("ix_access_event_trace_id", "access_event", ["trace_id"], unique=False)
    op.create_table(
        "consent_event",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("jws_digest", sa.String(length=43), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("commitment_salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("receipt_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_consent_event_person_id")),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_consent_event_seq")),
        sa.PrimaryKeyConstraint("person_id", "seq", name=op.f("pk_consent_event")),
        sa.UniqueConstraint("jws_digest", name=op.f("uq_consent_event_jws_digest")),
    )
    op.create_index("ix_consent_event_record_id", "consent_event", ["record_id"], unique=False)
    op.create_table(
        "directory_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=43), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_directory_version_seq")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_directory_version")),
    )
    op.create_table(
        "holding",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("section", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_holding_person_id")),
        sa.ForeignKeyConstraint(["record_id"], ["record.record_id"], name=op.f("fk_holding_record_id")),
        sa.PrimaryKeyConstraint("person_id", "partner", "record_id", "section", name=op.f("pk_holding")),
    )
    op.create_table(
        "link",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("rule", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_link_person_id")),
        sa.ForeignKeyConstraint(["record_id"], ["record.record_id"], name=op.f("fk_link_record_id")),
        sa.PrimaryKeyConstraint("person_id", "record_id", "since", name=op.f("pk_link")),
    )
    op.create_index("ix_link_record_id", "link", ["record_id"], unique=False)
    op.create_table(
        "partner_event",
        sa.Column("slug", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name=op.f("fk_partner_event_seq")),
        sa.PrimaryKeyConstraint("slug", "seq", name=op.f("pk_partner_event")),
    )
    op.create_table(
        "person_ref",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lookup", sa.LargeBinary(length=16), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_person_ref_person_id")),
        sa.PrimaryKeyConstraint("person_id", "partner", "epoch", name=op.f("pk_person_ref")),
        sa.UniqueConstraint("lookup", name=op.f("uq_person_ref_lookup")),
    )
    op.create_table(
        "review",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("candidate_id", sa.String(length=36), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["person.person_id"], name=op.f("fk_review_candidate_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_review_person_id")),
        sa.ForeignKeyConstraint(["record_id"], ["record.record_id"], name=op.f("fk_review_record_id")),
        sa.PrimaryKeyConstraint("person_id", "candidate_id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_candidate_id", "review", ["candidate_id"], unique=False)
    op.create_table(
        "token",
        sa.Column("lookup", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("value", sa.LargeBinary(length=16), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.person_id"], name=op.f("fk_token_person_id")),
        sa.ForeignKeyConstraint(["record_id"], ["record.record_id"], name=op.f("fk_token_record_id")),
        sa.PrimaryKeyConstraint("lookup", "kind", "epoch", "value", "record_id", name=op.f("pk_token")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_token_person_id", "token", ["person_id"], unique=False)
    op.create_table(
        "access_agent",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("agent", sa.String(length=64), nullable=False),
        sa.Column("case", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["seq"], ["access_event.seq"], name=op.f("fk_access_agent_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_access_agent")),
    )
    op.create_table(
        "access_field",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["access_event.seq"], name=op.f("fk_access_field_seq")),
        sa.PrimaryKeyConstraint("seq", "path", name=op.f("pk_access_field")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_access_field_path", "access_field", ["path", "seq"], unique=False)
    for table in _EVENTS:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table}: events are never changed'); END"
            )
    # Known unsafe alternatives stand in DESIGN 7: the second gate compares this number, nothing else.
    op.execute(
        "CREATE TRIGGER consent_event_moves_person BEFORE INSERT ON consent_event "
        "BEGIN UPDATE person SET version = version + 1 WHERE person_id = NEW.person_id; END"
    )
