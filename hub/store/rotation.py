"""Rotations of keys: what the log says of them, and the index re-wrapped batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.kit.link_epochs import base, epoch_of
from consent.ledger.leaf import EventClass
from hub.store.journal import Journal
from hub.store.rotation_tables import rewrapping, rotation_event
from hub.store.sql import Sql
from hub.store.tables import token_set
from hub.store.token_set import IndexedToken, Packed, pack

_LOWEST: Final = -(2**63)
_SPAN: Final = 2**64
# In the order of their random numbers: whoever comes next goes on where this one stopped.
_OLD: Final = (
    "SELECT number, epoch, kinds, looked_up, tokens FROM token_set WHERE number >= ? AND epoch < ? "
    "ORDER BY number LIMIT ?"
)
_CHANGE: Final = "UPDATE token_set SET epoch = ?, kinds = ?, looked_up = ?, tokens = ? WHERE number = ?"
_FORGET: Final = "DELETE FROM token WHERE lookup = ? AND number = ?"
_ADD: Final = "INSERT INTO token (lookup, number) VALUES (?, ?)"
_EVERY: Final = (
    "SELECT number, epoch, kinds, looked_up, tokens FROM token_set WHERE number >= ? ORDER BY number LIMIT ?"
)
_FORGET_SET: Final = "DELETE FROM token_set WHERE number = ?"
_WITHOUT: Final = (
    "SELECT r.partner, count(*) FROM token_set s JOIN record r ON r.record_id = s.record_id "
    "WHERE s.kinds NOT LIKE ? GROUP BY r.partner"
)
_LEFT: Final = "SELECT 1 FROM token_set WHERE epoch < ? LIMIT 1"


class RotationStep(StrEnum):
    """What the log says of a rotation (``subject:object:action``)."""

    PEPPER_BEGUN = "key:pepper:begun"
    """From here on nothing is stored under an earlier pepper."""
    PEPPER_ENDED = "key:pepper:ended"
    """Nothing is left under an earlier pepper."""
    LINK_BEGUN = "key:klink:begun"
    """From here on tokens under one more epoch of the connectors' key are taken."""
    LINK_RETIRED = "key:klink:retired"
    """From here on nothing is taken, or compared, under an epoch of it."""
    LINK_ENDED = "key:klink:ended"
    """Nothing is left under it."""
    REFS_BEGUN = "key:refs:begun"
    """New refs wait for a partner's edge."""
    REFS_TAKEN = "key:refs:taken"
    """It has them all; the former ones count for a while."""
    REFS_ENDED = "key:refs:ended"
    """The former ones mean no one."""


@dataclass(frozen=True, slots=True)
class RotationEvent:
    """One step. ``check`` (of a pepper's beginning) recognises the pepper, in hexadecimal."""

    step: RotationStep
    epoch: int
    partner: str | None
    check: str | None
    at: datetime


class Rotations:
    """Rows of ``rotation_event`` and ``rewrapping``, and the index while it is re-wrapped."""

    def __init__(self, connection: Connection, sql: Sql, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._sql = sql
        self._journal = journal
        self._at = at

    def append(self, step: RotationStep, epoch: int, *, partner: str | None = None, check: str | None = None) -> None:
        """Write a step down, with its event in the log."""
        said = {"event": step.value, "epoch": epoch, "partner": partner, "check": check}
        seq = self._journal.append(EventClass.KEY, said).seq
        self._connection.execute(insert(rotation_event), {"seq": seq, **said, "at": self._at})

    def events(self, *steps: RotationStep) -> list[RotationEvent]:
        """Return the events of these steps, oldest first."""
        query = select(rotation_event).where(rotation_event.c.event.in_([step.value for step in steps]))
        return [
            RotationEvent(RotationStep(row.event), row.epoch, row.partner, row.check, row.at)
            for row in self._connection.execute(query.order_by(rotation_event.c.seq))
        ]

    # --- the index -----------------------------------------------------------------------------------------------

    def rewrap(self, epoch: int, lift: Callable[[IndexedToken], IndexedToken], most: int) -> int:
        """Re-wrap the tokens of at most ``most`` records of earlier epochs under ``epoch``; return how many records, 0
        when none is left.

        The writer's thread only, and only while nothing is stored under an earlier epoch any more.
        """
        below = self._connection.execute(select(rewrapping.c.below).where(rewrapping.c.epoch == epoch)).scalar()
        rows = self._sql.rows(_OLD, (_LOWEST if below is None else below, epoch, most))
        if not rows:
            return 0
        gone: list[tuple[int, int]] = []
        come: list[tuple[int, int]] = []
        for number, *columns in rows:
            before = Packed(*columns)
            tokens = before.unpack()
            looked_up = {base(token.kind) for token in tokens[: before.looked_up]}
            (after,) = pack(map(lift, tokens), looked_up)
            self._sql.run(_CHANGE, (after.epoch, after.kinds, after.looked_up, after.tokens, number))
            gone += [(lookup, number) for lookup in before.lookups()]
            come += [(lookup, number) for lookup in set(after.lookups())]
        # In the order they stand in: neighbours share a page.
        self._sql.run_all(_FORGET, sorted(gone))
        self._sql.run_all(_ADD, sorted(come))
        reached = {"below": rows[-1][0], "done": rewrapping.c.done + len(rows)}
        self._connection.execute(
            upsert(rewrapping).on_conflict_do_update(index_elements=["epoch"], set_=reached),
            {"epoch": epoch, "below": rows[-1][0], "done": len(rows)},
        )
        return len(rows)

    def rewrapped(self, epoch: int) -> tuple[int, float]:
        """Return how many records were re-wrapped under ``epoch``, and what share of the index is behind (0 to 1)."""
        query = select(rewrapping.c.done, rewrapping.c.below).where(rewrapping.c.epoch == epoch)
        row = self._connection.execute(query).one_or_none()
        # The numbers are random: how far they have come is how much is done.
        return (0, 0.0) if row is None else (row.done, (row.below - _LOWEST) / _SPAN)

    def start_over(self, epoch: int) -> None:
        """Forget how far the index was re-wrapped under ``epoch``: something was left behind."""
        self._connection.execute(update(rewrapping).where(rewrapping.c.epoch == epoch).values(below=_LOWEST))

    def has_tokens_before(self, epoch: int) -> bool:
        """Say whether a token is left of an epoch before ``epoch``; reads the whole table when there is none."""
        return bool(self._sql.rows(_LEFT, (epoch,)))

    # --- the connectors' key -------------------------------------------------------------------------------------

    def records_without_link(self, epoch: int) -> dict[str, int]:
        """Return how many records of each partner have no token under ``epoch`` (2 or later) of ``K_link``."""
        return {str(row[0]): int(row[1]) for row in self._sql.rows(_WITHOUT, (f"%.{epoch}:%",))} if epoch > 1 else {}

    def forget_link(self, epoch: int, place: int, most: int) -> tuple[int | None, int]:
        """Delete the tokens under ``epoch`` of ``K_link`` of at most ``most`` records from the number ``place`` on.

        Return where to go on, None behind the last, and how many records had any.
        """
        rows, done = self._sql.rows(_EVERY, (place, most)), 0
        for number, *columns in rows:
            before = Packed(*columns)
            tokens = before.unpack()
            kept = [token for token in tokens if epoch_of(token.kind) != epoch]
            if len(kept) == len(tokens):
                continue
            done += 1
            self._sql.run_all(_FORGET, [(lookup, number) for lookup in before.lookups()])
            if not kept:
                self._sql.run(_FORGET_SET, (number,))
                continue
            (after,) = pack(kept, {base(token.kind) for token in tokens[: before.looked_up]})
            self._sql.run(_CHANGE, (after.epoch, after.kinds, after.looked_up, after.tokens, number))
            self._sql.run_all(_ADD, [(lookup, number) for lookup in sorted(set(after.lookups()))])
        behind = rows[-1][0] + 1 if len(rows) == most else None
        return (behind if behind is not None and behind < -_LOWEST else None), done

    def records_by_epoch(self) -> dict[int, int]:
        """Return how many records have their tokens under each epoch."""
        counts = select(token_set.c.epoch, func.count()).group_by(token_set.c.epoch).order_by(token_set.c.epoch)
        return {row[0]: int(row[1]) for row in self._connection.execute(counts)}
