"""One way to speak HTTP to the far side: bounded in time and size, no redirect, strict JSON, no environment.

What goes wrong there is a :class:`FarSideError` (it did not answer as it should) or a :class:`ProblemError` (it
answered with an RFC 9457 problem); both know the typed absence (DOMAIN §3) a reader of the dossier is told.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.serving import is_loopback

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 7.0
"""With the connection, 10 s in all: an order lives no longer."""
MAX_BYTES: Final = 4 * 1024 * 1024
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
JOSE: Final = "application/jose"

_REASON: Final = re.compile(r"[a-z_]{1,40}")

INDISPONIBLE: Final = "indisponible"
MAINTENANCE: Final = "maintenance"
NON_AUTORISE: Final = "non_autorise"
PERSONNE_INCONNUE: Final = "personne_inconnue"


class FarSideError(MaillonError):
    """The far side did not answer, or answered something that is no answer. ``outcome`` is the typed absence."""

    def __init__(self, kind: ErrorKind, detail: str, outcome: str = INDISPONIBLE) -> None:
        super().__init__(kind, detail)
        self.outcome = outcome


class ProblemError(MaillonError):
    """The far side refused with a problem (RFC 9457): its HTTP ``status``, and ``reason`` where the type has one."""

    def __init__(self, kind: ErrorKind, detail: str, status: int, pointer: str | None, reason: str | None) -> None:
        super().__init__(kind, detail, pointer=pointer)
        self.status = status
        self.reason = reason


def outcome_of(error: MaillonError) -> str:
    """Return the typed absence to state for a source that failed with ``error``."""
    if isinstance(error, FarSideError):
        return error.outcome
    if isinstance(error, ProblemError) and error.status < 500:
        return PERSONNE_INCONNUE if error.reason == "unknown_ref" else NON_AUTORISE
    return INDISPONIBLE


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful (2xx) answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RawReply:
    """Any answer, as it came: of a partner's API every status means something."""

    status: int
    media_type: str
    """Lower case, without parameters."""
    retry_after: str
    next_cursor: str
    body: bytes


class Transport:
    """A pool of connections. Safe to share between threads: it keeps no cookie, credential or state of a call."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        proxy: str = "",
        connect: float = CONNECT_SECONDS,
        answer: float = ANSWER_SECONDS,
    ) -> None:
        """``ca_file`` replaces the public authorities for TLS; ``connect`` and ``answer`` are seconds.

        ``proxy`` (see :func:`check_proxy`) is asked for a tunnel to every https address; empty: none is.
        """
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, .netrc or CA bundle from the environment
        self._session.verify = True if ca_file is None else str(ca_file)
        if proxy:
            self._session.proxies = {"https": proxy}
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("http://", _DeadlineAdapter(pool_maxsize=16))
        self._session.mount("https://", _DeadlineAdapter(pool_maxsize=16))
        self._timeout = (connect, answer)

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        bearer: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Reply:
        """Send one request and return its 2xx answer, whose media type is ``accept``.

        Raises ``MaillonError(TLS_REQUIRED)`` before sending anything in clear off loopback, :class:`FarSideError`
        (``UNAVAILABLE``, ``TIMEOUT``, ``MALFORMED``, ``TOO_LARGE``) and :class:`ProblemError`.
        """
        check_url(url)
        headers = {"Accept": f"{accept}, {PROBLEM}", "Accept-Encoding": "identity", "User-Agent": "maillon"}
        if body is not None:
            headers["Content-Type"] = content_type
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        with self._answer(method, url, body, headers, self._timeout) as response:
            return _judge(response, _read(response, max_bytes), accept)

    def ask(
        self,
        url: str,
        *,
        body: bytes | None = None,
        bearer: str | None = None,
        answer_seconds: float | None = None,
        cursor_header: str = "",
        max_bytes: int = MAX_BYTES,
    ) -> RawReply:
        """``GET`` a partner's API, or ``POST`` it ``body``, and return whatever it answers, of any status and type.

        ``answer_seconds`` shortens the time allowed. Raises as :meth:`call`, but no ``ProblemError``.
        """
        check_url(url)
        headers = {"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "maillon"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        connect, answer = self._timeout
        seconds = answer if answer_seconds is None else max(0.001, min(answer, answer_seconds))
        if body is not None:
            headers["Content-Type"] = "application/octet-stream"
        method = "GET" if body is None else "POST"
        with self._answer(method, url, body, headers, (min(connect, seconds), seconds)) as response:
            return RawReply(
                response.status_code,
                _media_type(response),
                response.headers.get("Retry-After", ""),
                response.headers.get(cursor_header, "") if cursor_header else "",
                _read(response, max_bytes),
            )

    @contextlib.contextmanager
    def _answer(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: tuple[float, float]
    ) -> Iterator[requests.Response]:
        try:
            with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            # The exception's own text may quote the URL or a header: only its class is told.
            if _is_timeout(error):
                raise FarSideError(ErrorKind.TIMEOUT, "no answer in time") from None
            raise FarSideError(ErrorKind.UNAVAILABLE, type(error).__name__) from None

    def call_json(
        self,
        method: str,
        url: str,
        document: object = None,
        *,
        bearer: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Any:
        """Send ``document`` as JSON (nothing if ``None``), return the answer's JSON value; raises as `call`."""
        body = None if document is None else orjson.dumps(document)
        reply = self.call(method, url, body=body, bearer=bearer, max_bytes=max_bytes)
        try:
            return strict_json.loads(reply.body, max_bytes=max_bytes)
        except MaillonError as error:
            raise FarSideError(error.kind, error.detail) from None


def check_url(url: str, what: str = "endpoint") -> None:
    """Raise ``MaillonError(TLS_REQUIRED)`` for clear text off loopback, ``CONFIGURATION`` for what is no HTTP URL.

    ``what`` is what the error calls it: the setting that holds it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{what}: not an http(s) URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise MaillonError(ErrorKind.TLS_REQUIRED, f"{what}: https is required off loopback")


def check_proxy(url: str, what: str) -> None:
    """Raise ``MaillonError(CONFIGURATION)``, naming ``what``, for anything but ``http://host:port``.

    Of what goes through, a proxy asked for a tunnel (``CONNECT``) learns the far side's host and port alone.
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_one = False
    if not is_one or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{what}: http://host:port, and nothing else")


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return True
    # requests turns a time-out in the middle of a body into a ConnectionError around the real one.
    return isinstance(error, requests.ConnectionError) and any(
        isinstance(cause, urllib3.exceptions.TimeoutError) for cause in error.args
    )


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").split(";")[0].strip().lower()


def _read(response: requests.Response, max_bytes: int) -> bytes:
    """Return the body, unpacked here and not by the library: that one takes half a gzip stream for a whole answer."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise FarSideError(ErrorKind.MALFORMED, "content encoding nobody asked for")
    # We ask for none; some servers pack all the same.
    gzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in encoding else None
    body = bytearray()
    for chunk in response.raw.stream(65536, decode_content=False):
        try:
            # Never more than one byte too many is unpacked: a small answer may hold gigabytes.
            body += chunk if gzip is None else gzip.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error:
            raise FarSideError(ErrorKind.MALFORMED, "not the gzip it is called") from None
        if len(body) > max_bytes:
            raise FarSideError(ErrorKind.TOO_LARGE, f"answer above {max_bytes} bytes")
    if gzip is not None and (not gzip.eof or gzip.unused_data):
        raise FarSideError(ErrorKind.MALFORMED, "gzip cut short, or more after its end")
    return bytes(body)


def _judge(response: requests.Response, body: bytes, accept: str) -> Reply:
    status = response.status_code
    media_type = _media_type(response)
    if 200 <= status < 300:
        if media_type != accept:
            raise FarSideError(ErrorKind.MALFORMED, "answer's content type")
        return Reply(status, body)
    if status == 503 and "Retry-After" in response.headers:
        raise FarSideError(ErrorKind.UNAVAILABLE, "under maintenance", MAINTENANCE)
    if 400 <= status < 600 and media_type == PROBLEM:
        raise _problem(status, body)
    if status == 404:
        raise FarSideError(ErrorKind.NOT_FOUND, "HTTP 404")
    raise FarSideError(ErrorKind.UNAVAILABLE, f"HTTP {status}")


def _problem(status: int, body: bytes) -> MaillonError:
    try:
        problem: Mapping[str, Any] = strict_json.loads_object(body, max_bytes=16384, max_depth=8)
        kind = ErrorKind(str(problem.get("type", "")).rsplit("/", 1)[-1])
    except (MaillonError, ValueError):
        return FarSideError(ErrorKind.UNAVAILABLE, f"HTTP {status} with an unreadable problem")
    detail, pointer, reason = (problem.get(member) for member in ("detail", "pointer", "reason"))
    return ProblemError(
        kind,
        detail[:200] if isinstance(detail, str) else kind.value,
        status,
        pointer if isinstance(pointer, str) else None,
        reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None,
    )


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a moment, not for so long per byte: a far side that drips cannot hold us."""

    def __init__(self, raw: io.BufferedIOBase, sock: socket.socket) -> None:
        self._raw = raw  # keeps http.client's own count of who uses the socket
        self._sock = sock
        self._deadline = time.monotonic() + (sock.gettimeout() or ANSWER_SECONDS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp, sock))


class _HttpConnection(HTTPConnection):
    response_class = _DeadlineResponse


class _HttpsConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS: Final = {"http": _HttpPool, "https": _HttpsPool}


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
