"""The witness over HTTP: ``POST /witness/add-checkpoint`` as tlog-witness has it, and what it last saw, for anyone.

No sign-in: a request counts by the signature of the log inside it, and no one else's gets an answer worth having.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request

from connectors.kit.ledger.witness import TEXT, Witness
from connectors.kit.runtime.errors import ErrorKind, MaillonError

PREFIX: Final = "/witness"
MAX_REQUEST: Final = 256 * 1024
"""63 hashes, and a note of 16 signatures of 5 kB, thrice over."""


def routes(witness: Witness | None) -> Blueprint:
    """Return the routes of ``witness``; of an edge without a witness key, all of them answer 404."""
    found = Blueprint("witness", __name__, url_prefix=PREFIX)

    @found.post("/add-checkpoint")
    def add_checkpoint() -> Response:
        request.max_content_length = MAX_REQUEST
        said = _made(witness).add_checkpoint(request.get_data())
        return Response(said.body, said.status, content_type=said.media_type)

    @found.get("/checkpoint")
    def checkpoint() -> Response:
        note = _made(witness).latest()
        if note is None:
            raise MaillonError(ErrorKind.NOT_FOUND, "no checkpoint was verified here yet")
        return Response(note, content_type=TEXT)

    return found


def _made(witness: Witness | None) -> Witness:
    if witness is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "this edge is no witness")
    return witness
