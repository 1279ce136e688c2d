"""What every face of the hub shares: strict bodies, problems, one log line per request and nothing personal in it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.runtime.schema import check_schema
from hub.problems import MEDIA_TYPE, problem_of
from hub.web.common.quota import QuotaExceeded

JSON: Final = "application/json"
_HTTP_KINDS: Final = {404: ErrorKind.NOT_FOUND, 405: ErrorKind.NOT_FOUND, 413: ErrorKind.TOO_LARGE}

_log = structlog.get_logger("hub")


def install(app: Flask, *, max_body_bytes: int) -> None:
    """Give ``app`` its size limit, its problem answers and its log line."""
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = max_body_bytes
    app.config["MAX_FORM_PARTS"] = 16

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        # The route, never the path: what a stranger typed may hold anything.
        rule = request.url_rule.rule if request.url_rule is not None else "-"
        milliseconds = round((time.monotonic() - g.get("began", time.monotonic())) * 1000, 1)
        _log.info("http", method=request.method, route=rule, status=response.status_code, duration_ms=milliseconds)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.errorhandler(MaillonError)
    def refused(error: MaillonError) -> Response:
        status, body = problem_of(error)
        response = answer(body, status, MEDIA_TYPE)
        if isinstance(error, QuotaExceeded):
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = error.code or 500
        return refused(MaillonError(_HTTP_KINDS.get(code, ErrorKind.MALFORMED), f"HTTP {code}"))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # Where it broke and the class alone: an exception's text may hold what it was working on.
        correlation = new_uuid()
        frames = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        _log.error("hub:failed", correlation=correlation, error=type(error).__name__, frames=frames[-8:])
        status, body = problem_of(MaillonError(ErrorKind.INTERNAL, "internal error"))
        return answer({**body, "instance": f"urn:uuid:{correlation}"}, status, MEDIA_TYPE)


def answer(document: Mapping[str, Any], status: int = 200, content_type: str = JSON) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(document), status, content_type=content_type)


def body(schema: str) -> dict[str, Any]:
    """Return the request's JSON body, read strictly and checked against ``schema``.

    Raises ``MaillonError(MALFORMED | TOO_LARGE | SCHEMA)``.
    """
    if request.mimetype != JSON:
        raise MaillonError(ErrorKind.MALFORMED, f"content type: {JSON} expected")
    document = strict_json.loads_object(request.get_data())
    check_schema(schema, document)
    return document


def form(names: tuple[str, ...]) -> dict[str, str]:
    """Return the request's form, which has exactly ``names``, each once; ``MaillonError(MALFORMED)`` otherwise."""
    given = request.form
    if set(given) != set(names) or any(len(given.getlist(name)) != 1 for name in names):
        raise MaillonError(ErrorKind.MALFORMED, f"form: exactly {', '.join(names)} expected")
    return {name: given[name] for name in names}
