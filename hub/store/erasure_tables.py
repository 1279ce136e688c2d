"""Tables of erasures: who was erased, what is left to do of it, and what the law keeps (:mod:`hub.store.tables`)."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table

from hub.store.tables import Instant, hub, secrets

# ``kept_until``: the end of agreements kept as proof.
erasure = Table(
    "erasure",
    hub,
    Column("erasure_id", String(36), primary_key=True),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False, unique=True),
    Column("decision", String(43), nullable=False, unique=True),
    Column("at", Instant, nullable=False),
    Column("kept_until", Instant),
)

# What the law keeps of somebody belongs to the erasure's id; what it keeps of a person that had turned out to be the
# erased one (``absorbed``), whose events are a chain of their own, to a part of it.
erasure_part = Table(
    "erasure_part",
    hub,
    Column("part_id", String(36), primary_key=True),
    Column("erasure_id", String(36), ForeignKey("erasure.erasure_id"), nullable=False),
    Index("ix_erasure_part_erasure_id", "erasure_id"),
)

# Whose secrets are still to be destroyed: those of persons, whose months then belong to ``part_id``; of copies (no
# ``part_id``); and, ``renewed``, the ``k_consent`` of somebody else under which events of the erased were sealed.
erasure_pending = Table(
    "erasure_pending",
    hub,
    Column("owner_id", String(36), nullable=False),
    Column("erasure_id", String(36), ForeignKey("erasure.erasure_id"), nullable=False),
    Column("part_id", String(36)),
    Column("renewed", Boolean, nullable=False),
    PrimaryKeyConstraint("owner_id", "erasure_id"),
)

# Consent events of an erased person whose content is kept as proof, until the end of that.
kept_consent = Table(
    "kept_consent",
    hub,
    Column("erasure_id", String(36), ForeignKey("erasure.erasure_id"), nullable=False),
    Column("seq", Integer, ForeignKey("journal.seq"), nullable=False),
    # In whose chain it stands: the erasure's or that of a part of it.
    Column("part_id", String(36), nullable=False),
    PrimaryKeyConstraint("erasure_id", "seq"),
)

# Consent events that stay, of which nobody can compute any more that the ref they were said under was the person's: its
# secret went with that erasure. Each is bound by the erasure's event (``unnamed``).
unnamed_consent = Table(
    "unnamed_consent",
    hub,
    Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
    Column("erasure_id", String(36), ForeignKey("erasure.erasure_id"), nullable=False),
    Index("ix_unnamed_consent_erasure_id", "erasure_id"),
)

# The key of one event, for an owner that keeps it when the key it was derived from is destroyed: another person whose
# it is too, or (``restricted``) the erasure. ``month`` and ``expires_at``: of a trace, those of its month; of an
# agreement kept as proof the end of that; null: as long as the owner.
event_key = Table(
    "event_key",
    secrets,
    Column("owner_id", String(36), nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("restricted", Boolean, nullable=False),
    Column("month", String(7)),
    Column("expires_at", Instant),
    PrimaryKeyConstraint("owner_id", "event_id"),
    Index("ix_event_key_event_id", "event_id"),
    Index("ix_event_key_expires_at", "expires_at"),
)

# Of whose ``s_ref`` a split made a copy: one whose split was never committed goes with the original.
secret_copy = Table(
    "secret_copy",
    secrets,
    Column("owner_id", String(36), primary_key=True),
    Column("of_id", String(36), nullable=False),
    Index("ix_secret_copy_of_id", "of_id"),
)
