"""Whether somebody was known shows in nothing a registration answers, commits or costs: counted, not timed.

What the clock says, tick off and on, is measured by ``python -m bench --only known`` (docs/index.md).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, event

from connectors.kit.identity import parse_identity
from connectors.kit.runtime import b64url
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from tests.hub.conftest import World, record_key

TOKENISER = HmacTokeniser(b"l" * 32, 1)


@dataclass
class Watched:
    """Statements of the hub's two files while something was done."""

    hub: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def durable(self) -> tuple[int, int, int]:
        """Commits of ``hub.db``, transactions that write ``secrets.db``, and persons' secrets written there."""
        added = sum(each.startswith("INSERT INTO person_secret") for each in self.secrets)
        written = [each for each in self.secrets if each.startswith(("INSERT", "DELETE", "COMMIT"))]
        ends = sum(each == "COMMIT" and not before.startswith("COMMIT") for before, each in pairwise(written))
        return sum(each.startswith("COMMIT") for each in self.hub), ends, added


@contextmanager
def watching(world: World) -> Iterator[Watched]:
    seen = Watched()
    engines: list[tuple[Engine, list[str]]] = [
        (world.hub.writer._engine, seen.hub),
        (world.hub.secrets._engine, seen.secrets),
    ]
    hooks = []
    for engine, into in engines:

        def traced(connection: Any, *_: object, into: list[str] = into) -> None:
            connection.set_trace_callback(into.append)

        event.listen(engine, "checkout", traced)
        hooks.append((engine, traced))
    try:
        yield seen
    finally:
        for engine, hook in hooks:
            event.remove(engine, "checkout", hook)


def person(number: int, **changes: object) -> TokenSet:
    """An invented person; nobody is like another."""
    surname = "".join(random.Random(number).choices("ABCDEFGHIJKLMNOPRSTUVZ", k=10))  # noqa: S311
    traits = {
        "nom_naissance": surname,
        "prenoms": ["Anne", "Marie"],
        "sexe": "F",
        "date_naissance": f"19{40 + number % 60}-0{1 + number % 9}-1{number % 10}",
        "code_cog_insee_commune_naissance": "29232",
    }
    return tokens_of(parse_identity(traits | changes), TOKENISER)


def register(world: World, slug: str, *held: tuple[int, TokenSet]) -> tuple[bytes, list[dict[str, str]]]:
    records = [{"record_key": record_key(key), "sections": ["droits"], **made.to_wire()} for key, made in held]
    answer = world.post(slug, "/v1/registrations", {"records": records})
    assert answer.status_code == 200
    return answer.data, answer.get_json()["registrations"]


@pytest.fixture
def known(world: World) -> World:
    """The caisse holds sixty persons; the other partner has signed in and registered somebody."""
    register(world, "caf", *((n, person(n)) for n in range(60)))
    register(world, "departement", (900, person(900)))
    return world


@pytest.mark.parametrize("size", [1, 20])
def test_the_answer_and_its_commits_are_the_same_whether_known_or_not(known: World, size: int) -> None:
    told = {}
    cases = {
        "known": [person(n) for n in range(size)],
        "unknown": [person(n) for n in range(100, 100 + size)],
        "in doubt": [person(n, code_cog_insee_commune_naissance="") for n in range(20, 20 + size)],
    }
    for place, (name, held) in enumerate(cases.items()):
        with watching(known) as seen:
            body, rows = register(
                known, "departement", *((1000 * (place + 1) + n, made) for n, made in enumerate(held))
            )
        assert {len(b64url.decode(row["ref"])) for row in rows} == {16}
        told[name] = (len(body), [sorted(row) for row in rows], seen.durable())
    assert told["known"][2] == (1, 1, 2 * size)
    assert told["unknown"] == told["known"] == told["in doubt"]


def test_what_is_done_for_each_differs_by_a_few_statements(known: World) -> None:
    """Not padded to the last one: a person is created or read, a doubt asked about. Bounded, so that it stays so."""
    counts = {}
    for name, made in (
        ("known", person(30)),
        ("unknown", person(200)),
        ("doubt", person(31, sexe="", prenoms=["Anne"])),
    ):
        with watching(known) as seen:
            register(known, "departement", (5000 + len(counts), made))
        counts[name] = len(seen.hub)
    assert max(counts.values()) - min(counts.values()) <= 8, counts
    assert min(counts.values()) > 40


def test_nothing_is_left_of_what_was_written_for_no_one(known: World) -> None:
    def secrets() -> int:
        with known.hub.secrets._engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM person_secret").scalar() or 0)

    before = secrets()
    with watching(known) as seen:
        register(known, "departement", (6000, person(40)))
    assert secrets() == before
    assert sum(each.startswith("INSERT INTO person_secret") for each in seen.secrets) == 2
    assert sum(each.startswith("DELETE FROM person_secret") for each in seen.secrets) == 1


def test_a_partner_reads_the_same_bytes_of_a_ref_that_means_someone_and_one_that_means_no_one(known: World) -> None:
    """Look-ups of the register, as pulls are (``test_indistinguishable``)."""
    _, rows = register(known, "departement", (7000, person(41)), (7001, person(300)))
    bodies = [known.ok("departement", "/v1/consents/search", {"ref": row["ref"]}) for row in rows]
    assert bodies[0] == bodies[1] == {"records": []}
