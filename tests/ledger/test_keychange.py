"""A log changes its key: in the log itself, with an overlap, and never its name."""

from __future__ import annotations

import json

import pytest

from consent.canonical import jcs
from consent.ledger.keychange import Action, KeyChange, KeyHistory, KeySpan
from tests.ledger.world import LOG, ORIGIN, WITNESSES, log_key, refused

NEXT, OTHER = log_key("next"), log_key("other")
START = KeyHistory(ORIGIN, (KeySpan(LOG.verifier),))
INTRODUCED = KeyChange(Action.INTRODUCE, NEXT.verifier, frozenset({LOG.verifier}))
RETIRED = KeyChange(Action.RETIRE, LOG.verifier)


def test_the_payload_has_one_form() -> None:
    before = f'"before":["{LOG.verifier.vkey}"]'
    said = f'"event":"key:log:introduced","vkey":"{NEXT.verifier.vkey}"'
    expected = f'{{"body":{{{before},{said}}},"subject":null,"v":1}}'
    assert INTRODUCED.encode() == expected.encode()
    for change in (INTRODUCED, RETIRED):
        assert KeyChange.parse(change.encode()) == change
    value = json.loads(INTRODUCED.encode())
    body = value["body"]
    for wrong in (
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        json.dumps(value).encode(),
        jcs(value | {"more": 1}),
        jcs(value | {"v": 2}),
        jcs(value | {"body": "text"}),
        jcs(value | {"subject": {"n": 1, "prev": None}}),
        jcs(value | {"body": body | {"more": 1}}),
        jcs(value | {"body": body | {"event": "key:log:borrowed"}}),
        jcs(value | {"body": body | {"before": body["before"] * 2}}),
        jcs(value | {"body": body | {"before": sorted([NEXT.verifier.vkey, LOG.verifier.vkey], reverse=True)}}),
        jcs(value | {"body": body | {"before": 1}}),
        jcs(value | {"body": {name: body[name] for name in ("event", "vkey")}}),
        jcs(value | {"body": body | {"event": "key:log:retired"}}),
        jcs(value | {"body": body | {"event": ["key:log:retired"]}}),
        jcs(value | {"body": body | {"vkey": 1}}),
        jcs(value | {"body": body | {"vkey": body["vkey"] + "="}}),
        jcs(value | {"body": {"event": "key:log:retired"}}),
    ):
        with refused("key_change"):
            KeyChange.parse(wrong)


def test_both_sign_from_the_introduction_to_the_retirement() -> None:
    """Leaf 10 introduces and leaf 20 retires: trees that hold the first and not the second are signed by both."""
    history = START.after(INTRODUCED, 10).after(RETIRED, 20)
    old, new = LOG.verifier, NEXT.verifier
    assert history.at(0) == history.at(10) == {old}
    assert history.at(11) == history.at(20) == {old, new}
    assert history.at(21) == history.at(2**62) == {new}
    assert history.origin == ORIGIN


def test_a_key_signs_nothing_before_it_comes() -> None:
    late = KeySpan(NEXT.verifier, introduced=3)
    assert [late.signs(size) for size in (0, 3, 4)] == [False, False, True]


@pytest.mark.parametrize(
    ("history", "change", "code"),
    [
        (START, KeyChange(Action.INTRODUCE, LOG.verifier), "log_key"),
        (START, KeyChange(Action.INTRODUCE, log_key("next", "elsewhere.example").verifier), "log_key"),
        (START, KeyChange(Action.INTRODUCE, WITNESSES[0].verifier), "log_key"),
        (START, KeyChange(Action.INTRODUCE, NEXT.verifier), "key_order"),
        (START, KeyChange(Action.INTRODUCE, NEXT.verifier, frozenset({OTHER.verifier})), "key_order"),
        (START, KeyChange(Action.INTRODUCE, NEXT.verifier, frozenset({LOG.verifier, OTHER.verifier})), "key_order"),
        (START, RETIRED, "key_order"),
        (START, KeyChange(Action.RETIRE, NEXT.verifier), "key_order"),
        (START.after(INTRODUCED, 10).after(RETIRED, 20), RETIRED, "key_order"),
        (START.after(INTRODUCED, 10).after(RETIRED, 20), KeyChange(Action.RETIRE, NEXT.verifier), "key_order"),
        (START.after(INTRODUCED, 10).after(RETIRED, 20), KeyChange(Action.INTRODUCE, LOG.verifier), "log_key"),
    ],
)
def test_changes_that_make_no_sense(history: KeyHistory, change: KeyChange, code: str) -> None:
    with refused(code):
        history.after(change, 30)


def test_a_history_has_keys_of_its_log() -> None:
    for spans in ((), (KeySpan(LOG.verifier), KeySpan(LOG.verifier, 3)), (KeySpan(WITNESSES[0].verifier),)):
        with refused("log_key"):
            KeyHistory(ORIGIN, spans)
