"""Kept subtree hashes answer as the tiles do, ask for each once, and are never the small ones."""

from __future__ import annotations

import pytest

from hub.store import subtrees
from hub.store.subtrees import Subtrees
from tests.ledger.world import make_log


def test_they_are_those_of_the_tiles() -> None:
    log, asked = make_log(1100), []
    reader = log.reader()

    def counted(level: int, index: int) -> bytes:
        asked.append((level, index))
        return reader(level, index)

    kept = Subtrees()
    for _ in range(2):
        read = kept.over(counted)
        for level, index in ((0, 5), (7, 1), (8, 0), (8, 3), (9, 1), (10, 0)):
            assert read(level, index) == reader(level, index)
    assert sorted(asked) == sorted([(0, 5), (7, 1)] * 2 + [(8, 0), (8, 3), (9, 1), (10, 0)])


def test_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subtrees, "_MOST", 3)
    kept = Subtrees()
    read = kept.over(lambda level, index: bytes([index]) * 32)
    for index in range(10):
        assert read(8, index) == bytes([index]) * 32
        assert len(kept._held) <= 3
