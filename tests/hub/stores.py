"""A store of its own in a folder, without the hub around it."""

from __future__ import annotations

from pathlib import Path

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from consent.ledger.note import SignerKey
from hub.store.access import AccessEvent, AccessKind
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import UnitOfWork
from hub.wrapping import WrappingKeys

SYSTEM_KEY = b"k" * 32
ORIGIN = "hub.example/log"
LOG_KEY = SignerKey.from_seed(ORIGIN, b"l" * 32)


def open_sequencer(*keys: SignerKey) -> Sequencer:
    """The sequencer of the store's log."""
    return Sequencer(keys or (LOG_KEY,))


def open_secrets(folder: Path, clock: Clock) -> SecretStore:
    """The secrets of the store in ``folder``; its wrapping keys are made the first time."""
    path = folder / "wrapping.keys"
    wrapping = WrappingKeys.load(path) if path.exists() else WrappingKeys.create(path)
    return SecretStore(folder / "secrets.db", wrapping, clock, system_key=SYSTEM_KEY)


def refused_access(uow: UnitOfWork, person: PersonId | None = None) -> int:
    payload = {"fields": ["droits.rsa.etat"]}
    event = AccessEvent(
        EventId(new_uuid()),
        AccessKind.DECIDED,
        "0" * 32,
        person,
        "ccas",
        "refused",
        payload,
        agent="a",
        fields={"droits.rsa.etat": "x"},
    )
    return uow.access.append(event).seq
