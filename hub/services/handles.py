"""What a partner is given instead of an id other partners are shown too (DESIGN §4).

One operation and one agreement are seen by several partners. If they were all told the same ids, two stolen logs would
join on them, so each reader gets handles of its own: always the same for it, meaningless to anybody else. An
operation's own requester keeps the ids it was answered with, the DPO sees what is stored, and a partner that may
collect sees a record's own id, since it may have to write the record's next event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.kit.runtime import b64url
from connectors.kit.trust import DirectoryPartner
from hub.keyring import Keyring

_HEX = {"trace_id": 32, "operation_id": 16, "parent_operation_id": 16}


class Handles:
    """The handles of one reader."""

    def __init__(self, keyring: Keyring, reader: DirectoryPartner) -> None:
        """``keyring`` derives them: nothing more is stored."""
        self._keyring = keyring
        self._reader = reader

    def record_id(self, record_id: str) -> str:
        """Return a consent record's id as this reader knows it."""
        return record_id if self._reader.can_collect else self._uuid("record", record_id)

    def event_digest(self, digest: str) -> str:
        """Return a consent event's digest as this reader knows it."""
        return digest if self._reader.can_collect else b64url.encode(self._made("event", digest))

    def access_record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return an access record (schema ``access_record``) with this reader's handles.

        Of somebody else's operation the digests of messages, which both ends have, are left out.
        """
        shown = {**record, "consent_ids": [self.record_id(each) for each in record["consent_ids"]]}
        if record["partner"] == self._reader.slug:
            return shown
        shown["event_id"] = self._uuid("operation", record["event_id"])
        for name, length in _HEX.items():
            if record[name] is not None:
                shown[name] = self._made("operation", record[name]).hex()[:length]
        shown["request_digest"] = None
        shown["sources"] = [{**row, "ciphertext_digest": None} for row in record["sources"]]
        return shown

    def _made(self, use: str, value: str) -> bytes:
        return self._keyring.handle(self._reader.slug, use, value)

    def _uuid(self, use: str, value: str) -> str:
        text = self._made(use, value).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))
