"""What proves an erasure, read and refused offline: the receipt of one erasure in a small log made by hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from consent.ledger import envelope
from consent.ledger.erasure import DECISION, EVENT, ErasureReceipt, verify_erasure
from consent.ledger.leaf import EventClass, Leaf, commitment
from tests.ledger.collector import ALONE, KEYS, SALT, prove, sign_jws
from tests.ledger.world import ORIGIN, START_US, WITNESSES, Log, make_leaf, refused

DECIDED = {"v": 1, "reason": "retrait", "request_number": "2026-17"}
BODY: dict[str, Any] = {
    "v": 1,
    "event": EVENT,
    "decision": sign_jws(DECIDED, DECISION, "dpo"),
    "rows": {"record": 3, "token": 129},
}


def receipt_of(body: dict[str, Any], event_class: EventClass = EventClass.ERASURE) -> dict[str, Any]:
    leaf = Leaf(
        event_class,
        b"an erasure event",
        START_US + 5_000,
        commitment(SALT, envelope.encode(body, None)),
        hashlib.sha256(b"sealed").digest(),
    )
    log = Log([*(make_leaf(i) for i in range(5)), leaf, *(make_leaf(i) for i in range(6, 9))])
    return ErasureReceipt(body, leaf, SALT, prove(log, 5).encode()).to_wire()


GOOD = receipt_of(BODY)


def code_of(value: Any) -> str | None:
    return verify_erasure(value, KEYS).code


def test_a_true_one_holds_and_says_what_was_decided() -> None:
    verdict = verify_erasure(GOOD, KEYS)
    assert verdict.holds
    assert (verdict.body, verdict.decision) == (BODY, DECIDED)
    assert (verdict.index, verdict.size, verdict.origin, verdict.at_us) == (5, 9, ORIGIN, START_US + 5_000)
    assert verdict.witnesses == tuple(key.name for key in WITNESSES[:4])
    assert ErasureReceipt.parse(GOOD).to_wire() == GOOD


def test_without_witnesses_it_names_none() -> None:
    assert verify_erasure(GOOD, ALONE).witnesses == ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "receipt",
        {},
        GOOD | {"more": 1},
        {name: value for name, value in GOOD.items() if name != "proof"},
        GOOD | {"type": "maillon-receipt"},
        GOOD | {"v": 2},
        GOOD | {"v": True},
        GOOD | {"erasure": "gone"},
        GOOD | {"erasure": BODY | {"event": "erasure:month:erased"}},
        GOOD | {"erasure": {}},
        GOOD | {"erasure": BODY | {"rows": 1e400}},
        GOOD | {"erasure": BODY | {"rows": "\ud800"}},
        GOOD | {"proof": None},
        GOOD | {"proof": "\ud800"},
        GOOD | {"event": []},
        GOOD | {"event": {**GOOD["event"], "more": 1}},
        GOOD | {"event": {**GOOD["event"], "r32": "AA"}},
    ],
)
def test_what_is_not_one_has_a_code(value: Any) -> None:
    with refused("receipt_form"):
        ErasureReceipt.parse(value)
    verdict = verify_erasure(value, KEYS)
    assert (verdict.code, verdict.holds, verdict.body, verdict.decision) == ("receipt_form", False, None, None)


def test_nothing_of_it_can_be_changed() -> None:
    other = sign_jws(DECIDED | {"reason": "erreur"}, DECISION, "dpo")
    assert code_of(GOOD | {"erasure": BODY | {"rows": {"record": 2, "token": 129}}}) == "root"
    assert code_of(GOOD | {"erasure": BODY | {"decision": other}}) == "root"
    for name, value in (
        ("event_id", "00000000-0000-4000-8000-000000000000"),
        ("at", "2026-01-21T12:53:20.005001Z"),
        ("r32", "A" * 43),
        ("ciphertext_digest", "A" * 43),
    ):
        assert code_of(GOOD | {"event": {**GOOD["event"], name: value}}) == "root"


def test_an_event_of_another_class_is_no_erasure() -> None:
    assert code_of(receipt_of(BODY, EventClass.ACCESS)) == "root"


@pytest.mark.parametrize("decision", [None, "decision", sign_jws(DECIDED, "maillon-consent+jws", "dpo")])
def test_a_decision_that_is_none_is_refused(decision: object) -> None:
    assert code_of(receipt_of(BODY | {"decision": decision})) == "record_form"


def test_a_log_one_does_not_trust_proves_nothing() -> None:
    assert verify_erasure(GOOD, replace(KEYS, quorum=5)).code == "quorum"
