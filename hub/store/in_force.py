"""What was in force, and from which event on: policies, and the keys that sign checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.keychange import Action, KeyChange
from consent.ledger.leaf import EventClass
from consent.ledger.note import VerifierKey
from hub.store.journal import Journal, opening_of
from hub.store.sealing import Opening
from hub.store.tables import journal, log_key, policy_version

_FIRST = "first"
_POLICY = select(policy_version.c.version).order_by(policy_version.c.seq.desc()).limit(1)
_LOG_KEYS = select(log_key.c.action, log_key.c.vkey).order_by(log_key.c.number)


class InForce:
    """Rows of ``policy_version`` and ``log_key``."""

    def __init__(self, connection: Connection, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._at = at

    def take_policy(self, version: str) -> bool:
        """Write down that policy ``version`` is in force from now on; return False when it was already."""
        if self._connection.execute(_POLICY).scalar() == version:
            return False
        seq = self._journal.append(EventClass.POLICY, {"event": "policy:version:loaded", "version": version}).seq
        self._connection.execute(insert(policy_version), {"seq": seq, "version": version, "at": self._at})
        return True

    def take_log_keys(self, held: Sequence[str]) -> int:
        """Write down what changed in the keys (C2SP vkeys, oldest first) that sign the log; return how many did.

        The very first is trusted from the start and needs no event. A new one is introduced while all those in force
        are held; one that is held no more is retired (``consent.ledger.keychange``). Raises
        ``MaillonError(CONFIGURATION)`` when a change leaves nobody to sign, or brings back a retired key.
        """
        seen = self._connection.execute(_LOG_KEYS).all()
        if not seen:
            self._note(_FIRST, held[0], None)
        known = {row.vkey for row in seen} or {held[0]}
        signing = keys_in_force(self._connection)
        if set(held) & (known - set(signing)):
            raise MaillonError(ErrorKind.CONFIGURATION, "log.keys: a retired key signs nothing any more")
        new = [vkey for vkey in held if vkey not in known]
        gone = [vkey for vkey in signing if vkey not in held]
        if gone and (new or len(gone) == len(signing)):
            raise MaillonError(ErrorKind.CONFIGURATION, "log.keys: a new key is introduced beside the old ones first")
        for action, vkeys in ((Action.INTRODUCE, new), (Action.RETIRE, gone)):
            for vkey in vkeys:
                before = frozenset(map(VerifierKey.parse, signing)) if action is Action.INTRODUCE else frozenset()
                body = KeyChange(action, VerifierKey.parse(vkey), before).body
                self._note(action.value, vkey, self._journal.append(EventClass.KEY, body).seq)
                signing = [*signing, vkey] if action is Action.INTRODUCE else signing
        return len(new) + len(gone)

    def _note(self, action: str, vkey: str, seq: int | None) -> None:
        row = {"action": action, "vkey": vkey, "seq": seq, "at": self._at}
        self._connection.execute(insert(log_key), row)


@dataclass(frozen=True, slots=True)
class LogKeyChange:
    """A change of the log's keys: what became of ``vkey``, in which event, and what opens that."""

    action: Action
    vkey: str
    seq: int
    opening: Opening


def log_key_changes(connection: Connection, system_key: bytes) -> tuple[list[str], list[LogKeyChange]]:
    """Return the keys trusted from the start (C2SP vkeys) and every change since, oldest first.

    Raises ``MaillonError(STORAGE)`` when an event is not what was logged.
    """
    first: list[str] = []
    changes = []
    query = select(log_key.c.action, log_key.c.vkey, journal).outerjoin(journal, journal.c.seq == log_key.c.seq)
    for row in connection.execute(query.order_by(log_key.c.number)):
        if row.action == _FIRST:
            first.append(row.vkey)
        else:
            changes.append(LogKeyChange(Action(row.action), row.vkey, row.seq, opening_of(row, system_key)))
    return first, changes


def keys_in_force(connection: Connection) -> list[str]:
    """Return the keys (C2SP vkeys) that all have to sign the tree every event so far is in, oldest first."""
    found: list[str] = []
    for action, vkey in connection.execute(_LOG_KEYS):
        if action == Action.RETIRE:
            found.remove(vkey)
        else:
            found.append(vkey)
    return found
