"""What may happen to a record: every pair of the table, the chain, the scope, the voice; and the drawn page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consent.lifecycle import (
    TRANSITIONS,
    PersonState,
    RecordStatus,
    TransitionRefused,
    check_transition,
    diagram,
    document,
    fold,
)
from consent.model import EventKind
from tests.consent import world
from tests.consent.world import INDEX, mandate, payload

ROOT = Path(__file__).parents[2]

PATHS_TO: dict[RecordStatus | None, list[str]] = {
    None: [],
    RecordStatus.GRANTED: ["granted"],
    RecordStatus.DENIED: ["denied"],
    RecordStatus.REVOKED: ["granted", "revoked"],
    RecordStatus.INVALIDATED: ["granted", "invalidated"],
    RecordStatus.INFORMED: ["informed"],
    RecordStatus.OBJECTED: ["informed", "objected"],
    RecordStatus.UPHELD: ["informed", "objected", "objection_upheld"],
    RecordStatus.REJECTED: ["informed", "objected", "objection_rejected"],
    RecordStatus.FROZEN: ["frozen"],
    RecordStatus.PROTECTED: ["protected"],
    RecordStatus.LIFTED: ["frozen", "unfrozen"],
}
"""One life that leads to each status."""


def event(kind: str, **changed: Any) -> dict[str, Any]:
    """Return a payload of ``kind``; an institution answers an objection and freezes."""
    by = {"objection_upheld", "objection_rejected", "invalidated", "frozen", "unfrozen", "protected", "unprotected"}
    return payload(kind, **({"actor": "institution"} if kind in by else {}) | changed)


@pytest.mark.parametrize("kind", list(EventKind))
@pytest.mark.parametrize("status", list(PATHS_TO))
def test_every_pair_of_status_and_event(status: RecordStatus | None, kind: EventKind) -> None:
    *before, last = world.parsed(*(event(k) for k in PATHS_TO[status]), event(kind))
    state = fold(before)
    assert [record.status for record in state.records.values()] == ([status] if status else [])
    after = TRANSITIONS.get((status, kind))
    if after is None:
        with pytest.raises(TransitionRefused) as refused:
            check_transition(state, last)
        assert refused.value.reason == "transition"
        with pytest.raises(TransitionRefused):
            fold([*before, last])
    else:
        check_transition(state, last)
        record = fold([*before, last]).records["r1"]
        assert (record.status, record.seq, record.digest) == (after, len(before), last.digest)


def test_every_status_and_event_has_its_place_in_the_table() -> None:
    assert set(PATHS_TO) == {None, *RecordStatus}
    assert {kind for _, kind in TRANSITIONS} == set(EventKind)
    assert set(TRANSITIONS.values()) == set(RecordStatus)


def test_the_page_is_drawn_from_the_table() -> None:
    page = (ROOT / "docs" / "consent-states.md").read_text("utf-8")
    assert page == document(), "python -c \"from consent.lifecycle import document; print(document(), end='')\""
    for (before, kind), after in TRANSITIONS.items():
        assert f"    {before or '[*]'} --> {after}: {kind}\n" in diagram()
    assert diagram().count("-->") == len(TRANSITIONS) + 3 + 3


# --- the chain


@pytest.mark.parametrize("wrong", [{"seq": 2}, {"seq": 0}, {"prev": None}, {"prev": "x" * 43}])
def test_a_broken_chain_is_refused(wrong: dict[str, Any]) -> None:
    first, second = world.chain(payload("granted"), payload("revoked"))
    state = fold(world.parsed(first))
    check_transition(state, replace(world.parsed(first, second)[1]))
    with pytest.raises(TransitionRefused, match="chain"):
        check_transition(state, replace(world.parsed(first, second)[1], **wrong))


@pytest.mark.parametrize("wrong", [{"seq": 1}, {"prev": "x" * 43}])
def test_a_first_event_has_nothing_before_it(wrong: dict[str, Any]) -> None:
    with pytest.raises(TransitionRefused, match="chain"):
        check_transition(PersonState(), replace(world.parsed(payload("granted"))[0], **wrong))


def test_an_event_cannot_be_dropped_from_the_middle() -> None:
    granted, narrowed, renewed = world.parsed(payload("granted"), payload("narrowed"), payload("renewed"))
    fold([granted, narrowed, renewed])
    with pytest.raises(TransitionRefused, match="chain"):
        fold([granted, renewed])


def test_records_do_not_disturb_each_other() -> None:
    state = world.state(payload("granted"), payload("denied", "r2"), payload("revoked"))
    assert [r.status for r in state.records.values()] == [RecordStatus.REVOKED, RecordStatus.DENIED]


# --- purpose, scope, voice


def refused(*events: dict[str, Any]) -> str:
    """Return why the last event is refused."""
    *before, last = world.parsed(*events)
    with pytest.raises(TransitionRefused) as error:
        check_transition(fold(before), last)
    return error.value.reason


def test_a_record_keeps_its_purpose() -> None:
    assert refused(payload("granted"), payload("narrowed", purpose="grave")) == "purpose"
    assert refused(payload("granted"), payload("revoked", purpose="grave")) == "purpose"
    world.state(payload("granted"), payload("revoked", purpose=None))


WIDE = [{"partner": "departement", "roles": ["tout", "referent"]}, {"partner": "ccas", "roles": []}]


@pytest.mark.parametrize("kind", ["narrowed", "renewed"])
@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({}, True),
        ({"pii_information": ["moi.nom", "moi.tel"]}, True),
        ({"pii_information": ["moi.nom", "moi.nir"]}, False),
        ({"sources": ["caf", "cpam"]}, True),
        ({"sources": ["caf", "msa"]}, False),
        ({"recipients": [{"partner": "departement", "roles": ["tout"]}]}, True),
        ({"recipients": [{"partner": "departement", "roles": ["tout", "referent"]}]}, True),
        ({"recipients": [{"partner": "departement", "roles": []}]}, False),
        ({"recipients": [{"partner": "departement", "roles": ["tout", "instructeur"]}]}, False),
        ({"recipients": [{"partner": "ccas", "roles": ["tout"]}]}, True),
        ({"recipients": [{"partner": "ccas", "roles": []}]}, True),
        ({"recipients": [{"partner": "bailleur", "roles": ["tout"]}]}, False),
        ({"recipients": [*WIDE, {"partner": "bailleur", "roles": []}]}, False),
    ],
)
def test_narrowing_and_renewing_never_widen(kind: str, change: dict[str, Any], allowed: bool) -> None:
    first = payload("granted", pii_information=["moi.nom", "moi.tel"], sources=["caf", "cpam"], recipients=WIDE)
    second = payload(kind, **{"recipients": [{"partner": "departement", "roles": ["tout"]}]} | change)
    if allowed:
        world.state(first, second)
    else:
        assert refused(first, second) == "scope"


GUARDIAN = mandate("tutelle", "guardian")


def test_what_widens_comes_from_the_same_voice() -> None:
    other = mandate("tutelle", "someone else")
    assert refused(payload("granted"), payload("renewed", mandate=GUARDIAN)) == "voice"
    assert refused(payload("granted", mandate=GUARDIAN), payload("renewed")) == "voice"
    assert refused(payload("granted", mandate=GUARDIAN), payload("renewed", mandate=other)) == "voice"
    assert refused(payload("denied"), payload("revoked", mandate=GUARDIAN)) == "voice"
    assert refused(payload("objected"), payload("revoked", mandate=GUARDIAN)) == "voice"
    world.state(payload("granted", mandate=GUARDIAN), payload("renewed", mandate=GUARDIAN))
    world.state(payload("denied", mandate=GUARDIAN), payload("revoked", mandate=GUARDIAN))


def test_anyone_with_a_say_may_take_an_agreement_back() -> None:
    for events in (
        (payload("granted", mandate=GUARDIAN), payload("revoked")),
        (payload("granted"), payload("revoked", mandate=GUARDIAN)),
    ):
        assert world.state(*events).records["r1"].status is RecordStatus.REVOKED


def test_the_state_cannot_be_changed_in_place() -> None:
    state = world.state(payload("granted"))
    with pytest.raises(TypeError):
        state.records["r1"] = state.records["r1"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        state.records["r1"].seq = 4  # type: ignore[misc]


def test_the_scope_of_a_record_is_its_events() -> None:
    record = world.state(payload("granted", pii_information=["moi.nom", "moi.tel"]), payload("narrowed")).records["r1"]
    assert INDEX.paths(record.given.fields) == ("moi.nom",)


def test_a_record_set_aside_gives_nothing_and_still_refuses() -> None:
    granted, denied = world.parsed(payload("granted"))[0], world.parsed(payload("denied"))[0]
    state = fold([granted, replace(denied, record_id="r2")])
    left = state.without({granted.record_id, "r2"})
    assert left.records[granted.record_id].given.fields == 0
    assert left.records["r2"].refused == state.records["r2"].refused
    assert state.without(()) == state
