"""Start, watch and stop the hub and the edges as separate processes on loopback, leaving none behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import requests

from connectors.kit.runtime.errors import ErrorKind, MaillonError


def free_ports(count: int) -> list[int]:
    """Return so many TCP ports of the loopback interface, no two alike, that nobody listens on at this moment."""
    with contextlib.ExitStack() as held:
        # All are held until the last is found: one given back at once may be given out again.
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@dataclass
class Running:
    """One ``maillon`` process with its log file and base URL."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait_healthy(self, seconds: float = 120.0) -> None:
        """Wait until ``/health`` answers. Raises ``MaillonError(UNAVAILABLE)`` when the process dies or stays mute."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise MaillonError(ErrorKind.UNAVAILABLE, f"{self.name} stopped while starting; see {self.log.name}")
            try:
                if requests.get(f"{self.url}/health", timeout=1).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise MaillonError(ErrorKind.TIMEOUT, f"{self.name} did not answer within {seconds:.0f} s")

    def stop(self, sig: signal.Signals = signal.SIGTERM, seconds: float = 10.0) -> None:
        """Send ``sig`` to the whole process group and wait; what does not leave is killed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        # The worker lives in the same group: nothing of it may outlive its parent.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Fleet:
    """Every process of one deployment; a context manager that stops them all on the way out."""

    logs: Path
    running: dict[str, Running] = field(default_factory=dict)

    def start(self, name: str, arguments: list[str], port: int) -> Running:
        """Start ``maillon <arguments>`` under ``name``, its output in ``logs/<name>.log``."""
        return self.start_module(name, "hub.cli", arguments, port, {})

    def start_module(
        self, name: str, module: str, arguments: list[str], port: int, environment: Mapping[str, str]
    ) -> Running:
        """Start ``python -m <module> <arguments>`` likewise, with ``environment`` beside this process's own."""
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{name}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 (our own command line, no shell)
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        running = Running(name, f"http://127.0.0.1:{port}", path, process)
        self.running[name] = running
        return running

    def stop(self, name: str, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop one process by name and forget it."""
        self.running.pop(name).stop(sig)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self.running.values():
            running.stop()
        self.running.clear()
