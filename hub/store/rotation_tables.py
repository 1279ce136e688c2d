"""Tables of key rotations: part of ``hub.db`` (:mod:`hub.store.tables`). No key stands in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table

from hub.store.tables import Instant, hub

# Each step of a rotation, as the log's KEY event says it. ``check`` recognises a pepper without telling it.
rotation_event = Table(
    "rotation_event",
    hub,
    Column("seq", Integer, ForeignKey("journal.seq"), primary_key=True, autoincrement=False),
    Column("event", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("partner", String(32)),
    Column("check", String(32)),
    Column("at", Instant, nullable=False),
)

# How far ``token_set`` is re-wrapped under an epoch: every row whose number is below ``below``.
rewrapping = Table(
    "rewrapping",
    hub,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("below", BigInteger, nullable=False),
    Column("done", Integer, nullable=False),
)
