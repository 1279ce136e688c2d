"""The chain of each person's events: n after n, each naming the leaf of the one before, up to the head written down."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from consent.ledger.envelope import Link
from hub.log_check.finding import wrong

_Known = tuple[int, bytes, int]
"""n, leaf hash, seq of the last event seen of a person."""


class Chains:
    """Takes in events in the order of the journal. What erasure and retention emptied may be missing from a chain:
    as many events as there are emptied ones between its neighbours, and no more."""

    def __init__(self) -> None:
        self._last: dict[str, _Known] = {}
        self._closed: list[int] = []

    def closed(self, seq: int) -> None:
        """Event ``seq`` was emptied: whose it was is not known any more."""
        self._closed.append(seq)

    def add(self, owner: str, link: Link, hashed: bytes, seq: int) -> None:
        """Take in an event of ``owner``; raises ``Wrong`` (``chain``) when it does not follow the last one."""
        n, before, at = self._last.get(owner, (0, None, 0))
        missing = link.n - n - 1
        follows = link.prev == before if not missing else self._may_miss(missing, at, seq)
        if missing < 0 or not follows:
            wrong("journal", f"seq {seq}", "chain")
        self._last[owner] = (link.n, hashed, seq)

    def check(self, heads: Iterable[tuple[Any, ...]]) -> None:
        """Hold the heads (person, n, leaf hash), one a person, against what was taken in.

        A head that is not there comes as None. Raises ``Wrong`` (``head``).
        """
        for place, (person, n, hashed) in enumerate(heads, start=1):
            last, leaf, at = self._last.get(person, (0, None, 0))
            if type(n) is not int or (n == last and hashed != leaf) or n < last:
                wrong("subject_head", f"row {place}", "head")
            if n > last and not self._may_miss(n - last, at, 2**63):
                wrong("subject_head", f"row {place}", "head")

    def _may_miss(self, count: int, after: int, before: int) -> bool:
        return count <= bisect_left(self._closed, before) - bisect_right(self._closed, after)
