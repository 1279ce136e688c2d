"""Evidence that a log told two stories: found in tiles, carried as JSON, checked by anyone; never of an honest log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.canonical import jcs
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, open_note, sign
from consent.ledger.exact import LedgerError
from consent.ledger.fork import Branch, Fork, evidence, first_difference
from consent.ledger.merkle import inclusion_proof
from tests.ledger.world import LOG, ORIGIN, WITNESSES, Log, log_key, make_leaf, make_log, refused

KEYS = [LOG.verifier]


def forked(size: int, other: int, at: int) -> tuple[Log, Log]:
    """Return two logs that part at leaf ``at``."""
    return (
        make_log(size),
        Log([make_leaf(number, "" if number < at else "rewritten") for number in range(other)]),
    )


def opened(log: Log) -> SignedCheckpoint:
    return open_note(log.note(), KEYS)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 599))
def test_where_two_trees_part_is_found_and_proved(size: int, other: int, at: int) -> None:
    one, two = forked(size, other, at)
    found = evidence(opened(one), opened(two), one.reader(), two.reader())
    if at >= min(size, other):
        assert found is None
        return
    assert found is not None
    assert found.index == at
    again = Fork.parse(found.encode())
    assert again == found
    first, second = again.verify(KEYS)
    assert (first.checkpoint, second.checkpoint) == (one.checkpoint(), two.checkpoint())


def test_two_roots_of_one_size_need_nothing_more() -> None:
    one, two = forked(20, 20, 5)
    proof = Fork.parse(Fork(one.note(), two.note()).encode())
    assert proof.verify([*KEYS, WITNESSES[0].verifier])
    assert json.loads(proof.encode()).keys() == {"type", "first", "second"}


def test_an_honest_log_cannot_be_accused() -> None:
    log = make_log(20)
    old, new = log.note(10), log.note(20)
    branch = Branch(*_shown(log, 20, 5))
    small = Branch(*_shown(log, 10, 5))
    for accusation in (
        Fork(new, new),
        Fork(old, new),
        Fork(old, new, 5, (small, branch)),
        Fork(new, new, 5, (branch, branch)),
        replace(Fork(old, new), index=5),
        Fork(old, new, None, (small, branch)),
    ):
        with refused("no_fork"):
            accusation.verify(KEYS)
    for accusation in (
        Fork(old, new, 5, (branch, branch)),
        Fork(old, new, 6, (small, branch)),
        Fork(old, new, 15, (small, branch)),
        Fork(old, new, 5, (replace(small, leaf_hash=bytes(32)), branch)),
        Fork(old, new, 5, (small, replace(branch, leaf_hash=bytes(32)))),
    ):
        with pytest.raises(LedgerError):
            accusation.verify(KEYS)


def _shown(log: Log, size: int, index: int) -> tuple[bytes, tuple[bytes, ...]]:
    reader = log.reader(size)
    return reader(0, index), inclusion_proof(index, size, reader)


def test_others_words_are_no_evidence() -> None:
    one, two = forked(20, 20, 5)
    stranger = log_key("stranger")
    forged = sign(two.checkpoint(), [stranger])
    with refused("unsigned"):
        Fork(one.note(), forged).verify(KEYS)
    elsewhere = log_key(origin="elsewhere.example")
    other = sign(Checkpoint("elsewhere.example", 20, two.root()), [elsewhere])
    with refused("no_fork"):
        Fork(one.note(), other).verify([*KEYS, elsewhere.verifier])
    cosigned = two.checkpoint().encode() + b"\n" + WITNESSES[0].sign(two.checkpoint().encode(), 1)
    with refused("unsigned"):
        Fork(one.note(), cosigned).verify([*KEYS, WITNESSES[0].verifier])


def test_an_empty_tree_that_is_not_empty() -> None:
    honest = sign(Checkpoint(ORIGIN, 0, Log().root()), [LOG])
    lie = sign(Checkpoint(ORIGIN, 0, bytes(32)), [LOG])
    assert Fork(lie, make_log(3).note()).verify(KEYS)
    assert Fork(make_log(3).note(), lie).verify(KEYS)
    with refused("no_fork"):
        Fork(honest, make_log(3).note()).verify(KEYS)


def test_evidence_has_one_spelling() -> None:
    one, two = forked(20, 25, 5)
    found = evidence(opened(one), opened(two), one.reader(), two.reader())
    assert found is not None
    value = json.loads(found.encode())
    for wrong in (
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        found.encode() + b"\n",
        json.dumps(value).encode(),
        jcs(value | {"type": "other"}),
        jcs(value | {"more": 1}),
        jcs(value | {"first": 1}),
        jcs(value | {"first": None}),
        jcs(value | {"index": 5}),
        jcs(value | {"index": "05"}),
        jcs(value | {"index": "five"}),
        jcs(value | {"branches": value["branches"][:1]}),
        jcs(value | {"branches": value["branches"] * 2}),
        jcs(value | {"branches": [value["branches"][0] | {"leaf_hash": "AAAA"}] * 2}),
        jcs(value | {"branches": [value["branches"][0] | {"proof": ["A"]}] * 2}),
        jcs({name: member for name, member in value.items() if name != "branches"}),
        jcs({name: member for name, member in value.items() if name != "index"}),
        found.encode()[:-1] + b',"first":"\\ud800"}',
        b" " * (1 << 22) + found.encode(),
    ):
        with refused("fork_form"):
            Fork.parse(wrong)
    with refused("fork_form"):
        Fork(b"\xff", b"").encode()


@given(st.integers(0, 300), st.sets(st.integers(0, 299), max_size=3))
def test_the_first_difference_is_the_first(size: int, changed: set[int]) -> None:
    one = make_log(300)
    two = Log([make_leaf(number, "changed" if number in changed else "") for number in range(300)])
    expected = min((number for number in changed if number < size), default=None)
    assert first_difference(size, one.reader(), two.reader()) == expected


def test_sizes_are_bounded() -> None:
    with refused("size"):
        first_difference(-1, make_log(1).reader(), make_log(1).reader())
