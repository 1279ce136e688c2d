"""What ``maillon index link`` asks of whoever places the records, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.services.registration import Registration

A, B = "a", "b"
"""The two files, as two partners."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of file A and one of file B: ``decision`` ``auto`` by a rule, or ``review`` for a reason.

    ``agreed``: the kinds of token both have in common, when asked for.
    """

    id_a: str
    id_b: str
    decision: str
    rule: str
    agreed: tuple[str, ...] = ()


class Registry(Protocol):
    """A hub, as far as two files need one."""

    def register(self, partner: str, records: Sequence[tuple[str, Registration]]) -> None:
        """Place each of ``records`` (rec_id, registration), in order."""
        ...

    def pairs(self, *, explain: bool) -> Iterator[Pair]:
        """Yield every pair of a record of each file that is linked, or before a reviewer."""
        ...

    def flooded(self, partner: str) -> Iterator[str]:
        """Yield the records set apart because of a crowd."""
        ...

    def close(self) -> None:
        """Forget everything."""
        ...
