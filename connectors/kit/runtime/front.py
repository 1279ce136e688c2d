"""In front of a WSGI application: whole requests only. A body that drips costs a coroutine, never a thread.

Granian's WSGI reads a body in the thread that answers it, for as long as the client likes: a few strangers with slow
bodies would keep everybody out, a withdrawal of consent included. Here the event loop reads it, bounded in time and
size (RSGI 1.6); a thread sees only what has come in whole.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import unquote_to_bytes

APPLICATION: Final = "MAILLON_APPLICATION"
THREADS: Final = "MAILLON_THREADS"
BODY_SECONDS: Final = 10.0
MAX_BODY: Final = 8 * 1024 * 1024
MAX_WAITING: Final = 256 * 1024 * 1024
"""Bytes of unfinished bodies held at once, all clients together."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application() -> Front:
    """Return what granian serves: the WSGI application of the factory that the environment names."""
    module, _, name = os.environ[APPLICATION].partition(":")
    wsgi: Wsgi = getattr(importlib.import_module(module), name)()
    return Front(wsgi, int(os.environ[THREADS]))


class Front:
    """An RSGI application over ``wsgi``, which answers in ``threads`` threads."""

    def __init__(self, wsgi: Wsgi, threads: int, body_seconds: float = BODY_SECONDS) -> None:
        self._wsgi = wsgi
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="maillon-web")
        self._body_seconds = body_seconds
        self._waiting = 0

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request; a body too slow, too large, or one too many is refused without a thread."""
        if scope.proto != "http":
            protocol.close(403)
            return
        refusal, body = await self._body(protocol)
        declared = scope.headers.get("content-length")
        if declared is not None and declared != str(len(body)):
            refusal = refusal or 400  # cut off on the way
        if refusal:
            protocol.response_empty(refusal, [("connection", "close")])
            return
        loop = asyncio.get_running_loop()
        status, headers, content = await loop.run_in_executor(self._pool, self._answer, _environ(scope, body))
        protocol.response_bytes(status, headers, content)

    async def _body(self, protocol: Any) -> tuple[int, bytes]:
        """Return (0, the body), or the HTTP status to refuse with: 408, 413 or 503."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in protocol:
                    self._waiting += len(chunk)
                    body += chunk
                    if len(body) > MAX_BODY:
                        return 413, b""
                    if self._waiting > MAX_WAITING:
                        return 503, b""
        except TimeoutError:
            return 408, b""
        finally:
            self._waiting -= len(body)
        return 0, bytes(body)

    def _answer(self, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:  # noqa: ARG001
            started.append((int(status.split(" ", 1)[0]), headers))

        chunks = self._wsgi(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()
        return (*started[-1], content)


def _environ(scope: Any, body: bytes) -> dict[str, Any]:
    """Return the PEP 3333 environment of a request."""
    host, _, port = str(scope.server).rpartition(":")
    headers: Mapping[str, str] = _joined(scope.headers.items())
    return {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": str(scope.client).rpartition(":")[0],
        **({} if scope.authority is None else {"HTTP_HOST": scope.authority}),
        **headers,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _joined(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers under their CGI names; one that comes twice is joined by a comma (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in items:
        # An underscore would let one header pass for another.
        if "_" in name or name.lower() in ("transfer-encoding", "content-length"):
            continue
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        found[key] = f"{found[key]},{value}" if key in found else value
    return found
