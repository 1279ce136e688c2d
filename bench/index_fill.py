"""A hub's two files with any number of invented persons in them, a record each, in minutes: in bulk, in key order.

Tokens are drawn at random, of the kinds and in the numbers a real record has; a third of those of close dates are
shared by two persons, as namesakes share them. The log stays empty: events only ever go to the end of their tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from struct import Struct
from typing import Any

from hub.index.rules import LOOKUP_KINDS
from hub.store.engine import sqlite_module

FLAGS = '{"date_precision":"jour","ne_a_l_etranger":false,"nir":"coherent","nombre_prenoms":2,"premier_janvier":false}'
_SHARED = frozenset({"sg_ym", "sg_y", "sg_yd", "sg_dm", "sg_md", "sgp"})
_AT = 1_700_000_000_000_000
_GOLDEN = 0x9E3779B97F4A7C15


def fill(hub: Path, secrets: Path, size: int, kinds: Sequence[str]) -> None:
    """Put ``size`` persons into both files, each with tokens of ``kinds`` (a kind stands there once for each token)."""
    persons = [person_id(n) for n in range(size)]
    shape = _Shape(size, kinds)
    rows: list[tuple[str, Iterator[tuple[object, ...]]]] = [
        ("INSERT INTO person VALUES (?, ?, 0, 0)", ((p, _AT) for p in persons)),
        ("INSERT INTO subject_head VALUES (?, 1, ?)", ((p, bytes(32)) for p in persons)),
        ("INSERT INTO record VALUES (?, 'cpam', ?, ?, ?)", ((p, os.urandom(16), FLAGS, _AT) for p in persons)),
        ("INSERT INTO link VALUES (?, ?, ?, NULL, 'new', 'hub')", ((p, p, _AT) for p in persons)),
        ("INSERT INTO holding VALUES (?, 'cpam', ?, 'droits', ?)", ((p, p, _AT) for p in persons)),
        ("INSERT INTO person_ref VALUES (?, 'cpam', 1, ?, ?)", ((p, os.urandom(16), p) for p in persons)),
        ("INSERT INTO token VALUES (?, ?)", shape.rows()),
        ("INSERT INTO token_set VALUES (?, ?, ?, 1, ?, ?, ?)", shape.sets(persons)),
    ]
    _bulk(hub, rows)
    wrapped, month, ends = os.urandom(61), "2023-11", _AT * 2
    of_persons = ((p, use, wrapped, _AT, None) for p in persons for use in ("k_consent", "s_ref"))
    traces = ((p, month, os.urandom(16), wrapped, ends, 0) for p in persons)
    _bulk(
        secrets,
        [
            ("INSERT INTO person_secret VALUES (?, ?, ?, ?, ?)", of_persons),
            ("INSERT INTO trace_key VALUES (?, ?, ?, ?, ?, ?)", traces),
        ],
    )


def person_id(n: int) -> str:
    """Return the id of the ``n``-th person, and of its record: no order shows in it."""
    text = f"{n * _GOLDEN % 2**64:016x}{n:016x}"
    return "-".join((text[:8], text[8:12], "4" + text[13:16], "8" + text[17:20], text[20:32]))


def _bulk(path: Path, rows: Sequence[tuple[str, Iterator[tuple[object, ...]]]]) -> None:
    connection: Any = sqlite_module().connect(str(path), isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN")
    for statement, many in rows:
        connection.executemany(statement, many)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


class _Shape:
    """Which token is whose: the ``m``-th place of each is ``m * stride``'s, and places follow the order of the key."""

    def __init__(self, size: int, kinds: Sequence[str]) -> None:
        self._size = size
        # As ``hub.store.token_set.pack`` orders them.
        self._kinds = sorted(kinds, key=lambda kind: (kind not in LOOKUP_KINDS, kind))
        self._looked_up = sum(kind in LOOKUP_KINDS for kind in kinds)
        self._step = 2**64 // (size * len(kinds))
        self._stride = next(n for n in range(size // 3 + 1, 2 * size) if _coprime(n, size))
        self._back = pow(self._stride, -1, size)

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield the rows of ``token``, in the order of its key."""
        size, step, stride = self._size, self._step, self._stride
        for j in range(self._looked_up):
            first, shared = j * size * step - 2**63, self._kinds[j] in _SHARED
            for m in range(size):
                place = m - 1 if shared and m % 3 == 1 else m
                yield first + place * step, (m * stride % size + 1) * _GOLDEN % 2**64 - 2**63

    def sets(self, persons: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield the rows of ``token_set``, in the order of its key."""
        size, step = self._size, self._step
        kinds = " ".join(f"{kind}:{sum(1 for _ in each)}" for kind, each in groupby(self._kinds))
        packed = Struct(f">{3 * len(self._kinds)}q")
        firsts = [(j * size * step - 2**63, kind in _SHARED) for j, kind in enumerate(self._kinds)]
        for n in sorted(range(size), key=lambda n: (n + 1) * _GOLDEN % 2**64):
            m = n * self._back % size
            tokens: list[int] = []
            for first, shared in firsts:
                lookup = first + (m - 1 if shared and m % 3 == 1 else m) * step
                tokens += (lookup, lookup, lookup)
            number = (n + 1) * _GOLDEN % 2**64 - 2**63
            yield number, persons[n], persons[n], kinds, self._looked_up, packed.pack(*tokens)


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1
