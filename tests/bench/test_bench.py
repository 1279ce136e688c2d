"""Every bench does, once and small, what it says it measures. No time is looked at here: that is ``make bench``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from lxml import etree

from bench import __main__ as command
from bench import bare_chain, caf_stream, decide, harness, ledger, pull, rsa_stream, validate
from connectors.kit.transport import JOSE, Transport
from consent.decide import decide as decide_fields
from hub.store.engine import sqlite_module
from schemas import registry


def test_the_bare_expression_gives_what_decide_allows() -> None:
    load = decide.workload()
    for (question, given), row in zip(load.prepared, load.rows, strict=True):
        wanted, permit, deny, cap, agreed, refused, legal, informed, objection, protected = row
        authority = (agreed & ~refused) | (legal & informed & ~objection)
        expected = wanted & permit & ~deny & cap & authority & ~protected
        assert decide_fields(load.policy, question, given).allowed == expected
    decisions = [decide_fields(load.policy, *pair) for pair in load.prepared]
    assert len({decision.allowed for decision in decisions}) > 5
    assert {reason for each in decisions for reason, mask in each.masks() if mask} >= {"ok", "objection", "protected"}
    assert decide.ours(load) == decide.bare(load) == decide.whole(load) == len(load.prepared) == 32


def test_the_fragment_has_25_fields_and_is_valid() -> None:
    fragment, judge = validate.fragment(), registry.validator("fragment")
    data = json.dumps(fragment).encode()
    assert len(fragment["statements"]) == 25
    assert validate.check(judge, fragment) == validate.read(data) == validate.receive(judge, data)
    fragment["statements"]["contact.email"]["valeur"] = "x"
    with pytest.raises(registry.SchemaViolation):
        validate.check(judge, fragment)


def test_a_generated_stream_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "flux.xml"
    written = rsa_stream.write(path, 60)
    assert written >= 60
    households = len(etree.parse(str(path)).findall("InfosFoyerRSA"))
    assert caf_stream.read(path) == (households, 0)
    assert caf_stream.bare(path) == caf_stream.mapped(path) == caf_stream.ours(path) == (written, 0)
    again = tmp_path / "again.xml"
    rsa_stream.write(again, 60)
    assert again.read_bytes() == path.read_bytes()


def test_a_run_in_its_own_process_tells_its_memory(tmp_path: Path) -> None:
    written = rsa_stream.write(tmp_path / "flux.xml", 5)
    run = caf_stream.measure("ours", tmp_path / "flux.xml")
    assert (run.persons, run.quarantined) == (written, 0)
    assert run.peak_mb > 10


def test_the_bare_chain_writes_twice_and_asks_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bare_chain.ANSWER_BYTES, "700")
    back = bare_chain.back().test_client()
    assert len(back.post("/v1/orders", data=b"o" * 90).data) == 700
    asked = []

    def call(self: object, method: str, url: str, **rest: object) -> object:
        asked.append((url, len(rest["body"])))  # type: ignore[arg-type]
        return type("Reply", (), {"body": b"f" * 700})

    monkeypatch.setattr(bare_chain.Transport, "call", call)
    monkeypatch.setenv(bare_chain.DATABASE, str(tmp_path / "bare.db"))
    monkeypatch.setenv(bare_chain.BACKS, "http://a http://b http://c")
    monkeypatch.setenv(bare_chain.ORDER_BYTES, "90")
    front = bare_chain.front()
    answer = front.test_client().post("/v1/pulls", data=b"q", content_type=JOSE)
    assert (answer.status_code, len(answer.data)) == (200, 2100)
    assert sorted(asked) == [("http://a/v1/orders", 90), ("http://b/v1/orders", 90), ("http://c/v1/orders", 90)]
    front.extensions["writer"].close()
    front.extensions["pool"].shutdown()
    with sqlite_module().connect(str(tmp_path / "bare.db")) as database:
        assert database.execute("SELECT count(*) FROM log").fetchone() == (2,)


def test_figures_are_medians_of_ratios_taken_pair_by_pair() -> None:
    figure = harness.figure_of("x", [(1.0, 2.0), (30.0, 10.0), (4.0, 4.0)], "note")
    assert (figure.ours.median, figure.bare.high, figure.ratio.median) == (4.0, 10.0, 1.0)
    page = command.report({"x": harness.Result((figure,), "w", "m.", "d.", ("fact",))}, 1.5)
    assert "| x | 4.0/s (1.0–30.0) | 4.0/s (2.0–10.0) | 1.00× (0.50–3.00) | note |" in page
    assert "  - fact" in page
    assert "load average 1.5" in page


def test_accepted_consents_are_in_the_log_and_bare_rows_are_not(tmp_path: Path) -> None:
    with ledger.ground(tmp_path, 10) as made:
        size = made.hub.reads.run(lambda uow: uow.log.size())
        submissions = [made.examine(event) for event in made.events(40)]
        rate, late = ledger.together([partial(made.accept, each) for each in submissions])
        assert rate > 0 < late
        assert made.hub.reads.run(lambda uow: uow.log.size()) == size + 40
        ledger.together([partial(made.bare, b"row")] * 40)
        assert made.hub.reads.run(lambda uow: uow.sql.rows("SELECT count(*) FROM bench_bare")) == [(40,)]
        assert made.hub.reads.run(lambda uow: uow.log.size()) == size + 40
        assert ledger.integrate(made.hub, 100) > 0
        assert made.hub.reads.run(lambda uow: uow.log.size()) == size + 140


def test_every_bench_is_a_command() -> None:
    assert {"decide", "validate", "caf_stream", "pull"} <= command.BENCHES.keys()
    assert pull.SOURCES == ("caf", "cpam", "france_travail")


def test_the_bare_chain_runs_as_the_hub_and_the_edges_do(tmp_path: Path) -> None:
    with pull.chain(tmp_path, pull.Sizes(request=10, order=20, fragment=30)) as url:
        reply = Transport().call("POST", f"{url}/v1/pulls", body=b"q" * 10, content_type=JOSE, accept=JOSE)
    assert reply.body == b"f" * 30 * len(pull.SOURCES)
