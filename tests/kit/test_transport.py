"""The far side answering garbage, too much, too slowly, elsewhere, or not at all. Real sockets.

Where no deadline is what is asked, one is far away: on a busy machine a good answer may take its time.
"""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from connectors.kit import transport
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import FarSideError, ProblemError, Transport, outcome_of

FAR = 60.0
"""Seconds after which whatever has not come never will."""


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A far side that reads one request and then does whatever ``answer`` does with the socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(FAR)

    def run() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(FAR)
                data = b""
                while b"\r\n\r\n" not in data:
                    read = connection.recv(65536)
                    if not read:
                        return
                    data += read
                answer(connection)
        except OSError:
            return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    finally:
        with contextlib.suppress(OSError):  # nobody came: the thread need not wait for anybody
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def says(status: str, body: bytes = b"{}", *headers: str) -> Callable[[socket.socket], None]:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return lambda connection: connection.sendall(head.encode() + body)


def call(url: str, **options: float) -> object:
    return Transport(**{"connect": FAR, "answer": FAR, **options}).call_json("GET", url)


def fails(far_side: Callable[[socket.socket], None], **options: float) -> MaillonError:
    with server(far_side) as url, pytest.raises(MaillonError) as caught:
        call(url, **options)
    return caught.value


def silent(connection: socket.socket) -> None:
    """Say nothing for as long as somebody listens."""
    connection.recv(1)


def test_a_proper_answer() -> None:
    with server(says("200 OK", b'{"a":1}', "Content-Type: application/json; charset=utf-8")) as url:
        assert call(url) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "kind", "outcome"),
    [
        (says("200 OK", b"<html>", "Content-Type: text/html"), ErrorKind.MALFORMED, "indisponible"),
        (says("200 OK", b"{}"), ErrorKind.MALFORMED, "indisponible"),
        (says("200 OK", b'{"a":1,"a":2}', "Content-Type: application/json"), ErrorKind.MALFORMED, "indisponible"),
        (says("302 Found", b"", "Location: http://127.0.0.1:9/"), ErrorKind.UNAVAILABLE, "indisponible"),
        (says("500 Oops"), ErrorKind.UNAVAILABLE, "indisponible"),
        (says("503 Busy"), ErrorKind.UNAVAILABLE, "indisponible"),
        (says("503 Busy", b"", "Retry-After: 3600"), ErrorKind.UNAVAILABLE, "maintenance"),
        (says("404 Not Found"), ErrorKind.NOT_FOUND, "indisponible"),
        (
            says("403 No", b"[1]", "Content-Type: application/problem+json"),
            ErrorKind.UNAVAILABLE,
            "indisponible",
        ),
        (lambda c: c.sendall(b"\x00\xff garbage\r\n\r\n"), ErrorKind.UNAVAILABLE, "indisponible"),
        (
            lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"),
            ErrorKind.UNAVAILABLE,
            "indisponible",
        ),
        (lambda c: None, ErrorKind.UNAVAILABLE, "indisponible"),
        (silent, ErrorKind.TIMEOUT, "indisponible"),
    ],
)
def test_every_failure_is_a_typed_absence(
    answer: Callable[[socket.socket], None], kind: ErrorKind, outcome: str
) -> None:
    error = fails(answer, answer=0.5 if answer is silent else FAR)
    assert isinstance(error, FarSideError)
    assert (error.kind, outcome_of(error)) == (kind, outcome)
    assert "127.0.0.1" not in str(error), "an error text never quotes the URL"


PACKED = gzip.compress(b'{"a":1}', mtime=0)
GZIP = ("Content-Type: application/json", "Content-Encoding: gzip")


def test_a_gzip_nobody_asked_for_is_unpacked() -> None:
    with server(says("200 OK", PACKED, *GZIP)) as url:
        assert call(url) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *((PACKED[:cut], ErrorKind.MALFORMED) for cut in (0, 5, len(PACKED) - 9, len(PACKED) - 1)),
        (PACKED + PACKED, ErrorKind.MALFORMED),
        (b'{"a":1}', ErrorKind.MALFORMED),
        (gzip.compress(bytes(50_000_000)), ErrorKind.TOO_LARGE),
    ],
    ids=["empty", "header", "no trailer", "a byte less", "twice", "not packed", "a bomb"],
)
def test_a_gzip_that_is_not_whole_is_no_answer(body: bytes, kind: ErrorKind) -> None:
    # The library gives what it could unpack of a stream cut short: of a CSV, fewer persons, and nobody would know.
    assert fails(says("200 OK", body, *GZIP)).kind is kind


def test_another_encoding_is_no_answer() -> None:
    error = fails(says("200 OK", b"{}", "Content-Type: application/json", "Content-Encoding: br"))
    assert error.kind is ErrorKind.MALFORMED


def test_a_redirect_is_not_followed() -> None:
    reached: list[bool] = []

    def elsewhere(connection: socket.socket) -> None:
        reached.append(True)
        says("200 OK", b"{}", "Content-Type: application/json")(connection)

    with server(elsewhere) as target:
        error = fails(says("307 Moved", b"", f"Location: {target}"))
    assert error.kind is ErrorKind.UNAVAILABLE
    assert not reached


def drip(head: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(int(FAR * 10)):
            connection.sendall(b"x")
            time.sleep(0.1)

    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n",
    ],
    ids=["headers", "body"],
)
def test_a_far_side_that_drips_is_left_at_the_deadline(head: bytes) -> None:
    with server(drip(head)) as url:
        start = time.monotonic()
        with pytest.raises(FarSideError) as caught:
            call(url, answer=0.5)
        assert time.monotonic() - start < FAR / 2, "it would have gone on dripping"
    assert caught.value.kind is ErrorKind.TIMEOUT


def test_an_endless_answer_is_cut() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(100_000):
            connection.sendall(b"x" * 65536)

    with server(flood) as url, pytest.raises(FarSideError) as caught:
        call(url)
    assert caught.value.kind is ErrorKind.TOO_LARGE


def test_nobody_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # ours, so that nobody else comes to listen there
        with pytest.raises(FarSideError) as caught:
            call(f"http://127.0.0.1:{held.getsockname()[1]}/")
    assert caught.value.kind is ErrorKind.UNAVAILABLE


def test_a_problem_keeps_its_kind_pointer_and_reason() -> None:
    body = (
        b'{"type":"https://maillon.example/problems/order-refused","detail":"d","reason":"unknown_ref","pointer":"/a"}'
    )
    error = fails(says("403 Forbidden", body, "Content-Type: application/problem+json"))
    assert isinstance(error, ProblemError)
    assert (error.kind, error.status, error.detail, error.reason, error.pointer) == (
        ErrorKind.ORDER_REFUSED,
        403,
        "d",
        "unknown_ref",
        "/a",
    )
    assert outcome_of(error) == "personne_inconnue"


@pytest.mark.parametrize(
    ("reason", "status", "outcome"),
    [("partner_policy", 403, "non_autorise"), ("DUPONT Marie", 403, "non_autorise"), (None, 500, "indisponible")],
)
def test_a_refusal_is_told_apart_from_a_failure(reason: str | None, status: int, outcome: str) -> None:
    body = b'{"type":"/problems/order-refused","reason":"%s"}' % (reason or "").encode()
    error = fails(says(f"{status} No", body, "Content-Type: application/problem+json"))
    assert isinstance(error, ProblemError)
    assert outcome_of(error) == outcome
    assert error.reason in (None, "partner_policy"), "a reason is a code, not a place for free text"


@pytest.mark.parametrize("url", ["http://example.org/", "http://10.0.0.1/", "http://127.0.0.1.evil.example/"])
def test_clear_text_off_loopback_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(MaillonError) as caught:
        transport.check_url(url)
    assert caught.value.kind is ErrorKind.TLS_REQUIRED
    with pytest.raises(MaillonError) as caught:
        call(url)
    assert caught.value.kind is ErrorKind.TLS_REQUIRED


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1/", "http://", "http://user@127.0.0.1/", "http://[::1", "file:///x"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(MaillonError) as caught:
        transport.check_url(url)
    assert caught.value.kind is ErrorKind.CONFIGURATION


@pytest.mark.parametrize("url", ["https://example.org/", "http://127.0.0.1:1/", "http://localhost/", "http://[::1]:5/"])
def test_proper_endpoints_pass(url: str) -> None:
    transport.check_url(url)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(says("200 OK", b"{}", "Content-Type: application/json")) as url:
        assert call(url) == {}
