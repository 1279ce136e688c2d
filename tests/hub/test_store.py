"""The store: migrations, immutable events, group commit, full disks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rfc8785
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from hub.keyring import Keyring
from hub.store import tables
from hub.store.access import AccessEvent, AccessKind
from hub.store.engine import open_engine
from hub.store.journal import EventClass, canonical, commitment
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.store.session import Reads, UnitOfWork, Writer


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(tmp_path / "hub.db")
    upgrade(engine, "hub")
    return engine


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    writer = Writer(engine, FakeClock())
    yield writer
    writer.close()


def _decided(uow: UnitOfWork, person: PersonId | None = None) -> int:
    payload = {"fields": ["droits.rsa.etat"]}
    event = AccessEvent(
        EventId(new_uuid()),
        AccessKind.DECIDED,
        "0" * 32,
        person,
        "ccas",
        "refused",
        payload,
        agent="a",
        fields={"droits.rsa.etat": "x"},
    )
    return uow.access.append(event).seq


def test_migrations_give_exactly_the_tables_in_code(tmp_path: Path) -> None:
    for branch, metadata in (("hub", tables.hub), ("secrets", tables.secrets)):
        engine = open_engine(tmp_path / f"{branch}.db")
        upgrade(engine, branch)
        upgrade(engine, branch)
        with engine.connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection), metadata)
            names = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type='table'")).scalars())
        assert found == []
        assert {table.name for table in metadata.sorted_tables} <= names


def test_pragmas(engine: Engine) -> None:
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "recursive_triggers")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "recursive_triggers": 1,
    }


@pytest.mark.parametrize("name", tables.EVENT_TABLES)
def test_events_are_never_changed(engine: Engine, writer: Writer, name: str) -> None:
    def fill(uow: UnitOfWork) -> None:
        person = uow.persons.create(provisional=False)
        _decided(uow, person)
        uow.partners.suspend("caf", suspended=True, reason="test", actor="operator")
        uow.partners.accept_directory(1, "d" * 43)
        uow.consents.append(
            person, record_id="r", kind="granted", collector="ccas", jws="a.b.c", digest="d" * 43, salt=b"s" * 16
        )

    writer.run(fill)
    table = tables.hub.tables[name]
    first = next(iter(table.columns))
    with engine.connect() as connection:
        before = connection.execute(select(table)).all()
        assert before
        for statement in (update(table).values({first.name: first}), delete(table)):
            with pytest.raises(IntegrityError, match="never changed"), connection.begin_nested():
                connection.execute(statement)
        replace = insert(table).prefix_with("OR REPLACE").values(**before[0]._asdict())
        with pytest.raises(IntegrityError, match="never changed"), connection.begin_nested():
            connection.execute(replace)
        assert connection.execute(select(table)).all() == before


def test_consent_events_move_the_version_of_their_person_only(writer: Writer) -> None:
    def fill(uow: UnitOfWork) -> tuple[int, int]:
        one, other = (uow.persons.create(provisional=False) for _ in range(2))
        for n in range(3):
            digest = str(n) * 43
            uow.consents.append(
                one, record_id="r", kind="granted", collector="ccas", jws="a", digest=digest, salt=b"s" * 16
            )
        return uow.persons.version(one), uow.persons.version(other)

    assert writer.run(fill) == (3, 0)


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
        uow.journal.append(EventClass.ACCESS, b"x", event_id="same")  # type: ignore[arg-type]
        uow.journal.append(EventClass.ACCESS, b"y", event_id="same")  # type: ignore[arg-type]

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


def test_nothing_is_answered_before_the_commit(writer: Writer, engine: Engine, tmp_path: Path) -> None:
    """Whatever an answered item wrote is seen by an independent connection at once."""
    reads = Reads(open_engine(tmp_path / "hub.db", read_only=True), FakeClock())
    for n in range(1, 20):
        writer.run(_decided)
        assert reads.run(lambda uow: uow.journal.length()) == n


def test_readers_cannot_write(engine: Engine, tmp_path: Path) -> None:
    reads = Reads(open_engine(tmp_path / "hub.db", read_only=True), FakeClock())
    with pytest.raises(MaillonError) as refused:
        reads.run(lambda uow: uow.persons.create(provisional=False))
    assert refused.value.kind is ErrorKind.STORAGE


def test_a_full_disk_acknowledges_nothing_and_the_rest_goes_on(engine: Engine, tmp_path: Path) -> None:
    writer = Writer(engine, FakeClock())
    writer.run(_decided)
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
    writer.run(_decided)
    assert writer.run(lambda uow: uow.journal.length()) == 2
    writer.close()


def test_a_full_disk_fails_every_item_of_the_batch(engine: Engine) -> None:
    """The good items of the batch get no answer that their write exists: it does not."""
    writer = Writer(engine, FakeClock())
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
            uow.journal.append(EventClass.ACCESS, str(n).encode())

    kinds: list[object] = []

    def call(work: object) -> None:
        try:
            kinds.append(writer.run(work))  # type: ignore[arg-type]
        except MaillonError as error:
            kinds.append(error.kind)

    threads = [threading.Thread(target=call, args=(work,)) for work in (hold, good, full, good)]
    threads[0].start()
    entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    while writer._queue.qsize() < 3:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert kinds == [None, *[ErrorKind.STORAGE] * 3]
    with engine.connect() as connection:
        assert connection.execute(select(tables.person)).all() == []
    writer.close()


def test_a_commit_that_fails_acknowledges_nothing(engine: Engine) -> None:
    from sqlalchemy import event

    writer = Writer(engine, FakeClock())

    def refuse(connection: object) -> None:
        raise DatabaseError("COMMIT", None, Exception("disk I/O error"))

    event.listen(engine, "commit", refuse)
    with pytest.raises(MaillonError) as refused:
        writer.run(_decided)
    assert refused.value.kind is ErrorKind.STORAGE
    event.remove(engine, "commit", refuse)
    assert writer.run(lambda uow: uow.journal.length()) == 0
    writer.close()


def test_a_closed_writer_refuses(engine: Engine) -> None:
    writer = Writer(engine, FakeClock())
    writer.close()
    with pytest.raises(MaillonError) as refused:
        writer.run(_decided)
    assert refused.value.kind is ErrorKind.UNAVAILABLE


def test_commitments_bind_the_stored_payload(writer: Writer, engine: Engine) -> None:
    writer.run(_decided)
    with engine.connect() as connection:
        row = connection.execute(select(tables.access_event)).one()
        bound = connection.execute(select(tables.journal.c.commitment)).scalar_one()
    assert bound == commitment(row.salt, row.payload.encode())
    assert bound != commitment(bytes(32), row.payload.encode())


_TEXT, _NAME = st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="ascii"))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(_NAME, _JSON, max_size=5))
def test_payloads_are_committed_to_in_canonical_form(payload: dict[str, object]) -> None:
    assert canonical(payload) == rfc8785.dumps(payload)  # type: ignore[arg-type]


def test_secrets_are_wrapped_and_bound_to_their_person(tmp_path: Path) -> None:
    keyring = Keyring.create(tmp_path / "keyring.json")
    store = SecretStore(tmp_path / "secrets.db", keyring, FakeClock())
    one, other = PersonId("1"), PersonId("2")
    drawn = store.create_refs([one, other])
    assert store.refs([one, other, PersonId("3")]) == drawn
    raw = (tmp_path / "secrets.db").read_bytes() + (tmp_path / "secrets.db-wal").read_bytes()
    assert drawn[one] not in raw
    with pytest.raises(MaillonError) as refused:
        keyring.unwrap(other, "s_ref", keyring.wrap(one, "s_ref", b"x"))
    assert refused.value.kind is ErrorKind.STORAGE
    store.close()
