"""Whom a verifier trusts: read from a file, and followed from the first key of the log to the last."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consent.ledger.keychange import Action, KeyChange
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.opening import instant
from consent.ledger.verify import KEYS_TYPE, TrustedKeys, verify_receipt
from tests.ledger.collector import KEYS, SALT, Story, b64, jwk, prove, public_of
from tests.ledger.test_jws import directory
from tests.ledger.world import LOG, ORIGIN, WITNESSES, Log, log_key, make_leaf, refused

GOOD = Story().value()


def code_of(value: Any, keys: TrustedKeys) -> str | None:
    return verify_receipt(value, keys).code


def keys_value(**members: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "type": KEYS_TYPE,
        "origin": ORIGIN,
        "log": [LOG.verifier.vkey],
        "key_changes": [],
        "witnesses": [key.verifier.vkey for key in WITNESSES],
        "quorum": 4,
        "faulty": 1,
        "collectors": {"departement": [b64(public_of("identity")), b64(public_of("identity of last year"))]},
    } | members


def test_keys_are_read() -> None:
    assert TrustedKeys.parse(keys_value()) == KEYS
    by_root = TrustedKeys.parse(keys_value(collectors={"directory": directory(), "root": jwk("root")}))
    assert by_root.collectors == {"departement": frozenset({public_of("identity")})}
    assert code_of(GOOD, by_root) is None


NEXT = log_key("next")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "keys_form"),
        ({}, "keys_form"),
        (keys_value(more=1), "keys_form"),
        (keys_value(v=2), "keys_form"),
        (keys_value(type="keys"), "keys_form"),
        (keys_value(origin=1), "keys_form"),
        (keys_value(quorum="4"), "keys_form"),
        (keys_value(faulty=None), "keys_form"),
        (keys_value(log=LOG.verifier.vkey), "keys_form"),
        (keys_value(log=[1]), "keys_form"),
        (keys_value(log=[LOG.verifier.vkey + "="]), "vkey"),
        (keys_value(log=[]), "log_key"),
        (keys_value(log=[LOG.verifier.vkey] * 2), "log_key"),
        (keys_value(origin="elsewhere.example"), "log_key"),
        (keys_value(quorum=3), "policy_quorum"),
        (keys_value(witnesses=[LOG.verifier.vkey]), "policy_witness"),
        (keys_value(collectors=[]), "keys_form"),
        (keys_value(collectors={"departement": "a"}), "keys_form"),
        (keys_value(collectors={"departement": [b64(bytes(31))]}), "keys_form"),
        (keys_value(collectors={"directory": 1, "root": jwk("root")}), "keys_form"),
        (keys_value(collectors={"directory": directory(), "root": jwk("hub")}), "directory"),
        (keys_value(key_changes={}), "keys_form"),
        (keys_value(key_changes=[1]), "keys_form"),
        (keys_value(key_changes=[{"action": "introduce"}]), "keys_form"),
    ],
)
def test_why_keys_are_refused(value: Any, code: str) -> None:
    with refused(code):
        TrustedKeys.parse(value)


class Rotation:
    """A log that introduces NEXT at leaf 3 and retires LOG at leaf 6, with the opening of both leaves."""

    def __init__(self) -> None:
        first = frozenset({LOG.verifier})
        self.changes = {
            3: KeyChange(Action.INTRODUCE, NEXT.verifier, first),
            6: KeyChange(Action.RETIRE, LOG.verifier),
        }
        self.leaves = [self.leaf(number) for number in range(9)]

    def leaf(self, number: int) -> Leaf:
        if number not in self.changes:
            return make_leaf(number)
        bound = commitment(SALT, self.changes[number].encode())
        return replace(make_leaf(number), event_class=EventClass.KEY, commitment=bound)

    def change(self, index: int, size: int, signers: list[Any], **members: Any) -> dict[str, Any]:
        log, leaf, said = Log(self.leaves[:size], signers), self.leaves[index], self.changes[index]
        event = {
            "event_id": f"{leaf.event_id.hex()}",
            "at": instant(leaf.at_us),
            "r32": b64(SALT),
            "ciphertext_digest": b64(leaf.ciphertext_digest),
        }
        hexed = event["event_id"]
        event["event_id"] = "-".join([hexed[:8], hexed[8:12], hexed[12:16], hexed[16:20], hexed[20:]])
        return {
            "action": said.action.value,
            "vkey": said.key.vkey,
            "event": event,
            "proof": prove(log, index).encode().decode(),
        } | members


ROTATION = Rotation()
INTRODUCED = ROTATION.change(3, 4, [LOG, NEXT])
RETIRED = ROTATION.change(6, 7, [NEXT])


def test_the_chain_of_keys_is_followed() -> None:
    keys = TrustedKeys.parse(keys_value(key_changes=[INTRODUCED, RETIRED]))
    assert [keys.policy(size).log_keys for size in (3, 4, 6, 7)] == [
        {LOG.verifier},
        {LOG.verifier, NEXT.verifier},
        {LOG.verifier, NEXT.verifier},
        {NEXT.verifier},
    ]
    # A receipt whose tree holds the retirement is the new key's alone to sign.
    assert code_of(Story(signers=(NEXT,)).value(), keys) is None
    assert code_of(Story(signers=(LOG, NEXT)).value(), keys) is None
    assert code_of(Story(signers=(LOG,)).value(), keys) == "log_signature"
    assert code_of(Story(signers=(NEXT,)).value(), KEYS) == "log_signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([ROTATION.change(3, 4, [LOG])], "log_signature"),
        ([ROTATION.change(3, 4, [NEXT])], "log_signature"),
        ([ROTATION.change(3, 4, [NEXT, log_key("thief")])], "log_signature"),
        ([RETIRED], "key_order"),
        ([INTRODUCED, ROTATION.change(6, 7, [LOG])], "log_signature"),
        ([INTRODUCED, RETIRED, RETIRED], "key_order"),
        ([INTRODUCED, INTRODUCED], "log_key"),
        ([INTRODUCED | {"action": "retire"}], "key_order"),
        ([INTRODUCED | {"action": "borrow"}], "keys_form"),
        ([INTRODUCED | {"vkey": log_key("thief").verifier.vkey}], "root"),
        ([INTRODUCED | {"vkey": 1}], "keys_form"),
        ([INTRODUCED | {"event": {}}], "receipt_form"),
        ([INTRODUCED | {"proof": "\ud800"}], "keys_form"),
        ([INTRODUCED | {"proof": ""}], "proof_form"),
        ([INTRODUCED | {"event": INTRODUCED["event"] | {"r32": b64(bytes(32))}}], "root"),
    ],
)
def test_a_key_nobody_introduced_is_not_believed(changes: list[Any], code: str) -> None:
    with refused(code):
        TrustedKeys.parse(keys_value(key_changes=changes))


def test_a_retired_key_does_not_retire() -> None:
    """Both sign, as in the overlap; what counts is who stays."""
    both = ROTATION.change(6, 7, [LOG, NEXT])
    assert TrustedKeys.parse(keys_value(key_changes=[INTRODUCED, both])).policy(7).log_keys == {NEXT.verifier}
