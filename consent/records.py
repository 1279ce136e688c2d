"""One consent event, as read from its signed payload (ISO/IEC TS 27560 members, schema ``consent_event``).

The signature, the certificate and the subject are the edge's business (``connectors.kit.trust``); here stands what
the event says, checked as far as it can be without a policy or a history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from consent.canonical import digest
from consent.mandates import Mandate, MandateNature
from consent.model import EventKind, EvidenceLevel, FieldIndex, Question, UnknownField

GIVING: Final = frozenset({EventKind.GRANTED, EventKind.NARROWED, EventKind.RENEWED, EventKind.INFORMED})
"""Kinds that let fields go: their sources and recipients are named one by one, never "everyone"."""
REFUSING: Final = frozenset({EventKind.DENIED, EventKind.OBJECTED})
"""Kinds that hold fields back: an empty list of sources or recipients means all of them."""
OF_THE_PERSON: Final = frozenset({EventKind.FROZEN, EventKind.UNFROZEN, EventKind.PROTECTED, EventKind.UNPROTECTED})
"""Kinds that hold for every purpose at once."""
_SHOWN: Final = frozenset({EventKind.GRANTED, EventKind.RENEWED, EventKind.INFORMED})
_PROVEN: Final = frozenset({EventKind.GRANTED, EventKind.RENEWED})
_SAID: Final = GIVING - {EventKind.INFORMED} | REFUSING | {EventKind.REVOKED}
_ACTORS: Final = ("personne", "representant", "institution")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


class RecordError(ValueError):
    """A payload that is no consent event; ``pointer`` (RFC 6901) names the member, ``reason`` never its value."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}")
        self.pointer = pointer
        self.reason = reason


@dataclass(frozen=True, slots=True)
class NoticeRef:
    """The exact text that was shown: ``sha256`` is the hex digest of its bytes."""

    notice_id: str
    version: str
    language: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Which fields, from which sources, to whom. ``recipients`` maps a partner to its roles, empty for all of them."""

    fields: int
    sources: frozenset[str]
    recipients: tuple[tuple[str, frozenset[str]], ...]

    def covers(self, question: Question) -> bool:
        """Say whether the question's source, recipient and role fall in this scope (empty lists: everyone)."""
        if self.sources and question.source not in self.sources:
            return False
        return not self.recipients or any(
            partner == question.recipient and (not roles or question.role in roles)
            for partner, roles in self.recipients
        )

    def within(self, other: Scope) -> bool:
        """Say whether this scope lets nothing go that ``other`` does not; both name sources and recipients."""
        theirs = dict(other.recipients)
        return (
            self.fields & ~other.fields == 0
            and self.sources <= other.sources
            and all(
                partner in theirs and (not theirs[partner] or (bool(roles) and roles <= theirs[partner]))
                for partner, roles in self.recipients
            )
        )


NOTHING: Final = Scope(0, frozenset(), ())
"""The scope of an event that names no field: it acts on what its record already says."""


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One immutable event of one record. ``digest`` identifies its payload; the next event's ``prev`` repeats it."""

    event_id: str
    record_id: str
    kind: EventKind
    seq: int
    prev: str | None
    digest: str
    collector: str
    at: datetime
    """When it was said (``legalConsentDate``)."""
    start: datetime
    end: datetime | None = None
    purpose: str | None = None
    scope: Scope = NOTHING
    notice: NoticeRef | None = None
    evidence: EvidenceLevel = EvidenceLevel.E0
    mandate: Mandate | None = None
    supersedes: str | None = None

    def __post_init__(self) -> None:
        """Hold what every event of a kind must say; raises :class:`RecordError`."""
        about_fields = self.kind in GIVING or self.kind in REFUSING
        if about_fields and self.purpose is None:
            raise RecordError("/purpose", "needed")
        if self.kind in OF_THE_PERSON and self.purpose is not None:
            raise RecordError("/purpose", "this concerns the whole person, not one purpose")
        if (about_fields or self.kind is EventKind.PROTECTED) and not self.scope.fields:
            raise RecordError("/pii_information", "names no field")
        if self.kind in GIVING and not self.scope.sources:
            raise RecordError("/sources", "names no source")
        if self.kind in GIVING and not self.scope.recipients:
            raise RecordError("/recipients", "names no recipient")
        if self.kind in _SHOWN and self.notice is None:
            raise RecordError("/notice", "the text shown is needed")
        if self.kind in _PROVEN and self.end is None:
            raise RecordError("/validity/to", "an agreement always ends")
        if self.end is not None and self.end <= self.start:
            raise RecordError("/validity", "ends before it starts")


def parse_event(payload: Mapping[str, object], index: FieldIndex) -> ConsentEvent:
    """Return the event of a payload already checked against its schema and signature.

    Raises :class:`RecordError` naming the member that cannot be read, including a field the index does not have.
    Members the law of release does not use (certificate, retention, lawful_basis…) are left alone, yet counted in
    ``digest``, which covers the whole payload.
    """
    at = _Reader(payload, "")
    kind = at.enum("kind", EventKind)
    validity, actor = at.child("validity"), at.text("actor")
    if actor not in _ACTORS or (actor == "institution" and kind in _SAID):
        raise at.error("actor", "only the person or a representative says this")
    if at.has("mandate") != (actor == "representant"):
        raise at.error("mandate", "a representative, and nobody else, has one")
    return ConsentEvent(
        event_id=at.text("event_id"),
        record_id=at.text("record_id"),
        kind=kind,
        seq=at.integer("seq"),
        prev=at.optional_text("prev"),
        digest=_digest(payload),
        collector=at.text("collector"),
        at=at.instant("at"),
        start=validity.instant("from"),
        end=validity.instant("to") if validity.has("to") else None,
        purpose=at.optional_text("purpose"),
        scope=Scope(_fields(at, index), frozenset(at.texts("sources")), _recipients(at)),
        notice=_notice(at.child("notice")) if at.has("notice") else None,
        evidence=_evidence(at.child("collection")) if kind in _PROVEN else EvidenceLevel.E0,
        mandate=_mandate(at.child("mandate"), index) if at.has("mandate") else None,
        supersedes=at.optional_text("supersedes"),
    )


class _Reader:
    """Reads members of one JSON object, naming in its errors where it stood."""

    def __init__(self, value: object, pointer: str) -> None:
        if not isinstance(value, Mapping):
            raise RecordError(pointer or "/", "not an object")
        self._value, self._pointer = value, pointer

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def error(self, name: str, reason: str) -> RecordError:
        return RecordError(f"{self._pointer}/{name}", reason)

    def child(self, name: str) -> _Reader:
        return _Reader(self._value.get(name), f"{self._pointer}/{name}")

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, "text needed")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def integer(self, name: str) -> int:
        value = self._value.get(name)
        if type(value) is not int or value < 0:
            raise self.error(name, "whole number needed")
        return value

    def items(self, name: str) -> Sequence[Any]:
        value = self._value.get(name, [])
        if not isinstance(value, list):
            raise self.error(name, "list needed")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.items(name)
        if not all(isinstance(item, str) and item for item in values) or len(set(values)) != len(values):
            raise self.error(name, "distinct texts needed")
        return tuple(values)

    def instant(self, name: str) -> datetime:
        value = self.text(name)
        try:
            if _INSTANT.fullmatch(value) is None:
                raise ValueError
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            raise self.error(name, "RFC 3339 instant in UTC needed") from None

    def enum(self, name: str, choices: type[Any]) -> Any:
        try:
            return choices(self.text(name))
        except ValueError:
            raise self.error(name, "unknown value") from None


def _digest(payload: Mapping[str, object]) -> str:
    try:
        return digest(payload)
    except ValueError:
        raise RecordError("/", "holds something JSON cannot") from None


def _fields(at: _Reader, index: FieldIndex) -> int:
    try:
        return index.mask(at.texts("pii_information"))
    except UnknownField:
        raise at.error("pii_information", "unknown field") from None


def _recipients(at: _Reader) -> tuple[tuple[str, frozenset[str]], ...]:
    rows = [_Reader(row, f"/recipients/{i}") for i, row in enumerate(at.items("recipients"))]
    recipients = tuple((row.text("partner"), frozenset(row.texts("roles"))) for row in rows)
    if len(dict(recipients)) != len(recipients):
        raise at.error("recipients", "a partner stands twice")
    return recipients


def _notice(at: _Reader) -> NoticeRef:
    return NoticeRef(at.text("id"), at.text("version"), at.text("language"), at.text("sha256"))


def _evidence(at: _Reader) -> EvidenceLevel:
    """Return the level only when what makes it stands beside it (DOMAIN §6)."""
    name = at.text("evidence")
    if name not in EvidenceLevel.__members__:
        raise at.error("evidence", "unknown value")
    level = EvidenceLevel[name]
    if level is EvidenceLevel.E1 and at.text("second_agent") == at.text("agent"):
        raise at.error("second_agent", "must be someone else")
    if level >= EvidenceLevel.E2:
        at.text("evidence_hash")
    return level


def _mandate(at: _Reader, index: FieldIndex) -> Mandate:
    scope = 0
    for selector in at.texts("scope"):
        try:
            scope |= index.select(selector)
        except UnknownField:
            raise at.error("scope", "unknown field") from None
    return Mandate(
        nature=at.enum("nature", MandateNature),
        holder=at.text("mandatary"),
        champ=frozenset(at.texts("champ")),
        scope=scope,
        start=at.instant("valid_from"),
        end=at.instant("valid_to"),
    )
