"""Telling the hub who is held: tokens and sections, never a value; and who is held no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from connectors.kit.edge_store import EdgeStore, Pending
from connectors.kit.runtime.errors import ErrorKind, MaillonError

BATCH: Final = 500
"""Records per request."""


class Registrar(Protocol):
    """The part of the hub's client that registration needs."""

    def register(self, records: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, str]]:
        """Register ``{record_key, tokens, flags, sections, held}``; return ``{record_key, ref}`` in the same order,
        or ``{record_key, refused}`` for a record the hub did not take."""
        ...


@dataclass
class Told:
    """What the hub was told. Counts only."""

    registered: int = 0
    gone: int = 0
    """Records under which nothing is held any more."""
    refused: int = 0
    """Records the hub did not take: they wait, and are offered again when they change."""


def register_pending(
    store: EdgeStore, hub: Registrar, *, declares_sections: bool = True, live: bool = False, batch: int = BATCH
) -> Told:
    """Tell the hub of every subject it does not know in its present state; returns how many.

    Without ``declares_sections`` the hub hears of no section at all, for anyone: that ASE or MDPH holds a file is
    itself a secret, and leaving out only those would tell the rest (DOMAIN §3). A subject of whom nothing is held any
    more is told as such, unless ``live``: there an API is asked, and nothing is ever held. A record the hub refuses is
    set aside in ``store.waiting``, and the others go on. A failure leaves the rest pending and what was answered
    registered. Raises what ``hub.register`` raises.
    """
    told, ended = Told(), store.links.retired()
    store.links.apply()
    store.names.apply()  # what was cut short: the hub is told of each record once
    while retired := store.waiting.retired(batch):
        _ask(hub, [{"record_key": name, "tokens": [], "flags": {}, "sections": [], "held": False} for name in retired])
        with store.batch():
            for name in retired:
                store.waiting.told_retired(name)
        told.gone += len(retired)
    while pending := store.pending(batch):
        unheard = [] if live else [each for each in pending if not each.sections and not _heard(store, each)]
        with store.batch():
            for subject in unheard:
                store.waiting.nothing_to_tell(subject.local_id, subject.changes)
        known = [subject for subject in pending if subject not in unheard]
        if not known:
            continue
        records = [
            {
                "record_key": subject.record_key,
                **subject.tokens.without(ended).to_wire(),
                "sections": list(subject.sections) if declares_sections else [],
                "held": live or bool(subject.sections),
            }
            for subject in known
        ]
        answers = _ask(hub, records)
        with store.batch():
            for subject, answer in zip(known, answers, strict=True):
                if "ref" in answer:
                    store.set_ref(subject.local_id, answer["ref"], subject.changes)
                    store.waiting.settled(subject.local_id)
                    told.registered += live or bool(subject.sections)
                    told.gone += not (live or subject.sections)
                else:
                    store.waiting.refuse(subject.local_id, subject.changes, answer["refused"])
                    told.refused += 1
    return told


def _ask(hub: Registrar, records: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, str]]:
    answers = hub.register(records)
    asked = [record["record_key"] for record in records]
    if [answer.get("record_key") for answer in answers] != asked or not all(
        isinstance(answer.get("ref", answer.get("refused")), str) for answer in answers
    ):
        raise MaillonError(ErrorKind.MALFORMED, "registrations: not those that were asked")
    return answers


def _heard(store: EdgeStore, subject: Pending) -> bool:
    return store.waiting.was_told(subject.local_id)
