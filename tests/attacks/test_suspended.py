"""A partner suspended because its key was stolen: from that commit on it says nothing and gives nothing."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from connectors.kit.runtime.errors import ErrorKind
from consent.model import EventKind
from hub.store.session import UnitOfWork
from tests.hub.conftest import QF, RSA, World, body_of, problem, record_key, tokens


def _suspend(world: World, slug: str, suspended: bool = True) -> None:
    world.ok("operator", "/v1/partners/suspend", {"slug": slug, "suspended": suspended, "reason": "clé volée"})


def _bodies(world: World, ref: str) -> dict[str, Any]:
    return {
        "/v1/consents": world.event(ref, EventKind.GRANTED),
        "/v1/registrations": {"records": [{"record_key": record_key(7), "sections": []} | tokens(7).to_wire()]},
        "/v1/access-log/search": {"view": "usager", "ref": ref},
    }


@pytest.mark.parametrize("path", ["/v1/consents", "/v1/registrations", "/v1/access-log/search"])
def test_what_was_already_at_the_door_is_refused_too(world: World, known: dict[str, str], path: str) -> None:
    """The call is authenticated, then waits for the writer while the suspension is ahead of it in the queue."""
    body = _bodies(world, known["departement"])[path]
    world.token("operator")
    held, go, answers = threading.Event(), threading.Event(), {}

    def hold(uow: UnitOfWork) -> None:
        held.set()
        go.wait(120)

    def call(name: str, where: str, document: object) -> threading.Thread:
        def run() -> None:
            answers[where] = world.post(name, where, document)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    world.token("departement")
    queue = world.hub.writer._queue
    holder = threading.Thread(target=world.hub.writer.run, args=(hold,))
    holder.start()
    assert held.wait(120)
    suspension = {"slug": "departement", "suspended": True, "reason": "clé volée"}
    threads = [call("operator", "/v1/partners/suspend", suspension)]
    while queue.qsize() < 1:
        time.sleep(0.001)
    threads.append(call("departement", path, body))
    while queue.qsize() < 2 and threads[1].is_alive():
        time.sleep(0.001)
    go.set()
    for thread in (holder, *threads):
        thread.join()
    assert answers["/v1/partners/suspend"].status_code == 200
    problem(answers[path], ErrorKind.SUSPENDED)


@pytest.mark.parametrize("where", ["hub", "directory"])
def test_agreements_taken_down_by_a_suspended_collector_give_nothing_meanwhile(
    world: World, known: dict[str, str], where: str
) -> None:
    """Whoever stole its key may have granted a great deal first; and no source believes it any more."""
    ref = known["departement"]
    world.consent(known["ccas"], EventKind.GRANTED, collector="ccas", fields=(*RSA, *QF))
    assert len(world.pull(ref)["fragments"]) == 1
    _set(world, where, "ccas", True)
    answer = world.pull(ref)
    assert (answer["fragments"], answer["gaps"]) == ([], [])
    explained = world.ok("dpo", "/v1/explanations", {"trace_id": answer["trace_id"]})
    reasons = {
        f["path"]: f["reason"] for row in explained["decisions"] if row["source"] == "caf" for f in row["fields"]
    }
    assert reasons[RSA[0]] == "no_consent"
    _set(world, where, "ccas", False)
    assert len(world.pull(ref)["fragments"]) == 1


def test_another_collectors_agreement_still_gives(world: World, known: dict[str, str]) -> None:
    """An order that also carried the suspended collector's would be refused whole by the source."""
    ref = known["departement"]
    world.consent(known["ccas"], EventKind.GRANTED, collector="ccas", fields=(*RSA, *QF))
    record = world.consent(ref, EventKind.GRANTED, fields=RSA)["record_id"]
    _set(world, "directory", "ccas", True)
    world.edges.orders.clear()
    answer = world.pull(ref)
    assert {path for path, status in answer["statuses"].items() if status == "communique"} == set(RSA)
    assert len(world.edges.orders[0]["authorities"]) == 1
    (delivered,) = [r for r in world.log(trace_id=answer["trace_id"]) if r["kind"] == "delivered"]
    assert delivered["consent_ids"] == [record]


def test_its_refusals_stand(world: World, known: dict[str, str]) -> None:
    world.consent(known["departement"], EventKind.GRANTED, fields=(*RSA, *QF))
    world.consent(known["ccas"], EventKind.DENIED, collector="ccas", fields=QF)
    _suspend(world, "ccas")
    answer = world.pull(known["departement"])
    assert answer["statuses"][QF[0]] == "non_communique"
    assert answer["statuses"][RSA[0]] == "communique"


def test_a_collector_suspended_between_the_gates_gives_nothing(world: World, known: dict[str, str]) -> None:
    world.consent(known["ccas"], EventKind.GRANTED, collector="ccas", fields=RSA)
    world.token("operator")
    world.edges.before = lambda slug: _suspend(world, "ccas")
    answer = world.ok("departement", "/v1/pulls", body_of(world.request(known["departement"])))
    assert answer["fragments"] == []
    explained = world.ok("dpo", "/v1/explanations", {"trace_id": answer["trace_id"]})
    assert {f["reason"] for row in explained["decisions"] for f in row["fields"]}.isdisjoint({"ok"})


def _set(world: World, where: str, slug: str, suspended: bool) -> None:
    if where == "hub":
        return _suspend(world, slug, suspended)
    entry = world.entries[slug]
    status = "suspended" if suspended else "active"
    world.entries[slug] = type(entry).from_wire(entry.to_wire() | {"status": status})
    world.sign_directory()
    world.hub.directory.refresh()
    return None
