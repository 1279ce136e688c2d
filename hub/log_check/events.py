"""Every event opened again with the keys there are, and held against the rows made from it and the person's chain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.kit.runtime.errors import MaillonError
from consent.ledger import envelope
from consent.ledger.exact import LedgerError
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from hub.log_check import rows
from hub.log_check.chains import Chains
from hub.log_check.erasures import check_leave, kept_by
from hub.log_check.finding import wrong
from hub.log_check.identity import Identity
from hub.log_check.keybook import KeyBook, require
from hub.log_check.rows import ACCESS, AGENT, CHILDREN, CONSENT, EVENT_TABLES, FIELD, MATCH, OF_CLASS, Event, Table
from hub.log_check.snapshot import Row, Snapshot
from hub.log_check.tree import Progress
from hub.store.sealing import Opening, event_id_bytes, open_alone, open_event

_JOURNAL: Final = """SELECT seq, event_id, class, at, commitment, ciphertext_digest, sealed, emptied_by
FROM journal ORDER BY seq"""
_EMPTIERS: Final = ("erasure", "retention")
_NOBODYS: Final = """SELECT c.seq FROM consent_event c WHERE NOT EXISTS
(SELECT 1 FROM person p WHERE p.person_id = c.person_id) AND c.person_id NOT IN
(SELECT erasure_id FROM erasure UNION SELECT part_id FROM erasure_part) ORDER BY c.seq LIMIT 1"""
_HEADS: Final = """SELECT p.person_id, h.n, h.leaf_hash FROM person p
LEFT JOIN subject_head h ON h.person_id = p.person_id ORDER BY p.person_id"""


@dataclass(slots=True)
class Told:
    """What was looked at: events whose content was opened, and those whose content is gone, as the log says."""

    opened: int = 0
    emptied: int = 0


@dataclass(slots=True)
class _Beside:
    """The domain rows of a range of events, by table and event."""

    rows: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    fields: dict[int, dict[str, str]] = field(default_factory=dict)
    kept: dict[int, str] = field(default_factory=dict)

    def of(self, table: Table, seq: int) -> dict[str, Any] | None:
        return self.rows[table.name].get(seq)


def check_contents(snapshot: Snapshot) -> Told:
    """Hold every event's sealed content against its digest in the leaf; needs no key. Raises ``Wrong``."""
    told = Told()
    emptiers = "SELECT seq, class FROM journal WHERE class IN ('erasure', 'retention')"
    classes: dict[int, str] = dict(snapshot.rows(emptiers))
    for seq, _, _, _, _, digest, sealed, emptied_by in snapshot.rows(_JOURNAL):
        _check_content(seq, digest, sealed, emptied_by, classes)
        told.emptied += sealed is None
    return told


def check_events(snapshot: Snapshot, keys: KeyBook, progress: Progress) -> Told:
    """Open every event there is a key for, and check the rows made from it, and each person's chain.

    Raises :class:`hub.log_check.finding.Wrong` at the first that does not hold.
    """
    told, chains, identity = Told(), Chains(), Identity()
    _check_orphans(snapshot)
    count = (snapshot.one("SELECT count(*) FROM journal") or (0,))[0]
    done = 0
    kept = kept_by(snapshot)
    keys.meet(snapshot)
    for batch in snapshot.batches(_JOURNAL):
        beside = _beside(snapshot, batch[0][0], batch[-1][0])
        beside.kept = kept
        for row in batch:
            _check_event(snapshot, row, beside, keys, chains, identity, told)
        done += len(batch)
        progress(done, count)
    chains.check(snapshot.rows(_HEADS))
    stray = snapshot.one("SELECT 1 FROM subject_head WHERE person_id NOT IN (SELECT person_id FROM person)")
    if stray is not None:
        wrong("subject_head", "-", "extra")
    _check_versions(snapshot)
    identity.check(snapshot)
    return told


def _check_content(seq: int, digest: bytes, sealed: Any, emptied_by: Any, emptiers: Mapping[int, str]) -> None:
    place = f"seq {seq}"
    if sealed is None:
        if emptied_by not in emptiers or emptied_by <= seq:
            wrong("journal", place, "emptied")
    elif emptied_by is not None:
        wrong("journal", place, "not_emptied")
    elif not isinstance(sealed, bytes) or hashlib.sha256(sealed).digest() != digest:
        wrong("journal", place, "ciphertext")


def _check_event(
    snapshot: Snapshot,
    row: Row,
    beside: _Beside,
    keys: KeyBook,
    chains: Chains,
    identity: Identity,
    told: Told,
) -> None:
    seq, event_id, name, at, commitment, digest, sealed, _ = row
    place, tables = f"seq {seq}", OF_CLASS[name]
    there = [table for table in EVENT_TABLES if beside.of(table, seq) is not None]
    if sealed is None:
        for stray in there:
            wrong(stray.name, place, "extra")
        told.emptied += 1
        chains.closed(seq)
        return
    kept = beside.kept.get(seq) if name == "consent" and not there else None
    # A match event about no one tells of rows of who is whom, and has none of its own.
    is_change = name == "match" and not there
    if (kept is None and not is_change and len(there) != (1 if tables else 0)) or not set(there) <= set(tables):
        strange = next((each for each in there if each not in tables), None)
        wrong((strange or (tables or EVENT_TABLES)[0]).name, place, "extra" if strange else "missing")
    table = there[0] if there else None
    found = {} if table is None else beside.of(table, seq) or {}
    leaf = Leaf(EventClass(name), event_id_bytes(event_id), at, commitment, digest)
    try:
        if table is CONSENT or kept is not None:
            # Of an erased person, kept as proof: only the erasure's id leads to it.
            owner = found["person_id"] if kept is None else kept
            opening = _open_consent(
                owner, event_id, leaf, sealed, keys, CONSENT.name if kept is None else "kept_consent", place
            )
        else:
            key, owner = _key(table, found, keys, place)
            opening = open_event(key, leaf, sealed)
        body, link = envelope.decode(opening.envelope)
    except MaillonError:
        if is_change:
            wrong(MATCH.name, place, "missing")
        # The sealed bytes are the log's: it is the row that names another person than the one they are about.
        wrong(table.name if table and owner else "journal", place, "row" if table and owner else "content")
    except LedgerError:
        wrong("journal", place, "content")
    told.opened += 1
    if is_change:
        identity.add(body, seq)
    _check_row(table, found, beside, Event(event_id, at, opening.r32, body), seq, keys)
    if name in _EMPTIERS:
        check_leave(snapshot, seq, name, body, at)
    if (link is None) is not (owner is None):
        wrong("journal", place, "chain")
    if owner is not None and link is not None:
        chains.add(owner, link, leaf_hash(leaf.encode()), seq)


def _open_consent(
    owner: str, event_id: str, leaf: Leaf, sealed: bytes, keys: KeyBook, table: str, place: str
) -> Opening:
    """Open a consent with the key of whom it was accepted for, or with the event's own where that one is gone."""
    key, own = keys.secret(owner, "k_consent"), keys.of_event(event_id)
    if not own:
        return open_event(require(key, table, place), leaf, sealed)
    try:
        return open_alone(own[0], leaf, sealed)
    except MaillonError:
        return open_event(require(key, table, place), leaf, sealed)


def _key(table: Table | None, row: Mapping[str, Any], keys: KeyBook, place: str) -> tuple[bytes, str | None]:
    """Return the key an event opens under, and whose it is (None: nobody's, the hub's own)."""
    if table in (ACCESS, MATCH) and row["subject_tag"] is not None:
        trace = keys.trace(row["subject_tag"])
        if trace is None:
            wrong(table.name if table else "journal", place, "key_gone")
        return trace.key, trace.owner
    return keys.system_key, None


def _check_row(
    table: Table | None, row: Mapping[str, Any], beside: _Beside, event: Event, seq: int, keys: KeyBook
) -> None:
    if table is None:
        return
    agent, fields = beside.of(AGENT, seq), beside.fields.get(seq, {})
    if table is ACCESS:
        holds = rows.access_says(row, agent, fields, event)
    else:
        holds = table.says(row, event, keys) and agent is None and not fields
    if not holds:
        wrong(table.name, f"seq {seq}", "row")


def _beside(snapshot: Snapshot, first: int, last: int) -> _Beside:
    beside = _Beside()
    for table in (*EVENT_TABLES, AGENT):
        found: dict[int, dict[str, Any]] = {}
        for values in snapshot.rows(table.query, (first, last)):
            if values[0] in found:
                wrong(table.name, f"seq {values[0]}", "extra")
            found[values[0]] = dict(zip(table.columns, values, strict=True))
        beside.rows[table.name] = found
    for seq, path, status in snapshot.rows(FIELD.query, (first, last)):
        beside.fields.setdefault(seq, {})[path] = status
    return beside


def _check_orphans(snapshot: Snapshot) -> None:
    for table in (*EVENT_TABLES, *CHILDREN):
        parent = "access_event" if table in CHILDREN else "journal"
        query = f"SELECT min(seq) FROM {table.name} WHERE seq NOT IN (SELECT seq FROM {parent})"  # noqa: S608
        lost = snapshot.one(query)
        if lost is not None and lost[0] is not None:
            wrong(table.name, f"seq {lost[0]}", "extra")
    for row in snapshot.rows(_NOBODYS):
        wrong("consent_event", f"seq {row[0]}", "row")
    if snapshot.one("SELECT 1 FROM erasing") is not None:
        wrong("erasing", "-", "extra")


def _check_versions(snapshot: Snapshot) -> None:
    # It also moves when a human decides whose a record is, and never back.
    query = """SELECT p.person_id FROM person p
    WHERE coalesce(p.version, -1) < (SELECT count(*) FROM consent_event c WHERE c.person_id = p.person_id) LIMIT 1"""
    if snapshot.one(query) is not None:
        wrong("person", "-", "version")
