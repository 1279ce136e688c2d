"""Every way an order can be wrong, and the reason the source gives. Each starts from the honest order that works."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit import seal
from connectors.kit.consent_events import Previous
from connectors.kit.orders import OrderRefused, Reason, Source
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import OperationalKeys, subject_digest
from consent.canonical import digest
from consent.ledger.leaf import EventClass
from consent.model import EventKind
from tests.kit.world import (
    AMOUNT,
    AT,
    EMAIL,
    FIELDS,
    HELD,
    LEA,
    NOA,
    QUOTIENT,
    START,
    Release,
    World,
    answered,
    new_leaf,
    new_ref,
)

SECOND = timedelta(seconds=1)


def refused(world: World, order: str, at: Any = AT, source: Source | None = None, ref: str | None = None) -> Reason:
    """The reason an order is refused; nothing must have been answered."""
    before = list(world.store.answered)
    with pytest.raises(OrderRefused) as caught:
        answered(world, order, source or world.source(), at, ref)
    assert world.store.answered == before
    assert caught.value.kind is ErrorKind.ORDER_REFUSED
    assert caught.value.detail == caught.value.reason.value
    return caught.value.reason


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
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


# 4. and 5. The authority ----------------------------------------------------------------------------------------


def test_no_authority_no_field(world: World) -> None:
    assert refused(world, world.order(authorities=[])) is Reason.NO_AUTHORITY


def test_a_withdrawn_agreement_shown_whole(world: World) -> None:
    granted = world.consent()
    payload = granted.payload
    follows = Previous(record_id=payload["record_id"], seq=0, digest=digest(payload))
    withdrawn = world.consent(
        at=AT - timedelta(days=1),
        kind=EventKind.REVOKED,
        follows=follows,
        fields=(),
        sources=(),
        recipients=(),
        notice=None,
        end=None,
    )
    assert refused(world, world.order(None, granted, withdrawn)) is Reason.NO_AUTHORITY


def test_an_agreement_on_fewer_fields_other_sources_or_other_people(world: World) -> None:
    for event in (
        world.consent(fields=(START, QUOTIENT)),
        world.consent(sources=("cpam",)),
        world.consent(recipients=(("cpam", ()),)),
        world.consent(recipients=(("departement", ("accueil",)),)),
        world.consent(at=AT - timedelta(days=30), end=AT - SECOND),
        world.consent(start=AT + timedelta(days=1)),
    ):
        assert refused(world, world.order(None, event)) is Reason.NO_AUTHORITY


def test_a_role_that_may_not_see_it(world: World) -> None:
    sent = world.request(role="accueil")
    event = world.consent(recipients=(("departement", ()),))
    assert refused(world, world.order(sent, event)) is Reason.NO_AUTHORITY


def test_an_agreement_the_hub_made_up(world: World) -> None:
    payload = dict(world.consent().payload)
    del payload["certificate"]
    made_up = world.keys["hub"].sign(payload, Typ.CONSENT)
    assert refused(world, world.order(authorities=[made_up])) is Reason.AUTHORITY_SIGNATURE
    its_own = world.keys["hub"].sign(payload | {"collector": "hub"}, Typ.CONSENT)
    assert refused(world, world.order(authorities=[its_own])) is Reason.AUTHORITY_SIGNATURE


def test_an_agreement_of_a_partner_that_may_not_collect(world: World) -> None:
    payload = dict(world.consent().payload) | {"collector": "cpam"}
    del payload["certificate"]
    token = OperationalKeys.mint(world.identities["cpam"], "cpam", AT).sign(
        payload | {"at": "2026-01-15T09:00:00Z"}, Typ.CONSENT
    )
    assert refused(world, world.order(authorities=[token])) is Reason.AUTHORITY_SIGNATURE


def test_an_agreement_of_a_collector_suspended_since(world: World) -> None:
    """Whoever lost the consortium's trust gives no authority any more, not even by what it signed before."""
    payload = dict(world.consent().payload) | {"collector": "cpam"}
    del payload["certificate"]
    then = AT - timedelta(days=3)
    token = OperationalKeys.mint(world.identities["cpam"], "cpam", then).sign(payload, Typ.CONSENT)
    collects = world.sign_directory(2, cpam={"can_collect": True})
    assert answered(world, world.order(authorities=[token]), world.source(directory=collects), AT)
    suspended = world.sign_directory(3, cpam={"can_collect": True, "status": "suspended"})
    source = world.source(directory=suspended)
    assert refused(world, world.order(authorities=[token]), source=source) is Reason.AUTHORITY_SIGNATURE


def test_a_source_that_is_itself_suspended_answers_nothing(world: World) -> None:
    suspended = world.sign_directory(2, caf={"status": "suspended"})
    assert refused(world, world.order(), source=world.source(directory=suspended)) is Reason.DIRECTORY


def test_an_agreement_dated_after_its_certificate_ended(world: World) -> None:
    """A stolen operational key does not sign tomorrow's agreements."""
    payload = dict(world.consent().payload) | {"at": "2026-01-15T08:59:00Z"}
    old = OperationalKeys.mint(world.identities["departement"], "departement", AT - timedelta(days=2))
    del payload["certificate"]
    assert refused(world, world.order(authorities=[old.sign(payload, Typ.CONSENT)])) is Reason.AUTHORITY_SIGNATURE


def test_an_altered_agreement(world: World) -> None:
    token = world.consent().jws
    head, body, signature = token.split(".")
    wider = seal.peek(token, Typ.CONSENT) | {"pii_information": [*FIELDS, AMOUNT]}
    forged = seal.sign(wider, Typ.CONSENT, SigningKey.generate()).split(".")[1]
    assert refused(world, world.order(authorities=[f"{head}.{forged}.{signature}"])) is Reason.AUTHORITY_SIGNATURE
    assert body != forged


def test_another_version_of_the_policy(world: World) -> None:
    assert refused(world, world.order(policy_version="0" * 64)) is Reason.POLICY_VERSION


# 6. The person --------------------------------------------------------------------------------------------------


def test_a_ref_nobody_has(world: World) -> None:
    ref = new_ref()
    assert refused(world, world.order(ref=ref), ref=ref) is Reason.UNKNOWN_REF


def test_an_order_swapped_to_another_person(world: World) -> None:
    """The hub asks for Noa's file with Léa's agreement and a request about Léa."""
    assert refused(world, world.order(ref=world.other_ref), ref=world.other_ref) is Reason.WRONG_SUBJECT


def test_a_ref_beside_an_order_that_names_another(world: World) -> None:
    """The ref travels beside, unsigned: whoever carries the order cannot turn it on somebody else, or on no one."""
    for ref in (world.other_ref, new_ref()):
        assert refused(world, world.order(), ref=ref) is Reason.WRONG_SUBJECT
        assert refused(world, world.order(ref=ref)) is Reason.WRONG_SUBJECT


def test_the_ref_stands_nowhere_in_the_order(world: World) -> None:
    """The requester is shown the order: under another salt the same person has another subject."""
    order = world.order()
    assert world.ref not in b64url.decode(order.split(".")[1]).decode()
    subjects = {subject_digest(world.ref, bytes([n]) * 16) for n in range(3)}
    assert len(subjects) == 3


def test_the_agreement_of_another_person(world: World) -> None:
    assert refused(world, world.order(None, world.consent(tokens=NOA))) is Reason.WRONG_SUBJECT
    both = (world.consent(), world.consent(tokens=NOA))
    assert refused(world, world.order(None, *both)) is Reason.WRONG_SUBJECT


def test_a_request_about_another_person(world: World) -> None:
    assert refused(world, world.order(world.request(tokens=NOA))) is Reason.WRONG_SUBJECT


def test_proofs_do_not_move_from_one_message_to_another(world: World) -> None:
    """Proofs taken from one request do not serve in another: they are bound to its nonce."""
    first, second = (seal.peek(world.request().jws, Typ.REQUEST) for _ in range(2))
    del second["certificate"]
    token = world.keys["departement"].sign(second | {"subject_proofs": first["subject_proofs"]}, Typ.REQUEST)
    assert refused(world, world.order(request=token)) is Reason.WRONG_SUBJECT


def test_no_proof_is_no_subject(world: World) -> None:
    nobody = TokenSet((), LEA.flags)
    assert refused(world, world.order(world.request(tokens=nobody))) is Reason.WRONG_SUBJECT


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
