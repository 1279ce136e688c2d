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
from hub.cli.demo.processes import Fleet, free_port
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
    found = free_port()
    environment = {"MAILLON_HUB_LISTEN_PORT": str(found), "MAILLON_HUB_THREADS": "4"}
    # The fleet stops what it started, however this ends.
    with Fleet(tmp_path) as fleet:
        hub = fleet.start_module("hub", "hub.cli", ["serve", "--home", str(world.home.path)], found, environment)
        hub.wait_healthy(60)
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
        client.settimeout(5)
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


def test_an_edge_that_hangs_takes_no_more_than_its_share() -> None:
    """Orders beyond it are answered for at once: the source counts as unavailable, the pull goes on."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        sources = HttpSources(Transport(connect=1, answer=2), at_once=2)
        failures: list[ErrorKind] = []

        def order() -> None:
            with pytest.raises(MaillonError) as refused:
                sources.send(endpoint, AddressedOrder("a.b.c", "r", "s"))
            failures.append(refused.value.kind)

        threads = [threading.Thread(target=order) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # In the order they came back: four while the two before them still waited.
        assert failures == [ErrorKind.UNAVAILABLE] * 4 + [ErrorKind.TIMEOUT] * 2
        order()
        assert failures[-1] is ErrorKind.TIMEOUT
