"""A store of its own in a folder, without the hub around it."""

from __future__ import annotations

from pathlib import Path

from connectors.kit.runtime.clock import Clock
from hub.store.secrets import SecretStore
from hub.wrapping import WrappingKeys

SYSTEM_KEY = b"k" * 32


def open_secrets(folder: Path, clock: Clock) -> SecretStore:
    """The secrets of the store in ``folder``; its wrapping keys are made the first time."""
    path = folder / "wrapping.keys"
    wrapping = WrappingKeys.load(path) if path.exists() else WrappingKeys.create(path)
    return SecretStore(folder / "secrets.db", wrapping, clock, system_key=SYSTEM_KEY)
