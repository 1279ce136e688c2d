"""The log over HTTP (``/log/…``): checkpoints, tiles and proofs for anybody, receipts for whoever took them down.

C2SP tlog-tiles for the addresses. Numbers have one spelling: no sign, no leading zero, nothing said twice.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import DirectoryPartner
from consent.ledger.exact import HASH_BYTES, LedgerError, decimal, to_base64
from consent.ledger.proof import LogProof
from consent.ledger.tile import TileId
from hub.services import log, receipts
from hub.services.log_keys import key_changes
from hub.services.runtime import Hub
from hub.store.session import UnitOfWork
from hub.web.common.http import answer
from hub.web.common.rate import Rate

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
FOREVER = "public, max-age=31536000, immutable"
_LONGEST = 96
"""Characters of a tile's path; the deepest one has fewer."""


def create(hub: Hub, caller: Callable[[], DirectoryPartner]) -> Blueprint:
    """Return the routes; ``caller`` authenticates the partner that asks for a receipt."""
    routes = Blueprint("log", __name__)
    rate = Rate(hub.settings.log_requests_per_second)

    @routes.get("/log/checkpoint")
    def checkpoint() -> Response:
        rate.take()
        _arguments()
        return Response(hub.reads.run(log.checkpoint), content_type=TEXT)

    @routes.get("/log/tile/<path:path>")
    def tile(path: str) -> Response:
        rate.take()
        _arguments()
        if len(path) > _LONGEST:
            raise MaillonError(ErrorKind.NOT_FOUND, "no such tile")
        try:
            asked = TileId.parse(f"tile/{path}")
        except LedgerError:
            raise MaillonError(ErrorKind.NOT_FOUND, "no such tile") from None
        found = Response(hub.reads.run(lambda uow: log.tile(uow, asked)), content_type=BYTES)
        found.headers["Cache-Control"] = FOREVER
        return found

    @routes.get("/log/proof/inclusion")
    def inclusion() -> Response:
        rate.take()
        given = _arguments("leaf", "index", "size")
        if ("leaf" in given) is ("index" in given):
            raise MaillonError(ErrorKind.MALFORMED, "query: either leaf or index")
        leaf = b64url.decode(given["leaf"], what="leaf", length=HASH_BYTES) if "leaf" in given else None
        index, size = _number(given, "index"), _number(given, "size")
        return Response(hub.reads.run(lambda uow: _proof(uow, leaf, index, size)), content_type=TEXT)

    @routes.get("/log/keys")
    def keys() -> Response:
        rate.take()
        _arguments()
        return answer(hub.reads.run(key_changes))

    @routes.get("/log/proof/consistency")
    def consistency() -> Response:
        rate.take()
        given = _arguments("old", "new")
        old, new = _number(given, "old"), _number(given, "new")
        if old is None or new is None:
            raise MaillonError(ErrorKind.MALFORMED, "query: old and new")
        hashes = hub.reads.run(lambda uow: log.consistency(uow, old, new))
        return answer({"old": old, "new": new, "hashes": [to_base64(each) for each in hashes]})

    @routes.get("/log/receipts/<uuid:receipt_id>")
    def receipt(receipt_id: object) -> Response:
        slug = caller().slug
        _arguments()
        found = hub.reads.run(lambda uow: receipts.receipt(uow, slug, str(receipt_id)))
        return answer(receipts.WAITING, 202) if found is None else answer(found)

    return routes


def _proof(uow: UnitOfWork, leaf: bytes | None, index: int | None, size: int | None) -> bytes:
    """Return the ``.tlog-proof``: the hashes lead to the root of ``size`` leaves, the note is that tree's if it was
    kept, else the newest."""
    if leaf is not None:
        found = log.inclusion_of(uow, leaf, size)
    elif index is not None:
        found = log.inclusion(uow, index, size)
    else:
        raise MaillonError(ErrorKind.MALFORMED, "query: either leaf or index")
    signed = uow.log.checkpoint(found.size)
    note = log.checkpoint(uow) if signed is None else log.with_cosignatures(uow, signed)
    return LogProof(found.index, found.hashes, note).encode()


def _arguments(*known: str) -> dict[str, str]:
    """Return the query's members, each of ``known`` at most once; ``MaillonError(MALFORMED)`` for anything else."""
    given = request.args.to_dict(flat=False)
    if not set(given) <= set(known) or any(len(values) != 1 for values in given.values()):
        raise MaillonError(ErrorKind.MALFORMED, f"query: {', '.join(known) or 'nothing'}, each at most once")
    return {name: values[0] for name, values in given.items()}


def _number(given: dict[str, str], name: str) -> int | None:
    try:
        return decimal(given[name], name) if name in given else None
    except LedgerError:
        raise MaillonError(ErrorKind.MALFORMED, f"query: {name} is not a plain decimal") from None
