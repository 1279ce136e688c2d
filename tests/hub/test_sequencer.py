"""The log grows in the commit that acknowledges: nothing missing, nothing twice, always signed, never on sand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, select, text

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from consent.ledger.checkpoint import open_note
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import SignerKey
from hub.store import tables
from hub.store.journal import leaf_of
from hub.store.matches import Match, MatchKind
from hub.store.sequencer import Sequencer
from hub.store.session import UnitOfWork
from tests.hub.stores import LOG_KEY, ORIGIN, Store, recompute


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 300), max_size=8), restarts=st.sets(st.integers(0, 7)))
def test_any_growth_gives_the_tree_of_its_events(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], restarts: set[int]
) -> None:
    store = Store(tmp_path_factory.mktemp("log"))
    for number, count in enumerate(counts):
        if number in restarts:
            store.restart()
        store.add(count)
    assert recompute(store.engine) == sum(counts)
    store.writer.close()


def test_what_is_answered_is_under_a_signed_checkpoint(store: Store) -> None:
    for n in range(1, 30):
        seq = store.writer.run(lambda uow: uow.journal.append(EventClass.POLICY, {}).seq)
        with store.engine.connect() as connection:
            index = connection.execute(select(tables.entry.c.leaf_index).where(tables.entry.c.seq == seq)).scalar_one()
            note = connection.execute(select(tables.checkpoint).order_by(tables.checkpoint.c.size.desc())).first()
        assert note is not None
        assert index == n - 1 < note.size
        assert open_note(note.note, [LOG_KEY.verifier]).checkpoint.root == note.root


def test_a_leaf_is_exactly_that_of_the_ledger(store: Store) -> None:
    """The sequencer builds leaves by hand; here every class, and instants before 1970, against the one encoder."""
    for event_class in EventClass:
        store.clock.advance(-timedelta(days=365 * 30))
        store.writer.run(lambda uow: uow.journal.append(event_class, {"event": "x"}))  # noqa: B023
    with store.engine.connect() as connection:
        rows = connection.execute(select(tables.journal, tables.entry.c.leaf_hash).join(tables.entry)).all()
    assert {row._mapping["class"] for row in rows} == set(EventClass)
    assert all(row.leaf_hash == leaf_hash(leaf_of(row).encode()) for row in rows)


def test_a_batch_that_is_not_committed_leaves_no_trace_in_the_tree(store: Store) -> None:
    store.add(300)

    def refuse(connection: object) -> None:
        raise OSError("no space")

    for _ in range(3):
        event.listen(store.engine, "commit", refuse)
        with pytest.raises(MaillonError) as refused:
            store.add(7)
        assert refused.value.kind is ErrorKind.STORAGE
        event.remove(store.engine, "commit", refuse)
        store.add(5)
    assert recompute(store.engine) == 315


def test_an_item_undone_alone_is_not_in_the_log(store: Store) -> None:
    def undone(uow: UnitOfWork) -> None:
        uow.journal.append(EventClass.POLICY, {"event": "x"})
        raise MaillonError(ErrorKind.CONFLICT, "no")

    store.add(2)
    with pytest.raises(MaillonError):
        store.writer.run(undone)
    store.add(2)
    assert recompute(store.engine) == 4


def test_rows_that_wait_are_all_taken_whatever_their_number(store: Store, tmp_path: Path) -> None:
    """As on another engine: rows that became visible late have lower numbers than others already in the tree."""
    store.add(3)
    with store.engine.begin() as connection:
        seqs = [5, 9, 7]
        rows = connection.execute(select(tables.journal)).all()
        for seq, row in zip(seqs, rows, strict=True):
            again = {**row._mapping, "seq": seq, "event_id": f"{seq:08x}{row.event_id[8:]}"}
            connection.execute(tables.journal.insert(), again)
            if seq == 9:
                store.sequencer.integrate(connection, store.clock.now())
    store.sequencer.forget()
    store.add(1)
    with store.engine.connect() as connection:
        order = connection.execute(select(tables.entry.c.seq).order_by(tables.entry.c.leaf_index)).scalars().all()
    assert order == [1, 2, 3, 5, 9, 7, 10]


def test_two_sequencers_cannot_both_add(store: Store) -> None:
    store.add(3)
    other = Sequencer([LOG_KEY])
    with store.engine.begin() as connection:
        other.integrate(connection, store.clock.now())
        stale = other.check(connection)
    store.add(1)
    other._frontier = stale
    with store.engine.connect() as connection:
        transaction = connection.begin()
        connection.exec_driver_sql(
            "INSERT INTO journal (event_id, class, at, commitment, ciphertext_digest) "
            "VALUES ('00000000-0000-4000-8000-000000000000', 'policy', 0, zeroblob(32), zeroblob(32))"
        )
        with pytest.raises(MaillonError, match="somebody else"):
            other.integrate(connection, store.clock.now())
        transaction.rollback()
    assert recompute(store.engine) == 4


def _tile(connection: object) -> None:
    connection.execute(text("DROP TRIGGER tile_only_grows"))  # type: ignore[attr-defined]
    connection.execute(text("UPDATE tile SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND idx = 1"))  # type: ignore[attr-defined]


def _size(connection: object) -> None:
    connection.execute(text("UPDATE tree_head SET size = size - 1"))  # type: ignore[attr-defined]


def _missing(connection: object) -> None:
    connection.execute(text("DROP TRIGGER tile_no_delete"))  # type: ignore[attr-defined]
    connection.execute(text("DELETE FROM tile WHERE level = 1"))  # type: ignore[attr-defined]


def _resigned(connection: object) -> None:
    other = SignerKey.from_seed(ORIGIN, b"?" * 32)
    note = connection.execute(select(tables.checkpoint.c.note).order_by(tables.checkpoint.c.size.desc())).scalar()  # type: ignore[attr-defined]
    body = note.split(b"\n\n")[0] + b"\n"
    connection.execute(text("DROP TRIGGER checkpoint_no_update"))  # type: ignore[attr-defined]
    forged = body + b"\n" + other.sign(body)
    connection.execute(text("UPDATE checkpoint SET note = :note"), {"note": forged})  # type: ignore[attr-defined]


def _older(connection: object) -> None:
    connection.execute(text("DROP TRIGGER checkpoint_newest_stays"))  # type: ignore[attr-defined]
    connection.execute(text("DELETE FROM checkpoint WHERE size > 300"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("tamper", [_tile, _size, _missing, _resigned, _older])
def test_nothing_is_signed_on_top_of_a_log_that_is_not_the_one_signed_last(
    store: Store, tamper: Callable[[object], None]
) -> None:
    store.add(300)
    store.add(30)
    with store.engine.begin() as connection:
        tamper(connection)
    store.restart()
    with pytest.raises(MaillonError, match="not what was signed") as refused:
        store.add(1)
    assert refused.value.kind is ErrorKind.STORAGE
    with store.engine.connect() as connection:
        assert len(connection.execute(select(tables.journal)).all()) == 330


def test_a_halted_log_acknowledges_nothing(store: Store) -> None:
    store.add(1)
    store.sequencer.halt("a witness knows a larger tree")
    with pytest.raises(MaillonError, match="a witness knows a larger tree") as refused:
        store.add(1)
    assert refused.value.kind is ErrorKind.LOG_STOPPED
    assert store.writer.run(lambda uow: uow.log.size()) == 1
    assert recompute(store.engine) == 1


def test_the_owner_cannot_lose_an_event_on_its_way_by_accident(store: Store) -> None:
    store.add(260)
    for statement, said in (
        ("DELETE FROM tile", "only grows"),
        ("UPDATE tile SET hashes = x'00'", "only grows"),
        ("UPDATE checkpoint SET size = 1", "never changed"),
        ("DELETE FROM checkpoint", "the newest stays"),
        ("INSERT INTO inbox VALUES (1); ", None),
    ):
        with store.engine.connect() as connection:
            if said is not None:
                with pytest.raises(Exception, match=said):
                    connection.exec_driver_sql(statement)
    with store.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO journal (event_id, class, at, commitment, ciphertext_digest) "
            "VALUES ('00000000-0000-4000-8000-000000000000', 'policy', 0, zeroblob(32), zeroblob(32))"
        )
        with pytest.raises(Exception, match="for the log only"):
            connection.execute(delete(tables.inbox))


def _limit(engine: Engine, pages: int | None) -> None:
    """Let the file of ``engine`` grow by so many pages and no more; None: as it likes. One connection serves all."""
    with engine.connect() as connection:
        now = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={2**30 if pages is None else now + pages}")


@pytest.mark.parametrize("pages", range(0, 40, 3))
def test_a_disk_that_is_full_at_any_page_leaves_a_whole_log(store: Store, pages: int) -> None:
    store.add(300)
    _limit(store.engine, pages)
    before = store.writer.run(lambda uow: uow.log.size())

    def fill() -> None:
        nonlocal before
        for _ in range(20):
            store.add(40)
            before += 40

    with pytest.raises(MaillonError) as refused:
        fill()
    assert refused.value.kind is ErrorKind.STORAGE
    assert store.writer.run(lambda uow: uow.log.size()) == before
    assert recompute(store.engine) == before
    _limit(store.engine, None)
    store.add(40)
    store.restart()
    store.add(1)
    assert recompute(store.engine) == before + 41


def test_nothing_is_acknowledged_whose_keys_do_not_fit_on_the_disk(store: Store) -> None:
    def newcomer(uow: UnitOfWork) -> PersonId:
        person = uow.persons.create(provisional=False)
        uow.secrets.create([person])
        uow.matches.append_all([Match(MatchKind.CREATED, person, "r", "caf", {"rule": "new"})])
        return person

    first = store.writer.run(newcomer)
    _limit(store.secrets._engine, 0)
    made = 0

    def fill() -> None:
        nonlocal made
        for _ in range(200):
            store.writer.run(newcomer)
            made += 1

    with pytest.raises(MaillonError) as refused:
        fill()
    assert refused.value.kind is ErrorKind.STORAGE
    with store.engine.connect() as connection:
        persons = connection.execute(select(tables.person.c.person_id)).scalars().all()
    assert len(persons) == made + 1 == len(store.secrets.refs(map(PersonId, persons)))
    assert recompute(store.engine) == made + 1
    _limit(store.secrets._engine, None)
    last = store.writer.run(newcomer)
    store.restart()
    assert set(store.secrets.refs([first, last])) == {first, last}
