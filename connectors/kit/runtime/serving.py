"""Run a WSGI application with granian: one worker process, a pool of threads. Used by the hub and by every edge."""

from __future__ import annotations

import fcntl
import importlib
import ipaddress
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from connectors.kit.runtime import front
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_PATIENCE_SECONDS: Final = 3.0
"""What a process that was killed may take to let go of its home and its port (``exit_with_parent``)."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. ``cert`` and ``key`` are PEM files; both or neither."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    threads: int = 16


def is_loopback(host: str) -> bool:
    """Say whether ``host`` (a name or an address) can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_listen(listen: Listen) -> None:
    """Refuse to serve clear text to a network (DESIGN §13).

    Raises ``MaillonError(TLS_REQUIRED)`` off loopback without a certificate, ``CONFIGURATION`` when a file is missing.
    """
    if (listen.cert is None) != (listen.key is None):
        raise MaillonError(ErrorKind.CONFIGURATION, "tls_cert and tls_key go together")
    for name, path in (("tls_cert", listen.cert), ("tls_key", listen.key)):
        if path is not None and not path.is_file():
            raise MaillonError(ErrorKind.CONFIGURATION, f"{name} is not a readable file")
    if listen.cert is None and not is_loopback(listen.host):
        raise MaillonError(ErrorKind.TLS_REQUIRED, "listening off loopback needs tls_cert and tls_key")


def serve(factory: str, listen: Listen, home: Path) -> None:
    """Serve ``factory`` (``module:callable`` returning a WSGI application) until SIGTERM or SIGINT.

    The factory runs in the worker process and finds its own home in the environment; what it refuses is one line on
    standard error. Raises as ``check_listen``, and ``MaillonError(CONFLICT)`` when another process runs from ``home``
    or listens there: granian shares its port, so that two hubs would answer in turn, each with its own memory.
    """
    check_listen(listen)
    os.environ |= {front.APPLICATION: factory, front.THREADS: str(listen.threads)}
    with _alone(home):
        _check_free(listen)
        Server(
            "connectors.kit.runtime.front:application",
            address=listen.host,
            port=listen.port,
            interface=Interfaces.RSGI,
            # One writer process: SQLite has a single writer, and the group commit lives in it (DESIGN §8).
            workers=1,
            websockets=False,
            log_level=LogLevels.error,
            log_access=False,
            ssl_cert=listen.cert,
            ssl_key=listen.key,
            workers_kill_timeout=5,
        ).serve(target_loader=_load)


def _load(factory: str) -> Any:
    module, _, name = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), name)()
    except MaillonError as error:
        sys.stderr.write(f"maillon: {error}\n")
        sys.stderr.flush()
        os._exit(1)  # else the process machinery prints a trace over it


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / ".running").open("wb") as lock:
        if not _in_time(lambda: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)):
            raise MaillonError(ErrorKind.CONFLICT, "another process already runs from this home")
        yield


def _check_free(listen: Listen) -> None:
    family, _, _, _, address = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0]

    def bind() -> None:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)

    if not _in_time(bind):
        raise MaillonError(ErrorKind.CONFLICT, f"cannot listen on port {listen.port}: taken, or not allowed")


def _in_time(attempt: Callable[[], None]) -> bool:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            attempt()
        except OSError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        else:
            return True


def exit_with_parent(stop: Callable[[], None], poll_seconds: float = 0.5) -> None:
    """End this worker when the process that started it is gone, so that ``kill -9`` leaves nothing listening.

    ``stop`` runs first (close files); it must not wait for anyone.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_seconds)
        try:
            stop()
        finally:
            os._exit(0)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()
