"""Whose signatures the audit counts: from a keys file, or from the directory and the changes of key in the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connectors.kit.ledger.keys import log_keys, witness_keys
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import HUB, Directory
from consent.ledger.exact import LedgerError
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.note import VerifierKey
from consent.ledger.verify import TrustedKeys
from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot, open_snapshot
from hub.log_check.tree import Trust

_KEYS = """SELECT k.action, k.vkey, e.leaf_index FROM log_key k LEFT JOIN entry e ON e.seq = k.seq ORDER BY k.number"""


def trust_of_file(keys: TrustedKeys, against: Sequence[bytes] = ()) -> Trust:
    """Return whom a keys file trusts."""
    return Trust(keys.history, keys.witnesses, tuple(against))


def trust_of_home(database: Path, directory: Directory, against: Sequence[bytes] = ()) -> Trust:
    """Return whom the root-signed ``directory`` trusts, with the changes of key the database tells of.

    Those changes are events: the audit finds one that is not in the log, and one nobody signed for. Raises
    ``MaillonError(CONFIGURATION)`` for a directory without a log key, and :class:`Wrong` for keys that do not follow.
    """
    named = log_keys(directory.partner(HUB))
    if not named:
        raise MaillonError(ErrorKind.CONFIGURATION, "the directory names no log key")
    with open_snapshot(database) as snapshot:
        history = _history(snapshot, next(iter(named)).name)
    if not named <= {span.key for span in history.spans}:
        wrong("log_key", "-", "row")
    return Trust(history, frozenset(witness_keys(directory.partners()).values()), tuple(against))


def _history(snapshot: Snapshot, origin: str) -> KeyHistory:
    spans: dict[str, KeySpan] = {}
    for number, (action, vkey, index) in enumerate(snapshot.rows(_KEYS), start=1):
        try:
            if action == "retire":
                spans[vkey] = KeySpan(spans[vkey].key, spans[vkey].introduced, index)
            elif (action == "first") is (number == 1) and (index is None) is (action == "first"):
                spans[vkey] = KeySpan(VerifierKey.parse(vkey), index)
            else:
                raise LedgerError("key_order")
        except (LedgerError, KeyError, AttributeError, TypeError):
            wrong("log_key", f"row {number}", "row")
    try:
        return KeyHistory(origin, tuple(spans.values()))
    except LedgerError:
        wrong("log_key", "-", "row")
