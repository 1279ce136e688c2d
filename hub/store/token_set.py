"""One record's tokens as a row keeps them: side by side in one value, 24 bytes each.

``kinds`` says of what each is (``"nir:1 sgd:2 …"``, in their order), ``looked_up`` how many of the first have a row in
``token``: what was looked up when they were stored, whatever the rules look up today.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from connectors.kit.link_epochs import base

LOOKUP_BYTES: Final = 8
VALUE_BYTES: Final = 16
_BYTES: Final = LOOKUP_BYTES + VALUE_BYTES


@dataclass(frozen=True, slots=True)
class IndexedToken:
    """A token as the hub keeps it: keyed, cut in a signed 64-bit look-up and a 128-bit value."""

    kind: str
    epoch: int
    lookup: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """The tokens of one record in one epoch, as columns of ``token_set``."""

    epoch: int
    kinds: str
    looked_up: int
    tokens: bytes

    def lookups(self) -> list[int]:
        """Return the 64 bits of those that have a row in ``token``."""
        held = self.tokens
        return [
            int.from_bytes(held[at : at + LOOKUP_BYTES], "big", signed=True)
            for at in range(0, self.looked_up * _BYTES, _BYTES)
        ]

    def unpack(self) -> list[IndexedToken]:
        """Return the tokens."""
        held, found, at = self.tokens, [], 0
        for kind, count in _counts(self.kinds):
            for _ in range(count):
                lookup = int.from_bytes(held[at : at + LOOKUP_BYTES], "big", signed=True)
                found.append(IndexedToken(kind, self.epoch, lookup, held[at + LOOKUP_BYTES : at + _BYTES]))
                at += _BYTES
        return found


def pack(tokens: Iterable[IndexedToken], looked_up: Collection[str]) -> list[Packed]:
    """Return ``tokens`` epoch by epoch, those of the kinds ``looked_up`` first; each once, in the order of their
    (keyed) bits, which tells nothing."""
    found = []
    ordered = sorted(set(tokens), key=lambda t: (t.epoch, base(t.kind) not in looked_up, t.kind, t.lookup, t.value))
    for epoch, of_epoch in groupby(ordered, key=lambda t: t.epoch):
        held = list(of_epoch)
        kinds = " ".join(f"{kind}:{sum(1 for _ in each)}" for kind, each in groupby(held, key=lambda t: t.kind))
        packed = b"".join(t.lookup.to_bytes(LOOKUP_BYTES, "big", signed=True) + t.value for t in held)
        found.append(Packed(epoch, kinds, sum(base(t.kind) in looked_up for t in held), packed))
    return found


def values_of(kinds: str, tokens: bytes) -> dict[str, frozenset[bytes]]:
    """Return kind → 128-bit values of a stored row, without its look-ups: what the match rules compare."""
    found, at = {}, 0
    for kind, count in _counts(kinds):
        end = at + count * _BYTES
        found[kind] = frozenset([tokens[n + LOOKUP_BYTES : n + _BYTES] for n in range(at, end, _BYTES)])
        at = end
    return found


def count_of(kinds: str) -> dict[str, int]:
    """Return kind → how many tokens of it."""
    return dict(_counts(kinds))


def _counts(kinds: str) -> Iterable[tuple[str, int]]:
    for each in kinds.split(" "):
        kind, _, count = each.partition(":")
        yield kind, int(count)
