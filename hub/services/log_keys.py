"""Which keys sign the log, from the first to the last, each change with what proves it: for whoever checks receipts.

All of it is public: a key change is an event about no one, and its proof is as everybody's.
"""

from __future__ import annotations

from typing import Any

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger import merkle
from consent.ledger.keychange import Action, KeyChange, KeyHistory, KeySpan
from consent.ledger.note import VerifierKey
from consent.ledger.opening import opening_members
from consent.ledger.proof import LogProof
from consent.ledger.tile import TileReader
from hub.store.in_force import LogKeyChange, log_key_changes
from hub.store.log import Log, StoredCheckpoint
from hub.store.session import UnitOfWork


def key_changes(uow: UnitOfWork) -> dict[str, Any]:
    """Return ``{log, key_changes}`` as a keys file has them (``consent.ledger.verify.TrustedKeys``).

    Raises as :func:`proved`.
    """
    return proved(uow.log, *log_key_changes(uow.connection, uow.secrets.system_key))


def proved(log: Log, first: list[str], changes: list[LogKeyChange]) -> dict[str, Any]:
    """Return the same for whoever has no unit of work: of the keys trusted from the start and every change since.

    Raises ``MaillonError``: ``NOT_FOUND`` for a log without a key, ``STORAGE`` when no checkpoint proves a change.
    """
    if not first:
        raise MaillonError(ErrorKind.NOT_FOUND, "this log has no key yet")
    places = [log.index_of_event(each.seq) for each in changes]
    history = _history(first, changes, places)
    shown = [
        _shown(log, history, each, place) for each, place in zip(changes, places, strict=True) if place is not None
    ]
    return {"log": first, "key_changes": shown}


def _history(first: list[str], changes: list[LogKeyChange], places: list[int | None]) -> KeyHistory:
    keys = [VerifierKey.parse(vkey) for vkey in first]
    history = KeyHistory(keys[0].name, tuple(map(KeySpan, keys)))
    for change, place in zip(changes, places, strict=True):
        if place is not None:
            history = history.after(KeyChange.parse(change.opening.envelope), place)
    return history


def _shown(log: Log, history: KeyHistory, change: LogKeyChange, index: int) -> dict[str, Any]:
    key = VerifierKey.parse(change.vkey)
    others = history.at(index) - {key}

    def proves(checkpoint: StoredCheckpoint) -> bool:
        signers = history.at(checkpoint.size)
        return bool(signers & others) and (change.action is Action.RETIRE or key in signers)

    fit = [each for each in log.checkpoints_over(index) if proves(each)]
    if not fit:
        raise MaillonError(ErrorKind.STORAGE, "no checkpoint is left that proves a change of the log's key")
    # Whoever asks for a quorum of witnesses asks for it here too.
    best = max(fit, key=lambda each: (len(log.cosignatures(each.size)), each.size))
    hashes = merkle.inclusion_proof(index, best.size, TileReader(best.size, log.tile))
    note = best.note + b"".join(each.line for each in log.cosignatures(best.size))
    return {
        "action": change.action.value,
        "vkey": change.vkey,
        "event": opening_members(change.opening.leaf, change.opening.r32),
        "proof": LogProof(index, hashes, note).encode().decode(),
    }
