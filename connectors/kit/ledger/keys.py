"""The public keys of the log and of its witnesses, as the root-signed directory names them: nobody else is believed.

The entry ``hub`` carries the log's key (``log_key``), any edge's may carry the one it cosigns with (``witness_key``),
both as C2SP vkeys; an empty text is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from connectors.kit.review import keys as reviewer
from consent.ledger.checkpoint import KeyType, VerifierKey
from consent.ledger.exact import LedgerError


class Entry(reviewer.Entry, Protocol):
    """What is read of an entry of the directory."""

    @property
    def log_key(self) -> str:
        """The vkey of the log, on the entry of the hub."""
        ...

    @property
    def witness_key(self) -> str:
        """The vkey this partner cosigns with."""
        ...

    @property
    def is_active(self) -> bool:
        """Whether the consortium lets this partner take part now."""
        ...


def check_keys(entry: Entry, hub: str) -> None:
    """Raise ``ValueError`` (``LedgerError`` is one) unless the keys of ``entry`` are of their kind; only the one named
    ``hub`` has a log, and a reviewer."""
    if entry.log_key and (
        entry.slug != hub or VerifierKey.parse(entry.log_key).type is not KeyType.ED25519 or entry.witness_key
    ):
        raise LedgerError("log_key")
    reviewer.check_reviewer(entry, hub)
    if entry.witness_key and VerifierKey.parse(entry.witness_key).type is not KeyType.COSIGNATURE_V1:
        raise LedgerError("witness_key")


def are_distinct(entries: Iterable[Entry]) -> bool:
    """Say whether no two entries share a key or a name: one would count for two."""
    found = [VerifierKey.parse(text) for entry in entries for text in (entry.log_key, entry.witness_key) if text]
    return len({key.public for key in found}) == len({key.name for key in found}) == len(found)


def log_keys(hub: Entry) -> frozenset[VerifierKey]:
    """Return the keys of the log of ``hub``, its checked entry; empty when it names none."""
    return frozenset({VerifierKey.parse(hub.log_key)} if hub.log_key else ())


def witness_keys(entries: Iterable[Entry]) -> dict[str, VerifierKey]:
    """Return the key of each active partner that witnesses, by slug."""
    return {
        entry.slug: VerifierKey.parse(entry.witness_key) for entry in entries if entry.witness_key and entry.is_active
    }
