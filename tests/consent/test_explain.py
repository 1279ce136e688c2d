"""A decision told field by field, again from the log, and without giving a protection away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consent.decide import decide
from consent.explain import PHRASES, FieldExplanation, PolicyMismatch, explain, from_log, to_log
from consent.lifecycle import authority
from consent.model import Attributes, Authority, Decision, Question, Reason, Regime
from tests.consent import world
from tests.consent.world import INDEX, PATHS, payload, question

POLICY = world.policy()


def told(*events: dict[str, Any], named_agent: bool = False, **asked: Any) -> dict[str, FieldExplanation]:
    """Return the explanation of a decision, by path."""
    what, decision = decided(*events, **asked)
    return {found.path: found for found in explain(POLICY, what, decision, named_agent=named_agent)}


def decided(*events: dict[str, Any], **asked: Any) -> tuple[Question, Decision]:
    """Return a question and its decision."""
    what = question(**asked)
    return what, decide(POLICY, what, authority(world.state(*events), POLICY, what))


GRANT = payload("granted", pii_information=["moi.nom", "notes.synthese", "argent.revenu"])
DENY = payload("denied", "no", pii_information=["argent.revenu"])
SHIELD = payload("protected", "shield", pii_information=["moi.nom"])


def test_a_released_field_names_its_rule_its_text_and_its_record() -> None:
    found = told(GRANT, role="referent", attributes=Attributes(own=True))
    assert found["notes.synthese"] == FieldExplanation(
        "notes.synthese",
        Reason.OK,
        PHRASES[Reason.OK],
        ("role:referent/siens", "finalite:suivi/accord"),
        Regime.ACCORD,
        "Texte de l'accord",
        ("r1",),
        POLICY.version,
    )
    assert found["moi.nom"].rules == ("role:referent", "finalite:suivi/accord")


def test_every_wanted_field_is_told_once_in_document_order() -> None:
    what, decision = decided(GRANT)
    assert tuple(found.path for found in explain(POLICY, what, decision)) == PATHS
    assert [f.path for f in explain(POLICY, *decided(GRANT, wanted=INDEX.mask(["moi.tel"])))] == ["moi.tel"]
    assert explain(POLICY, *decided(GRANT, wanted=0)) == ()


def test_a_field_withheld_names_what_withholds_it() -> None:
    found = told(GRANT, role="instructeur")
    assert found["sante.gir"].rules == ("interdit:sante",)
    assert found["sante.gir"].texte == "Jamais la santé"
    assert (found["moi.tel"].reason, found["moi.tel"].rules) == (Reason.NO_RULE, ("role:instructeur",))
    capped = told(GRANT)["offre.lieu"]
    assert (capped.reason, capped.rules) == (Reason.PURPOSE_CAP, ("role:tout", "finalite:suivi"))
    missing = told(GRANT)["moi.tel"]
    assert (missing.reason, missing.regime, missing.records) == (Reason.NO_CONSENT, Regime.ACCORD, ())
    weak = told(payload("granted", collection=GRANT["collection"] | {"evidence": "E0"}))["moi.nom"]
    assert (weak.reason, weak.phrase) == (Reason.EVIDENCE, PHRASES[Reason.EVIDENCE])


def test_information_and_obligation_name_their_texts() -> None:
    informed = payload("informed", purpose="droits", sources=["cpam"])
    found = told(informed, purpose="droits", source="cpam")["moi.nom"]
    assert (found.regime, found.texte, found.records) == (Regime.INFORMATION, "On peut s'opposer", ("r1",))
    law = told(purpose="loi")["moi.nom"]
    assert (law.regime, law.texte, law.records) == (Regime.OBLIGATION, "La loi prévoit", ())
    objected = payload("objected", "o", purpose="droits", sources=[], recipients=[])
    for named_agent, records in (True, ("o",)), (False, ()):
        opposed = told(informed, objected, purpose="droits", source="cpam", named_agent=named_agent)["moi.nom"]
        assert (opposed.reason, opposed.records) == (Reason.OBJECTION, records)


def test_a_protection_reads_as_a_refusal_to_all_but_the_named_agents() -> None:
    shielded = told(GRANT, SHIELD)["moi.nom"]
    refused = told(GRANT, payload("denied", "no"))["moi.nom"]
    assert shielded == refused
    assert shielded.reason is Reason.CONSENT_DENY
    assert shielded.records == ()
    assert told(GRANT, SHIELD, named_agent=True)["moi.nom"].reason is Reason.PROTECTED
    assert told(GRANT, DENY, named_agent=True)["argent.revenu"].records == ("no",)


def test_an_unknown_attribute_explains_the_narrowest_variant() -> None:
    for attributes, rules in (
        (Attributes(mission="nir"), ("role:instructeur/nir", "finalite:suivi/accord")),
        (Attributes(mission="nir", aid="unknown"), ("role:instructeur",)),
    ):
        given = payload("granted", pii_information=["moi.nir"])
        assert told(given, role="instructeur", attributes=attributes)["moi.nir"].rules == rules


def test_names_the_policy_does_not_have() -> None:
    assert told(role="unknown")["moi.nom"].rules == ("role:unknown",)
    assert told(purpose="unknown")["moi.nom"].rules == ("role:tout", "finalite:unknown")


def test_every_reason_has_its_sentence() -> None:
    assert set(PHRASES) == set(Reason)
    assert len(set(PHRASES.values())) == len(Reason)


@pytest.mark.parametrize("events", [(), (GRANT,), (GRANT, DENY, SHIELD)])
def test_a_decision_read_back_from_the_log_explains_the_same(events: tuple[dict[str, Any], ...]) -> None:
    what, decision = decided(*events)
    logged = json.loads(json.dumps(to_log(decision)))
    again = from_log(logged, POLICY, what)
    assert again == decision
    assert explain(POLICY, what, again) == explain(POLICY, what, decision)


def test_a_decision_that_failed_is_explained_as_no_rule() -> None:
    what = question(purpose=[])
    decision = decide(POLICY, what, Authority(permit=INDEX.full))
    assert {found.reason for found in explain(POLICY, what, decision)} == {Reason.NO_RULE}


def test_another_policy_cannot_read_the_bits() -> None:
    what, decision = decided(GRANT)
    other = decision._replace(policy_version="0" * 64)
    with pytest.raises(PolicyMismatch):
        explain(POLICY, what, other)
    with pytest.raises(PolicyMismatch):
        from_log(to_log(other), POLICY, what)
