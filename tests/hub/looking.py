"""Twins before a reviewer, and the two edges that hold them: a look as both ends see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_store import EdgeStore
from connectors.kit.identity import parse_identity
from connectors.kit.orders import OrderRefused
from connectors.kit.rarity import UNKNOWN_SHARES
from connectors.kit.review.masks import FIELDS, PURPOSE
from connectors.kit.review.reviewer import Seen, SentLook, fields_in_doubt, open_side, sign_look
from connectors.kit.review.source import LookSource, answer_look
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import HmacTokeniser, tokens_of
from connectors.kit.transport import ProblemError
from schemas.registry import validator
from tests.hub.conftest import World, record_key

K_LINK = HmacTokeniser(b"l" * 32, 1)
JULIE = {
    "nom_naissance": "QUÉMÉNER",
    "prenoms": ["Julie"],
    "sexe": "F",
    "date_naissance": "1980-02-03",
    # In Corsica: five digits alone turn up in a random id now and then, where a test looks for them in the hub's files.
    "code_cog_insee_commune_naissance": "2A004",
}
JULIEN = JULIE | {"prenoms": ["Julien"], "sexe": "M"}


class Release:
    """A partner's own ``[[release]]``: ``kept`` traits do not go to a reviewer."""

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self.kept = kept

    def releases(self, recipient_kind: str, purpose: str) -> set[str]:
        return {*FIELDS} - {*self.kept} if (recipient_kind, purpose) == ("hub", PURPOSE) else set()


class Edges:
    """The edges of departement and caf, with a twin each; stand in the network's place."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.stores = {slug: EdgeStore.open(folder / f"{slug}.db", b"k" * 32) for slug in ("departement", "caf")}
        self.release: dict[str, Any] = dict.fromkeys(self.stores, Release())
        self.asked: list[tuple[str, AddressedOrder]] = []
        self.refusals: list[str] = []
        self.refs: dict[str, str] = {}
        self.change: Any = lambda order: order
        world.edges.send = self.send  # type: ignore[method-assign, assignment]

    def hold(self, slug: str, traits: Mapping[str, object], local_id: str = "L-1", key: int = 1) -> str:
        made = tokens_of(with_birthplace(parse_identity(traits)), K_LINK)
        self.stores[slug].upsert_subject(local_id, traits, made)
        record = {"record_key": record_key(key), "sections": ["droits"], **made.to_wire()}
        (said,) = self.world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"]
        self.stores[slug].set_ref(local_id, said["ref"])
        self.refs[slug] = said["ref"]
        return str(said["ref"])

    def source(self, slug: str, **changes: Any) -> LookSource:
        keys = self.world.partners[slug].operational()
        made = LookSource(
            slug, self.world.directory, self.stores[slug], self.release[slug], keys, K_LINK, UNKNOWN_SHARES
        )
        return replace(made, **changes)

    def send(self, endpoint: str, order: AddressedOrder) -> str:
        slug = endpoint.rsplit("/", 1)[-1]
        self.asked.append((slug, order))
        try:
            answer: str = self.change(answer_look(order, self.source(slug), self.world.clock.now()))
            return answer
        except OrderRefused as refused:
            self.refusals.append(refused.reason.value)
            raise ProblemError(ErrorKind.ORDER_REFUSED, refused.detail, 403, None, refused.reason.value) from None


def twins(world: World, folder: Path) -> Edges:
    """The département holds one twin, the caisse the other."""
    made = Edges(world, folder)
    made.hold("departement", JULIE)
    world.clock.advance(timedelta(seconds=1))
    made.hold("caf", JULIEN, local_id="0123456")
    return made


def review_of(world: World) -> dict[str, Any]:
    (found,) = world.ok("dpo", "/v1/reviews/search", {"decided": False})["reviews"]
    shown: dict[str, Any] = world.ok("dpo", "/v1/reviews/show", {"review_id": found["review_id"]})
    return shown


def sign(world: World, review: Mapping[str, Any], fields: Sequence[str] | None = None) -> SentLook:
    wanted = fields_in_doubt(review["pairs"]) if fields is None else fields
    return sign_look(review["review_id"], wanted, world.principal("dpo")(), world.clock.now())


def look(world: World, fields: Sequence[str] | None = None) -> tuple[dict[str, Any], SentLook]:
    sent = sign(world, review_of(world), fields)
    answer = world.ok("dpo", "/v1/reviews/traits", {"look": sent.jws})
    validator("review_traits").check(answer)
    return answer, sent


def opened(world: World, answer: Mapping[str, Any], sent: SentLook) -> tuple[Seen, Seen]:
    (one,) = open_side(answer["raised"], sent, world.directory, world.clock.now())
    (other,) = open_side(answer["candidate"], sent, world.directory, world.clock.now())
    return one, other
