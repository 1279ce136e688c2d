"""The least a pull could be: one endpoint that writes twice, durably, and in between asks three others at once.

``python -m bench.bare_chain front|back PORT HOME`` serves one of them as the hub and the edges are served; the rest
comes from the environment.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask import Flask, Response, request
from sqlalchemy import text

from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.serving import Listen, exit_with_parent, serve
from connectors.kit.transport import JOSE, Transport
from consent.ledger.note import SignerKey
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import UnitOfWork, Writer
from hub.wrapping import WrappingKeys

DATABASE, BACKS, ORDER_BYTES, ANSWER_BYTES = "BENCH_DATABASE", "BENCH_BACKS", "BENCH_ORDER_BYTES", "BENCH_ANSWER_BYTES"
_ROW = b"r" * 1024


def front() -> Flask:
    """Return the endpoint in the hub's place: two durable inserts around as many calls as there are backs."""
    app = Flask("front", static_folder=None)
    database, clock = Path(os.environ[DATABASE]), SystemClock()
    engine = open_engine(database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, body BLOB)"))
    wrapping = WrappingKeys.create(database.with_suffix(".keys"))
    secrets = SecretStore(database.with_suffix(".secrets"), wrapping, clock, system_key=bytes(32))
    upgrade(engine, "hub")
    sequencer = Sequencer([SignerKey.from_seed("bench.example/log", bytes(32))])
    writer, transport, pool = Writer(engine, secrets, sequencer, clock), Transport(), ThreadPoolExecutor(32)
    backs, order = os.environ[BACKS].split(), b"o" * int(os.environ[ORDER_BYTES])
    insert = text("INSERT INTO log (body) VALUES (:body)")

    def log(uow: UnitOfWork) -> None:
        uow.connection.execute(insert, {"body": _ROW})

    def ask(url: str) -> bytes:
        return transport.call("POST", f"{url}/v1/orders", body=order, content_type=JOSE, accept=JOSE).body

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/v1/pulls")
    def pulls() -> Response:
        request.get_data()
        writer.run(log)
        answers = list(pool.map(ask, backs))
        writer.run(log)
        return Response(b"".join(answers), content_type=JOSE)

    app.extensions |= {"writer": writer, "pool": pool}
    return app


def back() -> Flask:
    """Return an endpoint in an edge's place: so many bytes, at once."""
    app = Flask("back", static_folder=None)
    answer = b"f" * int(os.environ[ANSWER_BYTES])

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/v1/orders")
    def orders() -> Response:
        request.get_data()
        return Response(answer, content_type=JOSE)

    return app


def served_front() -> Flask:
    """Return :func:`front` for granian; it ends with the process that started it."""
    app = front()
    exit_with_parent(app.extensions["writer"].close)
    return app


def served_back() -> Flask:
    """Return :func:`back` for granian; it ends with the process that started it."""
    exit_with_parent(lambda: None)
    return back()


if __name__ == "__main__":
    serve(f"bench.bare_chain:served_{sys.argv[1]}", Listen("127.0.0.1", int(sys.argv[2])), Path(sys.argv[3]))
