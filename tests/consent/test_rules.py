"""Each rule of the decision and of an agreement, one example at a time. Fast: the mutations run against this file, and
against its neighbours on regimes and mandates."""

from __future__ import annotations

from typing import Any

import pytest

from consent.decide import decide
from consent.lifecycle import authority
from consent.model import Attributes, Authority, Reason, Regime
from tests.consent import world
from tests.consent.asking import (
    AAH,
    DETTES,
    GIR,
    INFORMED,
    LIEU,
    MESURE,
    NOM,
    NOTES,
    POLICY,
    REVENU,
    RSA,
    RSA_DATE,
    TEL,
    ask,
    deny,
    grant,
    proof,
    reason,
    released,
    rights,
)
from tests.consent.world import INDEX, PATHS, at, mandate, payload, question

# --- accord


def test_nothing_without_agreement() -> None:
    assert released(ask()) == ()
    assert reason(ask(), NOM) is Reason.NO_CONSENT


def test_an_agreement_releases_its_fields_only() -> None:
    decision = ask(grant(NOM, RSA))
    assert released(decision) == (NOM, RSA)
    assert reason(decision, TEL) is Reason.NO_CONSENT
    assert decision.consent_ids == ("r1",)
    assert decision.refusal_ids == ()
    assert decision.policy_version == POLICY.version


def test_refusal_beats_agreement_whatever_the_order_and_the_width() -> None:
    for events in (grant(NOM, TEL), deny(NOM)), (deny(NOM), grant(NOM, TEL)):
        decision = ask(*events)
        assert released(decision) == (TEL,)
        assert reason(decision, NOM) is Reason.CONSENT_DENY
        assert decision.refusal_ids == ("no",)


def test_a_narrow_agreement_never_beats_a_broad_refusal() -> None:
    decision = ask(deny(*PATHS), grant(NOM, recipients=[{"partner": "departement", "roles": ["tout"]}]))
    assert released(decision) == ()


def test_a_refusal_limited_to_another_source_recipient_or_role_does_not_bite() -> None:
    for limit in (
        {"sources": ["cpam"]},
        {"recipients": [{"partner": "ccas", "roles": []}]},
        {"recipients": [{"partner": "departement", "roles": ["instructeur"]}]},
        {"purpose": "grave"},
    ):
        assert released(ask(grant(NOM), deny(NOM, **limit))) == (NOM,), limit
    assert released(ask(grant(NOM), deny(NOM, sources=["caf"]))) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": ["cpam"]},
        {"recipients": [{"partner": "ccas", "roles": []}]},
        {"recipients": [{"partner": "departement", "roles": ["referent"]}]},
        {"purpose": "grave"},
    ],
)
def test_an_agreement_for_another_source_recipient_role_or_purpose_gives_nothing(changed: dict[str, Any]) -> None:
    assert released(ask(grant(NOM, **changed))) == ()


def test_an_agreement_may_name_several_recipients_and_roles() -> None:
    to = [{"partner": "ccas", "roles": []}, {"partner": "departement", "roles": ["referent", "tout"]}]
    assert released(ask(grant(NOM, recipients=to, sources=["cpam", "caf"]))) == (NOM,)


@pytest.mark.parametrize(
    ("hours", "live"), [(0.999, False), (1, True), (5, True), (9.999, True), (10, False), (11, False)]
)
def test_intervals_are_half_open_without_grace(hours: float, live: bool) -> None:
    events = grant(NOM, validity={"from": world.instant(1), "to": world.instant(10)})
    assert released(ask(events, hours=hours)) == ((NOM,) if live else ())


@pytest.mark.parametrize(("hours", "live"), [(0.5, False), (1, True), (9.999, True), (10, False)])
def test_a_refusal_has_its_time_too(hours: float, live: bool) -> None:
    always = {"from": world.instant(0), "to": world.instant(50)}
    refusal = deny(NOM, validity={"from": world.instant(1), "to": world.instant(10)})
    assert released(ask(grant(NOM, validity=always), refusal, hours=hours)) == (() if live else (NOM,))


def test_a_refusal_without_end_lasts() -> None:
    always = {"from": world.instant(0), "to": world.instant(5000)}
    refusal = deny(NOM, validity={"from": world.instant(0), "to": None})
    assert released(ask(grant(NOM, validity=always), refusal, hours=4000)) == ()


def test_the_state_after_each_event() -> None:
    grown = grant(NOM, TEL)
    assert released(ask(grown, payload("narrowed"))) == (NOM,)
    assert released(ask(grown, payload("revoked"))) == ()
    assert released(ask(grown, payload("invalidated", actor="institution"))) == ()
    assert released(ask(grant(NOM), deny(NOM), payload("revoked", record="no"))) == (NOM,)
    assert released(ask(grant(NOM), deny(NOM), payload("invalidated", record="no", actor="institution"))) == (NOM,)


def test_renewal_moves_the_end_and_narrowing_never_does() -> None:
    later = {"from": world.instant(9), "to": world.instant(20)}
    assert released(ask(grant(NOM), payload("renewed", validity=later), hours=15)) == (NOM,)
    assert released(ask(grant(NOM), payload("renewed", validity=later), hours=5)) == ()
    assert released(ask(grant(NOM), payload("narrowed", validity=later), hours=15)) == ()
    assert released(ask(grant(NOM), payload("narrowed", validity=later), hours=9.5)) == (NOM,)
    assert released(ask(grant(NOM), payload("narrowed", validity=later), hours=5)) == ()
    open_end = {"from": world.instant(0), "to": None}
    assert released(ask(grant(NOM), payload("narrowed", validity=open_end), hours=5)) == (NOM,)
    assert released(ask(grant(NOM), payload("narrowed", validity=open_end), hours=10)) == ()


@pytest.mark.parametrize(
    ("purpose", "level", "expected"),
    [
        ("suivi", "E0", ()),
        ("suivi", "E1", (NOM, RSA)),
        ("suivi", "E2", (NOM, RSA, DETTES, GIR, MESURE)),
        ("suivi", "E3", (NOM, RSA, DETTES, GIR, MESURE)),
        ("grave", "E1", ()),
        ("grave", "E2", (NOM, RSA, GIR, MESURE)),
    ],
)
def test_the_proof_must_fit_the_purpose_and_the_class(purpose: str, level: str, expected: tuple[str, ...]) -> None:
    fields = (NOM, RSA, DETTES, GIR, MESURE)
    decision = ask(grant(*fields, collection=proof(level), purpose=purpose), purpose=purpose, wanted=fields)
    assert released(decision) == expected
    for path in set(fields) - set(expected) - ({DETTES} if purpose == "grave" else set()):
        assert reason(decision, path) is Reason.EVIDENCE


def test_a_renewal_brings_its_own_proof_and_text() -> None:
    weak = grant(GIR, collection=proof("E1"))
    assert released(ask(weak, payload("renewed", pii_information=[GIR], collection=proof("E2")))) == (GIR,)
    strong = grant(GIR)
    assert released(ask(strong, payload("renewed", pii_information=[GIR], collection=proof("E1")))) == ()


def test_refusal_is_told_before_weak_proof() -> None:
    assert reason(ask(grant(NOM, collection=proof("E0")), deny(NOM)), NOM) is Reason.CONSENT_DENY


@pytest.mark.parametrize(
    "wrong", [{"sha256": "0" * 64}, {"version": "2"}, {"language": "en"}, {"id": "grave"}, {"id": "unknown"}]
)
def test_a_text_the_policy_does_not_know_gives_nothing(wrong: dict[str, str]) -> None:
    event = grant(NOM)
    assert released(ask(event | {"notice": event["notice"] | wrong})) == ()


def test_a_notice_of_another_regime_gives_nothing() -> None:
    given = grant(TEL, purpose="droits", sources=["cpam"])
    assert released(rights(given)) == (TEL,)
    assert released(rights(given | {"notice": INFORMED["notice"]})) == ()


# --- role, purpose, protection


def test_the_role_decides_first_and_is_told_first() -> None:
    given = grant(*PATHS)
    decision = ask(given, role="instructeur")
    assert released(decision) == (NOM, REVENU)
    assert reason(decision, GIR) is Reason.ROLE_DENY
    assert reason(decision, AAH) is Reason.ROLE_DENY
    assert reason(decision, RSA) is Reason.NO_RULE
    assert released(ask(given, role="dpo")) == ()
    assert released(ask(given, role="unknown")) == ()
    assert reason(ask(given, role="unknown"), NOM) is Reason.NO_RULE


@pytest.mark.parametrize(
    ("attributes", "more"),
    [
        (Attributes(), set()),
        (Attributes(own=True), {DETTES, NOTES}),
        (Attributes(assigned=True), set()),
        (Attributes(mission="enfance"), set()),
        (Attributes(assigned=True, mission="enfance"), {MESURE}),
        (Attributes(own=True, assigned=True, mission="enfance"), {DETTES, NOTES, MESURE}),
        (Attributes(own=True, mission="unknown"), set()),
        (Attributes(own=True, aid="unknown"), set()),
        (Attributes(own=True, aid="rsa"), {DETTES, NOTES}),
        (Attributes(own=True, mission=["nir"]), set()),  # type: ignore[arg-type]
        (Attributes(own="oui"), set()),  # type: ignore[arg-type]
    ],
)
def test_attributes_select_a_variant_and_unknown_ones_the_narrowest(attributes: Attributes, more: set[str]) -> None:
    decision = ask(grant(*PATHS), role="referent", attributes=attributes)
    base = {NOM, TEL, RSA, RSA_DATE, AAH, REVENU, GIR}
    expected = set() if attributes.mission == ["nir"] else base | more
    assert set(released(decision)) == expected


def test_the_purpose_caps() -> None:
    decision = ask(grant(*PATHS))
    assert reason(decision, LIEU) is Reason.PURPOSE_CAP
    for changed in (
        {"purpose": "stats"},
        {"purpose": "unknown"},
        {"source_kind": "bailleur"},
        {"source_kind": "unknown"},
        {"recipient_kind": "bailleur"},
        {"recipient_kind": "unknown"},
    ):
        decision = ask(grant(*PATHS), **changed)
        assert released(decision) == (), changed
        assert reason(decision, NOM) is Reason.PURPOSE_CAP


def test_a_protection_withholds_under_every_regime_and_in_every_purpose() -> None:
    shield = payload("protected", record="shield", pii_information=[NOM, LIEU])
    decision = ask(grant(NOM, TEL), shield)
    assert released(decision) == (TEL,)
    assert reason(decision, NOM) is Reason.PROTECTED
    assert reason(decision, LIEU) is Reason.PURPOSE_CAP
    assert reason(ask(grant(NOM), deny(NOM), shield), NOM) is Reason.PROTECTED
    assert released(ask(shield, purpose="loi")) == (RSA, RSA_DATE)
    more = payload("protected", record="shield", pii_information=[RSA])
    assert released(ask(shield, more, purpose="loi")) == (RSA_DATE,)
    assert released(ask(shield, payload("unprotected", record="shield"), purpose="loi")) == (NOM, RSA, RSA_DATE)


def test_a_frozen_person_releases_nothing() -> None:
    frozen = payload("frozen", record="f", actor="institution")
    for purpose, given in (("suivi", [grant(*PATHS)]), ("loi", [])):
        decision = ask(*given, frozen, purpose=purpose)
        assert released(decision) == ()
        assert reason(decision, NOM) is Reason.PROTECTED
    lifted = payload("unfrozen", record="f", actor="institution")
    assert released(ask(frozen, lifted, purpose="loi")) == (NOM, RSA, RSA_DATE)


# --- the rest of the answer


def until(*events: dict[str, Any], **asked: Any) -> object:
    """Return ``valid_until`` in hours."""
    end = ask(*events, **asked).valid_until
    return None if end is None else (end - world.START).total_seconds() / 3600


def test_valid_until_is_the_next_instant_time_alone_may_change_something() -> None:
    assert until() is None
    assert until(grant(NOM)) == 10
    assert until(grant(NOM), hours=10) is None
    later = grant(NOM, record="r2", validity={"from": world.instant(7), "to": world.instant(9)})
    assert until(grant(NOM), later) == 7
    assert until(grant(NOM), later, hours=7) == 9
    guardian = mandate("tutelle", valid_from=world.instant(0), valid_to=world.instant(6))
    assert until(grant(NOM, mandate=guardian)) == 6
    to_come = mandate("tutelle", valid_from=world.instant(6), valid_to=world.instant(8))
    assert until(grant(NOM, mandate=to_come)) == 6
    assert until(grant(NOM, purpose="grave")) is None
    assert until(INFORMED, purpose="droits") is None


def test_only_records_that_give_or_refuse_are_named() -> None:
    decision = ask(
        grant(NOM),
        grant(NOM, record="other", sources=["cpam"]),
        deny(NOM, record="old", validity={"from": world.instant(0), "to": world.instant(1)}),
        grant(TEL, record="weak", collection=proof("E0")),
    )
    assert decision.consent_ids == ("r1",)
    assert decision.refusal_ids == ()


def test_the_masks_cover_what_was_wanted_and_nothing_else() -> None:
    decision = ask(grant(NOM, TEL), deny(TEL), wanted=(NOM, TEL, LIEU))
    total = 0
    for _, mask in decision.masks():
        assert total & mask == 0
        total |= mask
    assert total == INDEX.mask([NOM, TEL, LIEU])
    assert INDEX.paths(decision.allowed) == (NOM,)


def test_bits_beyond_the_list_are_permitted_by_no_role() -> None:
    beyond = 1 << len(PATHS)
    decision = ask(grant(*PATHS), wanted=())
    wide = decide(POLICY, question(wanted=INDEX.full | beyond), Authority(permit=INDEX.full | beyond))
    assert wide.no_rule == beyond
    assert wide.allowed == decision.allowed


@pytest.mark.parametrize(
    ("policy", "asked", "given"),
    [
        (None, question(), Authority()),
        (POLICY, None, Authority()),
        (POLICY, question(), None),
        (POLICY, question(wanted="moi.nom"), Authority(permit=INDEX.full)),
        (POLICY, question(wanted=None), Authority(permit=INDEX.full)),
        (POLICY, question(role=[]), Authority(permit=INDEX.full)),
        (POLICY, question(purpose={}), Authority(permit=INDEX.full)),
        (POLICY, question(attributes=None), Authority(permit=INDEX.full)),
        (POLICY, question(source=[]), Authority(permit=INDEX.full)),
        (POLICY, question(), Authority(permit="*")),  # type: ignore[arg-type]
        (POLICY, question(), Authority(deny=None, permit=INDEX.full)),  # type: ignore[arg-type]
    ],
)
def test_decide_never_raises_and_then_releases_nothing(policy: Any, asked: Any, given: Any) -> None:
    decision = decide(policy, asked, given)
    assert decision.allowed == 0
    assert decision.by_regime(Regime.ACCORD) == 0
    wanted = getattr(asked, "wanted", 0)
    assert decision.no_rule == (wanted if isinstance(wanted, int) else 0)


def test_at_is_the_questions_own_moment() -> None:
    state = world.state(grant(NOM))
    early, late = question(hours=5), question(at=at(10))
    assert authority(state, POLICY, early).permit
    assert not authority(state, POLICY, late).permit
