"""An erasure beside a pull and beside an agreement, every interleaving forced: afterwards nothing is released."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import PersonId
from consent.model import EventKind
from hub.services import log, receipts, release
from hub.services.register import resolve
from hub.store import tables
from hub.store.secrets import SecretStore
from hub.store.session import UnitOfWork
from tests.erasure.conftest import Life, decision, erase, is_whole, live, person_of
from tests.hub.conftest import World, problem


def outcomes(world: World) -> list[tuple[str, str, bytes | None]]:
    table = tables.access_event
    query = select(table.c.kind, table.c.outcome, table.c.subject_tag).order_by(table.c.seq)
    return [tuple(row) for row in world.hub.reads.run(lambda uow: uow.connection.execute(query).all())]


def test_erased_between_the_gates_nothing_passes(world: World, life: Life) -> None:
    ref = life.refs["departement"]
    before = len(outcomes(world))
    world.edges.before = lambda slug: bool(erase(world, ref)) or None
    answer = world.pull(ref)
    assert answer["fragments"] == answer["gaps"] == answer["legal"] == []
    assert set(answer["statuses"].values()) == {"non_communique"}
    assert len(world.edges.orders) == 2  # the one of `live`, and the one that was under way
    *_, (kind, outcome, tag) = outcomes(world)
    assert (kind, outcome, tag) == ("delivered", "nothing", None)
    assert len(outcomes(world)) > before
    assert is_whole(world)


def test_erased_after_the_decision_and_before_the_orders_no_source_hears_of_it(
    world: World, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, orders = life.refs["departement"], len(world.edges.orders)
    order = release._order

    def erased_first(*args: object) -> object:
        erase(world, ref)
        return order(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(release, "_order", erased_first)
    answer = world.pull(ref)
    assert answer["fragments"] == []
    assert len(world.edges.orders) == orders


@pytest.mark.parametrize("moment", ["before the secrets go", "after the secrets went"])
def test_half_an_erasure_releases_nothing_either(
    world: World, life: Life, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """From the first commit on no ref means anybody; whoever comes while the secrets are still there is told so."""
    ref, seen = life.refs["departement"], []
    destroy = SecretStore.erase

    def watched(store: SecretStore, *args: object, **kwargs: object) -> None:
        if moment == "after the secrets went":
            destroy(store, *args, **kwargs)  # type: ignore[arg-type]
        seen.append(world.hub.reads.run(lambda uow: uow.persons.by_ref("departement", lookup)))
        if moment == "before the secrets go":
            destroy(store, *args, **kwargs)  # type: ignore[arg-type]

    lookup = world.hub.keyring.ref_lookup("departement", ref)
    monkeypatch.setattr(SecretStore, "erase", watched)
    erase(world, ref)
    assert seen == [None]


@pytest.mark.parametrize("first", ["erasure", "agreement"])
def test_an_agreement_and_an_erasure_at_once(world: World, life: Life, first: str) -> None:
    """The writer's order decides: the agreement is refused, or it goes with the rest."""
    ref = life.refs["departement"]
    event, decided = world.event(ref, EventKind.GRANTED), decision(world, ref)
    answers: dict[str, int] = {}
    gate, queued = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        def wait(uow: object) -> None:
            queued.release()
            assert gate.wait(120)

        world.hub.writer.run(wait)

    calls: dict[str, Callable[[], int]] = {
        "agreement": lambda: world.post("departement", "/v1/consents", event).status_code,
        "erasure": lambda: world.post("dpo", "/v1/erasures", decided).status_code,
    }
    world.token("dpo")
    holder = threading.Thread(target=hold)
    holder.start()
    queued.acquire()
    threads = []
    for name in sorted(calls, key=lambda name: name != first):
        waiting = world.hub.writer._queue.qsize()
        thread = threading.Thread(target=lambda name=name: answers.__setitem__(name, calls[name]()))  # type: ignore[misc]
        thread.start()
        threads.append(thread)
        while world.hub.writer._queue.qsize() == waiting:
            threading.Event().wait(0.005)
    gate.set()
    for thread in (holder, *threads):
        thread.join()
    assert answers["erasure"] == 201
    # An agreement that came first was taken down, and answered if its receipt was ready before it went.
    assert answers["agreement"] in ((201, 404) if first == "agreement" else (404,))
    assert person_of(world, ref) is None
    events = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.consent_event)).all())
    assert events == []
    assert world.pull(ref)["fragments"] == []
    assert is_whole(world)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("moment", ["before it is looked for", "once it was found", "once it was opened"])
def test_an_agreement_erased_before_its_receipt_was_told_was_not_acknowledged(
    world: World, life: Life, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The collector learns that the ref means no one, as from then on; never that its agreement stands, nor an error
    it would try again for ever."""
    ref, begun, erased = life.refs["departement"], threading.Event(), []
    event, decided = world.event(ref, EventKind.GRANTED), decision(world, ref)
    world.token("dpo")
    module, name = {
        "before it is looked for": (receipts, "receipt"),
        "once it was found": (log, "covering"),
        "once it was opened": (log, "inclusion"),
    }[moment]
    step = getattr(module, name)

    def erase_first(*args: Any) -> Any:
        if not begun.is_set():
            begun.set()
            erased.append(world.post("dpo", "/v1/erasures", decided).status_code)
        return step(*args)

    monkeypatch.setattr(module, name, erase_first)
    answer = world.post("departement", "/v1/consents", event)
    assert erased == [201]
    if moment == "once it was opened":
        # Whole in the snapshot it was read from, and true: it was accepted and signed, and then erased.
        assert answer.status_code == 201
        assert answer.get_json()["receipt"]["proof"]
    else:
        problem(answer, ErrorKind.UNKNOWN_SUBJECT)
    problem(world.post("departement", "/v1/consents", event), ErrorKind.UNKNOWN_SUBJECT)
    assert world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.consent_event)).all()) == []
    assert is_whole(world)


@pytest.mark.usefixtures("impatient")
def test_who_reads_while_the_keys_go_is_told_what_holds_afterwards(world: World, life: Life) -> None:
    """The snapshot still had the rows, the keys were gone: that is no broken store."""
    ref = life.refs["departement"]
    erased: list[object] = []

    def read(uow: UnitOfWork) -> PersonId | None:
        person = resolve(uow, world.hub.keyring, "departement", ref)
        if not erased:
            erased.append(erase(world, ref))
        return None if person is None else uow.consents.of(person)[0].person_id

    assert world.hub.reads.run(read) is None
    assert len(erased) == 1


def test_many_pulls_and_agreements_while_people_are_erased(world: World) -> None:
    """No moment is chosen: whatever the threads make of it, once the erasure is answered nothing is released."""
    lives = [live(world, number) for number in range(1, 6)]
    for name in ("departement", "dpo"):
        world.token(name)
    erased_at: dict[str, int] = {}
    wrong: list[str] = []
    stop, calls = threading.Event(), [0]

    def pull(life: Life) -> None:
        ref = life.refs["departement"]
        while not stop.is_set():
            was_erased = ref in erased_at
            answer = world.pull(ref)
            calls[0] += 1
            if was_erased and (answer["fragments"] or "communique" in answer["statuses"].values()):
                wrong.append(ref)

    threads = [threading.Thread(target=pull, args=(life,)) for life in lives]
    for thread in threads:
        thread.start()
    for life in lives:
        before = calls[0]
        while calls[0] < before + 5:
            threading.Event().wait(0.005)
        erase(world, life.refs["departement"])
        erased_at[life.refs["departement"]] = 1
    before = calls[0]
    while calls[0] < before + 20:
        threading.Event().wait(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert calls[0] > 40
    assert is_whole(world)
    for life in lives:
        problem(
            world.post("departement", "/v1/consents/search", {"ref": life.refs["departement"]}),
            ErrorKind.UNKNOWN_SUBJECT,
        )
