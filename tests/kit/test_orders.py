"""Every way an order can be wrong, and the reason the source gives. Each starts from the honest order that works."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit import seal
from connectors.kit.orders import Reason
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.trust import OperationalKeys
from consent.ledger.leaf import EventClass
from tests.kit.world import (
    AT,
    EMAIL,
    FIELDS,
    HELD,
    QUOTIENT,
    SECOND,
    START,
    Release,
    World,
    answered,
    new_leaf,
    refused,
)


def test_the_honest_order_is_answered_with_the_ordered_fields_and_nothing_else(world: World) -> None:
    sent = world.request()
    order = world.order(sent)
    payload = world.open(answered(world, order, world.source(), AT))
    statements = payload["fragment"]["statements"]
    assert set(statements) == set(FIELDS)
    assert statements[START] == HELD[START]
    assert statements[QUOTIENT] == HELD[QUOTIENT]
    assert statements[EMAIL] == {
        # Another contact detail is held: the file exists, this place in it is empty.
        "absence": "non_renseigne",
        "source": "caf",
        "date_collecte": "2026-01-15T09:00:00Z",
    }
    assert payload["order_digest"] == seal.jws_digest(order)
    assert payload["request_digest"] == sent.digest
    assert world.store.answered == [payload["order_id"]]


def test_no_ref_and_no_local_id_is_in_the_fragment(world: World) -> None:
    text = str(world.open(answered(world, world.order(), world.source(), AT)))
    assert world.ref not in text
    assert world.my_ref not in text
    assert "'L1'" not in text  # quoted: two letters turn up in base64url by chance


# 1. The order is the hub's --------------------------------------------------------------------------------------


def test_an_order_the_hub_did_not_sign(world: World) -> None:
    payload = world.order_payload(world.request().jws, [])
    assert refused(world, world.keys["cpam"].sign(payload, Typ.ORDER)) is Reason.CERTIFICATE
    impostor = OperationalKeys.mint(SigningKey.generate(), "hub", AT)
    assert refused(world, impostor.sign(payload, Typ.ORDER)) is Reason.CERTIFICATE
    stolen = replace(world.keys["hub"], sign_key=SigningKey.generate())
    assert refused(world, stolen.sign(payload, Typ.ORDER)) is Reason.SIGNATURE


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "." * 300])
def test_garbage_is_no_order(world: World, token: str) -> None:
    assert refused(world, token) is Reason.SIGNATURE


def test_an_order_with_alg_none(world: World) -> None:
    payload = world.order().split(".")[1]
    header = b64url.encode(b'{"alg":"none","typ":"%s","kid":"x"}' % Typ.ORDER.encode())
    assert refused(world, f"{header}.{payload}.") is Reason.SIGNATURE


def test_another_message_of_the_hub_is_no_order(world: World) -> None:
    payload = world.order_payload(world.request().jws, [])
    assert refused(world, world.keys["hub"].sign(payload, Typ.REQUEST)) is Reason.SIGNATURE


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_altered_order_is_answered(world: World, data: st.DataObject) -> None:
    order = world.order()
    position = data.draw(st.integers(0, len(order) - 1))
    character = data.draw(st.sampled_from("AbZz09-_."))
    if order[position] != character:
        assert refused(world, order[:position] + character + order[position + 1 :]) in (
            Reason.SIGNATURE,
            Reason.CERTIFICATE,
        )


def test_the_hubs_certificate_ends(world: World) -> None:
    """A fresh order under an operational key of more than 30 minutes ago."""
    later = AT + timedelta(minutes=31)
    world.keys["departement"] = OperationalKeys.mint(world.identities["departement"], "departement", later)
    payload = world.order_payload(world.request(at=later).jws, [world.consent().jws], later)
    assert refused(world, world.keys["hub"].sign(payload, Typ.ORDER), later) is Reason.CERTIFICATE


def test_an_expired_directory_answers_nothing(world: World) -> None:
    late = world.directory.valid_until
    keys = OperationalKeys.mint(world.identities["hub"], "hub", late)
    payload = world.order_payload(world.request(at=late).jws, [world.consent().jws], late)
    assert refused(world, keys.sign(payload, Typ.ORDER), late) is Reason.DIRECTORY


def test_a_hub_that_put_another_key_in_its_place_is_refused(world: World) -> None:
    """The directory says who the hub is; the hub cannot say it."""
    other = world.sign_directory(2, hub={"identity_key": SigningKey.generate().public_jwk})
    assert refused(world, world.order(), source=world.source(directory=other)) is Reason.CERTIFICATE


def test_a_signed_order_of_another_form_is_a_schema_error(world: World) -> None:
    with pytest.raises(MaillonError) as caught:
        answered(world, world.order(extra=1), world.source(), AT)
    assert caught.value.kind is ErrorKind.SCHEMA
    with pytest.raises(MaillonError) as caught:
        answered(world, world.order(fields="*"), world.source(), AT)
    assert caught.value.pointer == "/fields"


# 2. For me, alive, never seen -----------------------------------------------------------------------------------


def test_an_order_for_another_source(world: World) -> None:
    assert refused(world, world.order(source="cpam")) is Reason.WRONG_SOURCE


def test_an_order_lives_ten_seconds_and_not_one_more(world: World) -> None:
    order = world.order()
    assert refused(world, order, AT + 10 * SECOND) is Reason.EXPIRED
    assert answered(world, order, world.source(), AT + 9 * SECOND)
    now = to_epoch(AT)
    assert refused(world, world.order(exp=now + 11)) is Reason.EXPIRED
    assert refused(world, world.order(iat=now + 8, exp=now + 12)) is Reason.EXPIRED


def test_an_order_is_answered_once(world: World) -> None:
    order = world.order()
    answered(world, order, world.source(), AT)
    assert refused(world, order) is Reason.REPLAYED


# 3. The request is the requester's ------------------------------------------------------------------------------


def test_a_request_the_hub_made_up(world: World) -> None:
    payload = seal.peek(world.request().jws, Typ.REQUEST)
    del payload["certificate"]
    by_hub = world.keys["hub"].sign(payload, Typ.REQUEST)
    assert refused(world, world.order(request=by_hub)) is Reason.CERTIFICATE
    own = OperationalKeys.mint(SigningKey.generate(), "departement", AT).sign(payload, Typ.REQUEST)
    assert refused(world, world.order(request=own)) is Reason.CERTIFICATE


def test_a_request_signed_with_a_key_that_is_not_the_certified_one(world: World) -> None:
    payload = seal.peek(world.request().jws, Typ.REQUEST)
    token = seal.sign(payload, Typ.REQUEST, SigningKey.generate())
    assert refused(world, world.order(request=token)) is Reason.REQUEST_SIGNATURE


def test_a_request_of_someone_else_than_the_recipient(world: World) -> None:
    assert refused(world, world.order(recipient="cpam")) is Reason.REQUEST_SIGNATURE


def test_a_request_of_a_partner_suspended_or_gone(world: World) -> None:
    suspended = world.sign_directory(2, departement={"status": "suspended"})
    assert refused(world, world.order(), source=world.source(directory=suspended)) is Reason.DIRECTORY


def test_a_hub_cannot_put_its_own_seal_key_into_the_request(world: World) -> None:
    payload = seal.peek(world.request().jws, Typ.REQUEST) | {"seal_key": SealKey.generate().thumbprint}
    del payload["certificate"]
    token = world.keys["departement"].sign(payload, Typ.REQUEST)
    assert refused(world, world.order(request=token)) is Reason.REQUEST_SIGNATURE


def test_a_request_lives_sixty_seconds_and_not_one_more(world: World) -> None:
    old = world.request(at=AT - 60 * SECOND)
    assert refused(world, world.order(old)) is Reason.REQUEST_EXPIRED
    assert answered(world, world.order(world.request(at=AT - 59 * SECOND)), world.source(), AT)
    payload = seal.peek(world.request().jws, Typ.REQUEST)
    del payload["certificate"]
    longer = world.keys["departement"].sign(payload | {"exp": payload["iat"] + 61}, Typ.REQUEST)
    assert refused(world, world.order(request=longer)) is Reason.REQUEST_EXPIRED


def test_a_request_serves_one_order_and_one_more(world: World) -> None:
    """The second is the hub's: its last gate discarded the first fragment and orders once more."""
    sent = world.request()
    answered(world, world.order(sent), world.source(), AT)
    answered(world, world.order(sent, fields=[START]), world.source(), AT)
    assert refused(world, world.order(sent)) is Reason.REQUEST_REPLAYED


def test_fields_beyond_the_request(world: World) -> None:
    sent = world.request(fields=(START,))
    assert refused(world, world.order(sent, fields=[START, QUOTIENT])) is Reason.FIELDS_BEYOND_REQUEST
    assert refused(world, world.order(sent, fields=["droits.rsa.inconnu"])) is Reason.FIELDS_BEYOND_REQUEST


def test_a_request_of_another_form(world: World) -> None:
    payload = seal.peek(world.request().jws, Typ.REQUEST)
    del payload["certificate"]
    token = world.keys["departement"].sign(payload | {"extra": 1}, Typ.REQUEST)
    assert refused(world, world.order(request=token)) is Reason.REQUEST_SIGNATURE


def test_another_version_of_the_policy(world: World) -> None:
    assert refused(world, world.order(policy_version="0" * 64)) is Reason.POLICY_VERSION


# 7. The partner's own rules -------------------------------------------------------------------------------------


def test_the_leaf_it_is_logged_as_is_kept_with_the_order(world: World) -> None:
    order = world.order()
    answered(world, order, world.source(), AT)
    assert world.store.leaves == {b64url.decode(seal.peek(order, Typ.ORDER)["leaf"])}


def test_two_orders_cannot_share_a_leaf(world: World) -> None:
    """Else the hub logs one of them, and shows it twice."""
    leaf = b64url.encode(new_leaf().encode())
    answered(world, world.order(leaf=leaf), world.source(), AT)
    assert refused(world, world.order(leaf=leaf)) is Reason.LEAF


@pytest.mark.parametrize(
    "leaf",
    [
        b"\x00" * 105,
        new_leaf(event_class=EventClass.CONSENT).encode(),
        new_leaf(AT - timedelta(seconds=61)).encode(),
        new_leaf(AT + timedelta(seconds=6)).encode(),
    ],
    ids=["garbage", "of a consent", "of long ago", "of later"],
)
def test_a_leaf_that_cannot_be_the_orders(world: World, leaf: bytes) -> None:
    assert refused(world, world.order(leaf=b64url.encode(leaf))) is Reason.LEAF


def test_a_leaf_of_the_minute_before(world: World) -> None:
    for seconds in (60, -5):
        leaf = new_leaf(AT - timedelta(seconds=seconds))
        answered(world, world.order(leaf=b64url.encode(leaf.encode())), world.source(), AT)
    assert len(world.store.answered) == 2


def test_what_the_partner_keeps_is_stated_and_not_sent(world: World) -> None:
    source = world.source(release=Release(frozenset({QUOTIENT})))
    statements = world.open(answered(world, world.order(), source, AT))["fragment"]["statements"]
    assert statements[QUOTIENT]["absence"] == "non_autorise"
    assert "valeur" not in statements[QUOTIENT]
    assert statements[START] == HELD[START]


def test_a_partner_that_releases_nothing_of_it_refuses(world: World) -> None:
    source = world.source(release=Release(frozenset(FIELDS)))
    assert refused(world, world.order(), source=source) is Reason.PARTNER_POLICY


# What is said of what is not held -------------------------------------------------------------------------------


def test_a_right_the_source_said_the_person_has_not(world: World) -> None:
    absent = {"absence": "sans_droit", "source": "caf", "date_collecte": "2026-01-02T03:04:05Z"}
    ref, tokens, _ = world.store.people["L1"]
    world.store.people["L1"] = (ref, tokens, {"droits.rsa.etat": absent})
    statements = world.open(answered(world, world.order(), world.source(), AT))["fragment"]["statements"]
    assert {path: said["absence"] for path, said in statements.items()} == {
        START: "sans_droit",
        QUOTIENT: "sans_dossier",
        EMAIL: "sans_dossier",
    }


def test_a_person_without_any_fragment(world: World) -> None:
    ref, tokens, _ = world.store.people["L1"]
    world.store.people["L1"] = (ref, tokens, {})
    statements = world.open(answered(world, world.order(), world.source(), AT))["fragment"]["statements"]
    assert {said["absence"] for said in statements.values()} == {"sans_dossier"}


def test_a_refused_order_leaves_the_request_usable(world: World) -> None:
    sent = world.request()
    refused(world, world.order(sent, policy_version="0" * 64))
    assert answered(world, world.order(sent), world.source(), AT)
