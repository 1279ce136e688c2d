"""Values that may be used once: ``jti`` of assertions, nonces of requests. Only their digests are kept."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Connection, delete
from sqlalchemy.dialects.sqlite import insert

from hub.store.bookkeeping_tables import used_once

_USE = insert(used_once).on_conflict_do_nothing()


class Bookkeeping:
    """Remembers used values until they could no longer be accepted anyway."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def use_once(self, scope: str, value: str, expires_at: datetime) -> bool:
        """Mark ``value`` as used within ``scope``; return False when it already was."""
        row = {"scope": scope, "digest": hashlib.sha256(value.encode()).digest(), "expires_at": expires_at}
        return self._connection.execute(_USE, row).rowcount == 1

    def purge(self) -> int:
        """Forget what has expired; return how many values that was."""
        return self._connection.execute(delete(used_once).where(used_once.c.expires_at <= self._at)).rowcount
