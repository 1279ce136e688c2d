"""The pull, gate by gate, with every interleaving that matters forced."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from connectors.kit import seal
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.seal import Typ
from connectors.kit.transport import FarSideError, ProblemError
from consent.model import EventKind
from hub.store import tables
from hub.store.access import AccessFilter, AccessKind
from hub.store.journal import leaf_of
from tests.hub.conftest import C2S, QF, RSA, World, body_of, problem


def grant(world: World, known: dict[str, str], **facts: object) -> str:
    record_id: str = world.consent(known["departement"], EventKind.GRANTED, **facts)["record_id"]
    return record_id


def revoke(world: World, known: dict[str, str], record_id: str) -> None:
    ref = known["departement"]
    world.consent(ref, EventKind.REVOKED, follows=world.follows(ref, record_id))


def released(answer: dict[str, object]) -> set[str]:
    statuses = answer["statuses"]
    assert isinstance(statuses, dict)
    return {path for path, status in statuses.items() if status == "communique"}


def rows(world: World, kind: str) -> list[object]:
    table = tables.access_event
    return list(
        world.hub.reads.run(
            lambda uow: uow.connection.execute(select(table).where(table.c.kind == kind).order_by(table.c.seq)).all()
        )
    )


def test_with_an_agreement_the_sources_are_ordered_and_their_fragments_relayed(
    world: World, known: dict[str, str]
) -> None:
    grant(world, known)
    answer = world.pull(known["departement"])
    assert [row["source"] for row in answer["fragments"]] == ["caf"]
    assert released(answer) == {*RSA, *QF}
    assert answer["statuses"][C2S[0]] == "non_communique"
    assert answer["gaps"] == []
    (legal,) = answer["legal"]
    assert (legal["source"], legal["regime"], set(legal["fields"])) == ("caf", "accord", {*RSA, *QF})
    (order,) = world.edges.orders
    assert "ref" not in order
    assert world.edges.refs == [known["caf"]] != [known["departement"]]
    assert len(order["authorities"]) == 1
    assert seal.peek(answer["fragments"][0]["order"], Typ.ORDER)["order_id"] == order["order_id"]


def test_orders_to_two_sources_share_no_id_no_ref_and_no_leaf(world: World, known: dict[str, str]) -> None:
    grant(world, known, sources=("caf", "cpam"), fields=(*RSA, *C2S))
    answer = world.pull(known["departement"])
    assert [row["source"] for row in answer["fragments"]] == ["caf", "cpam"]
    one, other = world.edges.orders
    for member in ("order_id", "subject", "leaf"):
        assert one[member] != other[member]


def test_an_order_carries_the_leaf_of_its_own_row_of_the_log(world: World, known: dict[str, str]) -> None:
    grant(world, known)
    world.pull(known["departement"])
    (row,) = rows(world, "ordered")
    (order,) = world.edges.orders
    (event,) = world.hub.reads.run(
        lambda uow: uow.connection.execute(select(tables.journal).where(tables.journal.c.seq == row.seq)).all()  # type: ignore[attr-defined]
    )
    assert order["leaf"] == b64url.encode(leaf_of(event).encode())


def test_without_an_agreement_nobody_is_asked_and_the_refusal_is_logged(world: World, known: dict[str, str]) -> None:
    answer = world.pull(known["departement"])
    assert released(answer) == set()
    assert answer["fragments"] == answer["gaps"] == answer["legal"] == []
    assert world.edges.orders == []
    (row,) = [row for row in world.log() if row["kind"] == "decided"]
    assert row["outcome"] == "refused"
    assert row["fields"]["withheld"][RSA[0]] == "no_consent"


def test_the_decision_is_durable_before_any_source_hears_of_it(world: World, known: dict[str, str]) -> None:
    grant(world, known)
    seen: list[tuple[int, int]] = []
    world.edges.before = lambda slug: seen.append((len(rows(world, "decided")), len(rows(world, "delivered"))))
    world.pull(known["departement"])
    assert seen == [(1, 0)]
    assert len(rows(world, "delivered")) == 1


def test_revoked_between_the_gates_nothing_is_delivered(world: World, known: dict[str, str]) -> None:
    record = grant(world, known)
    world.edges.before = lambda slug: revoke(world, known, record)
    answer = world.pull(known["departement"])
    assert answer["fragments"] == answer["gaps"] == []
    assert released(answer) == set()
    assert len(world.edges.orders) == 1
    (row,) = rows(world, "delivered")
    assert row.outcome == "nothing"  # type: ignore[attr-defined]


def test_narrowed_between_the_gates_the_whole_fragment_goes_and_one_more_order_is_given(
    world: World, known: dict[str, str]
) -> None:
    record, ref = grant(world, known), known["departement"]

    def narrow(slug: str) -> None:
        world.edges.before = lambda slug: None
        world.consent(ref, EventKind.NARROWED, fields=RSA, follows=world.follows(ref, record))

    world.edges.before = narrow
    answer = world.pull(ref)
    first, second = world.edges.orders
    assert set(first["fields"]) == {*RSA, *QF}
    assert set(second["fields"]) == set(RSA)
    assert len(second["authorities"]) == 2
    (fragment,) = answer["fragments"]
    assert seal.peek(fragment["order"], Typ.ORDER)["order_id"] == second["order_id"]
    assert released(answer) == set(RSA)
    assert [row.outcome for row in rows(world, "delivered")] == ["delivered"]  # type: ignore[attr-defined]
    assert len(rows(world, "decided")) == 2


def test_there_is_no_third_order(world: World, known: dict[str, str]) -> None:
    record, ref = grant(world, known), known["departement"]
    steps = [(*RSA,), RSA[:1]]

    def narrow(slug: str) -> None:
        if steps:
            world.consent(ref, EventKind.NARROWED, fields=steps.pop(0), follows=world.follows(ref, record))

    world.edges.before = narrow
    answer = world.pull(ref)
    assert len(world.edges.orders) == 2
    assert answer["fragments"] == []
    assert answer["gaps"] == [{"source": "caf", "outcome": "indisponible"}]


def test_a_new_agreement_between_the_gates_changes_nothing_that_was_covered(
    world: World, known: dict[str, str]
) -> None:
    grant(world, known)
    world.edges.before = lambda slug: (grant(world, known, fields=(*C2S,), sources=("cpam",)), None)[1]
    answer = world.pull(known["departement"])
    assert released(answer) == {*RSA, *QF}
    assert len(world.edges.orders) == 1


def test_an_agreement_that_ends_between_the_gates_delivers_nothing(world: World, known: dict[str, str]) -> None:
    grant(world, known, end=world.clock.now() + timedelta(seconds=5))
    world.edges.before = lambda slug: world.clock.advance(timedelta(seconds=5))
    answer = world.pull(known["departement"])
    assert answer["fragments"] == answer["gaps"] == []


def test_a_fragment_later_than_its_order_is_not_relayed(world: World, known: dict[str, str]) -> None:
    grant(world, known)
    world.edges.before = lambda slug: world.clock.advance(timedelta(seconds=10))
    answer = world.pull(known["departement"])
    assert answer["fragments"] == []
    assert answer["gaps"] == [{"source": "caf", "outcome": "indisponible"}]


@pytest.mark.parametrize("suspended", ["departement", "caf"])
def test_a_partner_suspended_between_the_gates_gives_and_gets_nothing(
    world: World, known: dict[str, str], suspended: str
) -> None:
    grant(world, known)
    order = {"slug": suspended, "suspended": True, "reason": "Clé compromise"}
    world.token("operator")
    world.edges.before = lambda slug: (world.ok("operator", "/v1/partners/suspend", order), None)[1]
    answer = world.pull(known["departement"])
    assert answer["fragments"] == []
    assert released(answer) == set()


def test_a_requester_that_left_the_directory_gets_nothing_and_the_log_says_so(
    world: World, known: dict[str, str]
) -> None:
    grant(world, known)

    def leave(slug: str) -> None:
        del world.entries["departement"]
        world.sign_directory()
        assert world.hub.directory.refresh()

    world.edges.before = leave
    assert world.pull(known["departement"])["fragments"] == []
    assert [row.outcome for row in rows(world, "delivered")] == ["nothing"]  # type: ignore[attr-defined]


def test_another_directory_between_the_gates_is_decided_on_again(world: World, known: dict[str, str]) -> None:
    grant(world, known)

    def withdraw(slug: str) -> None:
        entry = world.entries["caf"]
        world.entries["caf"] = type(entry).from_wire(entry.to_wire() | {"status": "suspended"})
        world.sign_directory()
        assert world.hub.directory.refresh()

    world.edges.before = withdraw
    answer = world.pull(known["departement"])
    assert answer["fragments"] == []
    assert answer["gaps"] == [{"source": "caf", "outcome": "indisponible"}]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (FarSideError(ErrorKind.TIMEOUT, "late"), "indisponible"),
        (FarSideError(ErrorKind.UNAVAILABLE, "closed", "maintenance"), "maintenance"),
        (ProblemError(ErrorKind.ORDER_REFUSED, "no", 403, None, "unknown_ref"), "personne_inconnue"),
        (ProblemError(ErrorKind.ORDER_REFUSED, "no", 403, None, "partner_policy"), "non_autorise"),
        (MaillonError(ErrorKind.TLS_REQUIRED, "https"), "indisponible"),
    ],
)
def test_a_source_that_fails_is_a_named_gap_and_the_others_stand(
    world: World, known: dict[str, str], error: MaillonError, outcome: str
) -> None:
    grant(world, known, sources=("caf", "cpam"), fields=(*RSA, *C2S))
    world.edges.failing["cpam"] = error
    answer = world.pull(known["departement"])
    assert [row["source"] for row in answer["fragments"]] == ["caf"]
    assert answer["gaps"] == [{"source": "cpam", "outcome": outcome}]
    (row,) = rows(world, "delivered")
    assert row.outcome == "partial"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "a.b.c",
        "x" * 3_000_000,
        "....",
        seal.seal(b"x", Typ.SEALED_FRAGMENT, SealKey.generate().public_jwk),
        seal.seal(b"x", Typ.SEALED_KLINK, SealKey.generate().public_jwk),
    ],
    ids=["empty", "jws", "huge", "dots", "another key", "another type"],
)
def test_what_is_not_a_fragment_for_the_requester_is_not_relayed(
    world: World, known: dict[str, str], garbage: str
) -> None:
    grant(world, known)
    world.edges.replace["caf"] = garbage
    answer = world.pull(known["departement"])
    assert answer["fragments"] == []
    assert answer["gaps"] == [{"source": "caf", "outcome": "indisponible"}]


def test_gaps_name_who_does_not_hold_the_person_inside_a_live_agreement_only(world: World) -> None:
    ref = world.register("departement", 1)
    assert world.pull(ref)["gaps"] == []
    world.consent(ref, EventKind.GRANTED, sources=("caf", "cpam"), fields=(*RSA, *C2S))
    world.register("cpam", 1, sections=["logement"])
    answer = world.pull(ref)
    assert answer["gaps"] == [
        {"source": "caf", "outcome": "personne_inconnue"},
        {"source": "cpam", "outcome": "sans_dossier"},
    ]
    assert world.edges.orders == []


def test_a_role_that_may_not_see_is_told_so_whoever_the_person(world: World, known: dict[str, str]) -> None:
    grant(world, known)
    answer = world.pull(known["departement"], role="accueil")
    assert answer["statuses"][RSA[1]] == "exclu_role"
    assert released(answer) == {RSA[0]}
    stranger = world.pull("A" * 22, role="accueil")
    assert stranger["statuses"][RSA[1]] == "exclu_role"


def test_a_purpose_that_does_not_need_a_field_says_so(world: World, known: dict[str, str]) -> None:
    answer = world.pull(known["departement"], purpose="logement")
    assert answer["statuses"][RSA[0]] == "exclu_finalite"


def test_information_needs_the_person_to_have_been_told_and_shows_its_text(world: World, known: dict[str, str]) -> None:
    ref, policy = known["departement"], world.hub.policy.get()
    assert world.pull(ref, purpose="acces_aux_droits", role="travailleur_social")["fragments"] == []
    notice = policy.notice("acces_aux_droits", "1")
    world.consent(
        ref, EventKind.INFORMED, purpose="acces_aux_droits", notice=(notice, "fr"), sources=("caf", "cpam"), end=None
    )
    answer = world.pull(ref, purpose="acces_aux_droits", role="travailleur_social")
    assert [row["source"] for row in answer["fragments"]] == ["caf"]
    assert {row["regime"] for row in answer["legal"]} == {"information"}
    assert all(row["texte"] for row in answer["legal"])
    world.consent(ref, EventKind.OBJECTED, purpose="acces_aux_droits", fields=(*RSA, *QF))
    assert world.pull(ref, purpose="acces_aux_droits", role="travailleur_social")["fragments"] == []


def test_protected_fields_are_left_out_and_nothing_says_why(world: World, known: dict[str, str]) -> None:
    ref = known["departement"]
    grant(world, known, fields=(*RSA, "contact.telephone"))
    world.consent(ref, EventKind.PROTECTED, fields=("contact.telephone",), actor="institution")
    answer = world.pull(ref, (*RSA, "contact.telephone"))
    assert released(answer) == set(RSA)
    assert answer["statuses"]["contact.telephone"] == "non_communique"
    assert set(world.edges.orders[0]["fields"]) == set(RSA)
    by_partner = [row for row in world.log("partenaire", "departement") if row["kind"] == "decided"]
    assert by_partner[0]["fields"]["withheld"]["contact.telephone"] == "non_communique"
    (row,) = world.log("usager", "ccas", ref=known["ccas"])
    assert row["fields"]["withheld"] == {}


def test_a_request_is_used_once(world: World, known: dict[str, str]) -> None:
    grant(world, known)
    body = body_of(world.request(known["departement"]))
    assert world.post("departement", "/v1/pulls", body).status_code == 200
    problem(world.post("departement", "/v1/pulls", body), ErrorKind.REPLAYED)
    assert len(world.edges.orders) == 1


def test_requests_that_do_not_hold_are_refused_by_name(world: World, known: dict[str, str]) -> None:
    ref = known["departement"]
    sent = world.request(ref)
    good = body_of(sent)
    for changed, kind in (
        (good | {"ref": known["caf"]}, ErrorKind.WRONG_SUBJECT),
        (good | {"salt": "A" * 22}, ErrorKind.WRONG_SUBJECT),
        (good | {"request": sent.jws[:-4] + "AAAA"}, ErrorKind.BAD_SIGNATURE),
        (good | {"more": 1}, ErrorKind.SCHEMA),
        (body_of(world.request(ref, ("droits.rsa.inconnu",))), ErrorKind.UNKNOWN_FIELD),
        (body_of(world.request(ref, role="medecin_pmi")), ErrorKind.UNKNOWN_ROLE),
        (body_of(world.request(ref, purpose="controle")), ErrorKind.UNKNOWN_PURPOSE),
        (body_of(world.request(ref, recipient="ccas")), ErrorKind.FORBIDDEN),
    ):
        problem(world.post("departement", "/v1/pulls", changed), kind)
    late = body_of(world.request(ref))
    world.clock.advance(timedelta(seconds=60))
    problem(world.post("departement", "/v1/pulls", late), ErrorKind.EXPIRED)
    assert rows(world, "decided") == []


@pytest.mark.parametrize("seed", range(3))
def test_after_a_revocation_is_acknowledged_no_delivery_commits(world: World, known: dict[str, str], seed: int) -> None:
    """Many pulls against one revocation, all at once, at random moments of the network."""
    record, ref = grant(world, known), known["departement"]
    chance = random.Random(seed)  # noqa: S311 (moments, not secrets)
    world.edges.before = lambda slug: time.sleep(chance.random() / 50)
    world.token("departement")
    revocation = world.event(ref, EventKind.REVOKED, follows=world.follows(ref, record))
    bodies = [[body_of(world.request(ref)) for _ in range(6)] for _ in range(6)]
    acknowledged = threading.Event()
    late: list[bool] = []
    done = threading.Semaphore(0)

    def puller(mine: list[dict[str, str]]) -> None:
        for body in mine:
            began_after = acknowledged.is_set()
            answer = world.ok("departement", "/v1/pulls", body)
            done.release()
            if began_after:
                late.append(bool(answer["fragments"]))

    threads = [threading.Thread(target=puller, args=(mine,)) for mine in bodies]
    for thread in threads:
        thread.start()
    for _ in range(chance.randint(1, 12)):
        done.acquire()
    world.ok("departement", "/v1/consents", revocation)
    acknowledged.set()
    for thread in threads:
        thread.join()
    assert not any(late)
    revoked_at = world.hub.reads.run(
        lambda uow: uow.connection.execute(
            select(tables.consent_event.c.seq).where(tables.consent_event.c.kind == "revoked")
        ).scalar_one()
    )
    where = AccessFilter(kinds=(AccessKind.DELIVERED,))
    delivered, _ = world.hub.reads.run(lambda uow: uow.access.search(where, 1000))
    under_it = [row for row in delivered if record in row.payload["record"]["consent_ids"]]
    assert under_it
    assert all(row.seq < revoked_at for row in under_it)
    assert any(row.seq < revoked_at and row.outcome == "delivered" for row in delivered)
