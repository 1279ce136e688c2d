"""The one order of every event, and the commitment that binds each event's content.

A commitment is ``SHA-256(tag ‖ r32 ‖ JCS(payload))`` (DESIGN §8): it says nothing without the random ``r32``, which
stays beside the payload. The rows are what the Merkle log will take its leaves from.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import orjson
from sqlalchemy import Connection, func, insert, select

from connectors.kit.runtime.ids import EventId, new_uuid
from hub.store.tables import journal

_TAG = b"maillon/event/v1"
_INSERT = insert(journal)


class EventClass(StrEnum):
    """What an event is about; one byte of the future leaf."""

    CONSENT = "consent"
    ACCESS = "access"
    POLICY = "policy"
    KEY = "key"


def canonical(payload: Mapping[str, object]) -> bytes:
    """Return the JCS bytes (RFC 8785) of an event's payload: ASCII member names, no fractions.

    Within those bounds sorted compact JSON is JCS; a test holds it against ``rfc8785``, which is fifty times slower.
    """
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def commitment(salt: bytes, payload: bytes) -> bytes:
    """Return the 32-byte commitment to the exact ``payload`` bytes under the 32 random bytes ``salt``."""
    return hashlib.sha256(_TAG + salt + payload).digest()


class Journal:
    """Appends events; reads none of their content."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def append(self, kind: EventClass, payload: bytes, *, event_id: EventId | None = None) -> tuple[int, bytes, bytes]:
        """Append one event; return its sequence number, the salt drawn for it and its commitment."""
        salt = secrets.token_bytes(32)
        bound = commitment(salt, payload)
        result = self._connection.execute(
            _INSERT,
            {"event_id": event_id or new_uuid(), "class": kind.value, "at": self._at, "commitment": bound},
        )
        assert result.inserted_primary_key is not None  # noqa: S101 (one row was inserted)
        return int(result.inserted_primary_key[0]), salt, bound

    def length(self) -> int:
        """Return the sequence number of the last event, 0 when there is none."""
        return int(self._connection.execute(select(func.coalesce(func.max(journal.c.seq), 0))).scalar_one())
