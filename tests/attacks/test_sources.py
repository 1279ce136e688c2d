"""What reaches a source's edge: from a hub that lies, a partner that burns, a stranger that types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit import seal
from connectors.kit.identity import parse_identity
from connectors.kit.orders import OrderRefused
from connectors.kit.pull_request import SentRequest
from connectors.kit.runtime.errors import MaillonError
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, subject_proofs, tokens_of
from tests.kit.world import AT, HELD, LEA, ROLE, TOKENISER, World, answered

TRAITS = {
    "nom_naissance": "LEBRUN",
    "prenoms": ["Léa"],
    "sexe": "F",
    "date_naissance": "1988-04-12",
    "code_cog_insee_commune_naissance": "45234",
}


def _person(**changes: Any) -> TokenSet:
    return tokens_of(parse_identity({**TRAITS, **changes}), TOKENISER)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _same_nonce(world: World, nonce: str) -> SentRequest:
    """A request of cpam about Léa with a nonce it saw in somebody else's."""
    ask = world.request().ask
    payload = seal.peek(world.request().jws, Typ.REQUEST)
    keys = world.keys["cpam"]
    forged = {
        **{name: value for name, value in payload.items() if name != "certificate"},
        "requester": "cpam",
        "nonce": nonce,
        "subject_proofs": subject_proofs(LEA, nonce),
        "seal_key": keys.seal_key.thumbprint,
    }
    return SentRequest(keys.sign(forged, Typ.REQUEST), world.my_ref, "A" * 22, ask, keys)


def test_a_source_in_the_same_pull_cannot_burn_the_requesters_nonce(world: World) -> None:
    """cpam is ordered too, so it sees the request: it asks caf twice under the same nonce, and is first."""
    directory = world.sign_directory(2, cpam={"roles": (ROLE,), "kind": "departement"})
    source = world.source(directory=directory)
    sent = world.request()
    nonce = str(seal.peek(sent.jws, Typ.REQUEST)["nonce"])
    agreed = world.consent(recipients=(("departement", (ROLE,)), ("cpam", (ROLE,))))
    for _ in range(2):
        answered(world, world.order(_same_nonce(world, nonce), agreed, recipient="cpam"), source, AT)
    assert answered(world, world.order(sent, agreed), source, AT)


def test_two_people_with_two_numbers_are_never_one(world: World) -> None:
    """Same given name, same day, same town, not the same number: a swap the weakest proof alone would let pass."""
    lea, other = _person(nir="288044523400122"[:13]), _person(nom_naissance="MARTIN", nir="2880445234055")
    assert {lea.flags["nir"], other.flags["nir"]} == {"coherent"}
    assert set(lea.of("gdp")) & set(other.of("gdp"))
    world.store.people["L1"] = (world.ref, other, dict(HELD))
    with pytest.raises(OrderRefused) as refused:
        answered(world, world.order(world.request(tokens=lea), world.consent(tokens=lea)), world.source(), AT)
    assert refused.value.reason == "wrong_subject"


def test_a_changed_name_is_no_obstacle_under_one_number(world: World) -> None:
    before, after = _person(nir="2880445234001"), _person(nom_naissance="DUVAL", nir="2880445234001")
    world.store.people["L1"] = (world.ref, after, dict(HELD))
    assert answered(world, world.order(world.request(tokens=before), world.consent(tokens=before)), world.source(), AT)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=30), st.just([]), st.just({})
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_the_hub_signs_is_answered_or_refused_by_name(world: World, data: st.DataObject) -> None:
    """A dishonest hub has a good key: any member of the order may hold anything."""
    payload = world.order_payload(world.request().jws, [world.consent().jws])
    name = data.draw(st.sampled_from(sorted(payload)))
    try:
        order = world.keys["hub"].sign({**payload, name: data.draw(VALUES)}, Typ.ORDER)
    except MaillonError:
        return
    before = len(world.store.answered)
    try:
        was_answered = bool(answered(world, order, world.source(), AT))
    except MaillonError:
        was_answered = False
    assert len(world.store.answered) - before == was_answered


@pytest.mark.parametrize("member", ["purpose", "recipients", "sources"])
def test_an_agreement_for_something_else_gives_nothing(world: World, member: str) -> None:
    notice = next(n for n in world.policy.notices if n.purpose == "logement" or n.notice_id == "logement_fsl")
    changes: dict[str, Any] = {
        "purpose": {"purpose": notice.purpose, "notice": (notice, "fr")},
        "recipients": {"recipients": (("cpam", ()),)},
        "sources": {"sources": ("cpam",)},
    }[member]
    with pytest.raises(OrderRefused) as refused:
        answered(world, world.order(world.request(), world.consent(**changes)), world.source(), AT)
    assert refused.value.reason == "no_authority"


def test_the_policy_of_the_source_decides_and_not_the_hubs(world: World) -> None:
    other = replace(world.policy, version="0" * 64)
    with pytest.raises(OrderRefused) as refused:
        answered(world, world.order(policy_version=other.version), world.source(), AT)
    assert refused.value.reason == "policy_version"
