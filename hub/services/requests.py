"""A pull request, verified: who asks, why, for which fields. Everything refused here depends on the request alone."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.trust import Certificate, Directory, DirectoryPartner
from consent.model import Attributes, UnknownField
from consent.order import read_attributes
from consent.policy import Policy

REQUEST_LIFETIME: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A genuine request of ``recipient``. ``wanted`` is a mask over the policy's field index."""

    recipient: DirectoryPartner
    certificate: Certificate
    jws: str
    digest: str
    nonce: str
    expires_at: datetime
    purpose: str
    role: str
    attributes: Attributes
    agent: str
    case: str
    wanted: int
    ref: str


def examine(
    wire: Mapping[str, Any], caller: DirectoryPartner, directory: Directory, policy: Policy, at: datetime
) -> PullRequest:
    """Return the verified request of ``wire`` (schema ``pull``, already checked), made by ``caller``.

    Raises ``MaillonError``: ``BAD_SIGNATURE``, ``UNTRUSTED_KEY``, ``EXPIRED``, ``FORBIDDEN`` for another's request,
    ``SCHEMA``, ``WRONG_SUBJECT``, ``UNKNOWN_PURPOSE``, ``UNKNOWN_ROLE`` (also one the directory does not give this
    partner), ``UNKNOWN_FIELD``.
    """
    jws, ref = wire["request"], wire["ref"]
    payload, certificate = trust.verify_certified(jws, Typ.REQUEST, "requester", directory, at)
    if payload["requester"] != caller.slug:
        raise MaillonError(ErrorKind.FORBIDDEN, "the requester is not the caller")
    check_schema("request", payload)
    seal.check_lifetime(payload, at, REQUEST_LIFETIME, "request")
    salt = b64url.decode(wire["salt"], what="salt", length=16)
    if not hmac.compare_digest(trust.subject_digest(ref, salt), payload["subject"]):
        raise MaillonError(ErrorKind.WRONG_SUBJECT, "subject is not the digest of this ref and salt")
    if payload["seal_key"] != certificate.seal_key_id:
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "seal_key is not the certificate's", pointer="/seal_key")
    if payload["purpose"] not in policy.purposes:
        raise MaillonError(ErrorKind.UNKNOWN_PURPOSE, "not in the policy", pointer="/purpose")
    if payload["role"] not in policy.roles or payload["role"] not in caller.roles:
        raise MaillonError(ErrorKind.UNKNOWN_ROLE, "not one of this partner's roles", pointer="/role")
    try:
        wanted = policy.index.mask(payload["fields"])
    except UnknownField:
        raise MaillonError(ErrorKind.UNKNOWN_FIELD, "not a field of the dossier", pointer="/fields") from None
    _, expires_at = seal.lifetime_of(payload, "request")
    return PullRequest(
        recipient=caller,
        certificate=certificate,
        jws=jws,
        digest=seal.jws_digest(jws),
        nonce=payload["nonce"],
        expires_at=expires_at,
        purpose=payload["purpose"],
        role=payload["role"],
        attributes=read_attributes(payload["attributes"]),
        agent=payload["agent"],
        case=payload["case"],
        wanted=wanted,
        ref=ref,
    )
