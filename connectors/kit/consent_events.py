"""Build and sign consent events: what a collector's page or command has to say, and nothing it can leave out.

The members are those of ``schemas/consent_event.schema.json`` (ISO/IEC TS 27560, DPV). A template holds what the
collector knows; everything that follows from it (ids, subject, proofs, sensitivity, digest chain) is put in here.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import whole_seconds
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, subject_proofs
from connectors.kit.trust import OperationalKeys, subject_digest
from consent.model import EventKind, FieldIndex, Regime, UnknownField
from consent.policy import Notice, Policy
from consent.records import GIVING, RecordError, parse_event
from schemas.registry import SchemaViolation, validator

Json = dict[str, Any]

_BASES: Final = {
    Regime.ACCORD: "dpv:Consent",
    Regime.INFORMATION: "eu-gdpr:A6-1-e",
    Regime.OBLIGATION: "eu-gdpr:A6-1-c",
}
"""DPV terms of the regimes, for ``lawful_basis``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How it was said: channel, evidence level, and keyed digests (``Edge.tag``) of who took it down."""

    channel: str = "guichet"
    evidence: str = "E0"
    agent: str | None = None
    second_agent: str | None = None
    evidence_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The record's latest event, as ``search_consents`` gives it: what the next one follows."""

    record_id: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the collector knows of one event. Field names are exact dossier paths."""

    kind: EventKind
    collection: Collection
    purpose: str | None = None
    fields: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    recipients: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(partner, roles); no role means any of that partner's."""
    controllers: tuple[str, ...] = ()
    """Who answers for what is received; default: the recipients."""
    notice: tuple[Notice, str] | None = None
    """The notice and the language it was shown in."""
    start: datetime | None = None
    """Default: when it is said."""
    end: datetime | None = None
    retention: str | None = None
    """ISO 8601 duration the recipients keep what they get."""
    withdrawal_method: str | None = None
    actor: str = "personne"
    mandate: Json | None = None
    cause: str | None = None
    supersedes: str | None = None
    follows: Previous | None = None


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """The event's JWS and what goes to the hub beside it; ``payload`` is what was signed."""

    jws: str
    ref: str
    salt: str
    payload: Json


def sign_event(
    template: Template, ref: str, tokens: TokenSet, keys: OperationalKeys, policy: Policy, at: datetime
) -> SignedEvent:
    """Return the signed event of ``template`` about the person behind ``ref``, said at ``at``.

    Raises ``MaillonError``: ``UNKNOWN_FIELD``, ``UNKNOWN_NOTICE`` for a language the notice has not, and ``SCHEMA``
    with the pointer of what a consent event of that kind cannot be without.
    """
    salt = secrets.token_bytes(16)
    record_id = template.follows.record_id if template.follows else new_uuid()
    # ``keys.sign`` adds the same certificate; it stands here so that what is checked is what is signed.
    payload: Json = {
        "v": 1,
        "event_id": new_uuid(),
        "record_id": record_id,
        "seq": template.follows.seq + 1 if template.follows else 0,
        "prev": template.follows.digest if template.follows else None,
        "kind": template.kind.value,
        "at": whole_seconds(at),
        "certificate": keys.certificate,
        "collector": keys.slug,
        "subject": subject_digest(ref, salt),
        "subject_proofs": subject_proofs(tokens, record_id),
        "notice": _notice(template),
        "purpose": template.purpose,
        "pii_information": list(template.fields),
        "sensitivity": _sensitivity(template.fields, policy.index),
        "controllers": list(template.controllers or dict.fromkeys(partner for partner, _ in template.recipients)),
        "recipients": [{"partner": partner, "roles": list(roles)} for partner, roles in template.recipients],
        "sources": list(template.sources),
        "lawful_basis": _lawful_basis(template),
        "retention": template.retention,
        "validity": {
            "from": whole_seconds(template.start or at),
            "to": None if template.end is None else whole_seconds(template.end),
        },
        "withdrawal_method": template.withdrawal_method,
        "collection": {name: getattr(template.collection, name) for name in Collection.__slots__},
        "actor": template.actor,
        "mandate": template.mandate,
        "cause": template.cause,
        "supersedes": template.supersedes,
    }
    try:
        validator("consent_event").check(payload)
        parse_event(payload, policy.index)
    except (SchemaViolation, RecordError) as error:
        raise MaillonError(ErrorKind.SCHEMA, f"consent event: {error.reason}", pointer=error.pointer) from None
    return SignedEvent(keys.sign(payload, Typ.CONSENT), ref, b64url.encode(salt), payload)


def evidence_digest(document: bytes) -> str:
    """Return the ``evidence_hash`` of a proof kept at the collector: hex SHA-256."""
    return hashlib.sha256(document).hexdigest()


def _notice(template: Template) -> Json | None:
    if template.notice is None:
        return None
    notice, language = template.notice
    if language not in notice.sha256:
        raise MaillonError(ErrorKind.UNKNOWN_NOTICE, "not in that language", pointer="/notice/language")
    return {
        "id": notice.notice_id,
        "version": notice.version,
        "language": language,
        "sha256": notice.sha256[language],
    }


def _lawful_basis(template: Template) -> str | None:
    if template.kind not in GIVING:
        return None
    return _BASES[template.notice[0].regime if template.notice else Regime.ACCORD]


def _sensitivity(paths: tuple[str, ...], index: FieldIndex) -> str | None:
    """Return the highest class of ``paths``; ``None`` when there is none."""
    classes = dict(zip(index.all_paths, index.classes, strict=True))
    try:
        index.mask(paths)
    except UnknownField:
        raise MaillonError(ErrorKind.UNKNOWN_FIELD, "not a dossier path", pointer="/pii_information") from None
    return max((classes[path] for path in paths), default=None)
