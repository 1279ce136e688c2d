"""The index's two tables against a dictionary: what is added, replaced and forgotten, in whatever order it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select

from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.ids import PersonId
from hub.store import tables
from hub.store.engine import open_engine
from hub.store.index import Index, IndexedToken
from hub.store.migrations import upgrade
from hub.store.sql import Sql
from hub.store.token_set import Packed, count_of, pack, values_of

LOOKED_UP = frozenset({"nir", "sgd"})
PERSONS = {f"r{n}": PersonId(f"p{n // 2}") for n in range(6)}
TOKENS = st.builds(
    lambda kind, epoch, n: IndexedToken(kind, epoch, n - 3 if n % 2 else (n - 3) * 2**60, bytes([n]) * 16),
    st.sampled_from(["nir", "sgd", "sdp", "later"]),
    st.sampled_from([1, 2]),
    st.integers(0, 6),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(sorted(PERSONS)), st.lists(TOKENS, max_size=8)),
        st.tuples(st.just("forget"), st.sampled_from(sorted(PERSONS)), st.just([])),
        st.tuples(st.just("expect"), st.just(""), st.lists(TOKENS, max_size=8)),
        st.tuples(st.just("sharing"), st.just(""), st.lists(TOKENS, max_size=8)),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("index")
    engine = open_engine(folder / "hub.db")
    upgrade(engine, "hub")
    with engine.begin() as connection:
        for n, (record, person) in enumerate(PERSONS.items()):
            add = "INSERT INTO person VALUES (?, 0, 0, 0) ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(add, (person,))
            flags = '{"premier_janvier":true}' if n % 2 else '{"premier_janvier":false}'
            row = (record, "caf", bytes([n]), flags)
            connection.exec_driver_sql("INSERT INTO record VALUES (?, ?, ?, ?, 0)", row)
    yield engine
    engine.dispose()


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_the_index_finds_what_was_added_and_nothing_else(
    engine: Engine, steps: list[tuple[str, str, list[IndexedToken]]]
) -> None:
    held: dict[str, set[IndexedToken]] = {}
    with engine.connect() as connection, connection.begin() as transaction:
        index = Index(connection, Sql(connection), SystemClock().now())
        for step, record, tokens in steps:
            if step == "add":
                index.add(PERSONS[record], record, tokens, LOOKED_UP, is_new=record not in held)
                held[record] = set(tokens)
            elif step == "forget":
                index.forget(PERSONS[record], record)
                held.pop(record, None)
            elif step == "expect":
                index.expect(tokens)
            else:
                _sharing(index, held, tokens)
        _stored(connection, index, held)
        transaction.rollback()


def _sharing(index: Index, held: dict[str, set[IndexedToken]], tokens: list[IndexedToken]) -> None:
    lookups = {token.lookup for token in tokens}
    having = {record for record, its in held.items() if any(t.lookup in lookups and t.kind in LOOKED_UP for t in its)}
    everybody = {PERSONS[record] for record in having}
    assert index.sharing(tokens, at_most=10) == everybody
    # Of more than are wanted, any: whose random numbers come first.
    assert len(index.sharing(tokens, at_most=1) & everybody) == min(1, len(everybody))
    born = {PERSONS[record] for record in having if int(record[1:]) % 2}
    assert index.sharing(tokens, at_most=10, without='"premier_janvier":false') == born


def _stored(connection: Connection, index: Index, held: dict[str, set[IndexedToken]]) -> None:
    """Both tables hold what they should, and not a row more."""
    rows = 0
    for record, person in PERSONS.items():
        tokens = held.get(record, set())
        assert index.tokens_of(person, record) == tokens
        rows += sum(len({t.lookup for t in tokens if t.epoch == epoch and t.kind in LOOKED_UP}) for epoch in (1, 2))
    assert connection.execute(select(func.count()).select_from(tables.token)).scalar_one() == rows
    for person in set(PERSONS.values()):
        mine = [held[record] for record in sorted(PERSONS) if PERSONS[record] == person and held.get(record)]
        wanted = [{(t.kind, t.value) for t in tokens} for tokens in mine]
        for found in (index.records_of(person), [r for p in index.load({person}) for r in p.records]):
            assert [{(kind, v) for kind, values in each.tokens.items() for v in values} for each in found] == wanted


@given(st.lists(TOKENS, max_size=12))
def test_tokens_come_out_of_a_row_as_they_went_in(tokens: list[IndexedToken]) -> None:
    rows = pack(tokens, LOOKED_UP)
    assert {token for row in rows for token in row.unpack()} == set(tokens)
    assert [row.epoch for row in rows] == sorted({token.epoch for token in tokens})
    for row in rows:
        of_epoch = {token for token in tokens if token.epoch == row.epoch}
        assert sorted(row.lookups()) == sorted(token.lookup for token in of_epoch if token.kind in LOOKED_UP)
        assert sum(count_of(row.kinds).values()) == len(of_epoch)
        values = values_of(row.kinds, row.tokens)
        assert values == {kind: frozenset(t.value for t in of_epoch if t.kind == kind) for kind in values}
        assert row == Packed(row.epoch, row.kinds, row.looked_up, row.tokens)


def test_a_flood_costs_no_more_the_larger_it_is(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine: whoever floods the index does not slow down everybody after."""
    engine = open_engine(tmp_path / "hub.db")
    upgrade(engine, "hub")
    tokens = [IndexedToken("sgd", 1, n, bytes([n]) * 16) for n in range(3)]
    steps: list[int] = []
    with engine.begin() as connection:
        index = Index(connection, Sql(connection), SystemClock().now())
        driver: Any = connection.connection.driver_connection
        for first, size in ((0, 3_000), (3_000, 9_000)):
            for n in range(first, size):
                person = PersonId(f"p{n:05}")
                connection.exec_driver_sql("INSERT INTO person VALUES (?, 0, 0, 0) ON CONFLICT DO NOTHING", (person,))
                connection.exec_driver_sql("INSERT INTO record VALUES (?, 'caf', ?, '{}', 0)", (f"r{n}", b"%d" % n))
                index.add(person, f"r{n}", tokens, LOOKED_UP, is_new=True)
            steps.append(0)

            def step() -> int:
                steps[-1] += 1
                return 0

            driver.set_progress_handler(step, 100)
            index = Index(connection, Sql(connection), SystemClock().now())
            index.expect(tokens)
            assert len(index.sharing(tokens, at_most=33)) == 33
            assert len(index.sharing(tokens, at_most=33, without="whole")) == 33
            driver.set_progress_handler(None, 0)
    engine.dispose()
    assert steps[0] > 0
    assert steps[1] < steps[0] * 1.2


def test_the_order_of_a_rows_tokens_tells_nothing_of_the_order_they_were_sent_in() -> None:
    tokens = [IndexedToken("sgd", 1, n * 7919 % 31, bytes([n]) * 16) for n in range(9)]
    assert pack(tokens, LOOKED_UP) == pack(tokens[::-1], LOOKED_UP)
