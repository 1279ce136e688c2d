"""A person's own copy, as a verifier reads it: what no hub would write is refused by a code, and by its place."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785

from consent.ledger import witness
from consent.ledger.checkpoint import open_note
from consent.ledger.envelope import Link
from consent.ledger.jws import to_base64url
from consent.ledger.leaf import EventClass
from consent.ledger.person_check import PersonVerdict, verify_person
from tests.ledger import collector
from tests.ledger.copies import KEYS, Copy, Document, chained, reading
from tests.ledger.world import LOG, WITNESSES


@pytest.fixture
def whole() -> Document:
    """Two events, then the reading: the first is removed under an event between."""
    made = Copy()
    first = made.add(EventClass.MATCH, {"event": "match:record:created"}, Link(1, None))
    event_id = made.events[0][0].event_id
    named = {"count": 1, "digest": to_base64url(hashlib.sha256(event_id).digest())}
    made.add(EventClass.RETENTION, {"event": "retention:traces:ended", "emptied": named}, None)
    second = made.add(EventClass.ACCESS, {"event": "access:request:decided"}, Link(2, first))
    made.add(EventClass.ACCESS, reading([], [1, 1, 1]), Link(3, second))
    return made.document([made.closed(0, 1, 1, 0), made.shown(2), made.shown(3)], removals=[made.removal(1, event_id)])


def test_a_copy_that_holds_says_what_it_proves(whole: Document) -> None:
    verdict = verify_person(whole, KEYS)
    assert (verdict.code, verdict.shown, verdict.closed, verdict.size) == (None, 2, 0, 5)
    assert [(gap.chain, gap.first, gap.last, gap.event) for gap in verdict.gaps] == [
        (1, 1, 1, "retention:traces:ended")
    ]
    assert verdict.reason("fr") == ""
    assert "Ses 3 événements" in verdict.proves("fr")[0]
    assert "Events 1 to 1 existed" in verdict.proves("en")[2]
    # later, who, true, removed, one_log
    assert len(verdict.does_not_prove("en")) == 5
    refused = PersonVerdict("gap", chain=1, n=4)
    assert refused.reason("en").startswith("Chain 1, event 4: An event is missing")
    assert refused.proves("fr") == []
    assert PersonVerdict("person_form").reason("en").startswith("This file is no copy")


def test_witnesses_are_counted_and_named(whole: Document) -> None:
    keys = replace(KEYS, witnesses=frozenset(each.verifier for each in WITNESSES[:3]), quorum=2)
    assert verify_person(whole, keys).code == "quorum"
    note = whole["checkpoint"].encode()
    signed = open_note(note, [LOG.verifier])
    note += b"".join(witness.cosign(signed, key, 1_800_000_000) for key in WITNESSES[:2])
    verdict = verify_person({**whole, "checkpoint": note.decode()}, keys)
    assert verdict.code is None
    assert [name for name, _ in verdict.witnesses] == ["w1.example/witness", "w2.example/witness"]
    assert "2 witness(es)" in verdict.proves("en")[-1]
    assert len(verdict.does_not_prove("en")) == 4


def put(document: Document, value: Any, *path: Any) -> Document:
    altered = copy.deepcopy(document)
    node: Any = altered
    for step in path[:-1]:
        node = node[step]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return altered


@pytest.mark.parametrize(
    ("value", "path", "code"),
    [
        (None, ("also",), "person_form"),
        ("maillon-receipt", ("type",), "person_form"),
        (True, ("v",), "person_form"),
        (7, ("checkpoint",), "person_form"),
        ("\ud800", ("checkpoint",), "person_form"),
        ("x", ("checkpoint",), "note_form"),
        ({}, ("chains",), "person_form"),
        ([{}], ("chains",), "person_form"),
        ([7], ("chains", 0), "person_form"),
        ([[]], ("chains",), "gap"),
        ([], ("chains",), "head"),
        (None, ("chains", 0, 0, "n"), "person_form"),
        ("0", ("chains", 0, 0, "removal"), "person_form"),
        (-1, ("chains", 0, 0, "index"), "person_form"),
        ("password", ("chains", 0, 0, "class"), "person_form"),
        (7, ("chains", 0, 0, "event_id"), "person_form"),
        (0, ("chains", 0, 0, "n"), "order"),
        (0, ("chains", 0, 0, "first"), "order"),
        (2, ("chains", 0, 0, "n"), "order"),
        (1, ("chains", 0, 0, "removal"), "removal"),
        (-1, ("chains", 0, 0, "removal"), "removal"),
        (None, ("chains", 0, 1, "r32"), "person_form"),
        ("x", ("chains", 0, 1, "r32"), "person_form"),
        ([], ("chains", 0, 1, "envelope"), "person_form"),
        (2, ("chains", 0, 1, "envelope", "v"), "person_form"),
        (1e400, ("chains", 0, 1, "envelope", "body"), "person_form"),
        ({"n": 1}, ("chains", 0, 1, "envelope", "subject"), "link"),
        ("accès", ("chains", 0, 1, "class"), "person_form"),
        ([["x"]], ("removals",), "person_form"),
        ("AA", ("removals", 0, "ids"), "removal"),
        ("x", ("removals", 0, "ids"), "person_form"),
        ([], ("removals",), "removal"),
        ([7], ("also",), "person_form"),
    ],
)
def test_what_no_hub_would_write_is_refused(whole: Document, value: Any, path: tuple[Any, ...], code: str) -> None:
    assert verify_person(put(whole, value, *path), KEYS).code == code


def test_no_object_at_all_is_refused() -> None:
    not_one: Any = []
    assert verify_person(not_one, KEYS).code == "person_form"


def _without_link(made: Copy) -> list[Document]:
    before = chained(made, {"event": "a"})
    made.add(EventClass.ACCESS, {"event": "b"}, None)
    made.add(EventClass.ACCESS, reading([]), Link(2, before))
    return [made.shown(0), made.shown(1), made.shown(2)]


def _twice(made: Copy) -> list[Document]:
    before = chained(made, {"event": "a"})
    made.add(EventClass.ACCESS, reading([]), Link(2, before))
    return [made.shown(0), made.shown(0), made.shown(1)]


def _gap(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, {"event": "b"}, reading([]))
    return [made.shown(0), made.shown(2)]


def _gap_before_a_closed_one(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, {"event": "b"}, {"event": "c"}, reading([]))
    return [made.shown(0), made.closed(2, 3, 3, None), made.shown(3)]


def _closed_wide(made: Copy) -> list[Document]:
    """Two events behind one closed leaf, and no removal to account for the first of them."""
    chained(made, {"event": "a"}, {"event": "b"}, {"event": "c"}, reading([]))
    return [made.shown(0), made.closed(2, 2, 3, None), made.shown(3)]


def _of_another(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, {"event": "b"})
    chained(made, {"event": "c"}, {"event": "d"}, reading([]))
    return [made.shown(0), made.shown(3), made.shown(4)]


def _ends_closed(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, reading([]))
    return [made.shown(0), made.closed(1, 2, 2, None)]


def _ends_without_reading(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, reading([]) | {"criteria": {"view": "usager"}})
    return [made.shown(0), made.shown(1)]


def _ends_with_no_view(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, {"event": "access:log:read", "criteria": "person"})
    return [made.shown(0), made.shown(1)]


def _ends_without_gaps(made: Copy) -> list[Document]:
    said = {name: value for name, value in reading([]).items() if name != "removed"}
    chained(made, {"event": "a"}, said)
    return [made.shown(0), made.shown(1)]


def _ends_with_strange_gaps(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, reading([], [1, 1]))
    return [made.shown(0), made.shown(1)]


def _ends_with_a_match(made: Copy) -> list[Document]:
    chained(made, {"event": "a"}, reading([]), event_class=EventClass.MATCH)
    return [made.shown(0), made.shown(1)]


@pytest.mark.parametrize(
    ("make", "code", "n"),
    [
        (_without_link, "order", 2),
        (_twice, "order", 2),
        (_gap, "gap", 2),
        (_gap_before_a_closed_one, "gap", 2),
        (_closed_wide, "gap", 2),
        (_of_another, "chain", 2),
        (_ends_closed, "head", 2),
        (_ends_without_reading, "head", 2),
        (_ends_with_no_view, "head", 2),
        (_ends_with_a_match, "head", 2),
        (_ends_without_gaps, "head", 2),
        (_ends_with_strange_gaps, "head", 2),
    ],
)
def test_a_chain_that_does_not_follow(make: Callable[[Copy], list[Document]], code: str, n: int) -> None:
    made = Copy()
    chain = make(made)
    verdict = verify_person(made.document(chain), KEYS)
    assert (verdict.code, verdict.chain, verdict.n) == (code, 1, n)


def test_a_former_persons_chain_ends_where_the_reading_says() -> None:
    made = Copy()
    end = chained(made, {"event": "a"}, {"event": "b"})
    heads = [{"n": 2, "leaf": to_base64url(end)}]
    made.add(EventClass.ACCESS, reading(heads), Link(1, None))
    former, own = [made.shown(0), made.shown(1)], [made.shown(2)]
    assert verify_person(made.document(own, former), KEYS).code is None
    assert verify_person(made.document(own), KEYS).code == "heads"
    assert verify_person(made.document(own, former[:1]), KEYS).code == "heads"
    assert verify_person(made.document(own, former, former), KEYS).code == "heads"
    closed = [made.shown(0), made.closed(1, 2, 2, None)]
    verdict = verify_person(made.document(own, closed), KEYS)
    assert (verdict.code, verdict.closed) == (None, 1)
    assert "1 event(s) are in their place" in verdict.proves("en")[2]


def test_a_removal_names_what_went_and_comes_after_it() -> None:
    made = Copy()
    before = chained(made, {"event": "a"})
    ids = made.events[0][0].event_id
    named = {"count": 1, "digest": to_base64url(hashlib.sha256(ids).digest())}
    made.add(EventClass.ACCESS, {"emptied": named}, None)  # says so, and is no removal
    made.add(EventClass.RETENTION, {"emptied": {**named, "count": 2}}, None)
    made.add(EventClass.RETENTION, {"emptied": named}, None)
    made.add(EventClass.ACCESS, reading([], [1, 1, 1]), Link(2, before))
    chain = [made.closed(0, 1, 1, 0), made.shown(4)]

    def code(*removals: Document) -> str | None:
        return verify_person(made.document(chain, removals=removals), KEYS).code

    assert code(made.removal(3, ids)) is None
    assert code(made.removal(1, ids)) == "removal"
    assert code(made.removal(2, ids)) == "removal"
    assert code(made.removal(3, ids, ids)) == "removal"
    # Of another event, and of one that came after it in the log.
    other = Copy()
    later = hashlib.sha256(b"id/2").digest()[:16]
    named = {"count": 1, "digest": to_base64url(hashlib.sha256(later).digest())}
    other.add(EventClass.RETENTION, {"emptied": named}, None)
    before = other.add(EventClass.ACCESS, {"event": "a"}, Link(1, None))
    assert other.events[1][0].event_id == later
    other.add(EventClass.ACCESS, reading([]), Link(2, before))
    chain = [other.closed(1, 1, 1, 0), other.shown(2)]
    assert verify_person(other.document(chain, removals=[other.removal(0, later)]), KEYS).code == "removal"


def test_what_went_with_another_persons_erasure_is_said_to_without_a_word_of_it() -> None:
    made = Copy()
    before = chained(made, {"event": "a"}, {"event": "hers"})
    made.add(EventClass.ERASURE, {"event": "erasure:person:erased", "decision": "secret"}, None)
    made.add(EventClass.RETENTION, {"event": "retention:traces:ended"}, None)
    made.add(EventClass.ACCESS, reading([], [1, 2, 2]), Link(3, before))
    chain = [made.shown(0), made.closed(1, 2, 2, 0), made.shown(4)]
    verdict = verify_person(made.document(chain, removals=[made.erasure(2)]), KEYS)
    assert (verdict.code, [gap.event for gap in verdict.gaps]) == (None, ["erasure"])
    assert "they were another person’s" in verdict.proves("en")[2]
    # Any other event, or one from before, takes nothing; an erasure told whole is told too much.
    for removal in (made.erasure(3), made.erasure(0), made.removal(2), {"event": [], "ids": None}):
        code = verify_person(made.document(chain, removals=[removal]), KEYS).code
        assert code == ("person_form" if removal["event"] == [] else "removal")
    early = Copy()
    early.add(EventClass.ERASURE, {"event": "erasure:person:erased"}, None)
    before = chained(early, {"event": "a"})
    early.add(EventClass.ACCESS, reading([], [1, 1, 1]), Link(2, before))
    chain = [early.closed(1, 1, 1, 0), early.shown(2)]
    assert verify_person(early.document(chain, removals=[early.erasure(0)]), KEYS).code == "removal"


def test_a_gap_reaches_as_far_as_the_reading_says_and_no_further() -> None:
    """The link of a removed event is gone: without the reading's word a gap could swallow its neighbours."""
    made = Copy()
    before = chained(made, {"event": "a"}, {"event": "agreement"}, {"event": "b"})
    ids = made.events[2][0].event_id
    named = {"count": 1, "digest": to_base64url(hashlib.sha256(ids).digest())}
    made.add(EventClass.RETENTION, {"event": "retention:traces:ended", "emptied": named}, None)
    made.add(EventClass.ACCESS, reading([], [1, 3, 3]), Link(4, before))
    removals = [made.removal(3, ids)]
    whole = [made.shown(0), made.shown(1), made.closed(2, 3, 3, 0), made.shown(4)]
    assert verify_person(made.document(whole, removals=removals), KEYS).code is None
    swallowed = [made.shown(0), made.closed(2, 2, 3, 0), made.shown(4)]
    verdict = verify_person(made.document(swallowed, removals=removals), KEYS)
    assert (verdict.code, verdict.chain, verdict.n) == ("removal", 1, 2)
    shut = [made.shown(0), made.shown(1), made.closed(2, 3, 3, None), made.shown(4)]
    verdict = verify_person(made.document(shut, removals=removals), KEYS)
    assert (verdict.code, verdict.chain, verdict.n) == ("removal", 1, 3)


def test_an_agreement_is_held_against_its_collector_where_the_key_is_known() -> None:
    made = Copy()
    end = chained(made, "no.jws.atall", event_class=EventClass.CONSENT)
    made.add(EventClass.ACCESS, reading([]), Link(2, end))
    document = made.document([made.shown(0), made.shown(1)])
    assert verify_person(document, KEYS).code == "record_form"
    bare = {"alg": "Ed25519", "kid": "k", "typ": "maillon-consent+jws"}
    parts = (rfc8785.dumps(bare), rfc8785.dumps({"collector": "nobody"}), bytes(64))
    signed = Copy()
    end = chained(signed, ".".join(to_base64url(each) for each in parts), event_class=EventClass.CONSENT)
    signed.add(EventClass.ACCESS, reading([]), Link(2, end))
    verdict = verify_person(signed.document([signed.shown(0), signed.shown(1)]), KEYS)
    assert (verdict.code, verdict.unchecked) == (None, 1)
    assert "1 choice(s) were signed" in verdict.does_not_prove("en")[-2]
    elsewhere = made.document([made.shown(1)], also=[made.shown(0)])
    assert verify_person(elsewhere, KEYS).code == "gap"


def test_an_agreement_that_its_collector_signed_counts_and_one_it_did_not_is_refused() -> None:
    keys = replace(KEYS, collectors=collector.ALONE.collectors)
    # Signed by the collector, in the log while its certificate lived; then said later than it was logged.
    for said, code in (
        (collector.sign_record(), None),
        (collector.sign_record(at="2026-02-01T00:00:00Z"), "record_time"),
    ):
        made = Copy()
        end = chained(made, said, event_class=EventClass.CONSENT)
        made.add(EventClass.ACCESS, reading([]), Link(2, end))
        verdict = verify_person(made.document([made.shown(0), made.shown(1)]), keys)
        assert (verdict.code, verdict.holds, verdict.unchecked) == (code, code is None, 0)


def test_events_from_elsewhere_are_each_in_the_log() -> None:
    made = Copy()
    made.add(EventClass.ACCESS, {"event": "in another's chain"}, Link(7, bytes(32)))
    made.add(EventClass.ACCESS, reading([]), Link(1, None))
    elsewhere = made.shown(0)
    verdict = verify_person(made.document([made.shown(1)], also=[elsewhere]), KEYS)
    assert (verdict.code, verdict.elsewhere) == (None, 1)
    assert "the 1 event(s) taken from the chain of another person" in verdict.does_not_prove("en")[3]
    elsewhere["r32"] = to_base64url(bytes(32))
    assert verify_person(made.document([made.shown(1)], also=[elsewhere]), KEYS).code == "root"
