"""Sign-in: every way a token can be wrong is refused, and the claim is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.hub_client import ASSERTION_TYPE
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.trust import OperationalKeys
from schemas.registry import validator
from tests.hub.conftest import URL, World, problem


def _claims(world: World, **changes: Any) -> dict[str, Any]:
    now = world.clock.now()
    claims = {
        "iss": "caf",
        "sub": "caf",
        "aud": f"{URL}/oauth/token",
        "jti": new_uuid(),
        "iat": to_epoch(now),
        "exp": to_epoch(now) + 60,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def _refused(world: World, assertion: str) -> str:
    answer = world.sign_in(assertion)
    assert answer.status_code == 401
    detail: str = problem(answer, ErrorKind.AUTHENTICATION)["detail"]
    return detail


def test_a_good_assertion_gives_a_token_of_five_minutes(world: World) -> None:
    answer = world.sign_in(world.assertion("caf")).get_json()
    validator("token_answer").check(answer)
    assert (answer["expires_in"], answer["scope"]) == (300, "partner")


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"iss": "cpam"}, "iss"),
        ({"iss": None}, "iss"),
        ({"sub": "dgfip"}, "sub"),
        ({"sub": None}, "sub"),
        ({"aud": URL}, "aud"),
        ({"aud": [f"{URL}/oauth/token"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"exp": None}, "exp"),
        ({"exp": 1}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": True}, "iat"),
    ],
)
def test_a_wrong_claim_is_named(world: World, changes: dict[str, Any], claim: str) -> None:
    keys = world.partners["caf"].operational()
    assert _refused(world, keys.sign(_claims(world, **changes), Typ.CLIENT_ASSERTION)) == claim


def test_times_are_named_too(world: World) -> None:
    keys, now = world.partners["caf"].operational(), to_epoch(world.clock.now())
    for changes, claim in (
        ({"iat": now - 100, "exp": now - 40}, "exp"),
        ({"iat": now, "exp": now + 61}, "exp"),
        ({"iat": now + 30, "exp": now + 60}, "iat"),
    ):
        assert _refused(world, keys.sign(_claims(world, **changes), Typ.CLIENT_ASSERTION)) == claim


def test_an_assertion_is_used_once(world: World) -> None:
    assertion = world.assertion("caf")
    assert world.sign_in(assertion).status_code == 200
    assert _refused(world, assertion) == "jti"


def test_another_subject_with_my_keys_is_nobody(world: World) -> None:
    keys = world.partners["caf"].operational()
    detail = _refused(world, keys.sign(_claims(world, iss="cpam", sub="cpam"), Typ.CLIENT_ASSERTION))
    assert detail.startswith("certificate")


def test_keys_nobody_certified_are_refused(world: World) -> None:
    keys = OperationalKeys.mint(SigningKey.generate(), "caf", world.clock.now())
    assert _refused(world, keys.sign(_claims(world), Typ.CLIENT_ASSERTION)).startswith("certificate")
    plain = seal.sign(_claims(world), Typ.CLIENT_ASSERTION, world.partners["caf"].identity)
    assert _refused(world, plain).startswith("certificate")
    keys = OperationalKeys.mint(world.partners["caf"].identity, "caf", world.clock.now())
    world.clock.advance(timedelta(minutes=31))
    assert _refused(world, keys.sign(_claims(world), Typ.CLIENT_ASSERTION)) == "certificate: exp"


def test_another_type_algorithm_or_signature_is_named(world: World) -> None:
    keys = world.partners["caf"].operational()
    assert _refused(world, keys.sign(_claims(world), Typ.REQUEST)) == "typ"
    good = keys.sign(_claims(world), Typ.CLIENT_ASSERTION)
    assert _refused(world, good[:-4] + "AAAA") == "signature"
    header, payload, _ = good.split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiY2xpZW50LWF1dGhlbnRpY2F0aW9uK2p3dCIsImtpZCI6IngifQ"
    assert _refused(world, f"{none}.{payload}.") in ("alg", "form")
    assert _refused(world, f"{none}.{payload}.AAAA") == "alg"
    assert _refused(world, "garbage") == "form"
    assert header


def test_the_form_is_exact(world: World) -> None:
    good = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": world.assertion("caf"),
    }
    wrong_grant = world.client.post("/oauth/token", data=good | {"grant_type": "password"})
    assert problem(wrong_grant, ErrorKind.AUTHENTICATION)["detail"] == "grant_type"
    wrong_type = world.client.post("/oauth/token", data=good | {"client_assertion_type": "saml"})
    assert problem(wrong_type, ErrorKind.AUTHENTICATION)["detail"] == "client_assertion_type"
    problem(world.client.post("/oauth/token", data=good | {"scope": "dpo"}), ErrorKind.MALFORMED)
    twice = [*good.items(), ("grant_type", "client_credentials")]
    body = "&".join(f"{name}={value}" for name, value in twice)
    answer = world.client.post("/oauth/token", data=body, content_type="application/x-www-form-urlencoded")
    problem(answer, ErrorKind.MALFORMED)


def _use(world: World, token: str) -> str:
    answer = world.client.post(
        "/v1/consents/search", json={"ref": "A" * 22}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401, answer.text
    detail: str = problem(answer, ErrorKind.AUTHENTICATION)["detail"]
    return detail


def test_an_access_token_wrong_in_any_claim_is_refused_by_name(world: World) -> None:
    key, now = world.hub.keyring.token_key, to_epoch(world.clock.now())
    good = {
        "iss": "maillon",
        "sub": "caf",
        "aud": URL,
        "iat": now,
        "exp": now + 300,
        "jti": new_uuid(),
        "scope": "partner",
    }
    for changes, claim in (
        ({"iss": "x"}, "iss"),
        ({"aud": "https://other.example"}, "aud"),
        ({"exp": now + 301}, "exp"),
        ({"iat": now - 300, "exp": now}, "exp"),
        ({"iat": now + 60, "exp": now + 90}, "iat"),
        ({"scope": "root"}, "scope"),
    ):
        assert _use(world, seal.sign(good | changes, Typ.ACCESS_TOKEN, key)) == claim
    assert _use(world, seal.sign(good, Typ.ACCESS_TOKEN, SigningKey.generate())) == "kid"
    assert _use(world, seal.sign(good, Typ.CLIENT_ASSERTION, key)) == "typ"
    token = seal.sign(good, Typ.ACCESS_TOKEN, key)
    assert _use(world, token[:-4] + "AAAA") == "signature"
    assert _use(world, "x") == "form"
    no_header = world.client.post("/v1/consents/search", json={"ref": "A" * 22})
    assert problem(no_header, ErrorKind.AUTHENTICATION)["detail"] == "authorization"


def test_a_token_runs_out(world: World) -> None:
    token = world.token("caf")
    world.clock.advance(timedelta(seconds=300))
    assert _use(world, token) == "exp"


def test_each_scope_has_its_operations(world: World) -> None:
    trace = {"trace_id": "0" * 32}
    order = {"slug": "caf", "suspended": True, "reason": "x"}
    for name, path, document in (
        ("caf", "/v1/explanations", trace),
        ("caf", "/v1/partners/suspend", order),
        ("dpo", "/v1/partners/suspend", order),
        ("dpo", "/v1/pulls", {}),
        ("operator", "/v1/explanations", trace),
        ("operator", "/v1/access-log/search", {"view": "dpo"}),
        ("operator", "/v1/registrations", {}),
    ):
        answer = world.post(name, path, document)
        assert problem(answer, ErrorKind.FORBIDDEN)["detail"] == "scope"


def test_a_suspended_partner_is_out_at_once_and_back_when_it_ends(world: World) -> None:
    ref = world.register("caf", 1)
    order = {"slug": "caf", "suspended": True, "reason": "Clé compromise"}
    world.ok("operator", "/v1/partners/suspend", order)
    problem(world.post("caf", "/v1/consents/search", {"ref": ref}), ErrorKind.SUSPENDED)
    problem(world.sign_in(world.assertion("caf")), ErrorKind.SUSPENDED)
    world.ok("operator", "/v1/partners/suspend", order | {"suspended": False})
    assert world.post("caf", "/v1/consents/search", {"ref": ref}).status_code == 200
    problem(world.post("operator", "/v1/partners/suspend", order | {"slug": "dgfip"}), ErrorKind.UNKNOWN_PARTNER)


def test_a_partner_the_directory_drops_is_out(world: World) -> None:
    world.token("caf")
    del world.entries["caf"]
    world.sign_directory()
    assert world.hub.directory.refresh()
    problem(world.post("caf", "/v1/consents/search", {"ref": "A" * 22}), ErrorKind.UNKNOWN_PARTNER)
    assert _refused(world, world.partners["caf"].operational().sign(_claims(world), Typ.CLIENT_ASSERTION)) == "sub"
