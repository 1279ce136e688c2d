"""A whole small deployment in one folder: root, hub, edges. Built only with the commands a real one is built with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.demo.processes import Fleet, free_ports
from hub.cli.output import EXIT_PARTIAL

HUB = "hub"


@dataclass(frozen=True)
class Outcome:
    """What a command answered: its exit code, the JSON it printed, and its error when it failed."""

    code: int
    document: dict[str, Any]
    error: dict[str, Any]


def run_command(*arguments: str) -> Outcome:
    """Run ``maillon <arguments> --json`` as its own process; a non-zero exit is an answer like another."""
    done = subprocess.run(  # noqa: S603 (our own command line, no shell)
        [sys.executable, "-m", "hub.cli", *arguments, "--json"], capture_output=True, check=False, timeout=120
    )
    last_line = done.stderr.decode().strip().rpartition("\n")[2]
    error = json.loads(last_line) if last_line.startswith("{") else {"detail": last_line}
    return Outcome(done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, error)


def must(*arguments: str, also: Iterable[int] = ()) -> dict[str, Any]:
    """Run a command that has to succeed; return its JSON. Raises ``MaillonError(INTERNAL)`` with what it said."""
    outcome = run_command(*arguments)
    if outcome.code not in (0, *also):
        raise MaillonError(ErrorKind.INTERNAL, f"maillon {' '.join(arguments[:2])}: {outcome.error}")
    return outcome.document


@dataclass
class Deployment:
    """Folders, ports and processes. ``partners`` maps a slug to its partner folder (or slug, for shipped ones)."""

    base: Path
    partners: dict[str, str]
    fleet: Fleet
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def create(cls, base: Path, partners: dict[str, str], witnesses: Iterable[str] = ()) -> Deployment:
        """Make root, hub and edges under ``base`` and have everyone join; nothing runs yet. ``witnesses`` are those
        whose edges cosign the hub's log."""
        made = cls(base, partners, Fleet(base / "logs"))
        names = (HUB, *partners)
        made.ports = dict(zip(names, free_ports(len(names)), strict=True))
        fingerprint = must("init-root", str(made.home("root")))["fingerprint"]
        more = [argument for slug in partners for argument in ("--co-hosted", slug)]
        more += [argument for slug in witnesses for argument in ("--witness", slug)]
        hub = ("init", made.home(HUB), "--url", made.url(HUB), "--port", made.ports[HUB], "--operator", "Démonstration")
        with ThreadPoolExecutor(2) as pool:
            pending = [pool.submit(must, *map(str, hub), *more)]
            pending += [pool.submit(made._init_edge, slug) for slug in partners]
            for identity in [each.result() for each in pending]:
                # One after the other: each signs the directory anew.
                must(
                    *("partner", "add", identity["identity"], "--root", str(made.home("root"))),
                    *("--fingerprint", identity["fingerprint"]),
                )
            made.publish()
            list(pool.map(lambda slug: made._join(slug, fingerprint), partners))
        return made

    def home(self, name: str) -> Path:
        """Return the folder of the hub, the root or an edge."""
        return self.base / name

    def url(self, name: str) -> str:
        """Return the base URL of the hub or an edge."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def publish(self) -> None:
        """Give the hub the newest directory; edges fetch it from there."""
        root = self.home("root")
        must(
            *("partner", "install", str(root / "directory.jws"), "--home", str(self.home(HUB))),
            *("--root-key", str(root / "root.pub.jwk")),
        )

    def start(self, *names: str) -> None:
        """Start the named processes (all when none is named) and wait until each answers."""
        wanted = names or (HUB, *self.partners)
        for name in wanted:
            command = ["serve"] if name == HUB else ["edge", "run"]
            self.fleet.start(name, [*command, "--home", str(self.home(name))], self.ports[name])
        for name in wanted:
            self.fleet.running[name].wait_healthy()

    def ingest(self, slug: str, files: Iterable[Path]) -> dict[str, Any]:
        """Bring files into an edge; what was set aside is in the answer."""
        return must("ingest", *map(str, files), "--home", str(self.home(slug)), also=[EXIT_PARTIAL])

    def _init_edge(self, slug: str) -> dict[str, Any]:
        return must(
            *("edge", "init", str(self.home(slug)), "--partner", self.partners[slug], "--hub-url", self.url(HUB)),
            *("--url", self.url(slug), "--port", str(self.ports[slug]), "--co-hosted"),
        )

    def _join(self, slug: str, fingerprint: str) -> None:
        root = self.home("root")
        must(
            *("edge", "join", "--home", str(self.home(slug)), "--root-key", str(root / "root.pub.jwk")),
            *("--fingerprint", fingerprint, "--directory", str(root / "directory.jws")),
            *("--klink", str(root / f"{slug}.klink.jwe")),
        )
