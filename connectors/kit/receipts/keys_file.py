"""The keys a receipt is checked with, as one file anybody may hand on: all of it public, all of it vouched for by the
consortium root, whose fingerprint is the one thing to compare by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from connectors.kit.ledger import keys as log_keys
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.trust import HUB, Directory
from consent.ledger.exact import LedgerError
from consent.ledger.verify import KEYS_TYPE, TrustedKeys


def keys_file(
    directory: Directory,
    root: PublicJwk,
    quorum: int | None = None,
    faulty: int = 0,
    witnesses: Collection[str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON of the keys file for the log and the witnesses that ``directory``, signed by ``root``, names.

    ``quorum`` of the witnesses must have seen a tree, of which ``faulty`` may lie; by default the fewest that cannot
    be two halves. ``witnesses`` (slugs) limits who counts: every partner of the directory that has a key, by default.
    ``changes`` is what the hub says of its log's keys (``{log, key_changes}``): each is proved, and the directory's key
    must be among them. Without it, receipts from before a change of key do not verify. Raises ``MaillonError``:
    ``CONFIGURATION`` for a directory without a log key, another bad quorum or a change that does not hold,
    ``UNTRUSTED_KEY`` when the keys told of are not those of the directory's log.
    """
    logs = log_keys.log_keys(directory.partner(HUB))
    if not logs:
        raise MaillonError(ErrorKind.CONFIGURATION, "the directory names no log key")
    known = log_keys.witness_keys(directory.partners())
    if witnesses is not None and not set(witnesses) <= set(known):
        raise MaillonError(ErrorKind.CONFIGURATION, "a witness named has no witness key in the directory")
    vkeys = sorted(known[slug].vkey for slug in (known if witnesses is None else set(witnesses)))
    content = {
        "v": 1,
        "type": KEYS_TYPE,
        "origin": next(iter(logs)).name,
        "log": sorted(key.vkey for key in logs) if changes is None else changes.get("log"),
        "key_changes": [] if changes is None else changes.get("key_changes"),
        "witnesses": vkeys,
        "quorum": least_quorum(len(vkeys), faulty) if quorum is None else quorum,
        "faulty": faulty,
        "collectors": {"directory": directory.jws, "root": dict(root)},
    }
    try:
        keys = TrustedKeys.parse(content)
    except LedgerError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"keys file: {error.code}") from None
    if not logs <= {span.key for span in keys.history.spans}:
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the directory's log key is none of the keys the hub tells of")
    return content


def least_quorum(witnesses: int, faulty: int) -> int:
    """Return the smallest quorum of which any two share a witness that does not lie; 0 without witnesses."""
    return (witnesses + faulty) // 2 + 1 if witnesses else 0
