"""How records came to be whose they are: one event for each link, each provisional person, each doubt (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connectors.kit.runtime.ids import PersonId
from consent.ledger.leaf import EventClass
from hub.store.journal import Draft, Journal
from hub.store.sql import Sql

_INSERT = "INSERT INTO match_event (seq, subject_tag, kind) VALUES (?, ?, ?)"


class MatchKind(StrEnum):
    """What was decided about a record."""

    CREATED = "created"
    """Nobody like it was known: a new person."""
    LINKED = "linked"
    """A rule found the one person it is about."""
    DOUBTED = "doubted"
    """A provisional person, or a known one, who may be another: a human will say."""
    CORRECTED = "corrected"
    """Its traits changed."""
    JOINED = "joined"
    """A reviewer: two persons are one. Of the one that goes, ``absorbed``."""
    ABSORBED = "absorbed"
    JUDGED_DIFFERENT = "different"
    """A reviewer: two persons, for good."""
    ASKED = "asked"
    """A reviewer waits for a partner to complete its own record."""
    SPLIT = "split"
    """Some records were another person's. Of that person, ``separated``."""
    SEPARATED = "separated"


@dataclass(frozen=True, slots=True)
class Match:
    """One decision about a record of ``person``. ``details`` name rules, kinds and codes; nobody else, no value."""

    kind: MatchKind
    person: PersonId
    record_id: str
    partner: str
    details: Mapping[str, Any]


class Matches:
    """Rows of ``match_event``."""

    def __init__(self, sql: Sql, journal: Journal) -> None:
        """Bind to one transaction."""
        self._sql = sql
        self._journal = journal

    def append_all(self, matches: Sequence[Match]) -> list[int]:
        """Append every decision in its order; return their sequence numbers."""
        drafts = [
            Draft(
                EventClass.MATCH,
                {
                    "event": f"match:record:{match.kind.value}",
                    "record": match.record_id,
                    "partner": match.partner,
                    **match.details,
                },
                match.person,
            )
            for match in matches
        ]
        appended = self._journal.append_all(drafts)
        rows = [(each.seq, each.tag, match.kind.value) for each, match in zip(appended, matches, strict=True)]
        self._sql.run_all(_INSERT, rows)
        return [each.seq for each in appended]
