"""From the hub's answer to one dossier: open every fragment, believe none that does not prove itself.

Nothing a source or the hub sends can make this fail as a whole: a fragment that cannot be believed becomes a stated
gap and a report, and the rest of the dossier stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.pull_request import SentRequest
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, match_subject
from connectors.kit.transport import INDISPONIBLE
from connectors.kit.trust import Directory
from schemas.registry import SchemaViolation, fields, validator

RELEASED: Final = "communique"
UNKNOWN_NAME: Final = "*"
"""Stands for a field name that is not of the schema: what a source invents is not repeated."""

Json = dict[str, Any]


class Finding(StrEnum):
    """What was wrong with an answer. Stable codes for logs and pages; no value beside them, only field names."""

    BAD_SEAL = "bad-seal"
    BAD_SIGNATURE = "bad-signature"
    UNTRUSTED_KEY = "untrusted-key"
    UNKNOWN_PARTNER = "unknown-partner"
    WRONG_ORDER = "wrong-order"
    """The order is not by the hub, not for us, not about our request; or the fragment answers another order."""
    WRONG_RECIPIENT = "wrong-recipient"
    WRONG_SUBJECT = "wrong-subject"
    """The fragment is about someone else: kept out, and to be looked into (a wrong link, or a swap)."""
    REPEATED = "repeated"
    SCHEMA = "schema"
    FOREIGN_SOURCE = "foreign-source"
    """A statement in another institution's name."""
    EXCESS = "excess"
    """Fields nobody ordered: dropped, the rest kept."""


@dataclass(frozen=True, slots=True)
class Report:
    """One finding about one source. ``fragment`` is the digest of the ciphertext, to find it again."""

    source: str
    finding: Finding
    fragment: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assembled:
    """The dossier (schema ``dossier``), the legal ground of each part, and what had to be left out."""

    dossier: Json
    trace_id: str
    purpose: str
    legal: tuple[Json, ...]
    reports: tuple[Report, ...]
    orders: tuple[tuple[str, str], ...] = ()
    """Each order the hub gave for us, with its leaf: both must be in the log, whatever came of the fragment."""


@dataclass
class _Refused(Exception):  # noqa: N818
    finding: Finding
    fields: tuple[str, ...] = ()


@dataclass
class _Draft:
    sections: Json = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    orders: list[tuple[str, str]] = field(default_factory=list)


def assemble(
    answer: Mapping[str, Any], sent: SentRequest, tokens: TokenSet, directory: Directory, at: datetime
) -> Assembled:
    """Return the dossier of the pull answer to ``sent``, about the person whose ``tokens`` this edge holds.

    Every value stands as a list of statements, each with its source and dates; ``gaps`` names the sources that did
    not answer, ``withheld`` the fields not released with their status. Raises ``MaillonError(SCHEMA)`` only when the
    hub's own answer has not the shape of one.
    """
    check_schema("pull_answer", answer, "pull answer")
    draft = _Draft(gaps={gap["source"]: gap["outcome"] for gap in answer["gaps"]})
    for item in sorted(answer["fragments"], key=lambda item: str(item["source"])):
        _add(draft, item, sent, tokens, directory, at)
    dossier = {
        "v": 1,
        "sections": draft.sections,
        "gaps": [{"source": source, "outcome": draft.gaps[source]} for source in sorted(draft.gaps)],
        "withheld": {
            path: status
            for path in sent.ask.fields
            if (status := answer["statuses"].get(path)) is not None and status != RELEASED
        },
    }
    return Assembled(
        *(dossier, answer["trace_id"], answer["purpose"], tuple(answer["legal"]), tuple(draft.reports)),
        tuple(draft.orders),
    )


def _add(
    draft: _Draft, item: Mapping[str, Any], sent: SentRequest, tokens: TokenSet, directory: Directory, at: datetime
) -> None:
    source, sealed = item["source"], item["fragment"]
    fragment = seal.jws_digest(sealed)
    try:
        if source in draft.sources:
            raise _Refused(Finding.REPEATED)
        order = _order(item["order"], source, sent, directory)
        draft.orders.append((item["order"], order["leaf"]))
        payload = _fragment(sealed, source, sent, directory, at)
        _check_answers(payload, item["order"], order, sent)
        if not match_subject(_objects(payload.get("subject_proofs")), tokens, payload["order_digest"]):
            raise _Refused(Finding.WRONG_SUBJECT)
        statements, excess = _ordered(payload.get("fragment"), frozenset(order["fields"]))
        _check_sources(statements, source, directory)
    except _Refused as refused:
        draft.reports.append(Report(source, refused.finding, fragment, refused.fields))
        draft.gaps.setdefault(source, INDISPONIBLE)
        return
    draft.sources.add(source)
    draft.gaps.pop(source, None)
    if excess:
        draft.reports.append(Report(source, Finding.EXCESS, fragment, excess))
    for path in (known.path for known in fields() if known.path in statements):
        *above, name = path.split(".")
        place = draft.sections
        for part in above:
            place = place.setdefault(part, {})
        place.setdefault(name, []).append(statements[path])


def _order(token: str, source: str, sent: SentRequest, directory: Directory) -> Json:
    """Return the order the hub says it gave: by the hub, to that source, for us, on our request."""
    try:
        hub = directory.partner(trust.HUB)
        order, certificate = trust.open_certified(token, Typ.ORDER, hub.slug, hub.identity_key)
        check_schema("order", order)
        certificate.check_alive(seal.lifetime_of(order, "order")[0])
    except MaillonError:
        raise _Refused(Finding.WRONG_ORDER) from None
    if (order["source"], order["recipient"], order["request"]) != (source, sent.keys.slug, sent.jws):
        raise _Refused(Finding.WRONG_ORDER)
    return order


_FINDINGS: Final = {
    ErrorKind.UNKNOWN_PARTNER: Finding.UNKNOWN_PARTNER,
    ErrorKind.SUSPENDED: Finding.UNKNOWN_PARTNER,
    ErrorKind.UNTRUSTED_KEY: Finding.UNTRUSTED_KEY,
    ErrorKind.EXPIRED: Finding.UNTRUSTED_KEY,
}


def _fragment(sealed: str, source: str, sent: SentRequest, directory: Directory, at: datetime) -> Json:
    """Return the payload the source signed, whatever it says."""
    try:
        inner = seal.unseal(sealed, Typ.SEALED_FRAGMENT, sent.keys.seal_key).decode("ascii")
    except (MaillonError, UnicodeDecodeError):
        raise _Refused(Finding.BAD_SEAL) from None
    try:
        payload, certificate = trust.verify_certified(inner, Typ.FRAGMENT, "source", directory, at)
    except MaillonError as error:
        raise _Refused(_FINDINGS.get(error.kind, Finding.BAD_SIGNATURE)) from None
    if certificate.slug != source:
        raise _Refused(Finding.BAD_SIGNATURE)
    return payload


def _check_answers(payload: Json, order_token: str, order: Json, sent: SentRequest) -> None:
    """Raise unless the fragment answers this order and this request, and was meant for our key."""
    expected = (1, order["order_id"], seal.jws_digest(order_token), sent.digest)
    if tuple(payload.get(name) for name in ("v", "order_id", "order_digest", "request_digest")) != expected:
        raise _Refused(Finding.WRONG_ORDER)
    # Sealed to us, yet signed for someone else: a fragment passed on.
    if payload.get("recipient_key") != sent.keys.seal_key.thumbprint:
        raise _Refused(Finding.WRONG_RECIPIENT)


def _ordered(fragment: object, ordered: frozenset[str]) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Return the ordered statements, checked against the schema, and the names of what came beyond the order."""
    given = fragment.get("statements") if isinstance(fragment, dict) else None
    if not isinstance(fragment, dict) or not isinstance(given, dict):
        raise _Refused(Finding.SCHEMA)
    statements = {path: statement for path, statement in given.items() if path in ordered}
    try:
        validator("fragment").check({**fragment, "statements": statements})
    except SchemaViolation:
        raise _Refused(Finding.SCHEMA, _known(statements)) from None
    return statements, _known(path for path in given if path not in ordered)


def _check_sources(statements: Mapping[str, Json], source: str, directory: Directory) -> None:
    """Raise unless every statement is the sender's own, or of a source it operates."""
    operated = {partner.slug for partner in directory.partners() if partner.operator == source}
    foreign = [path for path, said in statements.items() if said["source"] != source and said["source"] not in operated]
    if foreign:
        raise _Refused(Finding.FOREIGN_SOURCE, _known(foreign))


def _known(paths: Iterable[str]) -> tuple[str, ...]:
    names = {known.path for known in fields()}
    return tuple(sorted({path if path in names else UNKNOWN_NAME for path in paths}))


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
