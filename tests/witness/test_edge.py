"""A real edge: its routes, its health, the alarms a person reads, and the evidence others check."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from connectors.kit import seal
from connectors.kit.edge_home import EdgeHome
from connectors.kit.ledger import evidence
from connectors.kit.ledger.watch import Watch
from connectors.kit.ledger.web import MAX_REQUEST
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ
from consent.ledger.checkpoint import SignerKey, VerifierKey
from consent.ledger.fork import Fork
from consent.ledger.witness import read_cosignatures
from hub.cli import ledger_evidence
from hub.cli.main import cli
from tests.kit.conftest import consortium  # noqa: F401 (a fixture)
from tests.kit.consortium import LOCAL, Consortium, ask, settings
from tests.witness.log import LOG, ORIGIN, FakeLog


@pytest.fixture
def named(consortium: Consortium) -> Consortium:  # noqa: F811
    """The consortium, with the log's key in a new directory both edges have."""
    consortium.rows[0] = replace(consortium.rows[0], log_key=LOG.verifier.vkey)
    token = consortium.directory(2)
    for edge in consortium.edges.values():
        edge.hub.directory = lambda: token  # type: ignore[method-assign]
        assert edge.refresh_directory()
    return consortium


def witness_key(c: Consortium) -> VerifierKey:
    return VerifierKey.parse(next(row for row in c.rows if row.slug == "caf").witness_key)


def add(client: FlaskClient, body: bytes) -> tuple[int, str, bytes]:
    reply = client.post("/witness/add-checkpoint", data=body)
    return reply.status_code, reply.mimetype, reply.data


def command(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_the_edge_cosigns_with_the_key_of_its_directory_entry(named: Consortium) -> None:
    log = FakeLog().grow(5)
    assert named.caf.get("/witness/checkpoint").status_code == 404
    status, media, body = add(named.caf, log.request(0))
    assert (status, media) == (200, "text/plain")
    assert read_cosignatures(log.signed(), body, [witness_key(named)])
    assert add(named.caf, log.grow().request(0)) == (409, "text/x.tlog.size", b"5\n")
    assert add(named.caf, b"nothing")[0] == 400
    assert add(named.caf, FakeLog(key=SignerKey.from_seed(ORIGIN, b"x" * 32)).request(0))[0] == 403
    told = named.caf.get("/witness/checkpoint")
    assert (told.status_code, told.mimetype, told.data) == (200, "text/plain", log.note(5))
    assert add(named.caf, b"old 0\n\n" + bytes(MAX_REQUEST))[0] == 413


def test_a_directory_without_a_log_has_nothing_to_witness(consortium: Consortium) -> None:  # noqa: F811
    assert add(consortium.caf, FakeLog().grow().request(0))[0] == 404


def test_an_edge_nobody_reaches_is_no_witness(tmp_path: Path, consortium: Consortium) -> None:  # noqa: F811
    home = EdgeHome(tmp_path / "quiet")
    assert home.create(consortium.edges["caf"].partner, settings("caf", url="")).witness_key == ""
    assert home.witness() is None


@pytest.mark.parametrize("content", [b"nothing", LOG.skey.encode()])
def test_a_witness_key_of_another_kind_stops_the_edge(named: Consortium, content: bytes) -> None:
    home = named.homes["caf"]
    home.witness_key.write_bytes(content)
    with pytest.raises(MaillonError) as caught:
        home.witness()
    assert (caught.value.kind, caught.value.detail) == (ErrorKind.CONFIGURATION, "witness.key: not a witness's key")


def test_an_order_the_hub_logged_nowhere_is_found_out(named: Consortium, tmp_path: Path) -> None:
    """From the pull to the evidence: the source answers, asks, misses its order, and a stranger checks it."""
    edge, log = named.edges["caf"], FakeLog().grow(5)
    assert ask(named).reports == ()
    watch = Watch(edge.store.log, edge.log_keys, log, named.clock)
    while not edge.store.log.counts():
        watch.round()
        named.clock.advance(timedelta(seconds=10))
    assert named.caf.get("/health").get_json()["alarms"] == {"order-missing": 1}
    shown = command("edge", "alarms", "--home", named.homes["caf"].path, "--export", tmp_path / "out", "--json")
    assert shown.exit_code == 1, shown.output
    (alarm,) = json.loads(shown.output)["alarms"]
    assert alarm["local_id"] == LOCAL["caf"]
    assert all(LOCAL["caf"].encode() not in file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert (alarm["code"], alarm["ended"]) == ("order-missing", None)
    found = evidence.open_missing_order(Path(alarm["evidence_file"]).read_bytes(), edge.directory)
    assert (found.source, found.recipient, found.signed.checkpoint.size) == ("caf", "departement", 5)
    settled = command("edge", "alarms", "--home", named.homes["caf"].path, "--settle", alarm["number"])
    assert (settled.exit_code, settled.output.strip()) == (0, "No alarm.")
    assert command("edge", "alarms", "--home", named.homes["caf"].path, "--settle", 99).exit_code != 0


def test_who_asked_looks_for_the_orders_on_its_request_too(named: Consortium) -> None:
    """A source in league with the hub would say nothing."""
    asker = named.edges["departement"]
    ask(named)
    (kept,) = asker.store.log.unproven()
    assert kept.leaf_hash == named.edges["caf"].store.log.unproven()[0].leaf_hash
    named.clock.advance(timedelta(seconds=30))
    assert Watch(asker.store.log, asker.log_keys, FakeLog().grow(5), named.clock).round().missing == 1


def test_evidence_of_a_missing_order_is_checked_whole(named: Consortium) -> None:
    edge, log = named.edges["caf"], FakeLog().grow(5)
    ask(named)
    (kept,) = edge.store.log.unproven()
    order = edge.store.log.order_of(kept)
    assert evidence.open_missing_order(evidence.missing_order(order, log.note()), edge.directory).source == "caf"
    stranger = FakeLog(log.leaves, SignerKey.from_seed(ORIGIN, b"x" * 32))
    for document in (
        evidence.missing_order(order[:-4] + "AAAA", log.note()),
        evidence.missing_order(order, stranger.note()),
        evidence.missing_order(order, b"nothing"),
        orjson.dumps({"type": "maillon/missing-order/v1", "order": order}),
        orjson.dumps([order]),
        b"nothing",
    ):
        with pytest.raises(MaillonError):
            evidence.open_missing_order(document, edge.directory)


def check(c: Consortium, tmp_path: Path, document: bytes, *more: str) -> Result:
    (tmp_path / "evidence.json").write_bytes(document)
    (tmp_path / "directory.jws").write_text(c.edges["caf"].directory.jws)
    (tmp_path / "root.pub.jwk").write_bytes(orjson.dumps(c.root.public_jwk))
    return command(
        *("log", "check-evidence", tmp_path / "evidence.json", "--directory", tmp_path / "directory.jws"),
        *("--root-key", tmp_path / "root.pub.jwk", "--json", *more),
    )


def test_a_fork_convinces_anyone(named: Consortium, tmp_path: Path) -> None:
    log = FakeLog().grow(5)
    add(named.caf, log.request(0))
    status, _, body = add(named.caf, FakeLog([b"another", *log.leaves[1:]]).request(5))
    assert status == 409
    said = check(named, tmp_path, body)
    assert said.exit_code == 0, said.output
    assert (json.loads(said.output)["kind"], json.loads(said.output)["proves"]) == ("fork", True)
    same = check(named, tmp_path, Fork(log.note(), log.note()).encode())
    assert same.exit_code == 1, "a tree and itself prove nothing"
    forged = FakeLog(log.leaves, SignerKey.from_seed(ORIGIN, b"x" * 32))
    assert isinstance(check(named, tmp_path, Fork(log.note(), forged.note()).encode()).exception, MaillonError)


def test_two_trees_prove_something_when_the_log_cannot_tie_them(
    named: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FakeLog().grow(5)
    false = FakeLog([b"another", *log.leaves[1:]]).grow(3)
    for told, proves in ((FakeLog(list(log.leaves)).grow(3), False), (false, True)):
        document = Fork(log.note(), told.note()).encode()
        assert check(named, tmp_path, document).exit_code == 1, "offline it is a question, not a proof"
        monkeypatch.setattr(ledger_evidence, "HttpLog", lambda url, transport, told=told: told)
        said = check(named, tmp_path, document, "--hub-url", "http://127.0.0.1:1")
        assert json.loads(said.output)["proves"] is proves


def test_a_missing_order_the_hub_can_show_after_all(
    named: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, log = named.edges["caf"], FakeLog().grow(5)
    ask(named)
    (kept,) = edge.store.log.unproven()
    document = evidence.missing_order(edge.store.log.order_of(kept), log.note())

    leaf = b64url.decode(seal.peek(edge.store.log.order_of(kept), Typ.ORDER)["leaf"])
    honest = FakeLog([*log.leaves, leaf])
    monkeypatch.setattr(ledger_evidence, "HttpLog", lambda url, transport: honest)
    truthful = evidence.missing_order(edge.store.log.order_of(kept), honest.note())
    assert json.loads(check(named, tmp_path, truthful, "--hub-url", "http://x").output)["proves"] is False
    assert json.loads(check(named, tmp_path, document, "--hub-url", "http://x").output)["proves"] is True
