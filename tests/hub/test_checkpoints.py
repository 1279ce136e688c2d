"""What the log signs: under which keys, and which of its checkpoints are kept."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy import select

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.checkpoint import open_note
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import SignerKey
from consent.ledger.tile import TileId, right_edge
from hub.store import tables
from tests.hub.stores import LOG_KEY, ORIGIN, Store, recompute


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
    assert recompute(store.engine) == 5 + 1 + 5 + 1 + 1 + 2 + 1


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
    assert recompute(store.engine) == 60


def test_tiles_are_read_as_wide_as_asked(store: Store) -> None:
    store.add(700)
    read = store.writer.run(lambda uow: [uow.log.tile(tile) for tile in right_edge(700)])
    assert [len(each) for each in read] == [32 * (700 % 256), 32 * 2]
    assert store.writer.run(lambda uow: uow.log.tile(TileId(0, 2, 5))) == read[0][: 32 * 5]
    assert store.writer.run(lambda uow: uow.log.tile(TileId(0, 3))) == b""
    leaves = store.writer.run(lambda uow: uow.log.leaves(250, 260))
    assert [store.writer.run(lambda uow: uow.log.index_of(leaf_hash(leaf))) for leaf in leaves] == list(range(250, 260))  # noqa: B023
