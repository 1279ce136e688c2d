"""The tree against the published vectors and a naive oracle; and proofs altered a hundred thousand ways."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from_hashes,
    verify_consistency,
    verify_growth,
    verify_inclusion,
)
from tests.ledger.oracle import Tree
from tests.ledger.world import refused

MOST = 512
TREE = Tree([leaf_hash(i.to_bytes(2, "big")) for i in range(MOST)])
JUNK = hashlib.sha256(b"junk").digest()


def vectors(folder: Path) -> Iterator[dict[str, Any]]:
    files = sorted(folder.rglob("*.json"))
    assert files, "no vectors"
    for file in files:
        vector = json.loads(file.read_bytes())
        vector["proof"] = [base64.b64decode(each) for each in vector["proof"] or []]
        yield vector


def test_published_inclusion_vectors(shared_data: Path) -> None:
    count = 0
    for v in vectors(shared_data / "merkle_vectors" / "inclusion"):
        arguments = (v["leafIdx"], v["treeSize"], base64.b64decode(v["leafHash"]), v["proof"])
        accepted = holds(verify_inclusion, *arguments, base64.b64decode(v["root"]))
        assert accepted is not v["wantErr"], v["desc"]
        count += 1
    assert count >= 90


def test_published_consistency_vectors(shared_data: Path) -> None:
    count = 0
    for v in vectors(shared_data / "merkle_vectors" / "consistency"):
        roots = [base64.b64decode(v["root1"]), base64.b64decode(v["root2"])]
        accepted = holds(verify_consistency, v["size1"], v["size2"], v["proof"], *roots)
        assert accepted is not v["wantErr"], v["desc"]
        count += 1
    assert count >= 90


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((0, 0, JUNK, [], EMPTY_ROOT), "index"),
        ((1, 1, JUNK, [], JUNK), "index"),
        ((2, 2, JUNK, [], JUNK), "index"),
        ((-1, 2, JUNK, [JUNK], JUNK), "index"),
        ((True, 2, JUNK, [JUNK], JUNK), "index"),
        ((0.0, 2, JUNK, [JUNK], JUNK), "index"),
        ((0, 2**63, JUNK, [], JUNK), "size"),
        ((0, -1, JUNK, [], JUNK), "size"),
        ((0, "1", JUNK, [], JUNK), "size"),
        ((0, 1, JUNK[1:], [], JUNK), "hash_length"),
        ((0, 1, JUNK.hex(), [], JUNK), "hash_length"),
        ((0, 1, JUNK, [], JUNK + b"\0"), "hash_length"),
        ((0, 2, JUNK, [JUNK[1:]], JUNK), "hash_length"),
        ((0, 2, JUNK, [None], JUNK), "hash_length"),
        ((0, 1, JUNK, [JUNK], JUNK), "proof_length"),
        ((0, 2, JUNK, [], JUNK), "proof_length"),
        ((0, 1, JUNK, [], EMPTY_ROOT), "root"),
        ((2**63 - 2, 2**63 - 1, JUNK, [JUNK] * 62, JUNK), "root"),
    ],
)
def test_why_an_inclusion_is_refused(arguments: tuple[Any, ...], code: str) -> None:
    with refused(code):
        verify_inclusion(*arguments)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((0, 1, [], EMPTY_ROOT, JUNK), "size"),
        ((2, 1, [], JUNK, JUNK), "size"),
        ((1, 2**63, [], JUNK, JUNK), "size"),
        ((1, 1, [JUNK], JUNK, JUNK), "proof_length"),
        ((1, 1, [], JUNK, EMPTY_ROOT), "root"),
        ((0, 0, [], JUNK, JUNK), "root"),
        ((1, 2, [], JUNK, JUNK), "proof_length"),
        ((3, 4, [], JUNK, JUNK), "proof_length"),
        ((1, 2, [JUNK, JUNK], JUNK, JUNK), "proof_length"),
        ((1, 2, [JUNK], JUNK, JUNK), "root"),
        ((3, 4, [JUNK, JUNK, JUNK], JUNK, JUNK), "old_root"),
        ((1, 2, [JUNK[1:]], JUNK, JUNK), "hash_length"),
        ((1, 2, [JUNK], JUNK[1:], JUNK), "hash_length"),
        ((1, 2, [JUNK], JUNK, JUNK[1:]), "hash_length"),
    ],
)
def test_why_a_consistency_is_refused(arguments: tuple[Any, ...], code: str) -> None:
    with refused(code):
        verify_consistency(*arguments)


def test_the_empty_tree_agrees_with_itself() -> None:
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    verify_growth(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)


def test_a_witness_may_start_from_nothing() -> None:
    verify_growth(0, 5, [], EMPTY_ROOT, TREE.mth(0, 5))
    verify_growth(3, 5, TREE.proof(3, 5), TREE.mth(0, 3), TREE.mth(0, 5))
    assert consistency_proof(0, 5, TREE.read) == ()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((0, 5, [JUNK], EMPTY_ROOT, JUNK), "proof_length"),
        ((0, 5, [], JUNK, JUNK), "old_root"),
        ((0, 5, [], EMPTY_ROOT, b""), "hash_length"),
        ((0, -1, [], EMPTY_ROOT, JUNK), "size"),
        ((0, 0, [], JUNK, JUNK), "root"),
        ((3, 5, [], JUNK, JUNK), "proof_length"),
    ],
)
def test_why_a_growth_is_refused(arguments: tuple[Any, ...], code: str) -> None:
    with refused(code):
        verify_growth(*arguments)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (0, 2**63)])
def test_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(LedgerError):
        inclusion_proof(index, size, TREE.read)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (1, 2**63)])
def test_no_proof_from_a_later_tree(old: int, new: int) -> None:
    with refused("size"):
        consistency_proof(old, new, TREE.read)


def test_every_inclusion_up_to_512() -> None:
    for size in range(1, MOST + 1):
        root = TREE.mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, TREE.read)
            assert list(proof) == TREE.path(index, 0, size)
            verify_inclusion(index, size, TREE.leaf_hashes[index], proof, root)


def test_every_consistency_up_to_512() -> None:
    for new in range(1, MOST + 1):
        new_root = TREE.mth(0, new)
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, TREE.read)
            assert list(proof) == TREE.proof(old, new)
            verify_consistency(old, new, proof, TREE.mth(0, old), new_root)


def test_every_root_up_to_512() -> None:
    assert root_from_hashes([]) == EMPTY_ROOT == TREE.mth(0, 0)
    for size in range(1, MOST + 1):
        assert root_from_hashes(iter(TREE.leaf_hashes[:size])) == TREE.mth(0, size)


def altered(proof: list[bytes], chance: random.Random) -> list[bytes]:
    """Return ``proof`` with one thing wrong in it, or something else entirely."""
    wrong, at = list(proof), chance.randrange(len(proof) + 1)
    match chance.randrange(9):
        case 0 if at < len(proof):
            bit = 1 << chance.randrange(8)
            byte = chance.randrange(32)
            wrong[at] = wrong[at][:byte] + bytes([wrong[at][byte] ^ bit]) + wrong[at][byte + 1 :]
        case 1 if at < len(proof):
            del wrong[at]
        case 2:
            wrong.insert(at, chance.choice([JUNK, EMPTY_ROOT, *proof]))
        case 3:
            wrong.append(JUNK)
        case 4:
            wrong.reverse()
        case 5:
            chance.shuffle(wrong)
        case 6 if at < len(proof):
            wrong[at] = wrong[at][:31]
        case 7 if at < len(proof):
            wrong[at] += b"\0"
        case 8 if len(proof) > 1:
            wrong[:2] = [node_hash(wrong[0], wrong[1])]
        case _:
            wrong = wrong[:-1] if wrong else [JUNK]
    return wrong


def test_no_altered_inclusion_proof_is_accepted() -> None:
    chance, tried = random.Random(6962), 0  # noqa: S311
    while tried < 60_000:
        size = chance.randint(1, MOST)
        index = chance.randrange(size)
        proof, root = TREE.path(index, 0, size), TREE.mth(0, size)
        wrong = altered(proof, chance)
        leaf = TREE.leaf_hashes[index]
        cases = [
            (index, size, leaf, wrong, root) if wrong != proof else (index, size, JUNK, proof, root),
            (index ^ 1 << chance.randrange(10), size, leaf, proof, root),
            (index, size, leaf, proof, TREE.mth(0, chance.choice([n for n in range(MOST + 1) if n != size]))),
            (index, size, TREE.leaf_hashes[index - 1], proof, root) if size > 1 else (1, 1, leaf, proof, root),
        ]
        for case in cases:
            assert not holds(verify_inclusion, *case), (index, size)
        tried += len(cases)


def test_no_altered_consistency_proof_is_accepted() -> None:
    chance, tried = random.Random(9162), 0  # noqa: S311
    while tried < 60_000:
        new = chance.randint(2, MOST)
        old = chance.randint(1, new - 1)
        proof, roots = TREE.proof(old, new), (TREE.mth(0, old), TREE.mth(0, new))
        wrong = altered(proof, chance)
        other = chance.choice([n for n in range(1, new) if n != old] or [new])
        cases = [
            (old, new, wrong, *roots) if wrong != proof else (old, new, proof, JUNK, roots[1]),
            (other, new, proof, *roots),
            (old, new, proof, TREE.mth(0, other), roots[1]),
            (old, new, proof, roots[0], roots[0]),
            (old, new, proof, roots[1], roots[1]),
            (old, new, proof, roots[1], roots[0]),
        ]
        for case in cases:
            assert not holds(verify_consistency, *case), (old, new)
        tried += len(cases)


def test_a_wrong_size_is_refused_unless_the_path_is_the_same() -> None:
    """RFC 6962 signs the size beside the root because a path alone does not always tell it; the shape must fit."""
    for size in range(1, 65):
        for index in range(size):
            proof, root = TREE.path(index, 0, size), TREE.mth(0, size)
            for other in range(1, 130):
                if holds(verify_inclusion, index, other, TREE.leaf_hashes[index], proof, root):
                    assert shape(index, other) == shape(index, size)


def shape(index: int, size: int) -> list[str]:
    """Return on which side each hash of a path joins."""
    start, end, sides = 0, size, []
    while end - start > 1:
        k = 1
        while k * 2 < end - start:
            k *= 2
        if index < start + k:
            sides.append("right")
            end = start + k
        else:
            sides.append("left")
            start += k
    return sides[::-1]


HASHES = st.binary(max_size=33) | st.just(JUNK)


@given(st.integers(-1, 2**64), st.integers(-1, 2**64), HASHES, st.lists(HASHES, max_size=70), HASHES)
def test_nothing_but_its_own_error_is_raised(one: int, two: int, leaf: bytes, proof: list[bytes], root: bytes) -> None:
    holds(verify_inclusion, one, two, leaf, proof, root)
    holds(verify_consistency, one, two, proof, leaf, root)
    holds(verify_growth, one, two, proof, leaf, root)


def holds(verify: Any, *arguments: Any) -> bool:
    """Say whether ``verify`` accepts; any other exception than its own fails the test."""
    try:
        verify(*arguments)
    except LedgerError:
        return False
    return True
