"""Strangers with all the time in the world: a real hub process, real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.runtime import front
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.front import Front
from connectors.kit.transport import Transport
from hub.app import close_hub
from hub.cli.demo.processes import Fleet, free_ports
from hub.services.orders import HttpSources
from tests.hub.conftest import World

IN_TIME = front.BODY_SECONDS - 2
"""Seconds to answer others in: a thread that waited for a slow body would be free only after ``BODY_SECONDS``."""


def _health(port: int, seconds: float) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=seconds) as answer:
        return int(answer.status)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    world = World(tmp_path)
    close_hub(world.hub)
    world.clock = SystemClock()  # type: ignore[assignment]
    world.sign_directory()
    (found,) = free_ports(1)
    environment = {"MAILLON_HUB_LISTEN_PORT": str(found), "MAILLON_HUB_THREADS": "4"}
    # The fleet stops what it started, however this ends.
    with Fleet(tmp_path) as fleet:
        hub = fleet.start_module("hub", "hub.cli", ["serve", "--home", str(world.home.path)], found, environment)
        hub.wait_healthy()
        yield found


@pytest.mark.parametrize(
    "begun", [b"POST /v1/pulls HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n{", b"POST /v1/pu"]
)
def test_slow_bodies_keep_nobody_out(port: int, begun: bytes) -> None:
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(32)]
    try:
        for each in sockets:
            each.sendall(begun)
        time.sleep(0.3)
        assert _health(port, IN_TIME) == 200
    finally:
        for each in sockets:
            each.close()
    assert _health(port, IN_TIME) == 200


def test_a_body_cut_off_on_the_way_reaches_no_operation(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /v1/pulls HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n{}")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(60)
        answer = client.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 400")


class _Client:
    """What granian hands over of a client that sends ``chunks`` and then waits ``pause`` seconds."""

    def __init__(self, *chunks: bytes, pause: float = 0) -> None:
        self._chunks, self._pause = chunks, pause
        self.answered: list[Any] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        await asyncio.sleep(self._pause)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.answered.append(status)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (_Client(b"x", pause=60), 408),
        (_Client(*[bytes(front.MAX_BODY // 4)] * 5), 413),
    ],
    ids=["slow", "large"],
)
def test_a_bad_body_is_refused_without_a_thread(client: _Client, status: int) -> None:
    def never(*_: object) -> list[bytes]:
        pytest.fail("the application was called")

    served = Front(never, 1, body_seconds=0.2)
    scope = type("Scope", (), {"proto": "http", "headers": {}})()
    asyncio.run(served.__rsgi__(scope, client))
    assert client.answered == [status]
    assert served._waiting == 0


def test_all_unfinished_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "MAX_WAITING", 10_000)
    served = Front(lambda *_: [], 1, body_seconds=0.5)
    scope = type("Scope", (), {"proto": "http", "headers": {}})()
    clients = [_Client(bytes(4_000), pause=60) for _ in range(4)]

    async def together() -> None:
        await asyncio.gather(*(served.__rsgi__(scope, client) for client in clients))

    asyncio.run(together())
    assert [client.answered[0] for client in clients] == [408, 408, 503, 503]
    assert served._waiting == 0


_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/jose\r\nContent-Length: 5\r\nConnection: close\r\n\r\na.b.c"


def test_an_edge_that_hangs_takes_no_more_than_its_share() -> None:
    """Orders beyond it are answered for at once: the source counts as unavailable, the pull goes on."""
    turned_away: list[ErrorKind] = []
    came_back: list[str] = []
    all_turned_away = threading.Event()

    def order(sources: HttpSources, endpoint: str) -> None:
        try:
            came_back.append(sources.send(endpoint, AddressedOrder("a.b.c", "r", "s")))
        except MaillonError as error:
            turned_away.append(error.kind)
        if len(turned_away) == 4:
            all_turned_away.set()

    with socket.create_server(("127.0.0.1", 0)) as slow:
        endpoint = f"http://127.0.0.1:{slow.getsockname()[1]}"
        sources = HttpSources(Transport(connect=60, answer=60), at_once=2)
        threads = [threading.Thread(target=order, args=(sources, endpoint)) for _ in range(6)]
        for thread in threads:
            thread.start()
        held = [slow.accept()[0] for _ in range(2)]
        # It says nothing until the four beyond its share have their answer: they waited for nobody.
        assert all_turned_away.wait(50)
        assert came_back == []
        for connection in held:
            _answer(connection)
        for thread in threads:
            thread.join()
        assert turned_away == [ErrorKind.UNAVAILABLE] * 4
        assert came_back == ["a.b.c"] * 2


def test_an_edge_that_never_answers_has_its_share_again_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sources = HttpSources(Transport(connect=60, answer=0.2), at_once=1)
        for _ in range(3):
            with pytest.raises(MaillonError) as refused:
                sources.send(f"http://127.0.0.1:{deaf.getsockname()[1]}", AddressedOrder("a.b.c", "r", "s"))
            assert refused.value.kind is ErrorKind.TIMEOUT


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(60)
        connection.recv(65536)
        connection.sendall(_ANSWER)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
