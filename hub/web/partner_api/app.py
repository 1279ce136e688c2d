"""The operations of ``docs/protocol.md`` over HTTP: read, verify, hand to a service, answer. No rule stands here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata, resources
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, g, request

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.serving import is_loopback
from connectors.kit.transport import JOSE
from connectors.kit.trust import DirectoryPartner
from hub.home import HUB
from hub.services import audit, consents, partners, receipts, register, release, requests, signin
from hub.services.runtime import Hub
from hub.services.signin import Principal, Scope
from hub.services.witnesses import Health
from hub.web.common.http import JSON, answer, body, form, install
from hub.web.common.pacing import Tick, padded
from hub.web.common.quota import Quota
from hub.web.partner_api import erasures, identity, log, rotations

T = TypeVar("T")

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def create(hub: Hub) -> Flask:
    """Return the WSGI application of the hub's partner interface."""
    app = Flask("maillon-hub", static_folder=None)
    install(app, max_body_bytes=hub.settings.max_body_bytes)
    app.register_blueprint(_public(hub))
    looked_up = Quota("lookups_per_hour", hub.settings.lookups_per_hour)
    app.register_blueprint(_partner(hub, looked_up))
    app.register_blueprint(_oversight(hub, looked_up))
    app.register_blueprint(erasures.routes(hub, lambda: _principal(hub, Scope.DPO)))
    app.register_blueprint(
        rotations.routes(
            hub,
            operator=lambda: _principal(hub, Scope.OPERATOR),
            overseer=lambda: _principal(hub, Scope.DPO, Scope.OPERATOR),
            partner=lambda: _caller(hub),
        )
    )
    app.register_blueprint(log.create(hub, lambda: _caller(hub)))
    app.register_blueprint(
        identity.routes(
            hub,
            dpo=lambda: _principal(hub, Scope.DPO),
            overseer=lambda: _principal(hub, Scope.DPO, Scope.OPERATOR),
            partner=lambda: _caller(hub),
        )
    )
    return app


def _public(hub: Hub) -> Blueprint:
    routes = Blueprint("public", __name__)
    try:
        version = {"version": metadata.version("maillon")}
    except metadata.PackageNotFoundError:  # run from a source tree
        version = {}
    description = resources.files("schemas").joinpath("openapi.yaml").read_bytes()

    @routes.get("/health")
    def health() -> Response:
        try:
            directory = hub.directory.get()
        except MaillonError:
            return answer({"status": "degraded", "co_hosted": bool(hub.settings.co_hosted)}, 503)
        own = urlsplit(hub.settings.url).hostname
        hosts = {urlsplit(partner.endpoint).hostname for partner in directory.partners() if partner.slug != HUB}
        co_hosted = bool(hub.settings.co_hosted) or any(host and (host == own or is_loopback(host)) for host in hosts)
        witnesses = hub.witnesses.health()
        known = {
            "status": "ok" if witnesses["state"] != Health.STOPPED else "degraded",
            "co_hosted": co_hosted,
            "slug": HUB,
            "operator": directory.partner(HUB).operator,
            "witnesses": witnesses,
        }
        return answer(known | version, 200 if known["status"] == "ok" else 503)

    @routes.get("/v1/openapi.yaml")
    def openapi() -> Response:
        return Response(description, content_type="application/yaml")

    @routes.get("/v1/directory")
    def directory() -> Response:
        return Response(hub.directory.get().jws, content_type=JOSE)

    @routes.get("/v1/notices")
    def notices() -> Response:
        return answer(
            {
                "notices": [
                    {
                        "id": notice.notice_id,
                        "version": notice.version,
                        "purpose": notice.purpose,
                        "regime": notice.regime.value,
                        "texts": [
                            {"language": language, "sha256": notice.sha256[language], "text": text}
                            for language, text in sorted(notice.texts.items())
                        ],
                    }
                    for notice in hub.policy.get().notices
                ]
            }
        )

    @routes.post("/oauth/token")
    def token() -> Response:
        given = form(("grant_type", "client_assertion_type", "client_assertion"))
        if given["grant_type"] != "client_credentials":
            raise MaillonError(ErrorKind.AUTHENTICATION, "grant_type")
        if given["client_assertion_type"] != ASSERTION_TYPE:
            raise MaillonError(ErrorKind.AUTHENTICATION, "client_assertion_type")
        return answer(signin.issue_token(hub, given["client_assertion"]))

    return routes


def _partner(hub: Hub, looked_up: Quota) -> Blueprint:
    routes = Blueprint("partner", __name__)
    tick = Tick(hub.settings.tick_ms)
    registered = Quota("registrations_per_hour", hub.settings.registrations_per_hour)

    @routes.post("/v1/registrations")
    def registrations() -> Response:
        caller, records = _caller(hub), body("registration")["records"]
        registered.take(caller.slug, len(records))
        prepared = register.prepare(hub.keyring, caller, records)
        made = _write(hub, caller, lambda uow: register.register(uow, hub.keyring, caller.slug, prepared))
        tick.wait(g.began)
        return answer({"registrations": made})

    @routes.post("/v1/consents")
    def consent() -> Response:
        caller, policy = _caller(hub), hub.policy.get()
        submission = consents.examine(body("consent_submission"), caller, hub.directory.get(), policy, hub.clock.now())
        made = _write(hub, caller, lambda uow: consents.accept(uow, hub.keyring, policy, caller.slug, submission))
        # After the commit that acknowledged it: the receipt stands under the checkpoint signed with it.
        found = hub.reads.run(lambda uow: receipts.first(uow, caller.slug, made["receipt_id"]))
        return answer(made | receipts.WAITING, 202) if found is None else answer(made | {"receipt": found}, 201)

    @routes.post("/v1/consents/search")
    def search_consents() -> Response:
        caller, ref = _caller(hub), body("consent_search")["ref"]
        looked_up.take(caller.slug)
        return answer(hub.reads.run(lambda uow: consents.search(uow, hub.keyring, hub.policy.get(), caller, ref)))

    @routes.post("/v1/pulls")
    def pulls() -> Response:
        caller = _caller(hub)
        looked_up.take(caller.slug)
        asked = requests.examine(body("pull"), caller, hub.directory.get(), hub.policy.get(), hub.clock.now())
        document = padded(release.pull(hub, asked))
        tick.wait(g.began)
        return Response(document, content_type=JSON)

    return routes


def _oversight(hub: Hub, looked_up: Quota) -> Blueprint:
    routes = Blueprint("oversight", __name__)

    @routes.post("/v1/access-log/search")
    def access_log() -> Response:
        principal = _principal(hub, Scope.PARTNER, Scope.DPO)
        partner = _caller(hub) if principal.scope is Scope.PARTNER else None
        if partner is not None:
            looked_up.take(partner.slug)
        reader, criteria = audit.Reader(principal.slug, partner), body("access_log_search")
        return answer(
            _write(hub, partner, lambda uow: audit.search(uow, hub.keyring, hub.policy.get(), reader, criteria))
        )

    @routes.post("/v1/explanations")
    def explanations() -> Response:
        reader = audit.Reader(_principal(hub, Scope.DPO).slug)
        trace_id, policy = body("explanation_request")["trace_id"], hub.policy.get()

        def explain(uow: Any) -> dict[str, Any]:
            explained = audit.explain_trace(uow, policy, trace_id)
            audit.log_explanation(uow, policy, reader, trace_id)
            return explained

        return answer(hub.writer.run(explain))

    @routes.post("/v1/partners/suspend")
    def suspend() -> Response:
        actor, wanted = _principal(hub, Scope.OPERATOR).slug, body("suspension")
        hub.writer.run(
            lambda uow: partners.suspend_partner(
                uow,
                hub.directory.get(),
                wanted["slug"],
                suspended=wanted["suspended"],
                reason=wanted["reason"],
                actor=actor,
            )
        )
        return answer(wanted)

    return routes


def _principal(hub: Hub, *scopes: Scope) -> Principal:
    principal = signin.authenticate(hub, request.headers.get("Authorization"))
    if principal.scope not in scopes:
        raise MaillonError(ErrorKind.FORBIDDEN, "scope")
    return principal


def _write(hub: Hub, caller: DirectoryPartner | None, work: Callable[[Any], T]) -> T:
    """Return ``work(uow)`` of the writer, unless ``caller`` was suspended while it waited for its turn."""

    def checked(uow: Any) -> T:
        if caller is not None:
            partners.check_active(uow, hub.directory.get(), caller.slug)
        return work(uow)

    return hub.writer.run(checked)


def _caller(hub: Hub) -> DirectoryPartner:
    """Return the partner that calls, still in the directory and not suspended."""
    slug = _principal(hub, Scope.PARTNER).slug
    return hub.reads.run(lambda uow: partners.check_active(uow, hub.directory.get(), slug))
