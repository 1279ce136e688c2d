"""What an order rests on, as its source checks it: the agreements it carries, all of them about one person."""

from datetime import timedelta

from connectors.kit import seal
from connectors.kit.consent_events import Previous
from connectors.kit.orders import Reason
from connectors.kit.runtime import b64url
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import OperationalKeys, subject_digest
from consent.canonical import digest
from consent.model import EventKind
from tests.kit.world import (
    AMOUNT,
    AT,
    FIELDS,
    LEA,
    NOA,
    QUOTIENT,
    SECOND,
    START,
    World,
    answered,
    new_ref,
    refused,
)


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
