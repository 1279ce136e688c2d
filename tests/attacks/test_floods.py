"""What one caller sends must not cost the others their turn: the hub has one writer."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from connectors.kit.tokens import TokenSet
from tests.hub.conftest import World, record_key

FLAGS = {"nir": "absent", "date_precision": "jour", "ne_a_l_etranger": False, "nombre_prenoms": 1}


def _batch(start: int, size: int, *shared: str, fresh: str = "gdp") -> list[dict[str, Any]]:
    """Records that all agree on ``shared`` kinds."""
    made = [(kind, bytes([len(kind)]) * 32) for kind in shared]
    return [
        {"record_key": record_key(start + n), "sections": []}
        | TokenSet((*made, (fresh, secrets.token_bytes(32))), FLAGS).to_wire()
        for n in range(size)
    ]


def _seconds(world: World, records: list[dict[str, Any]]) -> float:
    began = time.perf_counter()
    world.ok("caf", "/v1/registrations", {"records": records})
    return time.perf_counter() - began


@pytest.mark.parametrize("shared", [("sgd",), ("sgd", "insi"), ("sg_y",)], ids=["namesakes", "one person", "partial"])
def test_what_a_registration_costs_does_not_grow_with_a_crowd(world: World, shared: tuple[str, ...]) -> None:
    """The same number of records, at first among none and later among hundreds alike: not even three times as long."""
    _seconds(world, _batch(0, 50, *shared))
    early = _seconds(world, _batch(1000, 50, *shared))
    for n in range(6):
        _seconds(world, _batch(2000 + 100 * n, 100, *shared))
    assert _seconds(world, _batch(9000, 50, *shared)) < 3 * early + 0.2
