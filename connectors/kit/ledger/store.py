"""Beside the edge store's own tables: the last tree of the log this edge verified, the orders whose place in it must
still be shown, and the alarms.

The tree only moves by compare-and-set, inside a durable transaction: what is answered after it can never be taken back
by a crash. A tree is public; an order and what is kept as evidence are sealed like the rest (``row_seal``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime.clock import from_epoch, to_epoch
from consent.ledger.checkpoint import VerifierKey
from consent.ledger.merkle import leaf_hash
from consent.ledger.witness import WitnessState

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS log_tree (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,"
    " note BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS log_order (leaf BLOB PRIMARY KEY, state INTEGER NOT NULL, at INTEGER NOT NULL,"
    " place INTEGER, body BLOB) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS log_order_waiting ON log_order (state, at) WHERE state <> 1",
    "CREATE TABLE IF NOT EXISTS log_alarm (number INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL,"
    " about BLOB NOT NULL, since INTEGER NOT NULL, ended INTEGER, evidence BLOB, UNIQUE (code, about))",
)


class OrderState(IntEnum):
    """What is known of an order's leaf."""

    WAITING = 0
    PROVEN = 1
    MISSING = 2


class Alarm(StrEnum):
    """Why an edge raises its voice. Stable codes, for logs, ``/health`` and ``maillon edge alarms``."""

    ORDER_MISSING = "order-missing"
    """An order of the hub whose leaf the log does not hold, or cannot show."""
    ORDERS_UNPROVEN = "orders-unproven"
    """For two minutes nobody could say whether they are in the log. Ends by itself."""
    FORK = "fork"
    """The log signed two trees that cannot both be. Proof for anyone."""
    NOT_AN_EXTENSION = "not-an-extension"
    """The log signed a tree and could not show that it adds to the one known here."""
    TREE_SHRANK = "tree-shrank"
    """The hub shows a smaller tree than the one known here. Ends by itself."""
    BAD_CHECKPOINT = "bad-checkpoint"
    """What the hub calls its checkpoint is not signed by the log's key of the directory. Ends by itself."""
    DIRECTORY_BEHIND = "directory-behind"
    """A partner signed that it has a newer directory than the hub gives here. Ends when that comes."""


@dataclass(frozen=True, slots=True)
class KeptOrder:
    """An order whose leaf (``leaf_hash``, 32 bytes) must be shown to be in the log."""

    leaf_hash: bytes
    state: OrderState
    at: datetime


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm. ``evidence`` is a document anyone can check (``maillon log check-evidence``), empty when none."""

    number: int
    code: Alarm
    since: datetime
    ended: datetime | None
    evidence: bytes
    ref: str = ""
    """Whom a missing order is about, by this edge's own ref; it stands in no evidence."""


@dataclass(frozen=True, slots=True)
class LogStore:
    """See the module. Each write is a transaction, or part of one."""

    db: EdgeDatabase
    rows: RowSeal

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        for statement in _TABLES:
            self.db.execute(statement)

    # --- the tree -------------------------------------------------------------------------------------------------

    def tree(self, keys: frozenset[VerifierKey]) -> WitnessState:
        """Return the last tree verified of the log whose ``keys`` (one name, at least one) are given."""
        (origin,) = {key.name for key in keys}
        rows = self.db.all("SELECT size, root, note FROM log_tree WHERE origin = ?", origin)
        return WitnessState(origin, keys, *rows[0]) if rows else WitnessState(origin, keys)

    def advance(self, old: WitnessState, new: WitnessState) -> bool:
        """Put ``new`` in the place of ``old``, durably; ``False``, and nothing done, when ``old`` is there no more."""
        with self.db.batch():
            if not old.note:
                done = self.db.execute(
                    "INSERT OR IGNORE INTO log_tree VALUES (?, ?, ?, ?)", new.origin, new.size, new.root, new.note
                )
            else:
                done = self.db.execute(
                    "UPDATE log_tree SET size = ?, root = ?, note = ? WHERE origin = ? AND size = ? AND root = ?",
                    *(new.size, new.root, new.note, new.origin, old.size, old.root),
                )
        return bool(done.rowcount)

    # --- orders ---------------------------------------------------------------------------------------------------

    def keep_order(self, leaf: bytes, order: str, ref: str, at: datetime) -> bool:
        """Remember that ``order``, about ``ref``, says its leaf is ``leaf`` (whole, as the tree hashes it); ``False``:
        it was known."""
        hashed = leaf_hash(leaf)
        body = self.rows.seal({"order": order, "ref": ref}, b"log_order", hashed)
        with self.db.batch():
            done = self.db.execute(
                "INSERT OR IGNORE INTO log_order VALUES (?, ?, ?, NULL, ?)",
                *(hashed, OrderState.WAITING, to_epoch(at), body),
            )
        return bool(done.rowcount)

    def unproven(self, limit: int = -1) -> list[KeptOrder]:
        """Return up to ``limit`` (-1: all) orders not shown to be in the log: those never found missing first."""
        found = self.db.all("SELECT leaf, state, at FROM log_order WHERE state <> 1 ORDER BY state, at LIMIT ?", limit)
        return [KeptOrder(leaf, OrderState(state), from_epoch(at)) for leaf, state, at in found]

    def order_of(self, kept: KeptOrder) -> str:
        """Return the JWS of an order not shown to be in the log."""
        ((body,),) = self.db.all("SELECT body FROM log_order WHERE leaf = ?", kept.leaf_hash)
        return str(self.rows.unseal(body, b"log_order", kept.leaf_hash)["order"])

    def count_unproven(self) -> int:
        """Return how many orders are not shown to be in the log."""
        return int(self.db.all("SELECT count(*) FROM log_order WHERE state <> 1")[0][0])

    def oldest_waiting(self) -> datetime | None:
        """Return when the oldest order came that nobody could say anything of yet, ``None`` when there is none."""
        ((oldest,),) = self.db.all("SELECT min(at) FROM log_order WHERE state = ?", OrderState.WAITING)
        return None if oldest is None else from_epoch(oldest)

    def proven(self, leaf_hash: bytes, place: int, at: datetime) -> None:
        """Note that the leaf was shown to stand at ``place``: the order itself goes, its leaf stays."""
        with self.db.batch():
            self.db.execute(
                "UPDATE log_order SET state = ?, place = ?, body = NULL WHERE leaf = ?",
                *(OrderState.PROVEN, place, leaf_hash),
            )
            self.end_alarm(Alarm.ORDER_MISSING, leaf_hash, at)

    def missing(self, kept: KeptOrder, evidence: bytes, at: datetime) -> bool:
        """Note that the log cannot show the leaf, and raise the alarm; say whether it is a new one."""
        with self.db.batch():
            self.db.execute("UPDATE log_order SET state = ? WHERE leaf = ?", OrderState.MISSING, kept.leaf_hash)
            return self.raise_alarm(Alarm.ORDER_MISSING, kept.leaf_hash, at, evidence)

    def forget_proven(self, before: datetime) -> None:
        """Drop the leaves shown to be in the log whose orders are older than ``before``."""
        with self.db.batch():
            self.db.execute("DELETE FROM log_order WHERE state = ? AND at < ?", OrderState.PROVEN, to_epoch(before))

    # --- alarms ---------------------------------------------------------------------------------------------------

    def raise_alarm(self, code: Alarm, about: bytes, at: datetime, evidence: bytes = b"") -> bool:
        """Raise ``code`` about something named by ``about``; say whether it was not already raised.

        The first evidence stays: a later one could only be poorer.
        """
        place = (b"log_alarm", code.encode(), about)
        body = self.rows.seal({"evidence": evidence.decode()}, *place) if evidence else None
        with self.db.batch():
            done = self.db.execute(
                "INSERT INTO log_alarm (code, about, since, evidence) VALUES (?, ?, ?, ?) ON CONFLICT (code, about)"
                " DO UPDATE SET ended = NULL, evidence = coalesce(evidence, excluded.evidence) WHERE ended IS NOT NULL",
                *(code, about, to_epoch(at), body),
            )
        return bool(done.rowcount)

    def end_alarm(self, code: Alarm, about: bytes, at: datetime) -> None:
        """End an alarm whose cause is gone."""
        with self.db.batch():
            self.db.execute(
                "UPDATE log_alarm SET ended = ? WHERE code = ? AND about = ? AND ended IS NULL",
                *(to_epoch(at), code, about),
            )

    def settle(self, number: int, at: datetime) -> bool:
        """End alarm ``number`` because a person dealt with it; say whether it was there and not ended."""
        with self.db.batch():
            done = self.db.execute(
                "UPDATE log_alarm SET ended = ? WHERE number = ? AND ended IS NULL", to_epoch(at), number
            )
        return bool(done.rowcount)

    def alarms(self, *, ended: bool = False) -> list[Raised]:
        """Return the alarms in force, with those that ended when asked, oldest first."""
        found = self.db.all(
            "SELECT number, code, about, since, ended, evidence FROM log_alarm WHERE ended IS NULL OR ?"
            " ORDER BY number",
            ended,
        )
        return [
            Raised(
                number,
                Alarm(code),
                from_epoch(since),
                None if until is None else from_epoch(until),
                self.rows.unseal(body, b"log_alarm", code.encode(), about)["evidence"].encode() if body else b"",
                self._ref_of(about),
            )
            for number, code, about, since, until, body in found
        ]

    def _ref_of(self, about: bytes) -> str:
        bodies = self.db.all("SELECT body FROM log_order WHERE leaf = ? AND body IS NOT NULL", about)
        return next((str(self.rows.unseal(body, b"log_order", about).get("ref", "")) for (body,) in bodies), "")

    def counts(self) -> dict[str, int]:
        """Return how many alarms of each code are in force."""
        found = self.db.all("SELECT code, count(*) FROM log_alarm WHERE ended IS NULL GROUP BY code ORDER BY code")
        return dict(found)
