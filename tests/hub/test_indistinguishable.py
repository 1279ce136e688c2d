"""Outside a live authority, what a requester is told depends on its request alone (DESIGN §6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from consent.model import EventKind
from hub.app import close_hub
from hub.store import tables
from hub.web.common.pacing import Tick, padded
from tests.hub.conftest import QF, RSA, World, body_of

FIELDS = (*RSA, *QF, "droits.aah.etat")


def _no_consent(world: World) -> str:
    ref = world.register("departement", 1)
    world.register("caf", 1, sections=["droits"])
    return ref


def _denied(world: World) -> str:
    ref = _no_consent(world)
    world.consent(ref, EventKind.DENIED, fields=FIELDS)
    return ref


def _protected(world: World) -> str:
    ref = _no_consent(world)
    world.consent(ref, EventKind.GRANTED, fields=FIELDS)
    world.consent(ref, EventKind.PROTECTED, fields=FIELDS, actor="institution")
    return ref


def _frozen(world: World) -> str:
    ref = _no_consent(world)
    world.consent(ref, EventKind.GRANTED, fields=FIELDS)
    world.consent(ref, EventKind.FROZEN, actor="institution", cause="deces")
    return ref


def _revoked(world: World) -> str:
    ref = _no_consent(world)
    record = world.consent(ref, EventKind.GRANTED, fields=FIELDS)["record_id"]
    world.consent(ref, EventKind.REVOKED, follows=world.follows(ref, record))
    return ref


def _expired(world: World) -> str:
    ref = _no_consent(world)
    world.consent(ref, EventKind.GRANTED, fields=FIELDS, end=world.clock.now() + timedelta(seconds=1))
    world.clock.advance(timedelta(seconds=1))
    return ref


def _for_another_recipient(world: World) -> str:
    ref = _no_consent(world)
    world.consent(ref, EventKind.GRANTED, fields=FIELDS, recipients=(("ccas", ()),))
    return ref


def _absent(world: World) -> str:
    """Registered by the requester alone: no source holds the person."""
    return world.register("departement", 1)


def _unknown_ref(world: World) -> str:
    return "A" * 22


def _anothers_ref(world: World) -> str:
    return world.register("caf", 1, sections=["droits"])


CASES: list[Callable[[World], str]] = [
    _no_consent,
    _denied,
    _protected,
    _frozen,
    _revoked,
    _expired,
    _for_another_recipient,
    _absent,
    _unknown_ref,
    _anothers_ref,
]


def _ask(folder: Path, case: Callable[[World], str], **how: str) -> tuple[int, int, dict[str, object], dict[str, int]]:
    world = World(folder)
    try:
        world.token("departement")
        body = body_of(world.request(case(world), FIELDS, **how))
        before = _rows(world)
        answer = world.post("departement", "/v1/pulls", body)
        added = {name: count - before[name] for name, count in _rows(world).items() if count != before[name]}
        document = json.loads(answer.data)
        assert len(document.pop("trace_id")) == 32
        return answer.status_code, len(answer.data), document, added
    finally:
        close_hub(world.hub)


def _rows(world: World) -> dict[str, int]:
    return world.hub.reads.run(
        lambda uow: {
            name: uow.connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.hub.tables.items()
        }
    )


@pytest.mark.parametrize("role", ["referent_parcours", "accueil"])
def test_every_reason_not_to_tell_gives_one_answer(tmp_path: Path, role: str) -> None:
    """Same status, same bytes but the trace id, same rows written, whatever the cause."""
    answers = {}
    for case in CASES:
        folder = tmp_path / case.__name__
        folder.mkdir()
        answers[case.__name__] = _ask(folder, case, role=role)
    first = answers.pop("_no_consent")
    assert first[0] == 200
    assert first[1] == 1024
    assert set(first[2]["statuses"].values()) <= {"non_communique", "exclu_role"}  # type: ignore[attr-defined]
    assert {name: answer for name, answer in answers.items() if answer != first} == {}


def test_padding_is_to_powers_of_two() -> None:
    for size in (0, 900, 985, 986, 987, 988, 989, 990, 1024, 5000, 70_000):
        body = padded({"x": "y" * size})
        assert len(body) >= 1024
        assert len(body).bit_count() == 1
        assert json.loads(body)["x"] == "y" * size


@pytest.mark.parametrize("took", [0.0, 0.001, 0.0249, 0.025, 0.0251, 0.06])
def test_answers_leave_on_the_tick(took: float) -> None:
    slept: list[float] = []
    Tick(25, monotonic=lambda: 100.0 + took, sleep=slept.append).wait(100.0)
    total = took + slept[0]
    assert total / 0.025 == pytest.approx(round(total / 0.025))
    assert 0 < slept[0] <= 0.025


def test_a_tick_of_zero_does_not_wait() -> None:
    Tick(0, sleep=lambda seconds: pytest.fail("slept")).wait(0.0)
