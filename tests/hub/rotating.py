"""A rotation of the pepper, and a hub beside it that never rotates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from connectors.kit.tokens import TokenSet
from hub.app import close_hub
from hub.services import pepper_rotation, register
from hub.services.pepper_rotation import Rotator
from hub.services.runtime import Hub
from hub.store import tables
from hub.store.session import UnitOfWork
from hub.store.token_set import IndexedToken, Packed
from tests.hub.conftest import World, record_key, tokens

SLUGS = ("departement", "caf", "cpam", "ccas")
KINDS = (
    ("sgd", "insi", "gdp", "sdp", "sg_y"),
    ("sgd", "gdp", "sg_y"),
    ("gdp", "sdp"),
    ("sgd", "sg_y"),
    ("sdp", "sg_y"),
)


def _no_wait(seconds: float) -> None:
    """The test has no other traffic to let through."""


def rotator_of(hub: Hub) -> Rotator:
    return Rotator(hub.writer, hub.reads, hub.keyring)


def begin_pepper(hub: Hub) -> dict[str, Any]:
    return hub.writer.run(lambda uow: pepper_rotation.begin(uow, hub.keyring))


def step_pepper(hub: Hub, most: int) -> int:
    return hub.writer.run(lambda uow: pepper_rotation.step(uow, hub.keyring, most))


def finish_pepper(hub: Hub, most: int = 64) -> int:
    return pepper_rotation.run(rotator_of(hub), most=most, wait=_no_wait)


def epochs_held(hub: Hub) -> dict[int, int]:
    return hub.reads.run(lambda uow: uow.rotations.records_by_epoch())


def stored_tokens(hub: Hub) -> list[IndexedToken]:
    """Every token of every record; those that are looked up are found by that too."""
    columns = tables.token_set.c
    query = select(columns.number, columns.epoch, columns.kinds, columns.looked_up, columns.tokens)

    def read(uow: UnitOfWork) -> list[IndexedToken]:
        rows = uow.connection.execute(query).all()
        found = {tuple(row) for row in uow.connection.execute(select(tables.token))}
        assert found == {(lookup, number) for number, *packed in rows for lookup in Packed(*packed).lookups()}
        return [token for _, *packed in rows for token in Packed(*packed).unpack()]

    return hub.reads.run(read)


def tokens_of_kinds(person: int, kinds: tuple[str, ...], **flags: Any) -> TokenSet:
    whole = tokens(person, **flags)
    return TokenSet(tuple(each for each in whole.tokens if each[0] in kinds), whole.flags)


def register_tokens(world: World, slug: str, key: int, made: TokenSet) -> dict[str, str]:
    document = {"records": [{"record_key": record_key(key), "sections": [], **made.to_wire()}]}
    answer: dict[str, str] = world.ok(slug, "/v1/registrations", document)["registrations"][0]
    return answer


@contextmanager
def hub_in(folder: Path) -> Iterator[World]:
    folder.mkdir()
    world = World(folder)
    try:
        yield world
    finally:
        close_hub(world.hub)


# --- the oracle: a hub that never rotates -----------------------------------------------------------------------


@dataclass
class Told:
    """What one hub answered, with each person named by the order in which it first came: ids and refs are random."""

    world: World
    names: dict[str, int] = field(default_factory=dict)
    said: list[Any] = field(default_factory=list)

    def register(self, slug: str, key: int, made: TokenSet) -> None:
        answer = register_tokens(self.world, slug, key, made)
        hub = self.world.hub
        if "ref" in answer:
            person = hub.reads.run(lambda uow: register.resolve(uow, hub.keyring, slug, answer["ref"]))
            assert person is not None
            self.said.append(self.names.setdefault(person, len(self.names)))
        else:
            self.said.append(answer["refused"])
        self.world.clock.advance(timedelta(seconds=1))

    def review(self, decision: str) -> None:
        found = self.world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 50})["reviews"]
        opened = [each["opened_at"] for each in found]
        # Those of one moment are listed by a random id.
        for each in [each for each in found if opened.count(each["opened_at"]) == 1][:1]:
            shown = self.world.ok("dpo", "/v1/reviews/show", {"review_id": each["review_id"]})
            self.said.append([each["doubt"], each["kinds"], sorted(_pair(pair) for pair in shown["pairs"])])
            document = {"review_id": each["review_id"], "decision": decision, "reason": "essai"}
            answer = self.world.post("dpo", "/v1/reviews/decide", document)
            self.said.append((answer.status_code, (answer.get_json() or {}).get("state")))
        self.world.clock.advance(timedelta(seconds=1))

    def count(self) -> None:
        authorized = {"Authorization": f"Bearer {self.world.token('operator')}"}
        stats = self.world.client.get("/v1/index/stats", headers=authorized).get_json()
        names = ("persons", "provisional", "records", "links", "tokens", "reviews", "kept_apart")
        self.said.append({name: stats[name] for name in names})


def _pair(pair: dict[str, Any]) -> tuple[Any, ...]:
    partners = tuple(sorted((pair["record"]["partner"], pair["other"]["partner"])))
    return partners, pair["agree"], pair["differ"], str(pair["rules_say"])
