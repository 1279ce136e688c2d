"""Who may agree or refuse for somebody else: guardians, parents, a judgment."""

from __future__ import annotations

from typing import Any

import pytest

from consent.model import Reason
from tests.consent import world
from tests.consent.asking import INFORMED, NOM, RSA, TEL, ask, deny, grant, objection, proof, reason, released, rights
from tests.consent.world import mandate

GUARDIANS = ("tutelle", "habilitation_familiale", "mandat_protection_future")
POWERLESS = ("sauvegarde", "curatelle_simple", "curatelle_renforcee", "masp", "maj", "mjagbf")


@pytest.mark.parametrize("nature", [*GUARDIANS, *POWERLESS])
def test_who_may_agree_for_a_protected_adult(nature: str) -> None:
    decision = ask(grant(NOM, mandate=mandate(nature)))
    assert released(decision) == ((NOM,) if nature in GUARDIANS else ())


def test_a_mandate_for_property_only_gives_nothing() -> None:
    assert released(ask(grant(NOM, mandate=mandate("tutelle", champ=["biens"])))) == ()


def test_a_guardian_agrees_within_the_mandate() -> None:
    assert released(ask(grant(NOM, TEL, mandate=mandate("tutelle", scope=["moi.tel"])))) == (TEL,)


@pytest.mark.parametrize(("hours", "live"), [(1.999, False), (2, True), (3.999, True), (4, False)])
def test_a_mandate_lives_in_a_half_open_interval(hours: float, live: bool) -> None:
    short = mandate("tutelle", valid_from=world.instant(2), valid_to=world.instant(4))
    assert released(ask(grant(NOM, mandate=short), hours=hours)) == ((NOM,) if live else ())


def test_the_persons_own_refusal_wins_over_the_guardian() -> None:
    assert released(ask(grant(NOM, mandate=mandate("tutelle")), deny(NOM))) == ()


def test_a_guardians_refusal_counts_within_the_mandate_only() -> None:
    own = grant(NOM, TEL)
    assert released(ask(own, deny(NOM, TEL, mandate=mandate("tutelle", scope=[NOM])))) == (TEL,)
    assert released(ask(own, deny(NOM, mandate=mandate("curatelle_simple")))) == (NOM, TEL)


def test_a_guardians_objection_counts_within_the_mandate_only() -> None:
    assert NOM not in released(rights(INFORMED, objection(NOM, mandate=mandate("tutelle"))))
    assert NOM in released(rights(INFORMED, objection(NOM, mandate=mandate("mjagbf"))))


def test_one_parent_suffices_for_a_usual_act() -> None:
    assert released(ask(grant(NOM, mandate=mandate("autorite_parentale")))) == (NOM,)


def parents(*fields: tuple[str, ...], **changed: Any) -> list[dict[str, Any]]:
    """Return one grant per parent under the unusual purpose."""
    return [
        grant(*paths, record=f"p{i}", purpose="grave", mandate=mandate("autorite_parentale", f"parent-{i}"), **changed)
        for i, paths in enumerate(fields)
    ]


def test_both_parents_are_needed_otherwise_and_their_fields_intersect() -> None:
    assert released(ask(*parents((NOM,)), purpose="grave")) == ()
    decision = ask(*parents((NOM, TEL), (NOM, RSA)), purpose="grave")
    assert released(decision) == (NOM,)
    assert decision.consent_ids == ("p0", "p1")
    assert reason(decision, TEL) is Reason.NO_CONSENT


def test_one_parent_twice_is_one_parent() -> None:
    twice = [
        grant(NOM, record=f"p{i}", purpose="grave", mandate=mandate("autorite_parentale", "parent")) for i in (0, 1)
    ]
    assert released(ask(*twice, purpose="grave")) == ()


def test_two_of_three_holders_suffice_and_one_record_may_complete_another() -> None:
    assert released(ask(*parents((NOM,), (TEL,), (NOM, TEL)), purpose="grave")) == (NOM, TEL)


def test_a_weakly_proven_parent_is_told_as_weak_proof() -> None:
    strong, weak = parents((NOM,), (NOM,))
    decision = ask(strong, weak | {"collection": proof("E1")}, purpose="grave")
    assert released(decision) == ()
    assert reason(decision, NOM) is Reason.EVIDENCE


def test_one_parents_refusal_wins() -> None:
    refusal = deny(NOM, mandate=mandate("autorite_parentale", "parent-2"))
    assert released(ask(grant(NOM, mandate=mandate("autorite_parentale", "parent-1")), refusal)) == ()


def test_a_judgment_comes_before_the_parents() -> None:
    judged = {"mandate": mandate("jugement", "parent-1", scope=[NOM])}
    assert released(ask(grant(NOM, purpose="grave", **judged), purpose="grave")) == (NOM,)
    refusal = deny(NOM, TEL, mandate=mandate("autorite_parentale", "parent-2"))
    other = grant(TEL, record="r2", mandate=mandate("autorite_parentale", "parent-1"))
    decision = ask(grant(NOM, **judged), other, refusal)
    assert released(decision) == (NOM,)
    assert reason(decision, TEL) is Reason.CONSENT_DENY
    settled = deny(NOM, record="judged", **judged)
    assert released(ask(settled, grant(NOM, mandate=mandate("autorite_parentale", "parent-2")))) == ()


def test_a_judgment_does_not_silence_the_person_nor_a_guardian() -> None:
    judged = grant(NOM, mandate=mandate("jugement", "parent-1"))
    assert released(ask(judged, deny(NOM))) == ()
    assert released(ask(judged, deny(NOM, mandate=mandate("tutelle", "t")))) == ()


def test_a_judgment_nobody_used_here_settles_nothing() -> None:
    elsewhere = grant(NOM, sources=["cpam"], mandate=mandate("jugement", "parent-1"))
    parent = grant(NOM, record="r2", mandate=mandate("autorite_parentale", "parent-2"))
    assert released(ask(elsewhere, parent)) == (NOM,)
    ended = mandate("jugement", "parent-1", valid_to=world.instant(2))
    assert released(ask(grant(NOM, mandate=ended), parent)) == (NOM,)
