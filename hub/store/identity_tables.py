"""Tables of what a human decided about whose records are whose: part of ``hub.db`` (:mod:`hub.store.tables`).

The log binds every row of the first four (:mod:`hub.store.identity_changes`): whoever writes them by another way than
:mod:`hub.store.identity` leaves a trace that ``maillon log fsck`` finds. They hold random ids of the hub's own. None of
them references a person or a record by foreign key: an erasure deletes those, and what is left here then names nobody.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, Table

from hub.store.tables import Instant, hub

# Judged to be two persons' records, for good: no rule links them, nobody is asked again. One row each way.
must_not_link = Table(
    "must_not_link",
    hub,
    Column("record_id", String(36), nullable=False),
    Column("other_id", String(36), nullable=False),
    Column("since", Instant, nullable=False),
    Column("actor", String(36), nullable=False),
    PrimaryKeyConstraint("record_id", "other_id"),
    sqlite_with_rowid=False,
)

# A person that turned out to be another one. Its secrets stay: they open its past, and make its refs.
absorbed = Table(
    "absorbed",
    hub,
    Column("person_id", String(36), primary_key=True),
    Column("into_id", String(36), nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_absorbed_into_id", "into_id"),
)

# Whose a consent event is, where that is not (or no longer) the person it was accepted for. ``gives`` false: what it
# refuses stands, what it allows does not, since nobody can tell which of two persons said it. From one event of the
# journal on, until another: a decision of that time can be replayed.
consent_owner = Table(
    "consent_owner",
    hub,
    Column("event_seq", Integer, nullable=False),
    Column("person_id", String(36), nullable=False),
    Column("given_under", String(36), nullable=False),
    Column("gives", Boolean, nullable=False),
    Column("since_seq", Integer, nullable=False),
    Column("until_seq", Integer),
    PrimaryKeyConstraint("event_seq", "person_id", "since_seq"),
    Index("ix_consent_owner_person_id", "person_id"),
    sqlite_with_rowid=False,
)

# Accesses from the time of a wrong link that are also this person's history. ``wrong``: what was sent was another's.
split_access = Table(
    "split_access",
    hub,
    Column("person_id", String(36), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("wrong", Boolean, nullable=False),
    PrimaryKeyConstraint("person_id", "seq"),
    Index("ix_split_access_seq", "seq"),
    sqlite_with_rowid=False,
)

# What a partner has to know of a corrected link. ``secret_of``: whose secret makes the ref that is meant.
link_notice = Table(
    "link_notice",
    hub,
    Column("notice_id", String(36), primary_key=True),
    Column("partner", String(32), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("at", Instant, nullable=False),
    Column("access_seq", Integer),
    Column("trace_id", String(32)),
    Column("source", String(32)),
    Column("delivered_at", Instant),
    Column("is_certain", Boolean, nullable=False),
    Column("secret_of", String(36)),
    Index("ix_link_notice_partner", "partner", "at"),
)
