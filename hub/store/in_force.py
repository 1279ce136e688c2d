"""What was in force, and from which event on: policies, and the keys that sign checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from consent.ledger.leaf import EventClass
from hub.store.journal import Journal
from hub.store.tables import log_key, policy_version

_POLICY = select(policy_version.c.version).order_by(policy_version.c.seq.desc()).limit(1)
_LOG_KEYS = select(log_key.c.vkeys).order_by(log_key.c.seq.desc()).limit(1)


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

    def take_log_keys(self, vkeys: Sequence[str]) -> bool:
        """Write down which keys (C2SP vkeys) sign checkpoints from now on; return False when these did already."""
        text = "\n".join(vkeys)
        if self._connection.execute(_LOG_KEYS).scalar() == text:
            return False
        seq = self._journal.append(EventClass.KEY, {"event": "key:log:changed", "vkeys": list(vkeys)}).seq
        self._connection.execute(insert(log_key), {"seq": seq, "vkeys": text, "at": self._at})
        return True
