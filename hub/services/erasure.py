"""Erasing a person for real, on the DPO's signed decision, and the receipt of it (DESIGN §8).

Three steps. One write deletes every row about the person and appends the erasure to the log: from that commit on, no
ref means anybody. Then the register beside the keyring has it, for the day an old backup is put back. Then the
person's secrets are destroyed with the key that wrapped them. A crash between them is made good at the next start,
before anything is served: the write remembers what is pending. Nothing is answered before the third step.

What the law keeps is restricted: traces until their month ends, agreements as proof for as long as the reason says
(``config/retention.toml``). Both can be read through the erasure's id alone, by the DPO, with a request number.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import instant
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid, uuid_of
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from consent.ledger.envelope import decode
from consent.ledger.erasure import ErasureReceipt
from consent.ledger.merkle import leaf_hash
from consent.ledger.proof import LogProof
from hub.deadlines import Deadlines, Reason
from hub.erasure_register import Erased, ErasureRegister, mark_of
from hub.keyring import Keyring
from hub.services import log
from hub.services.register import resolve
from hub.store.erasures import ErasureRow, Unfinished
from hub.store.person_rows import Held
from hub.store.secrets import SecretStore
from hub.store.session import Reads, UnitOfWork, Writer

DPO: Final = "dpo"
DECISION_LIFETIME: Final = timedelta(minutes=10)
EVENT: Final = "erasure:person:erased"


@dataclass(frozen=True, slots=True)
class Decision:
    """A DPO's decision that is genuine: who (``ref`` of ``partner``), why, and the JWS that says so."""

    partner: str
    ref: str
    reason: Reason
    jws: str
    digest: str


@dataclass(frozen=True)
class Eraser:
    """What erasing needs; the same at the first time, after a crash and after a restore."""

    writer: Writer
    reads: Reads
    secrets: SecretStore
    keyring: Keyring
    register: ErasureRegister
    deadlines: Deadlines
    wal_is_left: Event = field(default_factory=Event)
    """Set while what was erased may still stand in a write-ahead log, because somebody read from it too long."""


def examine(wire: Mapping[str, Any], dpo_key: PublicJwk, deadlines: Deadlines, at: datetime) -> Decision:
    """Return the verified decision of ``wire`` (schema ``erasure_request``, already checked).

    Raises ``MaillonError``: ``BAD_SIGNATURE``, ``UNTRUSTED_KEY`` or ``EXPIRED`` for the JWS and its certificate,
    ``SCHEMA``, ``WRONG_SUBJECT`` when it is about another ref, and for a reason the configuration does not have.
    """
    jws, ref = wire["decision"], wire["ref"]
    payload, certificate = trust.open_certified(jws, Typ.ERASURE, DPO, dpo_key)
    certificate.check_alive(at)
    check_schema("erasure_decision", payload)
    seal.check_lifetime(payload, at, DECISION_LIFETIME, "decision")
    salt = b64url.decode(wire["salt"], what="salt", length=16)
    if not hmac.compare_digest(trust.subject_digest(ref, salt), payload["subject"]):
        raise MaillonError(ErrorKind.WRONG_SUBJECT, "subject is not the digest of this ref and salt")
    reason = deadlines.reasons.get(payload["reason"])
    if reason is None:
        raise MaillonError(ErrorKind.SCHEMA, "no such reason in retention.toml", pointer="/reason")
    return Decision(payload["partner"], ref, reason, jws, seal.jws_digest(jws))


def erase(eraser: Eraser, decision: Decision) -> str:
    """Erase the person of a decision and return the erasure's id; the same decision again changes nothing.

    Who a review joined with it goes too: they are one. Who a split took from it stays whole. When it returns, no key
    and no row of the person is left in the hub's files. Raises ``MaillonError(UNKNOWN_SUBJECT)`` when the partner
    registered no one under the ref, ``STORAGE`` when the disk refuses: untouched then, or finished at the next start.
    """

    def write(uow: UnitOfWork) -> str:
        before = uow.erasures.find(decision=decision.digest)
        if before is not None:
            return before.erasure_id
        person = resolve(uow, eraser.keyring, decision.partner, decision.ref)
        if person is None:
            raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref", pointer="/ref")
        held, until = uow.erasures.held([person]), decision.reason.proof_until(uow.at)
        erasure_id = new_uuid()
        parts = _parts(eraser.keyring, erasure_id, held.family, person)
        kept = until if held.events else None
        _write(uow, eraser, held, parts, erasure_id, decision.jws, kept, replayed=False)
        return erasure_id

    erasure_id = eraser.writer.run(write)
    finish(eraser)
    return erasure_id


def finish(eraser: Eraser) -> int:
    """Bring every erasure that was begun to its end; return how many there were. Doing it again is harmless."""
    begun = eraser.reads.run(lambda uow: [(each, _decision_of(uow, each.row)) for each in uow.erasures.unfinished()])
    for each, decision in begun:
        marks = tuple(mark_of(eraser.keyring, person) for person in each.parts)
        row = each.row
        eraser.register.append(Erased(row.erasure_id, marks, row.at, decision, row.kept_until))
        eraser.writer.run(partial(_destroy, unfinished=each))
    if begun:
        empty_logs(eraser)
    return len(begun)


def empty_logs(eraser: Eraser) -> bool:
    """Empty both write-ahead logs, where what was erased still stands; False when somebody reads there: a job tries
    again each minute (``wal_is_left``)."""
    secrets_are, database_is = eraser.secrets.truncate_wal(), eraser.writer.truncate_wal()
    if secrets_are and database_is:
        eraser.wal_is_left.clear()
    else:
        eraser.wal_is_left.set()
    return secrets_are and database_is


def undone(eraser: Eraser) -> list[Erased]:
    """Return the erasures of the register that the database knows nothing of: it is older than they are."""
    known = eraser.reads.run(lambda uow: {row.erasure_id for row in uow.erasures.all()})
    return [entry for entry in eraser.register.entries() if entry.erasure_id not in known]


def replay(eraser: Eraser) -> int:
    """Do again every erasure the database knows nothing of; return how many. For a restored backup, before it serves.

    Somebody who was not yet there when the backup was made leaves nothing but the event.
    """
    entries = undone(eraser)
    if not entries:
        return 0
    marks = eraser.reads.run(lambda uow: {mark_of(eraser.keyring, person): person for person in uow.erasures.persons()})
    for entry in entries:
        persons = [marks[mark] for mark in entry.marks if mark in marks]
        eraser.writer.run(partial(_again, entry=entry, persons=persons, eraser=eraser))
    finish(eraser)
    return len(entries)


def receipt(uow: UnitOfWork, erasure_id: str) -> dict[str, Any]:
    """Return the erasure's receipt (``consent.ledger.erasure``), under the newest checkpoint.

    Raises ``MaillonError(NOT_FOUND)``.
    """
    row = _find(uow, erasure_id)
    opening = uow.erasures.opening(row, uow.secrets.system_key)
    body, _ = decode(opening.envelope)
    found = log.inclusion_of(uow, leaf_hash(opening.leaf.encode()))
    proof = LogProof(found.index, found.hashes, log.checkpoint(uow, found.size))
    return ErasureReceipt(body, opening.leaf, opening.r32, proof.encode()).to_wire()


def kept_agreements(uow: UnitOfWork, erasure_id: str) -> list[str]:
    """Return the signed agreements kept as proof, oldest first; none once their time is over.

    Raises ``MaillonError(NOT_FOUND)`` for no such erasure.
    """
    row = _find(uow, erasure_id)
    if row.kept_until is None or uow.at >= row.kept_until:
        return []
    return uow.erasures.kept(erasure_id, uow.secrets)


def _find(uow: UnitOfWork, erasure_id: str) -> ErasureRow:
    row = uow.erasures.find(erasure_id=erasure_id)
    if row is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no erasure has this id", pointer="/erasure_id")
    return row


def _parts(
    keyring: Keyring, erasure_id: str, family: Sequence[PersonId], first: PersonId | None
) -> dict[PersonId, str]:
    """Return whose what is left of each is from now on: the erasure's own, or a part of it that is the same whenever
    the erasure is done again."""

    def part(person: PersonId) -> str:
        return uuid_of(keyring.handle("hub", "erasure-part", f"{erasure_id}/{person}")[:16])

    return {person: erasure_id if person == first else part(person) for person in family}


def _write(
    uow: UnitOfWork,
    eraser: Eraser,
    held: Held,
    parts: Mapping[PersonId, str],
    erasure_id: str,
    jws: str,
    until: datetime | None,
    *,
    replayed: bool,
) -> None:
    months = [trace for person in held.family for trace in uow.secrets.traces_of(person)]
    body = {
        "event": EVENT,
        "erasure_id": erasure_id,
        "decision": jws,
        "rows": dict(held.counts),
        "traces_until": instant(max(trace.expires_at for trace in months)) if months else None,
        "proof_until": None if until is None else instant(until),
        "final_by": instant(eraser.deadlines.final_by(uow.at)),
        "replayed": replayed,
    }
    owners = {*held.family, *held.copies}
    # Copies whose split was never committed: no ref is made by them, nobody else would ever destroy them.
    orphans = uow.erasures.without_refs(uow.secrets.copies_of(owners) - owners)
    uow.erasures.erase(
        held,
        body,
        erasure_id=erasure_id,
        parts=parts,
        copies={*held.copies, *orphans},
        unnamed=_unnamed(uow, eraser.keyring, held, owners),
        event_id=EventId(new_uuid()),
        decision=seal.jws_digest(jws),
        keep_until=until,
    )


def _unnamed(uow: UnitOfWork, keyring: Keyring, held: Held, owners: Collection[PersonId]) -> list[int]:
    """Return which consent events of others were said under a ref that one of ``owners``' secrets makes: afterwards
    nobody can compute any more that it was theirs."""
    secrets = uow.secrets.refs(owners).values()
    found = []
    for seq, collector, salt, jws in uow.erasures.of_relatives(held, uow.secrets):
        subject = seal.peek(jws, Typ.CONSENT)["subject"]
        # Of every epoch: it was said under the ref of its day.
        epochs = range(1, keyring.epochs.newest(collector) + 1)
        refs = (keyring.ref(collector, secret, epoch) for secret in secrets for epoch in epochs)
        if any(trust.subject_digest(ref, salt) == subject for ref in refs):
            found.append(seq)
    return found


def _again(uow: UnitOfWork, entry: Erased, persons: Sequence[PersonId], eraser: Eraser) -> None:
    held = uow.erasures.held(list(dict.fromkeys(uow.erasures.head_of(person) for person in persons)))
    first = next((person for person in held.family if mark_of(eraser.keyring, person) == entry.marks[0]), None)
    parts = _parts(eraser.keyring, entry.erasure_id, held.family, first)
    until = entry.proof_until if held.events else None
    _write(uow, eraser, held, parts, entry.erasure_id, entry.decision, until, replayed=True)


def _destroy(uow: UnitOfWork, unfinished: Unfinished) -> None:
    uow.secrets.erase(uow.erasures.end_of(unfinished, uow.secrets))
    uow.erasures.finished(unfinished.row.erasure_id)


def _decision_of(uow: UnitOfWork, row: ErasureRow) -> str:
    return str(uow.erasures.opening(row, uow.secrets.system_key).body["decision"])
