"""Faults one by one, as answers and as a client meets them over a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.simulator.cases import Case, canonical
from connectors.kit.simulator.faults import Answer, Faults, parse_fault
from connectors.kit.simulator.server import Simulator, serving

BODY = json.dumps({"data": {"est_beneficiaire": True, "details": [{"date": "2024-01-01"}]}}).encode()
GOOD = Answer(200, BODY)
FAR = 60.0
"""Seconds: no answer takes so long, not even on a busy machine."""


ROUTES = {"/v3/x": (Case("one.yaml", canonical({"identifiant": "x"}), 200, BODY, (("X-Kept", "yes"),)),)}


@contextmanager
def simulator(*specs: str) -> Iterator[Simulator]:
    running = serving(ROUTES, specs)
    try:
        yield running
    finally:
        running.stop()


def ask(running: Simulator, seconds: float = FAR, **params: str) -> requests.Response:
    return requests.get(f"{running.url}/v3/x", params=params or {"identifiant": "x"}, timeout=seconds)


def test_without_faults_the_case_is_answered_whole() -> None:
    with simulator() as running:
        reply = ask(running)
        assert (reply.status_code, reply.content) == (200, BODY)
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["X-Kept"] == "yes"
        assert reply.headers["X-Maillon-Case"] == "one.yaml"
        assert ask(running, identifiant="y").status_code == 404
        assert requests.get(f"{running.url}/v3/x", timeout=FAR).status_code == 422
        assert requests.get(f"{running.url}/other", timeout=FAR).status_code == 404
        assert requests.post(f"{running.url}/v3/x", json={"identifiant": "X"}, timeout=FAR).content == BODY
        assert requests.post(f"{running.url}/v3/x", data={"identifiant": "X"}, timeout=FAR).content == BODY
        assert (
            requests.post(
                f"{running.url}/v3/x", data="[", headers={"Content-Type": "application/json"}, timeout=FAR
            ).status_code
            == 400
        )
        counts = requests.get(f"{running.url}/_simulator", timeout=FAR).json()["counts"]
        assert counts["requests"] == 6
        assert counts["status:200"] == 3


def test_drop() -> None:
    with simulator("drop") as running, pytest.raises(requests.ConnectionError):
        ask(running)


def test_truncate() -> None:
    with simulator("truncate=0.5") as running, pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(running)


def test_latency_passes_the_client_s_patience() -> None:
    with simulator("latency=2#1") as running:
        with pytest.raises(requests.Timeout):
            ask(running, 0.3)
        assert ask(running).status_code == 200


def test_drip_sends_the_whole_body_slowly() -> None:
    with simulator("drip=0.4") as running:
        start = time.monotonic()
        assert ask(running).content == BODY
        assert time.monotonic() - start >= 0.3


def test_statuses_and_their_retry_after() -> None:
    with simulator("429=7#1,503#2,500#3") as running:
        replies = [ask(running) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [429, 503, 500, 200]
    assert [reply.headers.get("Retry-After") for reply in replies] == ["7", None, None, None]
    assert replies[0].json()["errors"][0]["code"] == "00429"


def test_maintenance_ends_when_it_said() -> None:
    now = [1000.0]
    running = Simulator(ROUTES, Faults.parse(["maintenance=0-60"]), now=lambda: now[0]).start()
    try:
        closed = ask(running)
        assert closed.status_code == 503
        assert closed.headers["Retry-After"] == "60"
        now[0] += 60
        assert ask(running).status_code == 200
    finally:
        running.stop()


def test_wrong_content_type_and_garbage() -> None:
    with simulator("content_type#1,garbage=64#2") as running:
        page, noise = ask(running), ask(running)
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.content == BODY
    assert len(noise.content) == 64
    assert noise.headers["Content-Type"] == "application/json"
    with pytest.raises(ValueError):
        noise.json()


@pytest.mark.parametrize("fault", ["remove=est_beneficiaire", "rename=est_beneficiaire"])
def test_schema_drift(fault: str) -> None:
    with simulator(fault) as running:
        drifted = ask(running).json()["data"]
    assert "est_beneficiaire" not in drifted
    assert drifted.get("est_beneficiaire_v9") is (True if fault.startswith("rename") else None)
    assert drifted["details"] == [{"date": "2024-01-01"}]


@pytest.mark.parametrize(
    "spec",
    [
        *("", "latency=", "latency=-1", "latency=nan", "drop=1", "truncate=1", "truncate=x", "maintenance=5"),
        *("maintenance=5-1", "unknown", "200", "600", "drop@2", "drop@x", "429=x", "garbage=-1", "garbage=x"),
        *("drop#a", "drop drop", "drop@@1", "drop#5-3", "drop#0", "latency=5-1", "content_type=a\r\nb: c"),
    ],
)
def test_what_is_no_fault_is_refused_by_its_name(spec: str) -> None:
    with pytest.raises(MaillonError) as caught:
        parse_fault(spec)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert spec in caught.value.detail


NAMES = st.sampled_from(
    ["drop", "truncate", "500", "429=3", "content_type", "garbage=8", "remove", "rename", "latency=0-1"]
)


@given(st.lists(st.tuples(NAMES, st.floats(0, 1)), max_size=4), st.integers(), st.integers(1, 1000))
def test_a_run_can_be_had_again(faults: list[tuple[str, float]], seed: int, number: int) -> None:
    specs = [f"{name}@{p:.6f}" for name, p in faults]
    assert Faults.parse(specs, seed).apply(GOOD, number, 0) == Faults.parse([",".join(specs)], seed).apply(
        GOOD, number, 0
    )


@given(st.integers(0, 2**32))
def test_probability_is_kept_about(seed: int) -> None:
    faults = Faults.parse(["drop@0.25"], seed)
    hit = sum(bool(faults.apply(GOOD, number, 0)[1]) for number in range(1, 401))
    assert 50 < hit < 160


def test_numbers_choose_requests() -> None:
    hit: Callable[[str], list[int]] = lambda spec: [  # noqa: E731
        n for n in range(1, 8) if Faults.parse([spec]).apply(GOOD, n, 0)[1]
    ]
    assert hit("drop#2-4") == [2, 3, 4]
    assert hit("drop#3") == [3]
    assert hit("drop#6-") == [6, 7]


def test_two_faults_of_one_answer_both_show() -> None:
    said, struck = Faults.parse(["503=4,content_type,latency=1"]).apply(GOOD, 1, 0)
    assert (said.status, said.content_type, said.wait) == (503, "text/html; charset=utf-8", 1)
    assert struck == ["503", "content_type", "latency"]
