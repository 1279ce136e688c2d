"""Run a WSGI application with granian: one worker process, a pool of threads. Used by the hub and by every edge."""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from connectors.kit.runtime import front
from connectors.kit.runtime.errors import ErrorKind, MaillonError


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


def serve(factory: str, listen: Listen) -> None:
    """Serve ``factory`` (``module:callable`` returning a WSGI application) until SIGTERM or SIGINT.

    The factory runs in the worker process and finds its own home in the environment. Raises as ``check_listen``.
    """
    check_listen(listen)
    os.environ |= {front.APPLICATION: factory, front.THREADS: str(listen.threads)}
    Server(
        "connectors.kit.runtime.front:application",
        address=listen.host,
        port=listen.port,
        interface=Interfaces.RSGI,
        # One writer process: SQLite has a single writer, and the group commit lives in it (DESIGN §8).
        workers=1,
        factory=True,
        websockets=False,
        log_level=LogLevels.warning,
        log_access=False,
        ssl_cert=listen.cert,
        ssl_key=listen.key,
        workers_kill_timeout=5,
    ).serve()


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
