"""The log grows in the commit that acknowledges: nothing missing, nothing twice, always signed, never on sand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, select, text

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from consent.ledger.checkpoint import open_note
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash, root_from_hashes
from consent.ledger.note import SignerKey
from consent.ledger.replay import Reveal, replay
from consent.ledger.tile import TileId, right_edge
from hub.store import tables
from hub.store.engine import open_engine
from hub.store.journal import Draft, leaf_of, opening_of
from hub.store.matches import Match, MatchKind
from hub.store.migrations import upgrade
from hub.store.sequencer import Sequencer
from hub.store.session import UnitOfWork, Writer
from tests.hub.stores import LOG_KEY, ORIGIN, SYSTEM_KEY, open_secrets, open_sequencer


class Store:
    """A writer on a folder, which can be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.engine = open_engine(folder / "hub.db")
        upgrade(self.engine, "hub")
        self.start()

    def start(self, *keys: SignerKey) -> None:
        self.sequencer = open_sequencer(*keys)
        self.secrets = open_secrets(self.folder, self.clock)
        self.writer = Writer(self.engine, self.secrets, self.sequencer, self.clock)
        vkeys = [key.verifier.vkey for key in self.sequencer.held]
        self.writer.run(lambda uow: uow.in_force.take_log_keys(vkeys))

    def restart(self, *keys: SignerKey) -> None:
        self.writer.close()
        self.secrets.close()
        self.start(*keys)

    def add(self, count: int) -> None:
        self.writer.run(lambda uow: uow.journal.append_all(drafts(count)))


def drafts(count: int) -> list[Draft]:
    return [Draft(EventClass.POLICY, {"event": "x"}) for _ in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.writer.close()
    store.secrets.close()


def check(engine: Engine) -> int:
    """Compute the whole log again from the journal, in the simplest way; return its size."""
    with engine.connect() as connection:
        events = connection.execute(select(tables.journal).order_by(tables.journal.c.seq)).all()
        entries = connection.execute(select(tables.entry).order_by(tables.entry.c.leaf_index)).all()
        notes = connection.execute(select(tables.checkpoint).order_by(tables.checkpoint.c.size)).all()
        tiles = connection.execute(select(tables.tile)).all()
        assert connection.execute(select(tables.inbox)).all() == []
        (size,) = connection.execute(select(tables.tree_head.c.size)).scalars()
        keys = connection.execute(select(tables.log_key)).all()
    leaves = [leaf_of(row).encode() for row in events]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert [row.leaf_index for row in entries] == list(range(len(events)))
    assert [row.seq for row in entries] == [row.seq for row in events]
    assert [row.leaf_hash for row in entries] == hashes
    assert size == len(events) == (notes[-1].size if notes else 0)
    for row in notes:
        assert row.root == root_from_hashes(hashes[: row.size])
    lowest = sorted((row for row in tiles if row.level == 0), key=lambda row: row.idx)
    assert b"".join(row.hashes for row in lowest) == b"".join(hashes)
    index = {row.seq: row.leaf_index for row in entries}
    reveals = {index[r.seq]: r for r in events if r.seq in {key.seq for key in keys}}
    openings = {n: opening_of(row, SYSTEM_KEY) for n, row in reveals.items()}
    fault = replay(
        leaves,
        [row.note for row in notes],
        KeyHistory(ORIGIN, (KeySpan(LOG_KEY.verifier),)),
        {n: Reveal(opened.r32, opened.envelope) for n, opened in openings.items()},
    )
    assert fault is None
    return size


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
    assert check(store.engine) == sum(counts)
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
    assert check(store.engine) == 315


def test_an_item_undone_alone_is_not_in_the_log(store: Store) -> None:
    def undone(uow: UnitOfWork) -> None:
        uow.journal.append(EventClass.POLICY, {"event": "x"})
        raise MaillonError(ErrorKind.CONFLICT, "no")

    store.add(2)
    with pytest.raises(MaillonError):
        store.writer.run(undone)
    store.add(2)
    assert check(store.engine) == 4


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
    assert check(store.engine) == 4


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
    assert check(store.engine) == 1


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
    assert check(store.engine) == before
    _limit(store.engine, None)
    store.add(40)
    store.restart()
    store.add(1)
    assert check(store.engine) == before + 41


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
    assert check(store.engine) == made + 1
    _limit(store.secrets._engine, None)
    last = store.writer.run(newcomer)
    store.restart()
    assert set(store.secrets.refs([first, last])) == {first, last}


# --- keys -------------------------------------------------------------------------------------------------------------


def _signed_by(store: Store) -> list[int]:
    known = [LOG_KEY, *(SignerKey.from_seed(ORIGIN, bytes([n]) * 32) for n in (1, 2))]
    newest = store.writer.run(lambda uow: uow.log.newest())
    assert newest is not None
    opened = open_note(newest.note, [key.verifier for key in known])
    return sorted(known.index(key) for key in known if key.verifier in {each.key for each in opened.signatures})


def test_the_key_of_the_log_changes_with_an_overlap(store: Store) -> None:
    one, two = (SignerKey.from_seed(ORIGIN, bytes([n]) * 32) for n in (1, 2))
    store.add(5)
    assert _signed_by(store) == [0]
    store.restart(LOG_KEY, one)
    assert _signed_by(store) == [0, 1]  # the very checkpoint that covers the introduction
    store.add(5)
    store.restart(LOG_KEY, one)
    store.add(1)
    assert _signed_by(store) == [0, 1]
    store.restart(one)
    assert _signed_by(store) == [1]  # and the one that covers the retirement
    store.restart(one, two)
    store.restart(two)
    store.add(1)
    assert _signed_by(store) == [2]
    assert check(store.engine) == 5 + 1 + 5 + 1 + 1 + 2 + 1


@pytest.mark.parametrize("held", [(1,), (1, 2), (0, 1, 0)])
def test_a_key_that_comes_without_the_old_one_is_refused(store: Store, held: tuple[int, ...]) -> None:
    known = [LOG_KEY, *(SignerKey.from_seed(ORIGIN, bytes([n]) * 32) for n in (1, 2))]
    store.add(1)
    if held == (0, 1, 0):  # retired, and back
        store.restart(LOG_KEY, known[1])
        store.restart(known[1])
        held = (0, 1)
    with pytest.raises(MaillonError) as refused:
        store.restart(*(known[n] for n in held))
    assert refused.value.kind is ErrorKind.CONFIGURATION


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_old_checkpoints_are_thinned_to_the_cosigned_and_each_hours_last(store: Store) -> None:
    chance = random.Random(4)  # noqa: S311
    made: dict[int, int] = {}
    start = store.clock.now()
    for _ in range(60):
        store.clock.advance(timedelta(minutes=chance.randint(1, 20)))
        store.add(1)
        made[store.writer.run(lambda uow: uow.log.size())] = int((store.clock.now() - start) / timedelta(hours=1))
    cosigned = chance.sample(sorted(made), 5)
    for size in cosigned:
        store.writer.run(lambda uow: uow.log.cosign(size, [("w/a", b"one\n"), ("w/b", b"two\n")]))  # noqa: B023
        store.writer.run(lambda uow: uow.log.cosign(size, [("w/a", b"other\n")]))  # noqa: B023
    before = store.clock.now() - timedelta(hours=1)
    lasts = {hour: size for size, hour in made.items()}
    young = {size for size in made if store.writer.run(lambda uow: uow.log.checkpoint(size)).at >= before}  # type: ignore[union-attr]  # noqa: B023
    dropped = store.writer.run(lambda uow: uow.log.thin(before))
    with store.engine.connect() as connection:
        left = set(connection.execute(select(tables.checkpoint.c.size)).scalars())
    assert left == {*lasts.values(), *cosigned, *young}
    assert dropped == len(made) - len(left) > 0
    under = store.writer.run(lambda uow: uow.log.cosignatures(cosigned[0]))
    assert [each.line for each in under] == [b"one\n", b"two\n"]
    assert check(store.engine) == 60


def test_tiles_are_read_as_wide_as_asked(store: Store) -> None:
    store.add(700)
    read = store.writer.run(lambda uow: [uow.log.tile(tile) for tile in right_edge(700)])
    assert [len(each) for each in read] == [32 * (700 % 256), 32 * 2]
    assert store.writer.run(lambda uow: uow.log.tile(TileId(0, 2, 5))) == read[0][: 32 * 5]
    assert store.writer.run(lambda uow: uow.log.tile(TileId(0, 3))) == b""
    leaves = store.writer.run(lambda uow: uow.log.leaves(250, 260))
    assert [store.writer.run(lambda uow: uow.log.index_of(leaf_hash(leaf))) for leaf in leaves] == list(range(250, 260))  # noqa: B023
