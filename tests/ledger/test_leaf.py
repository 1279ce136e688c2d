"""The bytes of a leaf: fixed, read exactly, silent about the person."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.leaf import CLASS_BYTES, LEAF_BYTES, TAG, EventClass, Leaf, commitment
from consent.ledger.merkle import leaf_hash, node_hash
from tests.ledger.world import refused

LEAVES = st.builds(
    Leaf,
    st.sampled_from(EventClass),
    st.binary(min_size=16, max_size=16),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
LEAF = Leaf(EventClass.ACCESS, b"i" * 16, 1_700_000_000_000_001, b"c" * 32, b"d" * 32)


def test_the_bytes_written_by_hand() -> None:
    when = (1_700_000_000_000_001).to_bytes(8, "big")
    assert LEAF.header() == b"maillon/event/v1\x02" + b"i" * 16 + when
    assert LEAF.encode() == LEAF.header() + b"c" * 32 + b"d" * 32
    assert (len(LEAF.header()), len(LEAF.encode()), LEAF_BYTES) == (41, 105, 105)


def test_the_byte_of_each_class_never_moves() -> None:
    assert {each.value: byte for each, byte in CLASS_BYTES.items()} == {
        "consent": 1,
        "access": 2,
        "erasure": 3,
        "retention": 4,
        "policy": 5,
        "key": 6,
        "match": 7,
    }
    assert set(CLASS_BYTES) == set(EventClass)


@given(LEAVES)
def test_what_is_written_is_read(leaf: Leaf) -> None:
    assert Leaf.decode(leaf.encode()) == leaf


@given(st.binary(max_size=210) | LEAVES.map(Leaf.encode))
def test_bytes_are_read_exactly_or_refused(data: bytes) -> None:
    try:
        leaf = Leaf.decode(data)
    except LedgerError:
        assert len(data) != LEAF_BYTES or data[:16] != TAG or data[16] not in CLASS_BYTES.values()
    else:
        assert leaf.encode() == data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "leaf_length"),
        (LEAF.encode()[:-1], "leaf_length"),
        (LEAF.encode() + b"\0", "leaf_length"),
        (b"maillon/event/v2" + LEAF.encode()[16:], "leaf_tag"),
        (TAG + b"\0" + LEAF.encode()[17:], "leaf_class"),
        (TAG + b"\x08" + LEAF.encode()[17:], "leaf_class"),
    ],
)
def test_everything_else_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Leaf.decode(data)
    assert (caught.value.code, str(caught.value)) == (code, code)


@pytest.mark.parametrize(
    ("event_id", "at_us", "bound", "sealed", "code"),
    [
        (b"i" * 15, 0, b"c" * 32, b"d" * 32, "leaf_event_id"),
        (b"i" * 16, 2**63, b"c" * 32, b"d" * 32, "leaf_time"),
        (b"i" * 16, -(2**63) - 1, b"c" * 32, b"d" * 32, "leaf_time"),
        (b"i" * 16, 0, b"c" * 31, b"d" * 32, "leaf_digest"),
        (b"i" * 16, 0, b"c" * 32, b"d" * 33, "leaf_digest"),
    ],
)
def test_a_leaf_that_cannot_be_written_is_not_made(
    event_id: bytes, at_us: int, bound: bytes, sealed: bytes, code: str
) -> None:
    with refused(code):
        Leaf(EventClass.CONSENT, event_id, at_us, bound, sealed)


def test_a_commitment_is_the_digest_of_tag_salt_and_payload() -> None:
    assert commitment(b"r" * 32, b"{}") == hashlib.sha256(b"maillon/event/v1" + b"r" * 32 + b"{}").digest()


@pytest.mark.parametrize("salt", [b"", b"r" * 31, b"r" * 33])
def test_a_salt_cannot_borrow_from_the_payload(salt: bytes) -> None:
    with refused("salt"):
        commitment(salt, b"{}")


def test_a_commitment_says_nothing_without_its_salt() -> None:
    """Every possible payload tried on one commitment: only the salt tells them apart."""
    payloads = [f"{purpose}:{kind}".encode() for purpose in range(500) for kind in ("granted", "denied")]
    bound = commitment(hashlib.sha256(b"unknown").digest(), payloads[421])
    guesses = [hashlib.sha256(TAG + payload).digest() for payload in payloads]
    guesses += [commitment(bytes(32), payload) for payload in payloads]
    assert bound not in guesses


def test_leaf_bytes_are_never_a_node() -> None:
    """A leaf made of two hashes is no inner node: the prefixes differ, and no leaf is 64 bytes long."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert node_hash(left, right) == hashlib.sha256(b"\x01" + left + right).digest()
    with refused("leaf_length"):
        Leaf.decode(left + right)
    assert struct.calcsize(">32s32s") != LEAF_BYTES
