"""The hub's client against a real HTTP server that checks assertions and tokens as the hub must."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from connectors.kit import seal
from connectors.kit.hub_client import HubClient, client_assertion
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.transport import FarSideError, ProblemError, Transport
from connectors.kit.trust import OperationalKeys, RotatingKeys, open_certified
from schemas.registry import validator
from tests.kit.world import AT

IDENTITY = SigningKey.generate()


class Hub:
    """What it was asked, and what it shall answer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.url = ""
        self.assertions: list[dict[str, Any]] = []
        self.valid: set[str] = set()
        self.calls: list[tuple[str, Any]] = []
        self.answers: dict[str, Callable[[], Response | dict[str, Any]]] = {}
        self.expires_in: Any = 300

    def app(self) -> Flask:
        app = Flask("fake-hub")

        @app.post("/oauth/token")
        def token() -> Any:
            assert request.mimetype == "application/x-www-form-urlencoded"
            form = request.form
            assert form["grant_type"] == "client_credentials"
            assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            jws = form["client_assertion"]
            payload, certificate = open_certified(jws, Typ.CLIENT_ASSERTION, "caf", IDENTITY.public_jwk)
            certificate.check_alive(self.clock.now())
            seal.check_lifetime(payload, self.clock.now(), timedelta(seconds=60), "client_assertion")
            self.assertions.append(payload)
            token = f"token-{len(self.assertions)}"
            self.valid = {token}
            return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

        @app.route("/<path:path>", methods=["GET", "POST"])
        def operation(path: str) -> Any:
            if request.method == "POST" and request.headers.get("Authorization", "")[7:] not in self.valid:
                body = b'{"type":"/problems/authentication","title":"t","status":401,"detail":"exp"}'
                return Response(body, 401, content_type="application/problem+json")
            self.calls.append((f"{request.method} /{path}", request.get_json(silent=True)))
            answer = self.answers.get(path)
            return answer() if answer else {"done": path}

        return app


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AT)


@pytest.fixture
def hub(clock: FakeClock) -> Iterator[Hub]:
    hub = Hub(clock)
    server = make_server("127.0.0.1", 0, hub.app(), threaded=True)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client(hub: Hub, clock: FakeClock) -> HubClient:
    return HubClient(hub.url, RotatingKeys(IDENTITY, "caf", clock), clock, Transport())


def test_every_operation_of_the_protocol_page(hub: Hub, client: HubClient) -> None:
    hub.answers["v1/registrations"] = lambda: {"registrations": [{"record_key": "k", "ref": "r"}]}
    hub.answers["v1/directory"] = lambda: Response("a.b.c", content_type="application/jose")
    record = {"record_key": "k", "tokens": [], "flags": {}, "sections": []}
    assert client.register([record]) == [{"record_key": "k", "ref": "r"}]
    client.send_event("e", "r", "s")
    client.search_consents("r")
    client.pull("q", "r", "s")
    client.access_log("usager", ref="r")
    client.explain("t")
    client.suspend("cpam", True, "key lost")
    assert client.directory() == "a.b.c"
    assert client.notices() == {"done": "v1/notices"}
    assert client.health() == {"done": "health"}
    assert hub.calls == [
        ("POST /v1/registrations", {"records": [record]}),
        ("POST /v1/consents", {"event": "e", "ref": "r", "salt": "s"}),
        ("POST /v1/consents/search", {"ref": "r"}),
        ("POST /v1/pulls", {"request": "q", "ref": "r", "salt": "s"}),
        ("POST /v1/access-log/search", {"view": "usager", "ref": "r"}),
        ("POST /v1/explanations", {"trace_id": "t"}),
        ("POST /v1/partners/suspend", {"slug": "cpam", "suspended": True, "reason": "key lost"}),
        ("GET /v1/directory", None),
        ("GET /v1/notices", None),
        ("GET /health", None),
    ]
    assert len(hub.assertions) == 1, "one token serves them all"


def test_no_ref_is_ever_in_a_url(hub: Hub, client: HubClient) -> None:
    client.search_consents("SECRET-REF")
    client.pull("q", "SECRET-REF", "s")
    assert not any("SECRET-REF" in call for call, _ in hub.calls)


def test_the_assertion_is_the_schemas_and_for_this_hub_only(hub: Hub, client: HubClient) -> None:
    client.search_consents("r")
    (claims,) = hub.assertions
    validator("client_assertion").check(claims)
    assert claims["iss"] == claims["sub"] == "caf"
    assert claims["aud"] == f"{hub.url}/oauth/token"
    assert claims["exp"] - claims["iat"] == 60
    keys = OperationalKeys.mint(IDENTITY, "caf", AT)
    one, two = (seal.peek(client_assertion(keys, hub.url, AT), Typ.CLIENT_ASSERTION)["jti"] for _ in range(2))
    assert one != two


def test_a_token_is_renewed_before_it_ends(hub: Hub, client: HubClient, clock: FakeClock) -> None:
    client.search_consents("r")
    clock.advance(timedelta(seconds=269))
    client.search_consents("r")
    assert len(hub.assertions) == 1
    clock.advance(timedelta(seconds=1))
    client.search_consents("r")
    assert len(hub.assertions) == 2


def test_a_token_the_hub_no_longer_takes_is_replaced_once(hub: Hub, client: HubClient) -> None:
    client.search_consents("r")
    hub.valid = set()
    client.search_consents("r")
    assert len(hub.assertions) == 2
    hub.answers["v1/consents/search"] = lambda: Response(
        b'{"type":"/problems/authentication","title":"t","status":401,"detail":"aud"}',
        401,
        content_type="application/problem+json",
    )
    with pytest.raises(ProblemError) as caught:
        client.search_consents("r")
    assert (caught.value.kind, caught.value.detail) == (ErrorKind.AUTHENTICATION, "aud")
    assert len(hub.assertions) == 3, "asked again once, not for ever"


def test_a_refusal_keeps_its_kind(hub: Hub, client: HubClient) -> None:
    hub.answers["v1/pulls"] = lambda: Response(
        b'{"type":"/problems/unknown-purpose","title":"t","status":422,"detail":"d","pointer":"/purpose"}',
        422,
        content_type="application/problem+json",
    )
    with pytest.raises(ProblemError) as caught:
        client.pull("q", "r", "s")
    assert (caught.value.kind, caught.value.pointer) == (ErrorKind.UNKNOWN_PURPOSE, "/purpose")
    assert len(hub.calls) == 1, "a write is never sent twice"


@pytest.mark.parametrize(
    "answer",
    [
        {"registrations": []},
        {"registrations": None},
        {"registrations": [1]},
        {"registrations": [{"record_key": "other", "ref": "r"}]},
        {},
    ],
)
def test_registrations_that_do_not_match_are_refused(hub: Hub, client: HubClient, answer: dict[str, Any]) -> None:
    hub.answers["v1/registrations"] = lambda: answer
    with pytest.raises(FarSideError) as caught:
        client.register([{"record_key": "k"}])
    assert caught.value.kind is ErrorKind.MALFORMED


@pytest.mark.parametrize("expires_in", ["300", 0, -1, 10**9, None, True])
def test_a_token_answer_of_another_shape_is_refused(hub: Hub, client: HubClient, expires_in: Any) -> None:
    hub.expires_in = expires_in
    with pytest.raises(FarSideError):
        client.search_consents("r")


def test_an_answer_that_is_no_object_is_refused(hub: Hub, client: HubClient) -> None:
    hub.answers["v1/pulls"] = lambda: Response(b"[]", content_type="application/json")
    with pytest.raises(FarSideError) as caught:
        client.pull("q", "r", "s")
    assert caught.value.kind is ErrorKind.MALFORMED


def test_a_hub_off_loopback_needs_tls(clock: FakeClock) -> None:
    client = HubClient("http://hub.example.org", RotatingKeys(IDENTITY, "caf", clock), clock, Transport())
    with pytest.raises(MaillonError) as caught:
        client.search_consents("r")
    assert caught.value.kind is ErrorKind.TLS_REQUIRED
