"""What each domain row must say, by the event in the log it is about: every column is bound by something signed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from connectors.kit.trust import subject_digest
from consent.ledger.exact import LedgerError
from consent.ledger.jws import from_base64url, read_object, to_base64url
from hub.log_check.keybook import KeyBook
from hub.store.sealing import receipt_id_of

Columns = Mapping[str, Any]
_SALT: Final = 16


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the journal, opened: its own columns, and the body its envelope holds."""

    event_id: str
    at: int
    r32: bytes
    body: Any


@dataclass(frozen=True, slots=True)
class Table:
    """A table of rows about events: its columns in the order they are read, and whether a row says what it must."""

    name: str
    columns: tuple[str, ...]
    says: Callable[[Columns, Event, KeyBook], bool]

    @property
    def query(self) -> str:
        """The rows of a range of events."""
        names = ", ".join(f'"{name}"' for name in self.columns)
        return f"SELECT {names} FROM {self.name} WHERE seq >= ? AND seq <= ? ORDER BY seq"  # noqa: S608 (our own names)


def _consent(row: Columns, event: Event, keys: KeyBook) -> bool:
    if not isinstance(event.body, str):
        return False
    try:
        said = read_object(from_base64url(event.body.split(".")[1], "record"), "record")
    except (LedgerError, IndexError):
        return False
    digest = to_base64url(hashlib.sha256(event.body.encode()).digest())
    return (
        (row["record_id"], row["kind"], row["collector"]) == (said["record_id"], said["kind"], said["collector"])
        and row["jws_digest"] == digest
        and row["receipt_id"] == receipt_id_of(event.r32)
        and row["at"] == event.at
        and _is_subject(row, said, keys)
    )


def _is_subject(row: Columns, said: Mapping[str, Any], keys: KeyBook) -> bool:
    """Whether the row's salt makes the record's subject out of the ref the collector knows this person by."""
    if type(row["salt"]) is not bytes or len(row["salt"]) != _SALT:
        return False
    # With an erased person its secret went.
    return keys.is_unnamed(row["seq"]) or any(
        subject_digest(ref, row["salt"]) == said["subject"] for ref in keys.refs_of(row["person_id"], row["collector"])
    )


def row_digest(row: Columns, agent: Columns | None, fields: Mapping[str, str]) -> str:
    """Return the digest by which an access event binds what is searched by: base64url SHA-256 of the JCS."""
    members = {name: row[name] for name in ("kind", "outcome", "partner", "purpose", "source", "trace_id")}
    members |= {"agent": agent["agent"] if agent else None, "case": agent["case"] if agent else None}
    return to_base64url(hashlib.sha256(rfc8785.dumps({**members, "fields": dict(fields)})).digest())


def access_says(row: Columns, agent: Columns | None, fields: Mapping[str, str], event: Event) -> bool:
    """Say whether an access event and its children are what the log holds."""
    if not isinstance(event.body, dict) or (row["event_id"], row["at"]) != (event.event_id, event.at):
        return False
    try:
        return bool(event.body.get("row") == row_digest(row, agent, fields))
    except (ValueError, TypeError):
        return False


def _match(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001 (one shape for all)
    return isinstance(event.body, dict) and event.body.get("event") == f"match:record:{row['kind']}"


def _partner(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001
    names = {1: "policy:partner:suspended", 0: "policy:partner:resumed"}
    said = {"event": names.get(row["suspended"]), **{name: row[name] for name in ("actor", "reason", "slug")}}
    return bool(event.body == said and row["at"] == event.at)


def _policy(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001
    said = {"event": "policy:version:loaded", "version": row["version"]}
    return bool(event.body == said and row["at"] == event.at)


def _directory(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001
    said = {"event": "key:directory:accepted", "digest": row["digest"], "version": row["version"]}
    return bool(event.body == said and row["at"] == event.at)


def _log_key(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001
    names = {"introduce": "key:log:introduced", "retire": "key:log:retired"}
    said = {"event": names.get(row["action"]), "vkey": row["vkey"]}
    # Which keys signed before is what the chain of keys is checked with, not a column.
    body = event.body if isinstance(event.body, Mapping) else {}
    found = {name: value for name, value in body.items() if name != "before"}
    return bool(found == said and row["at"] == event.at)


def _rotation(row: Columns, event: Event, keys: KeyBook) -> bool:  # noqa: ARG001
    said = {name: row[name] for name in ("event", "epoch", "partner", "check")}
    return bool(event.body == said and row["at"] == event.at)


CONSENT: Final = Table(
    "consent_event",
    ("seq", "person_id", "record_id", "kind", "collector", "jws_digest", "salt", "receipt_id", "at"),
    _consent,
)
ACCESS: Final = Table(
    "access_event",
    ("seq", "event_id", "kind", "trace_id", "subject_tag", "partner", "source", "purpose", "outcome", "at"),
    lambda *_: True,  # judged with its children: access_says
)
MATCH: Final = Table("match_event", ("seq", "subject_tag", "kind"), _match)
PARTNER: Final = Table("partner_event", ("seq", "slug", "suspended", "reason", "actor", "at"), _partner)
POLICY: Final = Table("policy_version", ("seq", "version", "at"), _policy)
DIRECTORY: Final = Table("directory_version", ("seq", "version", "digest", "at"), _directory)
LOG_KEY: Final = Table("log_key", ("seq", "action", "vkey", "at"), _log_key)
ROTATION: Final = Table("rotation_event", ("seq", "event", "epoch", "partner", "check", "at"), _rotation)
AGENT: Final = Table("access_agent", ("seq", "agent", "case"), lambda *_: True)
FIELD: Final = Table("access_field", ("seq", "path", "status"), lambda *_: True)

OF_CLASS: Final[Mapping[str, tuple[Table, ...]]] = {
    "consent": (CONSENT,),
    "access": (ACCESS,),
    "match": (MATCH,),
    "policy": (PARTNER, POLICY),
    "key": (DIRECTORY, LOG_KEY, ROTATION),
    "erasure": (),
    "retention": (),
}
"""An event has one row, in one of the tables of its class; those of a class without tables have none."""
EVENT_TABLES: Final = (CONSENT, ACCESS, MATCH, PARTNER, POLICY, DIRECTORY, LOG_KEY, ROTATION)
CHILDREN: Final = (AGENT, FIELD)
