"""What a recipient makes of what it receives: honest fragments, forged ones, other people's, and garbage."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit import seal
from connectors.kit.assembly import Assembled, Finding, assemble
from connectors.kit.pull_request import SentRequest
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, subject_proofs
from connectors.kit.trust import Directory, OperationalKeys
from schemas.registry import validator
from tests.kit.world import AMOUNT, AT, EMAIL, HELD, LEA, NOA, QUOTIENT, START, World, answered, said


class Pull:
    """One honest pull: the request, caf's order and caf's answer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: SentRequest = world.request()
        self.order = world.order(self.sent)
        self.fragment = answered(world, self.order, world.source(), AT)
        self.payload = world.open(self.fragment)

    def assemble(
        self,
        fragment: str | None = None,
        *,
        order: str | None = None,
        tokens: TokenSet = LEA,
        directory: Directory | None = None,
        source: str = "caf",
        **changes: Any,
    ) -> Assembled:
        item = (source, order or self.order, fragment or self.fragment)
        answer = self.world.answer(item, **changes)
        return assemble(answer, self.sent, tokens, directory or self.world.directory, AT)

    def forged(self, **changes: Any) -> str:
        return self.world.forge(self.payload | changes)

    def answering(self, order: str) -> str:
        """A fragment by which caf, in league with the hub, answers whatever ``order`` says."""
        digest = seal.jws_digest(order)
        order_id = seal.peek(order, Typ.ORDER)["order_id"]
        return self.forged(order_id=order_id, order_digest=digest, subject_proofs=subject_proofs(LEA, digest))

    def with_statements(self, statements: Any) -> str:
        return self.forged(fragment={"v": 1, "statements": statements})


@pytest.fixture
def pull(world: World) -> Pull:
    return Pull(world)


def finding(assembled: Assembled) -> Finding:
    """The one finding; the fragment must be wholly out, and the gap stated."""
    (report,) = assembled.reports
    assert assembled.dossier["sections"] == {}
    assert assembled.dossier["gaps"] == [{"source": report.source, "outcome": "indisponible"}]
    validator("dossier").check(assembled.dossier)
    return report.finding


def test_an_honest_fragment_becomes_a_dossier_with_source_and_dates(pull: Pull) -> None:
    assembled = pull.assemble()
    sections = assembled.dossier["sections"]
    assert sections["droits"]["rsa"]["date_debut_droit"] == [HELD[START]]
    assert sections["ressources"]["quotient_familial"] == [HELD[QUOTIENT]]
    assert sections["contact"]["email"][0]["absence"] == "non_renseigne"
    assert assembled.reports == ()
    assert assembled.dossier["gaps"] == []
    validator("dossier").check(assembled.dossier)


def test_gaps_and_withheld_fields_are_stated(pull: Pull) -> None:
    assembled = pull.assemble(
        gaps=[{"source": "cpam", "outcome": "maintenance"}],
        statuses={START: "communique", QUOTIENT: "exclu_role", EMAIL: "non_communique", AMOUNT: "exclu_role"},
    )
    assert assembled.dossier["gaps"] == [{"source": "cpam", "outcome": "maintenance"}]
    assert assembled.dossier["withheld"] == {QUOTIENT: "exclu_role", EMAIL: "non_communique"}
    validator("dossier").check(assembled.dossier)


def test_two_sources_stand_side_by_side(pull: Pull, world: World) -> None:
    """cpam says something else of the same field: both statements are shown, neither wins."""
    order = world.order(pull.sent, source="cpam", ref=world.other_ref)
    payload = pull.payload | {
        "source": "cpam",
        "order_id": seal.peek(order, Typ.ORDER)["order_id"],
        "order_digest": seal.jws_digest(order),
        "subject_proofs": subject_proofs(LEA, seal.jws_digest(order)),
        "fragment": {"v": 1, "statements": {START: said("2024-04-01", "cpam")}},
    }
    answer = world.answer(("cpam", order, world.forge(payload, "cpam")), ("caf", pull.order, pull.fragment))
    assembled = assemble(answer, pull.sent, LEA, world.directory, AT)
    told = assembled.dossier["sections"]["droits"]["rsa"]["date_debut_droit"]
    assert [(one["source"], one["valeur"]) for one in told] == [("caf", "2024-03-01"), ("cpam", "2024-04-01")]
    assert assembled.reports == ()


# Who it is about ------------------------------------------------------------------------------------------------


def test_a_fragment_about_someone_else_is_kept_out_and_reported(pull: Pull) -> None:
    assert finding(pull.assemble(tokens=NOA)) is Finding.WRONG_SUBJECT


def test_the_report_of_a_wrong_subject_holds_no_value(pull: Pull) -> None:
    (report,) = pull.assemble(tokens=NOA).reports
    assert report.fragment == seal.jws_digest(pull.fragment)
    said_of_it = repr(replace(report, fragment=""))  # in a digest any three digits turn up by chance
    assert "2024-03-01" not in said_of_it
    assert "512" not in said_of_it


def test_fragments_swapped_between_two_pulls(pull: Pull, world: World) -> None:
    """The hub relays the answer to one pull as the answer to another."""
    other = Pull(world)
    assert finding(pull.assemble(other.fragment)) is Finding.WRONG_ORDER
    assert finding(pull.assemble(other.fragment, order=other.order)) is Finding.WRONG_ORDER


@pytest.mark.parametrize("proofs", [[], None, "x", [1, None], [{"kind": "sgd"}], [{"kind": "nir", "proof": "A" * 43}]])
def test_a_fragment_without_a_proof_that_fits(pull: Pull, proofs: Any) -> None:
    assert finding(pull.assemble(pull.forged(subject_proofs=proofs))) is Finding.WRONG_SUBJECT


# Who sent it ----------------------------------------------------------------------------------------------------


def test_a_fragment_sealed_to_another_key(pull: Pull, world: World) -> None:
    inner = seal.unseal(pull.fragment, Typ.SEALED_FRAGMENT, world.keys["departement"].seal_key)
    elsewhere = seal.seal(inner, Typ.SEALED_FRAGMENT, SealKey.generate().public_jwk)
    assert finding(pull.assemble(elsewhere)) is Finding.BAD_SEAL


def test_a_fragment_passed_on_by_its_first_recipient(pull: Pull) -> None:
    assert finding(pull.assemble(pull.forged(recipient_key="A" * 43))) is Finding.WRONG_RECIPIENT


def test_a_fragment_of_a_key_the_directory_does_not_know(pull: Pull, world: World) -> None:
    world.keys["caf"] = OperationalKeys.mint(SigningKey.generate(), "caf", AT)
    assert finding(pull.assemble(pull.forged())) is Finding.UNTRUSTED_KEY


def test_a_fragment_whose_certificate_is_over(pull: Pull, world: World) -> None:
    world.keys["caf"] = OperationalKeys.mint(world.identities["caf"], "caf", AT - timedelta(minutes=31))
    assert finding(pull.assemble(pull.forged())) is Finding.UNTRUSTED_KEY


def test_a_fragment_signed_by_another_key_than_the_certified_one(pull: Pull, world: World) -> None:
    world.keys["caf"] = replace(world.keys["caf"], sign_key=SigningKey.generate())
    assert finding(pull.assemble(pull.forged())) is Finding.BAD_SIGNATURE


def test_a_fragment_of_another_partner_in_cafs_place(pull: Pull, world: World) -> None:
    fragment = world.forge(pull.payload | {"source": "cpam"}, "cpam")
    assert finding(pull.assemble(fragment)) is Finding.BAD_SIGNATURE


def test_a_suspended_source(pull: Pull, world: World) -> None:
    directory = world.sign_directory(2, caf={"status": "suspended"})
    assert finding(pull.assemble(directory=directory)) is Finding.UNKNOWN_PARTNER


# Which order it answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["order_id", "order_digest", "request_digest", "v"])
def test_a_fragment_bound_to_something_else(pull: Pull, member: str) -> None:
    assert finding(pull.assemble(pull.forged(**{member: "x"}))) is Finding.WRONG_ORDER


def test_a_fragment_answering_another_order_of_the_hub(pull: Pull, world: World) -> None:
    """The forge of the next test, shown to make fragments that pass when the order is right."""
    again = world.order(pull.sent)
    assert pull.assemble(pull.answering(again), order=again).reports == ()


def test_an_order_that_is_not_the_hubs_or_not_about_us(pull: Pull, world: World) -> None:
    """Even when caf answers it: hub and source together cannot pass one pull off as another."""
    payload = world.order_payload(pull.sent.jws, [])
    expired = OperationalKeys.mint(world.identities["hub"], "hub", AT - timedelta(minutes=31))
    for order in (
        world.keys["cpam"].sign(payload, Typ.ORDER),
        expired.sign(payload, Typ.ORDER),
        world.order(pull.sent, source="cpam"),
        world.order(pull.sent, recipient="cpam"),
        world.order(world.request()),
        world.order(pull.sent, extra=1),
    ):
        assert finding(pull.assemble(pull.answering(order), order=order)) is Finding.WRONG_ORDER


def test_the_same_source_twice_counts_once(pull: Pull, world: World) -> None:
    item = ("caf", pull.order, pull.fragment)
    assembled = assemble(world.answer(item, item), pull.sent, LEA, world.directory, AT)
    assert len(assembled.dossier["sections"]["droits"]["rsa"]["date_debut_droit"]) == 1
    assert [report.finding for report in assembled.reports] == [Finding.REPEATED]


# What it says ---------------------------------------------------------------------------------------------------


def test_more_than_was_ordered_is_dropped_and_named(pull: Pull) -> None:
    fragment = pull.with_statements(
        {START: HELD[START], "contact.telephone": HELD["contact.telephone"], "DUPONT Marie": 1}
    )
    assembled = pull.assemble(fragment)
    assert assembled.dossier["sections"] == {"droits": {"rsa": {"date_debut_droit": [HELD[START]]}}}
    (report,) = assembled.reports
    assert (report.finding, report.fields) == (Finding.EXCESS, ("*", "contact.telephone"))
    assert "DUPONT" not in repr(assembled)


@pytest.mark.parametrize(
    "statements",
    [
        None,
        [],
        "x",
        {START: None},
        {START: said("1er mars")},
        {START: {"valeur": "2024-03-01"}},
        {START: said("2024-03-01") | {"absence": "sans_droit"}},
        {START: {"absence": "jamais_vu", "source": "caf", "date_collecte": "2026-01-02T03:04:05Z"}},
        {START: said("2024-03-01"), QUOTIENT: said(0)},
    ],
)
def test_statements_of_another_shape(pull: Pull, statements: Any) -> None:
    assert finding(pull.assemble(pull.with_statements(statements))) is Finding.SCHEMA


@pytest.mark.parametrize("fragment", [None, [], "x", 1, {}, {"v": 2, "statements": {}}, {"statements": {}}])
def test_fragments_of_another_shape(pull: Pull, fragment: Any) -> None:
    assert finding(pull.assemble(pull.forged(fragment=fragment))) is Finding.SCHEMA


def test_a_statement_in_another_institutions_name(pull: Pull) -> None:
    fragment = pull.with_statements({START: said("2024-03-01", "cpam")})
    assembled = pull.assemble(fragment)
    assert finding(assembled) is Finding.FOREIGN_SOURCE
    assert assembled.reports[0].fields == (START,)


def test_an_operator_may_speak_for_the_source_it_runs(pull: Pull, world: World) -> None:
    directory = world.sign_directory(2, cpam={"operator": "caf"})
    assembled = pull.assemble(pull.with_statements({START: said("2024-03-01", "cpam")}), directory=directory)
    assert assembled.reports == ()
    assert assembled.dossier["sections"]["droits"]["rsa"]["date_debut_droit"][0]["source"] == "cpam"


@given(garbage=st.binary(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_sealed_garbage_is_a_gap(pull: Pull, world: World, garbage: bytes) -> None:
    key = world.keys["departement"].seal_key.public_jwk
    assert finding(pull.assemble(seal.seal(garbage, Typ.SEALED_FRAGMENT, key))) in (
        Finding.BAD_SEAL,
        Finding.BAD_SIGNATURE,
    )


@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_altered_fragment_enters_the_dossier(pull: Pull, data: st.DataObject) -> None:
    header, key, iv, ciphertext, tag = pull.fragment.split(".")
    position = data.draw(st.integers(0, len(ciphertext) - 2))
    character = data.draw(st.sampled_from("AbZz09-_"))
    if ciphertext[position] != character:
        changed = ciphertext[:position] + character + ciphertext[position + 1 :]
        assert finding(pull.assemble(".".join([header, key, iv, changed, tag]))) is Finding.BAD_SEAL


def test_one_bad_fragment_leaves_the_others(pull: Pull, world: World) -> None:
    other = seal.seal(b"garbage", Typ.SEALED_FRAGMENT, world.keys["departement"].seal_key.public_jwk)
    answer = world.answer(("caf", pull.order, pull.fragment), ("cpam", world.order(pull.sent, source="cpam"), other))
    assembled = assemble(answer, pull.sent, LEA, world.directory, AT)
    assert assembled.dossier["sections"]["droits"]["rsa"]["date_debut_droit"] == [HELD[START]]
    assert assembled.dossier["gaps"] == [{"source": "cpam", "outcome": "indisponible"}]


@pytest.mark.parametrize(
    "change", [{"fragments": None}, {"statuses": []}, {"gaps": [{"source": "caf", "outcome": "x"}]}, {"extra": 1}]
)
def test_an_answer_of_another_shape_is_the_hubs_fault_and_named(pull: Pull, change: dict[str, Any]) -> None:
    with pytest.raises(MaillonError) as caught:
        pull.assemble(**change)
    assert caught.value.kind is ErrorKind.SCHEMA
