"""Every table of ``hub.db`` and ``secrets.db``. Migrations create them; a test compares the two.

Person tables are keyed ``(person_id, …)`` first, the token table by token first, event tables stand alone
(DESIGN §13). What was written in an event table is never changed, by the migrations' triggers; rows of
``ERASABLE`` may be deleted, and the content of a ``journal`` row emptied, only beside an erasure or retention event
of the same transaction (``erasing``).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from hub.store.instant import Instant as Instant

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

hub = MetaData(naming_convention=_NAMES)
secrets = MetaData(naming_convention=_NAMES)

# Every event, in the one order of their acceptance. ``sealed`` holds its content (``hub.store.sealing``); emptied by
# the erasure or retention event ``emptied_by``, the row stays: the log's leaf is made of its other columns.
journal = Table(
    "journal",
    hub,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    # Random, hence unique; an index that says so would cost every event a page.
    Column("event_id", String(36), nullable=False),
    Column("class", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("commitment", LargeBinary(32), nullable=False),
    Column("ciphertext_digest", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary),
    Column("emptied_by", Integer, ForeignKey("journal.seq")),
    # Of the few that were emptied alone: it costs an event nothing, and an audit no pass over all of them.
    Index("ix_journal_emptied_by", "emptied_by", sqlite_where=text("emptied_by IS NOT NULL")),
)

# Filled by a trigger on the journal, emptied by the sequencer: no event can miss the log.
inbox = Table("inbox", hub, Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False))

# Leaf number → event. The leaf itself is made of the event's row.
entry = Table(
    "entry",
    hub,
    Column("leaf_index", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False, unique=True),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Index("ix_entry_leaf_hash", "leaf_hash"),
)

# The tree, 256 hashes wide (C2SP tlog-tiles); the last tile of each level grows.
tile = Table(
    "tile",
    hub,
    Column("level", Integer, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "idx"),
)

# Signed notes (C2SP tlog-checkpoint). Old ones are thinned, never those a witness cosigned.
checkpoint = Table(
    "checkpoint",
    hub,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_checkpoint_at", "at"),
)

# Signature lines of witnesses under a checkpoint.
cosignature = Table(
    "cosignature",
    hub,
    Column("size", Integer, ForeignKey("checkpoint.size"), nullable=False),
    Column("witness", String(128), nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("size", "witness"),
)

# One row: how many leaves are in. Moved by compare-and-set alone, so that two sequencers cannot both add.
tree_head = Table(
    "tree_head",
    hub,
    Column("id", Integer, CheckConstraint("id = 1", name="ck_tree_head_id"), primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
)

# Holds a row only inside the transaction that erases: which event lets it. See ``ERASABLE``.
erasing = Table(
    "erasing", hub, Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False)
)

# In this table and the next ones rows stand in the order of random ids: a rowid would tell in which order they came,
# and so, to whoever stole the file and knows what a partner registered, who is who.
person = Table(
    "person",
    hub,
    Column("person_id", String(36), primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("provisional", Boolean, nullable=False),
    # Bumped by trigger with every consent event: what the second gate compares.
    Column("version", Integer, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# The newest event of each person, of whatever class: what the person's next event names as the one before it.
subject_head = Table(
    "subject_head",
    hub,
    Column("person_id", String(36), ForeignKey("person.person_id"), primary_key=True),
    Column("n", Integer, nullable=False),
    Column("leaf_hash", LargeBinary(32)),
    sqlite_with_rowid=False,
)

# One row per record a partner registered. ``record_key`` is stored keyed: it cannot be looked up without the keyring.
record = Table(
    "record",
    hub,
    Column("record_id", String(36), primary_key=True),
    Column("partner", String(32), nullable=False),
    Column("record_key", LargeBinary(16), nullable=False),
    Column("flags", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("partner", "record_key"),
    sqlite_with_rowid=False,
)

# Dated edges record → person; a split ends one and opens another.
link = Table(
    "link",
    hub,
    Column("person_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("record_id", String(36), ForeignKey("record.record_id"), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("rule", String(16), nullable=False),
    Column("actor", String(36), nullable=False),
    PrimaryKeyConstraint("person_id", "record_id", "since"),
    Index("ix_link_record_id", "record_id"),
    sqlite_with_rowid=False,
)

# "partner says it holds section of person". An empty section: it holds something it does not name (DOMAIN §3).
# Here, in ``token_set`` and ``review`` record_id is no foreign key: to delete one record, SQLite would read all.
holding = Table(
    "holding",
    hub,
    Column("person_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("partner", String(32), nullable=False),
    Column("record_id", String(36), nullable=False),
    Column("section", String(64), nullable=False),
    Column("since", Instant, nullable=False),
    PrimaryKeyConstraint("person_id", "partner", "record_id", "section"),
    sqlite_with_rowid=False,
)

# ref → person. The ref itself is not stored, only its keyed look-up: a stolen file lists no pseudonym.
person_ref = Table(
    "person_ref",
    hub,
    Column("person_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("partner", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("lookup", LargeBinary(16), nullable=False),
    # Whose ``s_ref`` makes it: a person joined to another, or split from one, keeps the refs its partners have.
    Column("secret_of", String(36), nullable=False),
    PrimaryKeyConstraint("lookup"),
    Index("ix_person_ref_person_id", "person_id", "partner"),
    Index("ix_person_ref_secret_of", "secret_of", sqlite_where=text("secret_of <> person_id")),
    sqlite_with_rowid=False,
)

# All tokens of one record, side by side (``hub.store.token_set``). A table of whole pages, hence its rowid: the number,
# which is drawn at random.
token_set = Table(
    "token_set",
    hub,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("record_id", String(36), nullable=False),
    Column("person_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("looked_up", Integer, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Index("ix_token_set_person_id", "person_id"),
)

# Where each token that is looked up leads. Nothing else stands here: a record has dozens, each in another place.
token = Table(
    "token",
    hub,
    Column("lookup", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("lookup", "number"),
    sqlite_with_rowid=False,
)

# Doubt, waiting for a human, and what was decided. ``pattern`` names the agreeing kinds, never a value.
review = Table(
    "review",
    hub,
    Column("person_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("candidate_id", String(36), ForeignKey("person.person_id"), nullable=False),
    Column("record_id", String(36), nullable=False),
    Column("pattern", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("review_id", String(36), nullable=False, unique=True),
    Column("state", String(16), nullable=False, server_default="open"),
    Column("decided_at", Instant),
    Column("actor", String(36)),
    PrimaryKeyConstraint("person_id", "candidate_id"),
    Index("ix_review_candidate_id", "candidate_id"),
    Index("ix_review_record_id", "record_id"),
)

# ``person_id`` is for whom it was accepted; once that person is erased and the event is another's too, a part of the
# erasure (``hub.store.erasure_tables``).
consent_event = Table(
    "consent_event",
    hub,
    Column("person_id", String(36), nullable=False),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False),
    Column("record_id", String(64), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("collector", String(32), nullable=False),
    # The signed bytes themselves are the event's content, in the journal.
    Column("jws_digest", String(43), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("receipt_id", String(36), nullable=False, unique=True),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("person_id", "seq"),
    # Finds a record's events, and the same event sent again.
    UniqueConstraint("record_id", "jws_digest"),
)

access_event = Table(
    "access_event",
    hub,
    Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("trace_id", String(32), nullable=False),
    # The person's of that month, in secrets.db. Null when the ref meant no one: the refusal is logged all the same.
    Column("subject_tag", LargeBinary(16)),
    Column("partner", String(32), nullable=False),
    Column("source", String(32)),
    Column("purpose", String(64)),
    Column("outcome", String(24), nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_access_event_subject_tag", "subject_tag", "seq"),
    Index("ix_access_event_trace_id", "trace_id"),
    Index("ix_access_event_partner", "partner", "seq"),
)

access_field = Table(
    "access_field",
    hub,
    Column("seq", Integer, ForeignKey("access_event.seq"), nullable=False),
    Column("path", String(128), nullable=False),
    Column("status", String(24), nullable=False),
    PrimaryKeyConstraint("seq", "path"),
    Index("ix_access_field_path", "path", "seq"),
    sqlite_with_rowid=False,
)

# Apart, so that showing who saw what (service and function) never joins an agent's handle by accident.
access_agent = Table(
    "access_agent",
    hub,
    Column("seq", Integer, ForeignKey("access_event.seq"), primary_key=True, autoincrement=False),
    Column("agent", String(64), nullable=False),
    Column("case", String(64)),
)

# How a record came to be a person's, and every doubt about it. Details are the event's content.
match_event = Table(
    "match_event",
    hub,
    Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
    Column("subject_tag", LargeBinary(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Index("ix_match_event_subject_tag", "subject_tag", "seq"),
)

partner_event = Table(
    "partner_event",
    hub,
    Column("slug", String(32), nullable=False),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(32), nullable=False),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("slug", "seq"),
)

# Policies that were in force, and the keys that sign checkpoints (C2SP vkeys), each from its event on.
policy_version = Table(
    "policy_version",
    hub,
    Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
    Column("version", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)

log_key = Table(
    "log_key",
    hub,
    Column("number", Integer, primary_key=True),
    # "first", "introduce" or "retire"; the first is trusted from the start and has no event.
    Column("action", String(16), nullable=False),
    Column("vkey", Text, nullable=False),
    Column("seq", Integer, ForeignKey("journal.seq")),
    Column("at", Instant, nullable=False),
)

directory_version = Table(
    "directory_version",
    hub,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False),
    Column("digest", String(43), nullable=False),
    Column("at", Instant, nullable=False),
)

# ``expires_at`` is null; a ``k_consent`` that was kept as proof by an older version has the end of that.
person_secret = Table(
    "person_secret",
    secrets,
    Column("person_id", String(36), nullable=False),
    Column("use", String(24), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    PrimaryKeyConstraint("person_id", "use"),
    Index("ix_person_secret_expires_at", "expires_at"),
)

# One month of one person; ``owner_id`` is the person, once erased the erasure.
trace_key = Table(
    "trace_key",
    secrets,
    Column("owner_id", String(36), nullable=False),
    Column("month", String(7), nullable=False),
    Column("tag", LargeBinary(16), nullable=False, unique=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("restricted", Boolean, nullable=False),
    PrimaryKeyConstraint("owner_id", "month"),
    Index("ix_trace_key_expires_at", "expires_at"),
)

ERASABLE = ("consent_event", "access_event", "access_field", "access_agent", "match_event")
KEY_EVENTS = ("directory_version", "log_key", "rotation_event")
EVENT_TABLES = ("journal", "entry", "partner_event", "policy_version", *KEY_EVENTS, *ERASABLE)
