"""The edge over HTTP: ``POST /v1/orders`` for the hub, ``GET /health`` for anyone, and the witness. Nothing else."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.edge import Edge
from connectors.kit.edge_home import CLIENT, HOME_VARIABLE
from connectors.kit.edge_watch import start_watching
from connectors.kit.ledger import web as ledger_web
from connectors.kit.ledger.jobs import start_following
from connectors.kit.live.poller import start_polling
from connectors.kit.orders import OrderRefused, Source, answer_order
from connectors.kit.review.source import LookSource, answer_look
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.logs import log_json_lines
from connectors.kit.runtime.serving import exit_with_parent
from connectors.kit.seal import Typ, typ_of
from connectors.kit.transport import JOSE, JSON, PROBLEM

MAX_ORDER_BYTES: Final = 1024 * 1024
PROBLEM_BASE: Final = "/problems/"

_STATUS: Final = {
    ErrorKind.ORDER_REFUSED: 403,
    ErrorKind.SCHEMA: 422,
    ErrorKind.MALFORMED: 400,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.UNTRUSTED_DIRECTORY: 503,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.STORAGE: 503,
}
_TITLES: Final = {
    ErrorKind.ORDER_REFUSED: "Ordre refusé par la source",
    ErrorKind.SCHEMA: "Message non conforme au schéma",
    ErrorKind.MALFORMED: "Message illisible",
    ErrorKind.TOO_LARGE: "Message trop volumineux",
    ErrorKind.NOT_FOUND: "Introuvable",
    ErrorKind.UNTRUSTED_DIRECTORY: "Annuaire sans confiance",
    ErrorKind.UNAVAILABLE: "Indisponible",
    ErrorKind.STORAGE: "Enregistrement impossible, rien n’a été changé",
}

_log = structlog.get_logger("edge")


def create_app(edge: Edge) -> Flask:
    """Return the WSGI application of ``edge``."""
    app = Flask("maillon-edge", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_ORDER_BYTES
    app.register_blueprint(ledger_web.routes(edge.witness))

    @app.get("/health")
    def health() -> Response:
        told = {
            "status": "ok",
            "slug": edge.slug,
            "operator": edge.partner.operator,
            "co_hosted": edge.settings.co_hosted,
            "witness": edge.witness is not None,
            "alarms": edge.store.log.counts(),
        }
        if edge.live is not None:
            told |= {"mode": CLIENT, "api": edge.live.state()}
        return _json(told)

    @app.post("/v1/orders")
    def orders() -> Response:
        if request.mimetype != JSON:
            raise MaillonError(ErrorKind.MALFORMED, f"content type: {JSON} expected")
        addressed = AddressedOrder.from_body(request.get_data())
        if typ_of(addressed.order) == Typ.LOOK_ORDER:
            return Response(answer_look(addressed, _look_source(edge), edge.clock.now()), content_type=JOSE)
        directory, now = edge.directory, edge.clock.now()
        source = Source(
            *(edge.slug, directory, edge.policy, edge.store, edge.release, edge.operational(), edge.live),
            hear=lambda partner, version: edge.heard.hear(partner, version, directory.version, now),
        )
        return Response(answer_order(addressed, source, edge.clock.now()), content_type=JOSE)

    @app.errorhandler(MaillonError)
    def refused(error: MaillonError) -> Response:
        # The reason is a code of docs/protocol.md: nothing of the order or the person is in it.
        _log.warning("edge:order:refused", kind=error.kind.value, detail=error.detail)
        return _problem(error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        kinds = {404: ErrorKind.NOT_FOUND, 405: ErrorKind.NOT_FOUND, 413: ErrorKind.TOO_LARGE}
        return _problem(MaillonError(kinds.get(error.code or 500, ErrorKind.MALFORMED), f"HTTP {error.code}"))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # The class alone: an exception's text may hold what it was working on.
        _log.error("edge:failed", error=type(error).__name__)
        return _problem(MaillonError(ErrorKind.INTERNAL, "internal error"))

    return app


def from_environment() -> Flask:
    """Return the application of the home named by ``MAILLON_EDGE_HOME``, for ``maillon edge run``.

    Starts its housekeeping, logs JSON lines on standard output, and ends with the process that started it.
    """
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{HOME_VARIABLE} is not set")
    log_json_lines()
    edge = Edge.open(Path(home), SystemClock())
    start_upkeep(edge)
    start_polling(edge)
    start_watching(edge)
    start_following(edge)
    exit_with_parent(edge.close)
    return create_app(edge)


def _look_source(edge: Edge) -> LookSource:
    names = edge.store.names.shares()
    return LookSource(edge.slug, edge.directory, edge.store, edge.release, edge.operational(), edge.tokeniser, names)


def start_upkeep(edge: Edge) -> threading.Event:
    """Run ``edge.upkeep`` now and every ``refresh_seconds`` in a daemon thread, until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        edge.upkeep()
        while not stop.wait(edge.settings.refresh_seconds):
            edge.upkeep()

    threading.Thread(target=run, name="edge-upkeep", daemon=True).start()
    return stop


def _problem(error: MaillonError) -> Response:
    body: dict[str, Any] = {
        "type": PROBLEM_BASE + error.kind.value,
        "title": _TITLES.get(error.kind, "Erreur interne"),
        "status": _STATUS.get(error.kind, 500),
        "detail": error.detail,
    }
    if error.pointer is not None:
        body["pointer"] = error.pointer
    if isinstance(error, OrderRefused):
        body["reason"] = error.reason.value
    return _json(body, body["status"], PROBLEM)


def _json(document: object, status: int = 200, content_type: str = JSON) -> Response:
    return Response(orjson.dumps(document), status, content_type=content_type)
