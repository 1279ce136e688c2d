"""What may leave without an agreement: a person informed who does not object, an obligation."""

from __future__ import annotations

from consent.model import Reason, Regime
from tests.consent import world
from tests.consent.asking import (
    AAH,
    INFORMED,
    NIR,
    NOM,
    REVENU,
    RSA,
    RSA_DATE,
    TEL,
    ask,
    deny,
    grant,
    inform,
    objection,
    reason,
    released,
    rights,
)
from tests.consent.world import INDEX, PATHS, payload


def test_information_needs_the_person_informed() -> None:
    assert released(rights()) == ()
    assert reason(rights(), NOM) is Reason.NO_CONSENT
    assert released(rights(INFORMED)) == (NOM, NIR, RSA, RSA_DATE, REVENU)
    assert rights(INFORMED).consent_ids == ("i",)
    assert reason(rights(INFORMED), TEL) is Reason.NO_CONSENT
    assert released(rights(inform(NOM, sources=["cpam"]), hours=10)) == ()
    assert released(rights(inform(NOM, sources=["caf"]))) == ()


def test_agreeing_is_not_being_informed_nor_the_reverse() -> None:
    assert released(rights(grant(*PATHS, purpose="droits", sources=["cpam"]))) == (TEL, AAH)
    assert released(ask(inform(*PATHS, purpose="suivi"))) == ()


def test_refusing_does_not_bite_under_information() -> None:
    assert NOM in released(rights(INFORMED, deny(NOM, purpose="droits")))


def test_an_objection_bites_where_the_text_allows_one() -> None:
    decision = rights(INFORMED, objection(*PATHS))
    assert released(decision) == (NIR, REVENU)
    assert reason(decision, NOM) is Reason.OBJECTION
    assert reason(rights(objection(NOM)), NOM) is Reason.OBJECTION
    assert decision.refusal_ids == ("o",)
    assert AAH in released(rights(grant(AAH, purpose="droits", sources=["cpam"]), objection(*PATHS)))


def test_an_objection_follows_its_examination() -> None:
    upheld = payload("objection_upheld", record="o", purpose="droits", actor="institution")
    rejected = payload("objection_rejected", record="o", purpose="droits", actor="institution")
    taken_back = payload("revoked", record="o", purpose="droits")
    assert NOM not in released(rights(INFORMED, objection(NOM)))
    assert NOM not in released(rights(INFORMED, objection(NOM), upheld))
    assert NOM in released(rights(INFORMED, objection(NOM), rejected))
    assert NOM not in released(rights(INFORMED, objection(NOM), rejected, objection(NOM)))
    assert NOM in released(rights(INFORMED, objection(NOM), taken_back))
    assert NOM in released(rights(INFORMED, objection(NOM), upheld, taken_back))


def test_an_objection_on_the_information_itself() -> None:
    here = objection(NOM, record="i")
    assert released(rights(INFORMED, here)) == (NIR, RSA, RSA_DATE, REVENU)
    rejected = payload("objection_rejected", record="i", purpose="droits", actor="institution")
    assert NOM in released(rights(INFORMED, here, rejected))


def test_an_objection_outlives_the_information_it_answers() -> None:
    short = inform(NOM, sources=["cpam"], validity={"from": world.instant(0), "to": world.instant(2)})
    later = inform(NOM, sources=["cpam"], record="j", validity={"from": world.instant(2), "to": None})
    assert released(rights(short, objection(NOM, record="i"), later)) == ()


def test_an_objection_limited_to_another_recipient_does_not_bite() -> None:
    assert NOM in released(rights(INFORMED, objection(NOM, recipients=[{"partner": "ccas", "roles": []}])))


def test_an_obligation_needs_its_text_alone() -> None:
    decision = ask(deny(NOM, purpose="loi"), purpose="loi")
    assert released(decision) == (NOM, RSA, RSA_DATE)
    assert decision.by_regime(Regime.OBLIGATION) == decision.allowed
    assert decision.by_regime(Regime.ACCORD) == 0


def test_a_row_that_names_the_source_prevails() -> None:
    decision = rights(source="caf")
    assert released(decision) == (TEL, RSA)
    assert decision.by_regime(Regime.OBLIGATION) == INDEX.mask([TEL, RSA])
    assert released(rights(source="cpam")) == ()


def test_by_regime_splits_what_left() -> None:
    given = grant(*PATHS, purpose="droits", sources=["cpam"])
    decision = rights(INFORMED, given)
    assert INDEX.paths(decision.by_regime(Regime.ACCORD)) == (TEL, AAH)
    assert INDEX.paths(decision.by_regime(Regime.INFORMATION)) == (NOM, NIR, RSA, RSA_DATE, REVENU)
