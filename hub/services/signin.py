"""Who is calling: RFC 7523 client assertions in, access tokens of five minutes out (docs/protocol.md).

Every refusal names the claim that failed, never its value: a partner's engineer can mend it without asking us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.seal import Typ
from hub.services.partners import check_active
from hub.services.runtime import Hub

TOKEN_LIFETIME: Final = timedelta(seconds=300)
ASSERTION_LIFETIME: Final = timedelta(seconds=60)
_ISSUER: Final = "maillon"
_JTI: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}")


class Scope(StrEnum):
    """What a token lets its bearer call."""

    PARTNER = "partner"
    DPO = "dpo"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request: a partner's slug, or ``dpo`` or ``operator`` with the scope of that name."""

    slug: str
    scope: Scope


def issue_token(hub: Hub, assertion: str) -> dict[str, Any]:
    """Return the RFC 6749 answer to a client assertion: an access token bound to its subject and scope.

    Raises ``MaillonError(AUTHENTICATION)`` naming the failing claim, ``SUSPENDED`` for a suspended partner.
    """
    now = hub.clock.now()
    principal, claims = _check_assertion(hub, assertion, now)
    expires = now + ASSERTION_LIFETIME + seal.CLOCK_SKEW

    def accept(uow: Any) -> None:
        if principal.scope is Scope.PARTNER:
            check_active(uow, hub.directory.get(), principal.slug)
        if not uow.bookkeeping.use_once(f"assertion/{principal.slug}", claims["jti"], expires):
            raise _failed("jti")

    hub.writer.run(accept)
    token = {
        "iss": _ISSUER,
        "sub": principal.slug,
        "aud": hub.settings.url,
        "iat": to_epoch(now),
        "exp": to_epoch(now + TOKEN_LIFETIME),
        "jti": new_uuid(),
        "scope": principal.scope.value,
    }
    return {
        "access_token": seal.sign(token, Typ.ACCESS_TOKEN, hub.keyring.token_key),
        "token_type": "Bearer",
        "expires_in": int(TOKEN_LIFETIME.total_seconds()),
        "scope": principal.scope.value,
    }


def authenticate(hub: Hub, authorization: str | None) -> Principal:
    """Return who sent an ``Authorization`` header.

    Raises ``MaillonError(AUTHENTICATION)`` naming the failing claim; whether a partner is suspended is for
    :func:`check_active` to say.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _failed("authorization")
    try:
        claims = seal.verify(token, Typ.ACCESS_TOKEN, hub.keyring.token_key.public_jwk)
    except MaillonError as error:
        raise _failed(_member(error)) from None
    if claims.get("iss") != _ISSUER:
        raise _failed("iss")
    if claims.get("aud") != hub.settings.url:
        raise _failed("aud")
    _check_times(claims, hub.clock.now(), TOKEN_LIFETIME)
    try:
        scope = Scope(str(claims.get("scope")))
    except ValueError:
        raise _failed("scope") from None
    return Principal(str(claims.get("sub")), scope)


def _check_assertion(hub: Hub, assertion: str, now: datetime) -> tuple[Principal, dict[str, Any]]:
    try:
        slug = trust.issuer_of(assertion, Typ.CLIENT_ASSERTION, "sub")
        principal, identity = _identity(hub, slug)
        claims, certificate = trust.open_certified(assertion, Typ.CLIENT_ASSERTION, slug, identity)
    except MaillonError as error:
        if error.kind is ErrorKind.UNTRUSTED_DIRECTORY:
            raise
        raise _failed(_member(error)) from None
    try:
        certificate.check_alive(now)
    except MaillonError as error:
        raise _failed(error.detail) from None
    if claims.get("iss") != slug:
        raise _failed("iss")
    if claims.get("aud") != f"{hub.settings.url}/oauth/token":
        raise _failed("aud")
    _check_times(claims, now, ASSERTION_LIFETIME)
    jti = claims.get("jti")
    if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
        raise _failed("jti")
    return principal, claims


def _identity(hub: Hub, slug: str) -> tuple[Principal, PublicJwk]:
    if slug == Scope.DPO:
        return Principal(slug, Scope.DPO), hub.settings.dpo_key
    if slug == Scope.OPERATOR:
        return Principal(slug, Scope.OPERATOR), hub.settings.operator_key
    try:
        return Principal(slug, Scope.PARTNER), hub.directory.get().partner(slug).identity_key
    except MaillonError as error:
        if error.kind is ErrorKind.UNKNOWN_PARTNER:
            raise MaillonError(ErrorKind.AUTHENTICATION, "sub") from None
        raise


def _check_times(claims: dict[str, Any], now: datetime, longest: timedelta) -> None:
    try:
        seal.check_lifetime(claims, now, longest, "token")
    except MaillonError as error:
        raise _failed(_member(error)) from None


def _member(error: MaillonError) -> str:
    """Return the claim or header member an error is about: ``<what>: <member>`` without the ``<what>`` of a JWS."""
    what, _, member = error.detail.partition(": ")
    if not member:
        return error.detail
    return error.detail if what == "certificate" else member


def _failed(claim: str) -> MaillonError:
    return MaillonError(ErrorKind.AUTHENTICATION, claim)
