"""RFC 6962 §2.1 word for word, recursively and slowly: what ``consent.ledger.merkle`` is held against.

Nothing is shared with the code under test. Trees are lists of leaf hashes; ranges are remembered, for speed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class Tree:
    """``D[0:n]``, as leaf hashes."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.leaf_hashes = leaf_hashes
        self._known: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        """``MTH(D[start:end])``."""
        if (start, end) not in self._known:
            n = end - start
            if n == 0:
                found = hashlib.sha256().digest()
            elif n == 1:
                found = self.leaf_hashes[start]
            else:
                k = split(n)
                left, right = self.mth(start, start + k), self.mth(start + k, end)
                found = hashlib.sha256(b"\x01" + left + right).digest()
            self._known[start, end] = found
        return self._known[start, end]

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        """``PATH(m, D[start:end])``, where m counts from start."""
        n = end - start
        if n == 1:
            return []
        k = split(n)
        if m < k:
            return [*self.path(m, start, start + k), self.mth(start + k, end)]
        return [*self.path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """``PROOF(m, D[0:n])``."""
        return self._subproof(m, 0, n, whole=True)

    def _subproof(self, m: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        n = end - start
        if m == n:
            return [] if whole else [self.mth(start, end)]
        k = split(n)
        if m <= k:
            return [*self._subproof(m, start, start + k, whole=whole), self.mth(start + k, end)]
        return [*self._subproof(m - k, start + k, end, whole=False), self.mth(start, start + k)]

    def read(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree, as a reader gives it."""
        end = (index + 1) << level
        assert end <= len(self.leaf_hashes), "a reader is asked for complete subtrees only"
        return self.mth(index << level, end)


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
