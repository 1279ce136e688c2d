"""An order of the hub that its log does not hold, as a document anyone can check with public keys.

By itself it says: the hub ordered under this leaf, and signed this tree. That the tree lacks the leaf is the hub's to
disprove, to anyone who asks: with one inclusion proof (``/log/proof/inclusion``), which only a log that holds it has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import rfc8785

from connectors.kit import trust
from connectors.kit.ledger import keys as ledger_keys
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ
from connectors.kit.trust import Directory
from consent.ledger.checkpoint import SignedCheckpoint, open_note
from consent.ledger.exact import LedgerError
from consent.ledger.leaf import Leaf
from consent.ledger.merkle import leaf_hash

MISSING_ORDER: Final = "maillon/missing-order/v1"


@dataclass(frozen=True, slots=True)
class MissingOrder:
    """What was checked of the document: who was ordered to send, when, under which leaf, and the tree shown after."""

    source: str
    recipient: str
    ordered_at: datetime
    leaf_hash: bytes
    signed: SignedCheckpoint


def missing_order(order: str, checkpoint: bytes) -> bytes:
    """Return the document (JSON, RFC 8785) of ``order``, a JWS of the hub, and ``checkpoint``, the note shown after."""
    return rfc8785.dumps({"type": MISSING_ORDER, "order": order, "checkpoint": checkpoint.decode()})


def open_missing_order(document: bytes, directory: Directory) -> MissingOrder:
    """Return what ``document`` says, once the hub of ``directory`` is shown to have signed both parts.

    The certificate inside the order had to live when it was signed, and need not now. Raises
    ``MaillonError(MALFORMED)`` for another form, ``UNTRUSTED_KEY``, ``BAD_SIGNATURE``.
    """
    try:
        value = json.loads(document)
        if not isinstance(value, dict) or set(value) != {"type", "order", "checkpoint"}:
            raise TypeError
        order, note = value["order"], value["checkpoint"].encode()
        if value["type"] != MISSING_ORDER or not isinstance(order, str):
            raise TypeError
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise MaillonError(ErrorKind.MALFORMED, "not the evidence of a missing order") from None
    hub = directory.partner(trust.HUB)
    payload, certificate = trust.open_certified(order, Typ.ORDER, hub.slug, hub.identity_key)
    try:
        ordered_at = from_epoch(payload["iat"])
        leaf = b64url.decode(payload["leaf"], what="leaf")
        Leaf.decode(leaf)
        source, recipient = str(payload["source"]), str(payload["recipient"])
    except (KeyError, TypeError, ValueError):
        raise MaillonError(ErrorKind.MALFORMED, "the order names no leaf") from None
    certificate.check_alive(ordered_at)
    named = ledger_keys.log_keys(hub) | frozenset(ledger_keys.witness_keys(directory.partners()).values())
    try:
        signed = open_note(note, named)
    except LedgerError as error:
        raise MaillonError(ErrorKind.BAD_SIGNATURE, f"checkpoint: {error.code}") from None
    if not signed.signed_by(ledger_keys.log_keys(hub)):
        raise MaillonError(ErrorKind.BAD_SIGNATURE, "checkpoint: not by the log of the directory")
    return MissingOrder(source, recipient, ordered_at, leaf_hash(leaf), signed)
