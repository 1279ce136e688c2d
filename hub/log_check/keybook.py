"""The keys that open events, read from a copy of the hub's secrets without changing, or finishing, anything in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.kit.runtime.errors import MaillonError
from hub.keyring import Keyring
from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot, open_snapshot
from hub.wrapping import WrappingKeys

_CONSENT = "SELECT wrapped FROM person_secret WHERE person_id = ? AND use = ?"
_EVENT = "SELECT owner_id, wrapped FROM event_key WHERE event_id = ? ORDER BY owner_id"
_UNNAMED = "SELECT seq FROM unnamed_consent"
_TRACE = "SELECT owner_id, month, wrapped, restricted FROM trace_key WHERE tag = ?"


@dataclass(frozen=True, slots=True)
class TraceOwner:
    """Whose trace of a month a tag is: a person's, or (``restricted``) an erasure receipt's; and its key."""

    owner: str
    month: str
    key: bytes
    restricted: bool


class KeyBook:
    """Keys of persons and months, looked up one by one and kept."""

    def __init__(self, secrets: Snapshot, wrapping: WrappingKeys, keyring: Keyring) -> None:
        """``secrets`` is a snapshot of ``secrets.db``."""
        self._secrets = secrets
        self._wrapping = wrapping
        self.keyring = keyring
        self.system_key = keyring.system_key
        self._persons: dict[tuple[str, str], bytes | None] = {}
        self._traces: dict[bytes, TraceOwner | None] = {}
        self._absorbed: dict[str, list[str]] = {}
        self._unnamed: set[int] = set()

    def secret(self, person: str, use: str) -> bytes | None:
        """Return ``s_ref`` or ``k_consent`` of a person, None when it is gone or opens no more."""
        if (person, use) not in self._persons:
            row = self._secrets.one(_CONSENT, (person, use))
            self._persons[person, use] = None if row is None else self._unwrap(person, use, row[0])
        return self._persons[person, use]

    def meet(self, hub: Snapshot) -> None:
        """Take the snapshot of ``hub.db`` that says which refs mean whom, and who turned out to be whom."""
        for absorbed, into in hub.rows("SELECT person_id, into_id FROM absorbed"):
            self._absorbed.setdefault(into, []).append(absorbed)
        self._unnamed = {int(row[0]) for row in hub.rows(_UNNAMED)}

    def is_unnamed(self, seq: int) -> bool:
        """Say whether the secret of the ref a consent event was said under went with an erasure, by whose event that is
        told."""
        return seq in self._unnamed

    def of_event(self, event_id: str) -> list[bytes]:
        """Return the keys of this one event that are left of a key which was destroyed."""
        rows = self._secrets.rows(_EVENT, (event_id,))
        found = [self._unwrap(owner, f"k_event/{event_id}", wrapped) for owner, wrapped in rows]
        return [key for key in found if key is not None]

    def refs_of(self, person: str, partner: str) -> Iterator[str]:
        """Yield what ``partner`` may have called a person, the likeliest first: by its own secret, by those of whoever
        turned out to be that person, and by any other's, whose ref may have meant this person until a split."""
        known = [person]
        for each in known:
            known += [other for other in self._absorbed.get(each, ()) if other not in known]
        for each in known:
            yield from self._ref(each, partner)
        for (other,) in self._secrets.rows("SELECT person_id FROM person_secret WHERE use = 's_ref'"):
            yield from self._ref(other, partner)

    def _ref(self, person: str, partner: str) -> Iterator[str]:
        s_ref = self.secret(person, "s_ref")
        if s_ref is not None:
            try:
                # Of every epoch: a record was made with the one of its day.
                for epoch in range(1, self.keyring.epochs.newest(partner) + 1):
                    yield self.keyring.ref(partner, s_ref, epoch)
            except MaillonError:
                return

    def trace(self, tag: bytes) -> TraceOwner | None:
        """Return whose tag it is, None when its month's key is gone."""
        if tag not in self._traces:
            row = self._secrets.one(_TRACE, (tag,))
            key = None if row is None else self._unwrap(row[0], f"k_trace/{row[1]}", row[2])
            self._traces[tag] = None if row is None or key is None else TraceOwner(row[0], row[1], key, bool(row[3]))
        return self._traces[tag]

    def _unwrap(self, owner: str, use: str, wrapped: bytes) -> bytes | None:
        try:
            return self._wrapping.unwrap(owner, use, wrapped)
        except (MaillonError, ValueError, TypeError):
            return None


@contextmanager
def open_keybook(home: Path) -> Iterator[KeyBook]:
    """Open the keys of the hub's home (or of a copy of it). Raises as what it opens."""
    with open_snapshot(home / "secrets.db") as secrets:
        yield KeyBook(secrets, WrappingKeys.load(home / "wrapping.keys"), Keyring.load(home / "keyring.json"))


def require(key: bytes | None, table: str, place: str) -> bytes:
    """Return ``key``; the finding ``key_gone`` when there is none."""
    if key is None:
        wrong(table, place, "key_gone")
    return key
