"""The simulator over HTTP: plain sockets, because a WSGI server would mend what is to go wrong.

``GET`` (or ``POST`` with a form or a JSON object) on an endpoint's path is answered by the case its parameters choose,
named in the header ``X-Maillon-Case``. ``GET /_simulator`` tells what was served, in counts. Logs hold paths, statuses
and faults, never a parameter.
"""

from __future__ import annotations

import hmac
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import structlog

from connectors.kit.live.spec import ApiSpec, FeedSpec
from connectors.kit.simulator.cases import SUFFIXES, Case, Parameters, Unplayable, canonical, choose, load
from connectors.kit.simulator.faults import JSON, Answer, Faults, problem

MAX_BODY: Final = 1024 * 1024
STATUS_PATH: Final = "/_simulator"
CASE_HEADER: Final = "X-Maillon-Case"

Routes = Mapping[str, tuple[Case, ...]]

_log = structlog.get_logger("simulator")


def lay_out(folder: Path, api: ApiSpec | None, feed: FeedSpec | None = None) -> tuple[Routes, list[Unplayable]]:
    """Return path → cases for everything under ``folder``, and what could not be read.

    An endpoint of the manifest's ``[api]``, and its ``[feed]``, plays, at its own path, the files whose names hold its
    format and the subfolders named after it or listed in its ``cases``. Any other subfolder plays at ``/<its name>``;
    files beside them that no endpoint claims, at ``/<the folder's name>``.
    """
    claims: dict[str, str] = {}
    for endpoint in api.endpoints.values() if api else ():
        claims |= dict.fromkeys((endpoint.format, *endpoint.cases), endpoint.path)
    if feed is not None:
        claims[feed.format] = feed.path
    found: dict[str, list[Case]] = {}
    unplayable = []
    for place in sorted(each for each in folder.iterdir() if each.is_dir() or each.suffix in SUFFIXES):
        names = [place.name] if place.is_dir() else [*place.name.split("."), folder.name]
        path = next((claims[name] for name in names if name in claims), f"/{quote(names[-1])}")
        for case in load(place):
            if isinstance(case, Unplayable):
                unplayable.append(case)
            else:
                found.setdefault(path, []).append(case)
    return {path: tuple(cases) for path, cases in found.items()}, unplayable


class Simulator:
    """One partner's API. Serves from :meth:`start` to :meth:`stop`; safe to share between threads."""

    def __init__(
        self,
        routes: Routes,
        faults: Faults,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind ``host:port`` (0: any free port); raises ``OSError`` when it is taken. ``token`` is asked of all.

        ``now`` gives the seconds that faults of a time (``maintenance``) go by.
        """
        self.routes = routes
        self._token = token
        self._faults = faults
        self._lock = threading.Lock()
        self._number = 0
        self._counts: Counter[str] = Counter()
        self._now = now
        self._since = now()
        self._server = _Server((host, port), _Handler)
        self._server.simulator = self
        self.url = f"http://{host}:{self._server.server_port}"

    def start(self) -> Simulator:
        """Serve from threads of its own, until :meth:`stop`."""
        threading.Thread(target=self.run, name="simulator", daemon=True).start()
        return self

    def run(self) -> None:
        """Serve until :meth:`stop`, or an interrupt."""
        self._since = self._now()
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def counts(self) -> dict[str, int]:
        """Return how often what was served: ``requests``, ``status:…``, ``fault:…``, ``path:…``."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def answer(self, path: str, asked: Parameters, authorization: str = "") -> Answer:
        """Return what is to be sent for one request, faults included, and count it."""
        with self._lock:
            self._number += 1
            number = self._number
        plain = self._plain(path, asked)
        if self._token and not hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode()):
            plain = Answer(401, problem(401, "Jeton absent ou inconnu"))
        said, struck = self._faults.apply(plain, number, self._now() - self._since)
        with self._lock:
            self._counts.update(["requests", f"path:{path if path in self.routes else 'other'}"])
            self._counts.update([f"fault:{name}" for name in struck])
            self._counts.update([] if said.drop else [f"status:{said.status}"])
        _log.info("answer", path=path if path in self.routes else "other", status=said.status, faults=struck)
        return said

    def _plain(self, path: str, asked: Parameters) -> Answer:
        cases = self.routes.get(path)
        if cases is None:
            return Answer(404, problem(404, "Point d’accès inconnu du simulateur"))
        case = choose(cases, asked)
        if case is None and not asked:
            return Answer(422, problem(422, "Aucun paramètre d’identité"))
        if case is None:
            return Answer(404, problem(404, "Aucun cas du simulateur ne correspond"))
        given = {name.lower(): value for name, value in case.headers}
        kind = given.pop("content-type", JSON)
        headers = tuple((name, value) for name, value in case.headers if name.lower() in given)
        return Answer(case.status, case.payload, kind, (*headers, (CASE_HEADER, quote(case.name))))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    simulator: Simulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no event; nothing else is raised here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "maillon-simulator"
    sys_version = ""
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= MAX_BODY:
            self._send(Answer(413, problem(413, "Corps trop grand")))
            return
        body = self.rfile.read(length).decode("utf-8", "replace")
        if self.headers.get_content_type() == JSON:
            try:
                document = json.loads(body)
            except (ValueError, RecursionError):
                document = None
            if not isinstance(document, dict):
                self._send(Answer(400, problem(400, "Un objet JSON est attendu")))
                return
            self._serve(document)
        else:
            self._serve(parse_qs(body))

    def _serve(self, body: Mapping[str, Any]) -> None:
        parts = urlsplit(self.path)
        simulator = self.server.simulator
        if parts.path == STATUS_PATH:
            told = {"paths": sorted(simulator.routes), "counts": simulator.counts()}
            self._send(Answer(200, json.dumps(told).encode()))
            return
        said = self.headers.get("Authorization", "")
        self._send(simulator.answer(parts.path, canonical(parse_qs(parts.query) | dict(body)), said))

    def _send(self, said: Answer) -> None:
        self.close_connection = True
        time.sleep(said.wait)
        if said.drop:
            # Linger 0: the far side sees a reset, as when a machine dies.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(said.status)
        for name, value in (
            ("Content-Type", said.content_type),
            ("Content-Length", str(len(said.body))),
            ("Connection", "close"),
            *said.headers,
        ):
            self.send_header(name, value)
        self.end_headers()
        body = said.body if said.keep is None else said.body[: said.keep]
        if not said.drip:
            self.wfile.write(body)
            return
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(said.drip / max(1, len(body)))

    def log_message(self, format: str, *args: Any) -> None:
        """The request line holds a person's traits: it is never logged."""


def serving(routes: Routes, specs: Iterable[str] = (), seed: int = 0, token: str = "") -> Simulator:
    """Return a started simulator on a free loopback port; raises as ``Faults.parse``."""
    return Simulator(routes, Faults.parse(specs, seed), token=token).start()
