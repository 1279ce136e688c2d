"""What an edge does about the log while it runs: follow it, and have each order it knows of shown to be in it.

A hub that orders without logging, or logs and takes back, is found out by the very partner it ordered from, within two
minutes. The tree is followed from the one known here (which witnessing moves too), never taken as new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from connectors.kit.ledger.client import LogView
from connectors.kit.ledger.evidence import missing_order
from connectors.kit.ledger.store import Alarm, KeptOrder, LogStore
from connectors.kit.ledger.witness import keep_evidence
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import MaillonError
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, VerifierKey, open_note
from consent.ledger.exact import LedgerError
from consent.ledger.fork import Fork
from consent.ledger.merkle import verify_growth, verify_inclusion
from consent.ledger.witness import WitnessState

PATIENCE: Final = timedelta(seconds=20)
"""How long after an order its leaf may not be in the log yet: a sequencer beside the database is a moment late."""
OVERDUE: Final = timedelta(seconds=90)
"""How long nobody may be able to say; with the time between two rounds (30 s at most), two minutes."""
KEEP: Final = timedelta(days=366)
_ROUND_SECONDS: Final = 20.0
_TRIES: Final = 3

_log = structlog.get_logger("edge")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found. ``stopped`` is why orders could not be asked about, empty when they could."""

    size: int = 0
    proven: int = 0
    missing: int = 0
    waiting: int = 0
    stopped: str = ""


class _Wrong(Exception):  # noqa: N818
    """What the hub showed cannot be the log; the alarm is raised."""


class Watch:
    """Follows one log for one edge. One round at a time."""

    def __init__(
        self,
        store: LogStore,
        log_keys: Callable[[], frozenset[VerifierKey]],
        log: LogView,
        clock: Clock,
        *,
        round_seconds: float = _ROUND_SECONDS,
    ) -> None:
        """``log_keys`` gives the keys of the root-signed directory; ``round_seconds`` bounds one round."""
        self._store = store
        self._log_keys = log_keys
        self._view = log
        self._clock = clock
        self._round_seconds = round_seconds

    def round(self) -> Round:
        """Follow the log to its newest tree and ask about every order not shown to be in it; raises nothing of it."""
        # Taken before the checkpoint is fetched: their leaves must be under it.
        orders = self._store.unproven()
        done = Round(waiting=len(orders))
        try:
            known = self._follow()
            done = self._ask(orders, known)
        except _Wrong as wrong:
            done = replace(done, stopped=str(wrong))
        except MaillonError as error:
            done = replace(done, stopped=error.kind.value)
        now = self._clock.now()
        self._settle_overdue(now)
        self._store.forget_proven(now - KEEP)
        if done.stopped:
            _log.warning("log:round:stopped", why=done.stopped, waiting=done.waiting)
        return done

    # --- the tree -------------------------------------------------------------------------------------------------

    def _follow(self) -> WitnessState:
        keys = self._log_keys()
        if not keys:
            raise _Wrong("no log in the directory")
        for _ in range(_TRIES):
            before = self._store.tree(keys)
            signed = self._newest(keys)
            # A witness's answer may have moved it while we fetched: what it is now is what must be grown from.
            known = self._store.tree(keys)
            if signed.checkpoint.size < before.size:
                raise self._alarm(Alarm.TREE_SHRANK, Fork(before.note, signed.note).encode())
            if signed.checkpoint.size < known.size:
                continue
            self._check_growth(known, signed)
            found = replace(known, size=signed.checkpoint.size, root=signed.checkpoint.root, note=signed.note)
            if found.size == known.size or self._store.advance(known, found):
                for code in (Alarm.TREE_SHRANK, Alarm.BAD_CHECKPOINT):
                    self._store.end_alarm(code, b"", self._clock.now())
                return found
        raise _Wrong("the tree moved on each time")

    def _newest(self, keys: frozenset[VerifierKey]) -> SignedCheckpoint:
        note = self._view.checkpoint()
        try:
            signed = open_note(note, keys)
        except LedgerError:
            raise self._alarm(Alarm.BAD_CHECKPOINT) from None
        if signed.checkpoint.origin not in {key.name for key in keys}:
            raise self._alarm(Alarm.BAD_CHECKPOINT)
        return signed

    def _check_growth(self, known: WitnessState, signed: SignedCheckpoint) -> None:
        new: Checkpoint = signed.checkpoint
        pair = Fork(known.note or signed.note, signed.note)
        if new.size == known.size:
            if new.root != known.root:
                keep_evidence(self._store, Alarm.FORK, pair, self._clock.now())
                raise _Wrong(Alarm.FORK)
            return
        proof = self._view.consistency(known.size, new.size) if known.size else ()
        try:
            verify_growth(known.size, new.size, proof, known.root, new.root)
        except LedgerError:
            keep_evidence(self._store, Alarm.NOT_AN_EXTENSION, pair, self._clock.now())
            raise _Wrong(Alarm.NOT_AN_EXTENSION) from None

    # --- orders ---------------------------------------------------------------------------------------------------

    def _ask(self, orders: Iterable[KeptOrder], known: WitnessState) -> Round:
        proven = missing = waiting = 0
        end = time.monotonic() + self._round_seconds
        for kept in orders:
            if time.monotonic() > end:
                waiting += 1
                continue
            place = self._place(kept, known)
            if place is not None:
                self._store.proven(kept.leaf_hash, place, self._clock.now())
                proven += 1
            elif self._clock.now() - kept.at >= PATIENCE:
                missing += 1
                if self._store.missing(kept, missing_order(self._store.order_of(kept), known.note), self._clock.now()):
                    _log.error("edge:alarm", code=Alarm.ORDER_MISSING.value)
            else:
                waiting += 1
        return Round(known.size, proven, missing, waiting)

    def _place(self, kept: KeptOrder, known: WitnessState) -> int | None:
        """Return the index of the leaf, shown under the tree ``known``; ``None`` when it was not."""
        proof = self._view.inclusion(kept.leaf_hash, known.size)
        if proof is None:
            return None
        try:
            verify_inclusion(proof.index, known.size, kept.leaf_hash, proof.hashes, known.root)
        except LedgerError:
            return None  # a proof that is none shows nothing
        return proof.index

    def _settle_overdue(self, now: datetime) -> None:
        """Raise or end the alarm about orders nobody could say anything of for too long."""
        oldest = self._store.oldest_waiting()
        if oldest is not None and oldest <= now - OVERDUE:
            self._raise(Alarm.ORDERS_UNPROVEN)
        else:
            self._store.end_alarm(Alarm.ORDERS_UNPROVEN, b"", now)

    def _alarm(self, code: Alarm, evidence: bytes = b"") -> _Wrong:
        self._raise(code, evidence)
        return _Wrong(code)

    def _raise(self, code: Alarm, evidence: bytes = b"") -> None:
        if self._store.raise_alarm(code, b"", self._clock.now(), evidence):
            _log.error("edge:alarm", code=code.value)
