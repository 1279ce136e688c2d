"""The pull with the edges' own checks on both sides: real orders judged, real fragments assembled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.assembly import assemble
from connectors.kit.orders import OrderRefused, Source, answer_order
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import TokenSet
from connectors.kit.transport import ProblemError
from consent.model import EventKind
from tests.hub.conftest import C2S, QF, RSA, World, body_of, tokens


class Held:
    """What one source holds, in memory: the part of an edge store that an order needs."""

    def __init__(self, ref: str, person: int, fields: tuple[str, ...], world: World, slug: str) -> None:
        self.ref, self.person = ref, person
        collected = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"absence": "non_calculable", "source": slug, "date_collecte": collected}
        self.fragment: dict[str, Any] = {"v": 1, "statements": dict.fromkeys(fields, said)}
        self.seen: set[str] = set()

    def local_of(self, ref: str) -> str | None:
        return "1" if ref == self.ref else None

    def tokens_of(self, local_id: str) -> TokenSet | None:
        return tokens(self.person)

    def fragment_of(self, local_id: str) -> dict[str, Any] | None:
        return self.fragment

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def remember_order(self, order_id: str, expires_at: datetime) -> bool:
        return self.remember_nonce(order_id, expires_at)

    def remember_nonce(self, digest: str, expires_at: datetime) -> bool:
        fresh = digest not in self.seen
        self.seen.add(digest)
        return fresh

    def keep_order(self, leaf: bytes, order: str, ref: str, at: datetime) -> bool:
        return True


class Everything:
    """A partner that lets everything it supplies go."""

    def releases(self, recipient_kind: str, purpose: str) -> tuple[str, ...]:
        return (*RSA, *QF, *C2S)


class Network:
    """Real sources behind the hub's orders; remembers why they refused."""

    def __init__(self, world: World, held: dict[str, Held]) -> None:
        self.world, self.held = world, held
        self.refusals: list[str] = []

    def send(self, endpoint: str, order: AddressedOrder) -> str:
        slug, world = endpoint.rsplit("/", 1)[-1], self.world
        keys = world.partners[slug].operational()
        source = Source(slug, world.directory, world.hub.policy.get(), self.held[slug], Everything(), keys)
        try:
            sealed = answer_order(order, source, world.clock.now())
        except OrderRefused as refused:
            self.refusals.append(refused.reason.value)
            raise ProblemError(ErrorKind.ORDER_REFUSED, refused.detail, 403, None, refused.reason.value) from None
        world.edges.before(slug)
        return sealed


@pytest.fixture
def network(world: World, known: dict[str, str]) -> Network:
    held = {
        "caf": Held(known["caf"], 1, (*RSA, *QF), world, "caf"),
        "cpam": Held(known["cpam"], 1, C2S, world, "cpam"),
    }
    network = Network(world, held)
    world.edges.send = network.send  # type: ignore[method-assign]
    return network


def _pull(world: World, ref: str) -> Any:
    sent = world.request(ref)
    answer = world.ok("departement", "/v1/pulls", body_of(sent))
    return assemble(answer, sent, tokens(1), world.directory, world.clock.now())


def test_real_sources_accept_the_hubs_orders_and_the_recipient_assembles(
    world: World, known: dict[str, str], network: Network
) -> None:
    ref = known["departement"]
    world.consent(ref, EventKind.GRANTED, sources=("caf", "cpam"), fields=(*RSA, *C2S))
    assembled = _pull(world, ref)
    assert network.refusals == []
    assert assembled.reports == ()
    assert set(assembled.dossier["sections"]["droits"]) == {"rsa", "c2s"}
    assert assembled.dossier["gaps"] == []
    assert assembled.dossier["withheld"] == {QF[0]: "non_communique"}


def test_a_second_order_on_the_same_request_is_accepted_after_a_narrowing(
    world: World, known: dict[str, str], network: Network
) -> None:
    ref = known["departement"]
    record = world.consent(ref, EventKind.GRANTED)["record_id"]

    def narrow(slug: str) -> None:
        world.edges.before = lambda slug: None
        world.consent(ref, EventKind.NARROWED, fields=RSA, follows=world.follows(ref, record))

    world.edges.before = narrow
    assembled = _pull(world, ref)
    assert network.refusals == []
    assert list(assembled.dossier["sections"]) == ["droits"]


def test_information_and_its_protection_convince_the_sources_too(
    world: World, known: dict[str, str], network: Network
) -> None:
    ref, policy = known["departement"], world.hub.policy.get()
    notice = (policy.notice("acces_aux_droits", "1"), "falc")
    world.consent(ref, EventKind.INFORMED, purpose="acces_aux_droits", notice=notice, sources=("caf",), end=None)
    world.consent(ref, EventKind.PROTECTED, fields=QF, actor="institution")
    answer = world.pull(ref, purpose="acces_aux_droits", role="travailleur_social")
    assert network.refusals == []
    assert [row["source"] for row in answer["fragments"]] == ["caf"]
    assert answer["statuses"][QF[0]] == "non_communique"


def test_a_source_that_was_linked_to_someone_else_refuses(
    world: World, known: dict[str, str], network: Network
) -> None:
    """A wrong merge at the hub: the source sees that the consent is not about the person it holds."""
    ref = known["departement"]
    world.consent(ref, EventKind.GRANTED)
    network.held["caf"].person = 2
    answer = world.pull(ref)
    assert network.refusals == ["wrong_subject"]
    assert answer["gaps"] == [{"source": "caf", "outcome": "non_autorise"}]
