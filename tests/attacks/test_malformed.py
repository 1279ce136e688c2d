"""Whatever is sent to whatever operation: a named refusal, no detail of ours, nothing written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from connectors.kit import seal
from connectors.kit.hub_client import ASSERTION_TYPE
from connectors.kit.runtime.errors import MaillonError
from connectors.kit.seal import Typ
from consent.model import EventKind
from hub.services.cursors import seal_cursor
from hub.store import tables
from schemas.registry import validator
from tests.hub.conftest import World, body_of, tokens

MODEST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
OPERATIONS = {
    "/v1/registrations": "caf",
    "/v1/consents": "departement",
    "/v1/consents/search": "departement",
    "/v1/pulls": "departement",
    "/v1/access-log/search": "dpo",
    "/v1/explanations": "dpo",
    "/v1/partners/suspend": "operator",
}
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**53 - 1, 1.5, "", "x", "é" * 300, "\x00", "a\nb", "\u202e", "0" * 32, "A" * 22, "A" * 43),
    *([], {}, [[]], [{}], {"": ""}, "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+25:00", "0000-00-00T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01T23:59:60Z", "2026-01-01T24:00:00Z"),
)
CONTENT_TYPES = (
    *("application/json", "application/json; charset=utf-16", "text/plain", "", "application/jose"),
    *("multipart/form-data; boundary=x", "multipart/form-data", "application/x-www-form-urlencoded"),
    "a/b;c=" + "d" * 3000,
)
VALUES = st.one_of(st.sampled_from(ODD), st.text(max_size=40), st.integers(-(2**53), 2**53), st.floats(allow_nan=False))


def _sound(world: World) -> dict[str, dict[str, Any]]:
    """One body per operation that would be accepted."""
    ref = world.register("departement", 1)
    register = {"record_key": "A" * 22, "sections": ["droits"]} | tokens(1).to_wire()
    return {
        "/v1/registrations": {"records": [register]},
        "/v1/consents": dict(world.event(ref, EventKind.GRANTED)),
        "/v1/consents/search": {"ref": ref},
        "/v1/pulls": body_of(world.request(ref)),
        "/v1/access-log/search": {
            "view": "dpo",
            "ref": ref,
            "partner": "departement",
            "complaint": "2026-017",
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-12-01T00:00:00Z",
            "trace_id": "0" * 32,
            "limit": 3,
            "cursor": seal_cursor(world.hub.keyring, "dpo", 9),
        },
        "/v1/explanations": {"trace_id": "0" * 32},
        "/v1/partners/suspend": {"slug": "cpam", "suspended": False, "reason": "exercice"},
    }


def _rows(world: World) -> int:
    return world.hub.reads.run(
        lambda uow: sum(
            uow.connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables.hub.tables.values()
        )
    )


def _refused(world: World, path: str, data: bytes, content_type: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    before = _rows(world)
    answer = world.client.post(path, data=data, content_type=content_type, headers=headers)
    if answer.status_code < 400:
        return  # the change left it sound
    assert answer.status_code < 500, answer.text
    assert answer.content_type == "application/problem+json"
    validator("problem").check(answer.get_json())
    assert _rows(world) == before


def _paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, child in below for path in _paths(child, (*at, key)))]


def _changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[at[0]] = _changed(value[at[0]], at[1:], new)
    return copy


@pytest.mark.parametrize("path", OPERATIONS)
@MODEST
@given(data=st.data())
def test_one_member_changed(world: World, path: str, data: st.DataObject) -> None:
    sound = _sound(world)[path]
    where = data.draw(st.sampled_from(_paths(sound)))
    body = json.dumps(_changed(sound, where, data.draw(VALUES))).encode("utf-8", "surrogatepass")
    _refused(world, path, body, "application/json", f"Bearer {world.token(OPERATIONS[path])}")


@pytest.mark.parametrize("path", [*OPERATIONS, "/oauth/token"])
@MODEST
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                b"",
                b"[" * 200_000,
                b'{"a":' * 200_000,
                b'{"ref":"a","ref":"b"}',
                b"\xff\xfe{}",
                b"\xef\xbb\xbf{}",
                b'"\\ud800"',
            ]
        ),
    ),
    content_type=st.sampled_from(CONTENT_TYPES),
    authorization=st.sampled_from([None, "", "Bearer", "Bearer ", "Bearer a.b.c", "Basic eA==", "Bearer é", "own"]),
)
def test_any_bytes(world: World, path: str, body: bytes, content_type: str, authorization: str | None) -> None:
    if authorization == "own":
        authorization = f"Bearer {world.token(OPERATIONS.get(path, 'caf'))}"
    _refused(world, path, body, content_type, authorization)


@pytest.mark.parametrize("typ", [Typ.REQUEST, Typ.CONSENT, Typ.CLIENT_ASSERTION])
@MODEST
@given(data=st.data())
def test_one_member_of_a_signed_payload_changed(world: World, typ: Typ, data: st.DataObject) -> None:
    """A partner signs with its own good key whatever it likes."""
    ref = world.register("departement", 1)
    keys = world.partners["departement"].operational()
    outer = {
        Typ.REQUEST: lambda: body_of(world.request(ref)),
        Typ.CONSENT: lambda: world.event(ref, EventKind.GRANTED),
        Typ.CLIENT_ASSERTION: lambda: {"client_assertion": world.assertion("departement")},
    }[typ]()
    name = {Typ.REQUEST: "request", Typ.CONSENT: "event", Typ.CLIENT_ASSERTION: "client_assertion"}[typ]
    payload = seal.peek(outer[name], typ)
    where = data.draw(st.sampled_from([path for path in _paths(payload) if path]))
    try:
        signed = seal.sign(_changed(payload, where, data.draw(VALUES)), typ, keys.sign_key)
    except MaillonError:
        return  # it has no canonical form: nobody can sign it
    if typ is Typ.CLIENT_ASSERTION:
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
        _refused(world, "/oauth/token", urlencode(form).encode(), "application/x-www-form-urlencoded", None)
        return
    path = {Typ.REQUEST: "/v1/pulls", Typ.CONSENT: "/v1/consents"}[typ]
    bearer = f"Bearer {world.token('departement')}"
    _refused(world, path, json.dumps({**outer, name: signed}).encode(), "application/json", bearer)


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        ("0001-01-02T00:00:00Z", "2026-12-31T00:00:00Z", 422),
        ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 422),
        ("1000-01-01T00:00:00Z", "2999-12-31T23:59:59.999999Z", 201),
    ],
)
def test_absurd_dates_are_refused_or_told_back_as_dates(world: World, start: str, end: str, status: int) -> None:
    ref = world.register("departement", 1)
    body = world.event(ref, EventKind.GRANTED)
    payload = seal.peek(body["event"], Typ.CONSENT)
    keys = world.partners["departement"].operational()
    signed = seal.sign({**payload, "validity": {"from": start, "to": end}}, Typ.CONSENT, keys.sign_key)
    assert world.post("departement", "/v1/consents", {**body, "event": signed}).status_code == status
    found = world.ok("departement", "/v1/consents/search", {"ref": ref})
    validator("consent_records").check(found)
    assert len(found["records"]) == (status == 201)
    assert world.pull(ref)["purpose"] == payload["purpose"]
