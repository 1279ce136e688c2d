"""What a reviewer and a DPO do at the hub, as the tests of who is whom say it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from connectors.kit.runtime.ids import PersonId
from connectors.kit.tokens import TokenSet
from hub.services.register import resolve
from hub.store import tables
from schemas.registry import validator
from tests.hub.conftest import World, record_key, tokens


def half(person: int) -> TokenSet:
    """Enough in common with the person to be shown to a reviewer, not enough to be linked."""
    made = tokens(person)
    return TokenSet(tuple(each for each in made.tokens if each[0] == "sgd"), made.flags)


def register_record(world: World, slug: str, held: TokenSet, key: int, *sections: str) -> str:
    record = {"record_key": record_key(key), "sections": list(sections), **held.to_wire()}
    ref: str = world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"][0]["ref"]
    return ref


def open_reviews(world: World, **criteria: Any) -> list[dict[str, Any]]:
    answer = world.ok("dpo", "/v1/reviews/search", {"decided": False, **criteria})
    validator("reviews").check(answer)
    found: list[dict[str, Any]] = answer["reviews"]
    return found


def decide(world: World, review_id: str, decision: str) -> dict[str, Any]:
    world.clock.advance(timedelta(seconds=1))
    body = {"review_id": review_id, "decision": decision, "reason": "pièce vue"}
    return world.ok("dpo", "/v1/reviews/decide", body)


def records_of(world: World, slug: str, ref: str) -> dict[str, Any]:
    answer = world.ok("dpo", "/v1/persons/records", {"partner": slug, "ref": ref, "complaint": "R-1"})
    validator("person_records").check(answer)
    return answer


def split_off(world: World, slug: str, ref: str, *partners: str) -> dict[str, Any]:
    world.clock.advance(timedelta(seconds=1))
    held = [r["record_id"] for r in records_of(world, slug, ref)["records"] if r["partner"] in partners]
    body = {"partner": slug, "ref": ref, "records": held, "complaint": "R-1", "reason": "homonymes"}
    answer = world.ok("dpo", "/v1/persons/split", body)
    validator("split_answer").check(answer)
    return answer


def notices_of(world: World, slug: str) -> list[dict[str, Any]]:
    answer = world.ok(slug, "/v1/link-notices/search", {"limit": 100})
    validator("link_notices").check(answer)
    found: list[dict[str, Any]] = answer["notices"]
    return found


def index_stats(world: World) -> dict[str, Any]:
    answer = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('operator')}"})
    validator("index_stats").check(answer.get_json())
    found: dict[str, Any] = answer.get_json()
    return found


def person_of(world: World, slug: str, ref: str) -> PersonId | None:
    return world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, slug, ref))


def match_kinds(world: World) -> list[str]:
    query = select(tables.match_event.c.kind).order_by(tables.match_event.c.seq)
    return world.hub.reads.run(lambda uow: list(uow.connection.execute(query).scalars()))


def doubted(world: World) -> tuple[str, str, str]:
    """A person of the département and a record of the caisse that may be the same: (ref, ref, review)."""
    desk = world.register("departement", 1, sections=["accompagnement"])
    world.clock.advance(timedelta(seconds=1))
    caf = register_record(world, "caf", half(1), 1, "droits", "ressources")
    (review,) = open_reviews(world)
    return desk, caf, review["review_id"]
