"""Receipts: what the person keeps of a consent event, given to the collector that took it down, and to nobody else."""

from __future__ import annotations

from typing import Any, Final

import orjson

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ, peek
from consent.ledger import envelope
from consent.ledger.proof import LogProof
from consent.ledger.receipt import Receipt
from hub.services import log
from hub.store.session import UnitOfWork

WAITING: Final = {"recu": "en_attente"}
"""Said while the event is not under a signed checkpoint yet: ask again."""


def first(uow: UnitOfWork, collector: str, receipt_id: str) -> dict[str, Any] | None:
    """Return :func:`receipt` of an event accepted a moment ago.

    Raises ``MaillonError(UNKNOWN_SUBJECT)`` when the person was erased in between: the event is gone with her, and
    nobody was told that it was taken down. It is what the same event gets from then on.
    """
    try:
        return receipt(uow, collector, receipt_id)
    except MaillonError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        raise MaillonError(
            ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref any more", pointer="/ref"
        ) from None


def receipt(uow: UnitOfWork, collector: str, receipt_id: str) -> dict[str, Any] | None:
    """Return the receipt (schema ``receipt``) of an event ``collector`` took down; None while it waits for the log.

    It stands under the newest checkpoint a witness has cosigned, if that one covers it, else under the newest: asked
    again later, the same receipt comes with more witnesses. Raises ``MaillonError(NOT_FOUND)`` for an id that is none,
    somebody else's, or of a person erased since.
    """
    place = uow.consents.by_receipt(receipt_id)
    if place is None or place.collector != collector:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such receipt of yours")
    index = uow.log.index_of_event(place.seq)
    signed = None if index is None else log.covering(uow, index)
    if index is None or signed is None:
        return None
    opening = uow.consents.opening(place)
    if opening is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such receipt of yours")
    record, link = envelope.decode(opening.envelope)
    notice = peek(record, Typ.CONSENT)["notice"]
    shown = None if notice is None else notice["sha256"]
    hashes = log.inclusion(uow, index, signed.size).hashes
    proof = LogProof(index, hashes, log.with_cosignatures(uow, signed)).encode()
    value: dict[str, Any] = orjson.loads(Receipt(record, shown, opening.leaf, opening.r32, link, proof).encode())
    return value
