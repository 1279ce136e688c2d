"""What a unit of work changed of who is whom is exactly what its event says, whatever was done and undone in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.kit.runtime.ids import PersonId
from hub.app import close_hub
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.store.identity import OwnedConsent
from hub.store.identity_changes import BOUND, EVENT, row_digest
from hub.store.journal import leaf_of
from hub.store.sealing import open_event
from hub.store.session import UnitOfWork
from hub.store.tables import journal
from tests.hub.conftest import World

_IDS = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(5)]
_id = st.sampled_from(_IDS)
_ids = st.lists(_id, min_size=1, max_size=3, unique=True)
_step = st.one_of(
    st.tuples(st.just("apart"), _ids, _ids),
    st.tuples(st.just("together"), _ids, _ids),
    st.tuples(st.just("absorb"), _id, _id),
    st.tuples(st.just("revive"), _id),
    st.tuples(st.just("share"), _id, st.dictionaries(st.integers(1, 4), st.booleans(), max_size=3)),
    st.tuples(st.just("give"), st.integers(1, 3), _id, _id, st.booleans(), st.integers(1, 9)),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = World(tmp_path_factory.mktemp("hub"))
    yield made
    close_hub(made.hub)


def _do(uow: UnitOfWork, step: tuple[Any, ...]) -> None:
    name, *given_ = step
    if name == "apart":
        uow.identity.keep_apart(*given_, actor="dpo")
    elif name == "together":
        uow.identity.let_together(*given_)
    elif name == "absorb":
        gone, into = map(PersonId, given_)
        uow.identity.revive(gone)  # as a service would never absorb twice
        uow.identity.absorb(gone, into)
    elif name == "revive":
        uow.identity.revive(PersonId(given_[0]))
    elif name == "share":
        uow.identity.share_access(PersonId(given_[0]), given_[1])
    else:
        seq, before, after, gives, since = given_
        owned = uow.identity
        known = {(row["event_seq"], row["person_id"], row["since_seq"]) for row in _rows(uow)["consent_owner"]}
        if (seq, after, since) not in known:
            event = OwnedConsent(seq, "record", "caf", PersonId(before), True)
            owned.give_consents([event], PersonId(before), {PersonId(after): gives}, since)


def _rows(uow: UnitOfWork) -> dict[str, list[dict[str, Any]]]:
    """The oracle reads the tables whole, by their stored values."""
    found = {}
    for table in BOUND:
        names = [str(column.name) for column in table.columns]
        quoted = ", ".join(f'"{name}"' for name in names)
        rows = uow.connection.exec_driver_sql(f"SELECT {quoted} FROM {table.name}").all()  # noqa: S608 (our own names)
        found[str(table.name)] = [dict(zip(names, row, strict=True)) for row in rows]
    return found


def _digests(rows: dict[str, list[dict[str, Any]]]) -> dict[str, set[str]]:
    return {name: {row_digest(name, row) for row in found} for name, found in rows.items()}


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_step, max_size=6))
def test_one_event_says_what_came_and_what_went(world: World, steps: list[tuple[Any, ...]]) -> None:
    before = _digests(world.hub.reads.run(_rows))
    length = world.hub.reads.run(lambda uow: uow.log.size())
    world.hub.writer.run(lambda uow: [_do(uow, step) for step in steps])
    after = _digests(world.hub.reads.run(_rows))
    bodies = world.hub.reads.run(lambda uow: _bodies_after(uow, length, world.hub.keyring.system_key))
    came = {name: sorted(after[name] - before[name]) for name in after if after[name] - before[name]}
    went = {name: sorted(before[name] - after[name]) for name in after if before[name] - after[name]}
    expected = [{"event": EVENT, "added": came, "removed": went}] if came or went else []
    assert bodies == expected


def _bodies_after(uow: UnitOfWork, length: int, key: bytes) -> list[Any]:
    rows = uow.connection.execute(select(journal).where(journal.c.seq > length).order_by(journal.c.seq)).all()
    return [open_event(key, leaf_of(row), row.sealed).body for row in rows]


def test_the_audit_agrees_with_every_change(world: World) -> None:
    home: Path = world.home.path
    assert fsck(home / "hub.db", trust_of_home(home / "hub.db", world.directory), home=home).finding is None


def test_a_unit_of_work_that_fails_leaves_neither_row_nor_event(world: World) -> None:
    size = world.hub.reads.run(lambda uow: uow.log.size())
    before = world.hub.reads.run(_rows)

    def fails(uow: UnitOfWork) -> None:
        uow.identity.absorb(PersonId("99999999-0000-4000-8000-000000000000"), PersonId(_IDS[0]))
        raise LookupError

    with pytest.raises(LookupError):
        world.hub.writer.run(fails)
    assert world.hub.reads.run(_rows) == before
    assert world.hub.reads.run(lambda uow: uow.log.size()) == size
