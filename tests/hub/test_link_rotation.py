"""A new ``K_link``, partner by partner: the answers are those of a hub whose partners never changed it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.link_epochs import base, epoch_of, kind_of
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import TokenSet
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services import link_rotation
from hub.store import tables
from tests.hub.conftest import World, problem, record_key, tokens
from tests.hub.rotating import (
    KINDS,
    SLUGS,
    Told,
    begin_pepper,
    finish_pepper,
    hub_in,
    register_tokens,
    rotator_of,
    step_pepper,
    tokens_of_kinds,
)

PATH = "/v1/index/rotations"


def under(made: TokenSet, *epochs: int) -> TokenSet:
    """The same record's tokens under other epochs: other bytes, under another kind."""
    every = tuple(
        (kind_of(kind, epoch), bytes(byte ^ (epoch - 1) * 77 for byte in token))
        for epoch in epochs
        for kind, token in made.tokens
    )
    return TokenSet(every, made.flags)


def stored_tokens(world: World) -> list[str]:
    columns = tables.token_set.c
    return world.hub.reads.run(lambda uow: list(uow.connection.execute(select(columns.kinds)).scalars()))


def epochs_held(world: World) -> set[int]:
    return {epoch_of(each.partition(":")[0]) for kinds in stored_tokens(world) for each in kinds.split()}


def _clear(world: World, most: int = 3) -> int:
    return link_rotation.run(rotator_of(world.hub), most=most, wait=lambda _: None, clock=lambda: 0.0)


def _said(told: Told) -> list[Any]:
    # A record under two epochs has twice the tokens: that alone may differ.
    return [{**each, "tokens": None} if isinstance(each, dict) else each for each in told.said]


@pytest.mark.parametrize("seed", range(6))
def test_however_partners_go_over_the_answers_are_those_of_a_hub_that_never_rotated(tmp_path: Path, seed: int) -> None:
    """Partners go over one by one, each record by record, with new records, corrections, reviews, and a pepper that is
    re-wrapped meanwhile; at last the old epoch is retired, and nothing of it is left."""
    chance = random.Random(seed)  # noqa: S311
    with hub_in(tmp_path / "still") as still, hub_in(tmp_path / "turning") as turning:
        oracle, told = Told(still), Told(turning)
        both = (oracle, told)
        keys: dict[str, tuple[int, ...]] = dict.fromkeys(SLUGS, (1,))
        held: dict[tuple[str, int], TokenSet] = {}
        waiting: list[tuple[str, int]] = []
        turning.ok("operator", PATH, {"what": "link"})

        def send(slug: str, key: int, made: TokenSet) -> None:
            oracle.register(slug, key, made)
            told.register(slug, key, under(made, *keys[slug]))
            if not isinstance(told.said[-1], str):
                held[slug, key] = made

        for _ in range(110):
            roll = chance.random()
            if roll < 0.6:
                slug, key, person = chance.choice(SLUGS), chance.randrange(60), chance.randrange(14)
                send(slug, key, tokens_of_kinds(person, chance.choice(KINDS), nombre_prenoms=chance.choice((1, 1, 2))))
            elif roll < 0.68:
                decision = chance.choice(("link", "different", "ask"))
                for each in both:
                    each.review(decision)
            elif roll < 0.74 and (behind := [slug for slug in SLUGS if keys[slug] == (1,)]):
                slug = chance.choice(behind)
                keys[slug] = (1, 2)
                waiting += [each for each in held if each[0] == slug]
            elif roll < 0.94 and waiting:
                slug, key = waiting.pop(chance.randrange(len(waiting)))
                send(slug, key, held[slug, key])
            elif roll < 0.97:
                begin_pepper(turning.hub)
            else:
                step_pepper(turning.hub, 5)
            assert _said(told) == _said(oracle)
        keys = dict.fromkeys(SLUGS, (1, 2))
        for slug, key in held:
            send(slug, key, held[slug, key])
        assert _said(told) == _said(oracle)
        # A correction the index did not take leaves what linked the record, of which nobody has the traits any more.
        turning.ok("operator", PATH, {"what": "retire_link", "epoch": 1, "force": True})
        assert _clear(turning) > 10
        finish_pepper(turning.hub)
        assert epochs_held(turning) == {2}
        persons = turning.hub.reads.run(lambda uow: uow.persons.count())
        for slug, key in list(held):
            send(slug, key, held[slug, key])
        assert turning.hub.reads.run(lambda uow: uow.persons.count()) == persons
        assert epochs_held(turning) == {2}
        assert len(oracle.names) > 10


def test_records_without_a_common_epoch_never_compare(world: World) -> None:
    world.ok("operator", PATH, {"what": "link"})
    one = register_tokens(world, "caf", 1, under(tokens(1), 1))
    other = register_tokens(world, "cpam", 1, under(tokens(1), 2))
    assert {"ref"} <= one.keys() & other.keys()
    assert world.hub.reads.run(lambda uow: uow.persons.count()) == 2
    assert world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 50})["reviews"] == []


def test_a_number_of_another_epoch_is_no_other_number(world: World) -> None:
    """caf has gone over, cpam has not: the same NIR under two epochs must not look like two numbers."""
    world.ok("operator", PATH, {"what": "link"})

    def numbered(*epochs: int) -> TokenSet:
        made = tokens(1, nir="coherent")
        whole = TokenSet((*made.tokens, ("nir", b"n" * 32), ("nir_gd", b"m" * 32)), made.flags)
        return under(whole, *epochs)

    register_tokens(world, "cpam", 1, numbered(1))
    register_tokens(world, "caf", 1, numbered(1, 2))
    register_tokens(world, "caf", 2, numbered(2))
    assert world.hub.reads.run(lambda uow: uow.persons.count()) == 1


def test_an_epoch_is_retired_when_every_partner_has_gone_over(world: World) -> None:
    problem(_post(world, under(tokens(1), 2)), ErrorKind.CONFLICT)  # not begun
    begun = world.ok("operator", PATH, {"what": "link"})["link"]
    assert begun == {"epoch": 2, "state": "two_epochs", "behind": []}
    assert world.ok("operator", PATH, {"what": "link"})["link"]["epoch"] == 2
    for person in range(5):
        register_tokens(world, "caf", person, under(tokens(person), 1, 2))
        register_tokens(world, "cpam", person, under(tokens(person), 1))
    refused = problem(world.post("operator", PATH, {"what": "retire_link", "epoch": 1}), ErrorKind.CONFLICT)
    assert "cpam (5)" in refused["detail"]
    assert "caf" not in refused["detail"]
    for wrong in (2, 7):
        asked = {"what": "retire_link", "epoch": wrong, "force": True}
        problem(world.post("operator", PATH, asked), ErrorKind.CONFLICT)
    problem(world.post("operator", PATH, {"what": "retire_link"}), ErrorKind.SCHEMA)
    problem(world.post("dpo", PATH, {"what": "retire_link", "epoch": 1, "force": True}), ErrorKind.FORBIDDEN)
    problem(world.post("caf", PATH, {"what": "link"}), ErrorKind.FORBIDDEN)
    refs = {person: register_tokens(world, "cpam", person, under(tokens(person), 1, 2))["ref"] for person in range(5)}
    assert world.ok("operator", PATH, {"what": "retire_link", "epoch": 1})["link"]["state"] == "deleting"
    assert _clear(world) == 10
    assert _clear(world) == 0
    assert epochs_held(world) == {2}
    assert world.ok("operator", PATH, {"what": "link"})["link"]["epoch"] == 3
    # One that is late is told so, and loses nothing; one that has both is understood.
    problem(_post(world, under(tokens(9), 1)), ErrorKind.CONFLICT)
    assert register_tokens(world, "cpam", 3, under(tokens(3), 1, 2))["ref"] == refs[3]
    assert epochs_held(world) == {2}
    assert world.hub.reads.run(lambda uow: uow.persons.count()) == 5
    database = world.home.path / "hub.db"
    assert fsck(database, trust_of_home(database, world.directory), home=world.home.path).finding is None


def test_records_only_a_reviewer_joined_go_over_too(world: World) -> None:
    """By themselves they do not agree enough: told again as a correction, the index would keep what linked them."""
    world.ok("operator", PATH, {"what": "link"})
    made = {slug: tokens_of_kinds(1, ("sgd", "sg_y")) for slug in ("caf", "cpam")}
    for slug in made:
        register_tokens(world, slug, 1, made[slug])
    (review,) = world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 50})["reviews"]
    decided = {"review_id": review["review_id"], "decision": "link", "reason": "essai"}
    assert world.post("dpo", "/v1/reviews/decide", decided).status_code == 200
    for slug in made:
        register_tokens(world, slug, 1, under(made[slug], 1, 2))
    assert world.ok("operator", PATH, {"what": "retire_link", "epoch": 1})["link"]["state"] == "deleting"


def test_what_was_forced_out_comes_back_under_the_new_epoch(world: World) -> None:
    ref = register_tokens(world, "caf", 1, tokens(1))["ref"]
    world.ok("operator", PATH, {"what": "link"})
    world.ok("operator", PATH, {"what": "retire_link", "epoch": 1, "force": True})
    assert _clear(world) == 1
    assert stored_tokens(world) == []
    assert register_tokens(world, "caf", 1, under(tokens(1), 1, 2))["ref"] == ref
    assert epochs_held(world) == {2}


def test_deleting_begun_again_starts_over_and_leaves_nothing(world: World) -> None:
    world.ok("operator", PATH, {"what": "link"})
    for person in range(9):
        register_tokens(world, "caf", person, under(tokens(person), 1, 2))
    world.ok("operator", PATH, {"what": "retire_link", "epoch": 1})

    def die(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        link_rotation.run(rotator_of(world.hub), most=4, wait=die, clock=lambda: 0.0)
    assert epochs_held(world) == {1, 2}
    assert _clear(world) == 5
    assert {base(each.partition(":")[0]) for kinds in stored_tokens(world) for each in kinds.split()} >= {"sgd", "gdp"}
    looked = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.token)).all())
    assert len(looked) == 9 * 3


def _post(world: World, made: TokenSet) -> Any:
    document = {"records": [{"record_key": record_key(77), "sections": [], **made.to_wire()}]}
    return world.post("cpam", "/v1/registrations", document)
