"""What one caller sends must not cost the others their turn: the hub has one writer."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from sqlalchemy import event

from connectors.kit.identity import parse_identity
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from hub.index.rules import CROWD
from tests.hub.conftest import World, record_key

MARTIN = {"nom_naissance": "MARTIN", "prenoms": ["Marie"], "sexe": "F", "date_naissance": "1980-01-15"}
FLAGS = {"nir": "absent", "date_precision": "jour", "ne_a_l_etranger": False, "nombre_prenoms": 1}


def _batch(start: int, size: int, *shared: str, fresh: str = "gdp") -> list[dict[str, Any]]:
    """Records that all agree on ``shared`` kinds."""
    made = [(kind, bytes([len(kind)]) * 32) for kind in shared]
    return [
        {"record_key": record_key(start + n), "sections": []}
        | TokenSet((*made, (fresh, secrets.token_bytes(32))), FLAGS).to_wire()
        for n in range(size)
    ]


class Steps:
    """Hundreds of steps of SQLite's own machine that a request cost the writer: what it does, counted and not timed."""

    def __init__(self, world: World) -> None:
        self.world, self._count = world, 0
        event.listen(world.hub.writer._engine, "checkout", self._watch)

    def _watch(self, connection: Any, *_: object) -> None:
        connection.set_progress_handler(self._one_more, 100)

    def _one_more(self) -> int:
        self._count += 1
        return 0

    def of(self, records: list[dict[str, Any]]) -> int:
        self._count = 0
        self.world.ok("caf", "/v1/registrations", {"records": records})
        return self._count


@pytest.mark.parametrize("shared", [("sgd",), ("sgd", "insi"), ("sg_y",)], ids=["namesakes", "one person", "partial"])
def test_what_a_registration_costs_does_not_grow_with_a_crowd(world: World, shared: tuple[str, ...]) -> None:
    """The same number of records, at first among none and later among hundreds alike: no more, but for chance."""
    steps = Steps(world)
    steps.of(_batch(0, 50, *shared))
    early = steps.of(_batch(1000, 50, *shared))
    for n in range(6):
        steps.of(_batch(2000 + 100 * n, 100, *shared))
    assert steps.of(_batch(9000, 50, *shared)) < 1.5 * early


def test_thousands_of_records_with_one_name_and_date_merge_nobody_in_linear_time(
    world: World,
) -> None:
    """5,000 here; a hundred thousand with ``python -m bench --only flood``. What SQLite does is counted, not timed."""
    size, request = 5_000, 500
    made = tokens_of(parse_identity(MARTIN), HmacTokeniser(bytes(32), 1)).to_wire()
    steps, counted = Steps(world), []
    for start in range(0, size, request):
        batch = [{"record_key": record_key(start + n), "sections": [], **made} for n in range(request)]
        counted.append(steps.of(batch))
    assert counted[-1] < 1.2 * counted[1]
    asked = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('dpo')}"})
    told = asked.get_json()
    # The first of a crowd are asked about, one beside the other; then nobody is, and nobody was ever linked.
    assert (told["persons"], told["floods"]) == (size, size - CROWD - 1)
    assert set(told["links"]) == {"new", "review", "foule"}
    assert sum(told["reviews"].values()) == CROWD * (CROWD + 1) // 2
