"""A look at masked traits that is refused: by its source, by the hub, or not believed by the reviewer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.orders import OrderRefused, Reason
from connectors.kit.review.masks import FIELDS
from connectors.kit.review.reviewer import SentLook, open_side, sign_look
from connectors.kit.review.source import MOST_A_DAY, answer_look
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.trust import Directory, OperationalKeys, subject_digest
from tests.hub.conftest import World, problem
from tests.hub.looking import Edges, Release, look, opened, review_of, sign, twins
from tests.kit.world import new_leaf


@pytest.fixture
def edges(world: World, tmp_path: Path) -> Edges:
    return twins(world, tmp_path)


def order_of(world: World, edges: Edges, request: str, **changes: Any) -> AddressedOrder:
    """An order the hub could sign, with ``changes`` made to its payload."""
    salt, now = secrets.token_bytes(16), world.clock.now()
    payload = {
        "v": 1,
        "order_id": new_uuid(),
        "source": "caf",
        "subject": subject_digest(edges.refs["caf"], salt),
        "request": request,
        "leaf": b64url.encode(new_leaf(now).encode()),
        "iat": to_epoch(now),
        "exp": to_epoch(now) + 10,
    }
    signed = world.hub.operational().sign(payload | changes, Typ.LOOK_ORDER)
    return AddressedOrder(signed, edges.refs["caf"], b64url.encode(salt))


def refused(world: World, edges: Edges, order: AddressedOrder, **changes: Any) -> Reason:
    with pytest.raises(OrderRefused) as caught:
        answer_look(order, edges.source("caf", **changes), world.clock.now())
    assert edges.stores["caf"].looks.list() == []
    return caught.value.reason


def test_the_hubs_word_is_not_enough(world: World, edges: Edges) -> None:
    """A hub that signs the reviewer's request itself, or has any other key sign it."""
    review = review_of(world)
    for keys in (
        world.hub.operational(),
        world.partners["departement"].operational(),
        OperationalKeys.mint(SigningKey.generate(), "dpo", world.clock.now()),
        OperationalKeys.mint(SigningKey.generate(), "hub", world.clock.now()),
    ):
        sent = sign_look(review["review_id"], FIELDS, keys, world.clock.now())
        assert refused(world, edges, order_of(world, edges, sent.jws)) is Reason.REQUEST_SIGNATURE
    good = sign(world, review)
    assert answer_look(order_of(world, edges, good.jws), edges.source("caf"), world.clock.now())


def test_a_request_for_something_else_is_none(world: World, edges: Edges) -> None:
    keys = world.principal("dpo")()
    good = seal.peek(sign(world, review_of(world)).jws, Typ.LOOK)
    for change in ({"purpose": "controle"}, {"fields": ["contact.email"]}, {"seal_key": "A" * 43}, {"reviewer": "caf"}):
        payload = {name: value for name, value in (good | change).items() if name != "certificate"}
        order = order_of(world, edges, keys.sign(payload, Typ.LOOK))
        assert refused(world, edges, order) is Reason.REQUEST_SIGNATURE


def test_times_source_person_and_leaf_are_checked(world: World, edges: Edges) -> None:
    request = sign(world, review_of(world)).jws
    now = to_epoch(world.clock.now())
    assert refused(world, edges, order_of(world, edges, request, source="cpam")) is Reason.WRONG_SOURCE
    assert refused(world, edges, order_of(world, edges, request, exp=now + 11)) is Reason.EXPIRED
    assert refused(world, edges, order_of(world, edges, request, subject="A" * 43)) is Reason.WRONG_SUBJECT
    assert refused(world, edges, order_of(world, edges, request, leaf="A" * 140)) is Reason.LEAF
    nobody = replace(order_of(world, edges, request), ref=edges.refs["departement"])
    assert refused(world, edges, nobody) is Reason.WRONG_SUBJECT
    world.clock.advance(timedelta(seconds=61))
    assert refused(world, edges, order_of(world, edges, request)) is Reason.REQUEST_EXPIRED
    with pytest.raises(MaillonError) as caught:
        answer_look(order_of(world, edges, request, extra=1), edges.source("caf"), world.clock.now())
    assert caught.value.kind is ErrorKind.SCHEMA


def test_an_order_is_answered_once_and_a_request_twice_at_most(world: World, edges: Edges) -> None:
    """Twice: the same partner may hold both persons."""
    request = sign(world, review_of(world)).jws
    order, now = order_of(world, edges, request), world.clock.now()
    answer_look(order, edges.source("caf"), now)
    for again, reason in (
        (order, Reason.REPLAYED),
        (order_of(world, edges, request), None),
        (order_of(world, edges, request), Reason.REQUEST_REPLAYED),
    ):
        if reason is None:
            answer_look(again, edges.source("caf"), now)
            continue
        with pytest.raises(OrderRefused) as caught:
            answer_look(again, edges.source("caf"), now)
        assert caught.value.reason is reason


def test_a_partners_own_policy_keeps_traits_or_all_of_them(world: World, edges: Edges) -> None:
    edges.release["caf"] = Release(("identite.sexe",))
    edges.release["departement"] = Release(FIELDS)
    answer, sent = look(world)
    assert edges.refusals == [Reason.PARTNER_POLICY.value]
    one, other = opened(world, answer, sent)
    assert (other.records, other.outcome) == ((), "non_autorise")
    assert set(one.records[0]) == {"identite.prenoms", "identifiants.nir"}


def test_a_day_of_browsing_ends(world: World, edges: Edges, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reviewer, or a thief of the key, cannot go through everybody."""
    assert MOST_A_DAY == 200
    monkeypatch.setattr("connectors.kit.review.source.MOST_A_DAY", 2)
    for outcome in ("traits", "traits", "non_autorise"):
        answer, _ = look(world)
        assert {row["outcome"] for side in ("raised", "candidate") for row in answer[side]} == {outcome}
    world.clock.advance(timedelta(hours=25))
    world._tokens.clear()
    assert look(world)[0]["raised"][0]["outcome"] == "traits"


# --- what the hub refuses, and what the reviewer does not believe ---------------------------------------------------


def test_only_the_dpo_looks_and_once_a_request(world: World, edges: Edges) -> None:
    sent = sign(world, review_of(world))
    problem(world.post("caf", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.FORBIDDEN)
    world.ok("dpo", "/v1/reviews/traits", {"look": sent.jws})
    problem(world.post("dpo", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.REPLAYED)
    unknown = sign_look(new_uuid(), FIELDS, world.principal("dpo")(), world.clock.now())
    problem(world.post("dpo", "/v1/reviews/traits", {"look": unknown.jws}), ErrorKind.NOT_FOUND)
    other = sign_look(new_uuid(), FIELDS, world.principal("operator")(), world.clock.now())
    problem(world.post("dpo", "/v1/reviews/traits", {"look": other.jws}), ErrorKind.UNTRUSTED_KEY)


def test_what_is_one_person_already_is_looked_at_no_more(world: World, edges: Edges) -> None:
    review = review_of(world)
    decided = {"review_id": review["review_id"], "decision": "link", "reason": "pièce vue"}
    world.ok("dpo", "/v1/reviews/decide", decided)
    sent = sign(world, review)
    problem(world.post("dpo", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.CONFLICT)
    assert edges.asked == []


def test_a_suspended_or_silent_source_is_a_stated_gap(world: World, edges: Edges) -> None:
    world.ok("operator", "/v1/partners/suspend", {"slug": "caf", "suspended": True, "reason": "essai"})

    def silent(endpoint: str, order: AddressedOrder) -> str:
        raise RuntimeError("anything")

    world.edges.send = silent  # type: ignore[method-assign, assignment]
    answer, sent = look(world)
    one, other = opened(world, answer, sent)
    assert [(each.source, each.outcome) for each in (one, other)] == [
        ("caf", "indisponible"),
        ("departement", "indisponible"),
    ]
    shown = [row for row in world.log() if row["kind"] == "shown"]
    assert {row["outcome"] for row in shown} == {"nothing"}


def test_the_reviewer_believes_no_answer_that_proves_nothing(world: World, edges: Edges) -> None:
    first, earlier = look(world)
    answer, sent = look(world)
    caf, departement = answer["raised"][0], answer["candidate"][0]
    now = world.clock.now()

    def outcome(item: Mapping[str, Any], using: SentLook = sent) -> str:
        (seen,) = open_side([item], using, world.directory, now)
        assert seen.records == ()
        return seen.outcome

    assert outcome(caf | {"traits": departement["traits"]}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"order": departement["order"]}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"source": "departement"}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(first["raised"][0]) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"traits": "a.b.c.d.e"}) == ErrorKind.BAD_SEAL.value
    assert outcome(caf | {"order": caf["order"][:-4] + "AAAA"}) == ErrorKind.BAD_SIGNATURE.value
    assert earlier.digest != sent.digest
    (seen,) = open_side([caf], sent, world.directory, now)
    assert seen.records


def test_a_source_that_answers_more_than_was_asked_is_not_heard(world: World, edges: Edges) -> None:
    answer, sent = look(world, FIELDS)
    narrower = replace(sent, fields=("identite.sexe",))
    (seen,) = open_side(answer["raised"], narrower, world.directory, world.clock.now())
    assert (seen.records, seen.outcome) == ((), ErrorKind.FRAGMENT_REFUSED.value)


def test_a_consortium_that_named_no_reviewer_shows_nothing(world: World, edges: Edges) -> None:
    sent = sign(world, review_of(world))
    rows = [*world.entries.values()]
    rows[0], now = replace(rows[0], reviewer_key=""), world.clock.now()
    none = Directory.verify(world.root.sign_directory(rows, 2, now), world.root.public_jwk, now, 2)
    assert refused(world, edges, order_of(world, edges, sent.jws), directory=none) is Reason.DIRECTORY
