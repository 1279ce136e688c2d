"""The one writer: what a unit of work that fails loses, and that nothing is answered before it is durable."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DatabaseError

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from consent.ledger.leaf import EventClass
from hub.store import tables
from hub.store.access import AccessEvent, AccessKind
from hub.store.engine import open_engine
from hub.store.secrets import SecretStore
from hub.store.session import Reads, UnitOfWork, Writer
from tests.hub.stores import open_sequencer, refused_access


def test_an_item_that_raises_loses_its_own_writes_only(writer: Writer, engine: Engine) -> None:
    """The first item holds the writer until the others wait: those make one batch."""
    gate, entered = threading.Event(), threading.Event()

    def hold(uow: UnitOfWork) -> None:
        entered.set()
        gate.wait(60)

    def good(uow: UnitOfWork) -> PersonId:
        return uow.persons.create(provisional=False)

    def bad(uow: UnitOfWork) -> None:
        uow.persons.create(provisional=True)
        raise MaillonError(ErrorKind.TRANSITION, "no")

    def contradicts(uow: UnitOfWork) -> None:
        uow.persons.create(provisional=True)
        uow.partners.accept_directory(1, "d" * 43)
        uow.partners.accept_directory(1, "d" * 43)

    answers: dict[str, object] = {}

    def call(name: str, work: object) -> None:
        try:
            answers[name] = writer.run(work)  # type: ignore[arg-type]
        except MaillonError as error:
            answers[name] = error.kind

    jobs = {"hold": hold, "good": good, "bad": bad, "contradicts": contradicts, "good2": good}
    threads = [threading.Thread(target=call, args=job) for job in jobs.items()]
    threads[0].start()
    entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    while writer._queue.qsize() < 4:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert answers["bad"] is ErrorKind.TRANSITION
    assert answers["contradicts"] is ErrorKind.CONFLICT
    with engine.connect() as connection:
        found = set(connection.execute(select(tables.person.c.person_id)).scalars())
        assert found == {answers["good"], answers["good2"]}
        assert connection.execute(select(tables.journal)).all() == []


def test_nothing_is_answered_before_the_commit(writer: Writer, secrets: SecretStore, tmp_path: Path) -> None:
    """Whatever an answered item wrote is seen by an independent connection at once."""
    reads = Reads(open_engine(tmp_path / "hub.db", read_only=True), secrets, FakeClock())
    for n in range(1, 20):
        writer.run(refused_access)
        assert reads.run(lambda uow: uow.journal.length()) == n


def test_readers_cannot_write(engine: Engine, secrets: SecretStore, tmp_path: Path) -> None:
    reads = Reads(open_engine(tmp_path / "hub.db", read_only=True), secrets, FakeClock())
    with pytest.raises(MaillonError) as refused:
        reads.run(lambda uow: uow.persons.create(provisional=False))
    assert refused.value.kind is ErrorKind.STORAGE


def test_a_full_disk_acknowledges_nothing_and_the_rest_goes_on(engine: Engine, secrets: SecretStore) -> None:
    writer = Writer(engine, secrets, open_sequencer(), FakeClock())
    writer.run(refused_access)
    engine.dispose()
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def big(uow: UnitOfWork) -> None:
        uow.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
        for _ in range(200):
            event = AccessEvent(
                EventId(new_uuid()), AccessKind.READ, "1" * 32, None, "dpo", "ok", {"padding": "x" * 2000}
            )
            uow.access.append(event)

    with pytest.raises(MaillonError) as refused:
        writer.run(big)
    assert refused.value.kind is ErrorKind.STORAGE
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert len(connection.execute(select(tables.journal)).all()) == 1
    engine.dispose()
    assert writer.run(lambda uow: uow.journal.length()) == 1
    writer.run(refused_access)
    assert writer.run(lambda uow: uow.journal.length()) == 2
    writer.close()


def test_a_full_disk_fails_every_item_of_the_batch(engine: Engine, secrets: SecretStore) -> None:
    """The good items of the batch get no answer that their write exists: it does not."""
    writer = Writer(engine, secrets, open_sequencer(), FakeClock())
    gate, entered = threading.Event(), threading.Event()

    def hold(uow: UnitOfWork) -> None:
        entered.set()
        gate.wait(60)

    def good(uow: UnitOfWork) -> None:
        uow.persons.create(provisional=False)

    def full(uow: UnitOfWork) -> None:
        pages = uow.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        uow.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        for n in range(500):
            uow.journal.append(EventClass.ACCESS, {"n": n})

    kinds: dict[int, object] = {}  # by place: answers of one batch wake their threads in any order

    def call(place: int, work: object) -> None:
        try:
            kinds[place] = writer.run(work)  # type: ignore[arg-type]
        except MaillonError as error:
            kinds[place] = error.kind

    threads = [threading.Thread(target=call, args=each) for each in enumerate((hold, good, full, good))]
    threads[0].start()
    entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    while writer._queue.qsize() < 3:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert kinds == {0: None, **dict.fromkeys((1, 2, 3), ErrorKind.STORAGE)}
    with engine.connect() as connection:
        assert connection.execute(select(tables.person)).all() == []
    writer.close()


def test_a_commit_that_fails_acknowledges_nothing(engine: Engine, secrets: SecretStore) -> None:
    from sqlalchemy import event

    writer = Writer(engine, secrets, open_sequencer(), FakeClock())

    def refuse(connection: object) -> None:
        raise DatabaseError("COMMIT", None, Exception("disk I/O error"))

    event.listen(engine, "commit", refuse)
    with pytest.raises(MaillonError) as refused:
        writer.run(refused_access)
    assert refused.value.kind is ErrorKind.STORAGE
    event.remove(engine, "commit", refuse)
    assert writer.run(lambda uow: uow.journal.length()) == 0
    writer.close()


def test_a_closed_writer_refuses(engine: Engine, secrets: SecretStore) -> None:
    writer = Writer(engine, secrets, open_sequencer(), FakeClock())
    writer.close()
    with pytest.raises(MaillonError) as refused:
        writer.run(refused_access)
    assert refused.value.kind is ErrorKind.UNAVAILABLE
