"""The tree of RFC 6962 §2.1 and RFC 9162 §2.1: hashes, proofs, and their verification.

Proofs are made from a ``reader(level, index)`` that returns the hash of the complete subtree over leaves
``[index·2^level, (index + 1)·2^level)``; how it is stored is not this module's business.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from consent.ledger.exact import LedgerError, check_hash, check_size

SubtreeReader = Callable[[int, int], bytes]
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the 32-byte hash of a leaf's bytes: ``SHA-256(0x00 ‖ data)``."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of a node over two 32-byte hashes: ``SHA-256(0x01 ‖ left ‖ right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_hashes(hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes in order (32 bytes each); holds one hash a level in memory."""
    peaks: list[bytes] = []
    for count, each in enumerate(hashes, start=1):
        top = each
        while count & 1 == 0:
            top = node_hash(peaks.pop(), top)
            count >>= 1
        peaks.append(top)
    return root_from_peaks(peaks)


def root_from_peaks(peaks: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of complete subtrees that cover the leaves from left to right, largest first."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def inclusion_proof(index: int, size: int, reader: SubtreeReader) -> tuple[bytes, ...]:
    """Return the proof that leaf ``index`` is in the tree of ``size`` leaves, from its sibling up to the root's child.

    Raises ``LedgerError``: ``index`` or ``size`` out of range.
    """
    check_size(size, "size")
    check_size(index, "index", size - 1)
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(old: int, new: int, reader: SubtreeReader) -> tuple[bytes, ...]:
    """Return the proof that the tree of ``new`` leaves only adds to that of ``old`` (RFC 6962 §2.1.2).

    It is empty when the sizes are equal, and from the empty tree, as tlog-witness sends it. Raises ``LedgerError``:
    ``size``.
    """
    check_size(new, "size")
    check_size(old, "size", new)
    if old in (0, new):
        return ()
    proof, start, end = [], 0, new
    while end != old:
        middle = start + _half(end - start)
        if old <= middle:
            proof.append(_range_root(middle, end, reader))
            end = middle
        else:
            proof.append(_range_root(start, middle, reader))
            start = middle
    if start:  # else it is the old root itself, which the verifier has
        proof.append(_range_root(start, end, reader))
    return tuple(reversed(proof))


def verify_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Return when ``proof`` shows that the leaf hashing to ``leaf_hash`` stands at ``index`` under ``root``.

    Raises ``LedgerError``: ``size``, ``index``, ``hash_length``, ``proof_length``, ``root``. RFC 9162 §2.1.3.2.
    """
    check_size(size, "size")
    check_size(index, "index", size - 1)
    _check_hashes(leaf_hash, *proof, root)
    node, last, top = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise LedgerError("proof_length")
        if node & 1 or node == last:
            top = node_hash(sibling, top)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            top = node_hash(top, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise LedgerError("proof_length")
    if not hmac.compare_digest(top, root):
        raise LedgerError("root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Return when ``proof`` shows that the ``new`` tree only adds to the ``old`` one. RFC 9162 §2.1.4.2.

    Nothing can be shown from the empty tree: 0 to n is refused here, and is :func:`verify_growth`'s. Raises
    ``LedgerError``: ``size``, ``hash_length``, ``proof_length``, ``old_root``, ``root``.
    """
    check_size(new, "size")
    check_size(old, "size", new)
    if old == new:  # one tree: nothing is hashed, so nothing depends on how long the roots are
        if proof:
            raise LedgerError("proof_length")
        if old_root != new_root or (old == 0 and old_root != EMPTY_ROOT):
            raise LedgerError("root")
        return
    if old == 0:
        raise LedgerError("size")
    _check_hashes(*proof, old_root, new_root)
    # A power of two is a complete subtree: its root is the first hash of the path, and is not sent.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        raise LedgerError("proof_length")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = path[0]
    for each in path[1:]:
        if last == 0:
            raise LedgerError("proof_length")
        if node & 1 or node == last:
            before, after = node_hash(each, before), node_hash(each, after)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, each)
        node, last = node >> 1, last >> 1
    if last:
        raise LedgerError("proof_length")
    if not hmac.compare_digest(before, old_root):
        raise LedgerError("old_root")
    if not hmac.compare_digest(after, new_root):
        raise LedgerError("root")


def verify_growth(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Do as :func:`verify_consistency`, and let 0 grow to n on an empty proof, as tlog-witness says.

    Raises as :func:`verify_consistency`.
    """
    if old != 0 or new == 0:
        verify_consistency(old, new, proof, old_root, new_root)
        return
    check_size(new, "size")
    _check_hashes(old_root, new_root)
    if proof:
        raise LedgerError("proof_length")
    if old_root != EMPTY_ROOT:
        raise LedgerError("old_root")


def _half(count: int) -> int:
    """Return the largest power of two below ``count`` (≥ 2)."""
    return 1 << (count - 1).bit_length() - 1


def _range_root(start: int, end: int, reader: SubtreeReader) -> bytes:
    """Return the root over leaves ``[start, end)``, where ``start`` is aligned as RFC 6962 splits."""
    peaks = []
    while start < end:
        level = (end - start).bit_length() - 1
        peaks.append(reader(level, start >> level))
        start += 1 << level
    return root_from_peaks(peaks)


def _check_hashes(*hashes: object) -> None:
    for each in hashes:
        check_hash(each, "hash_length")
