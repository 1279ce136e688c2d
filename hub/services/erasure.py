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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from connectors.kit.runtime.keys import PublicJwk
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
from hub.store.erasures import ErasureRow, Held
from hub.store.secrets import SecretStore
from hub.store.session import Reads, UnitOfWork, Writer
from hub.wire import check_schema, instant

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

    When it returns, no key and no row of the person is left in the hub's files. Raises
    ``MaillonError(UNKNOWN_SUBJECT)`` when the partner registered no one under the ref, ``CONFLICT`` while the person is
    joined with another or shares agreements with one, ``STORAGE`` when the disk refuses: untouched then, or finished
    at the next start.
    """
    keyring, deadlines = eraser.keyring, eraser.deadlines
    copies: list[PersonId] = []

    def write(uow: UnitOfWork) -> str:
        before = uow.erasures.find(decision=decision.digest)
        if before is not None:
            return before.erasure_id
        person = resolve(uow, keyring, decision.partner, decision.ref)
        if person is None:
            raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref", pointer="/ref")
        if uow.identity.is_tangled(person):
            raise MaillonError(ErrorKind.CONFLICT, "joined with another person, or shares agreements: split first")
        copies.extend(uow.identity.secret_owners(person) - {person})
        held, until = uow.erasures.held(person), decision.reason.proof_until(uow.at)
        erasure_id = new_uuid()
        _write(uow, held, erasure_id, decision.jws, until if held.events else None, deadlines, replayed=False)
        return erasure_id

    erasure_id = eraser.writer.run(write)
    finish(eraser)
    for copy in copies:
        # Made by a split, of a secret that makes refs: it opens nothing, and a crash before this leaves it an orphan.
        eraser.writer.run(partial(_destroy_copy, copy=copy, erasure_id=erasure_id))
    return erasure_id


def finish(eraser: Eraser) -> int:
    """Bring every erasure that was begun to its end; return how many there were. Doing it again is harmless."""
    rows = eraser.reads.run(lambda uow: [(row, _decision_of(uow, row)) for row in uow.erasures.unfinished()])
    for row, decision in rows:
        person = row.pending
        if person is None:
            continue
        mark = mark_of(eraser.keyring, person)
        eraser.register.append(Erased(row.erasure_id, mark, row.at, decision, row.kept_until))
        eraser.writer.run(partial(_destroy, row=row, person=person))
    if rows:
        empty_logs(eraser)
    return len(rows)


def empty_logs(eraser: Eraser) -> bool:
    """Empty both write-ahead logs, where what was erased still stands; False when somebody reads there (try again)."""
    secrets_are, database_is = eraser.secrets.truncate_wal(), eraser.writer.truncate_wal()
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
        again = partial(_again, entry=entry, person=marks.get(entry.mark), deadlines=eraser.deadlines)
        eraser.writer.run(again)
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
    return uow.erasures.kept(erasure_id, uow.secrets.consent_key(PersonId(erasure_id)))


def _find(uow: UnitOfWork, erasure_id: str) -> ErasureRow:
    row = uow.erasures.find(erasure_id=erasure_id)
    if row is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no erasure has this id", pointer="/erasure_id")
    return row


def _write(
    uow: UnitOfWork,
    held: Held,
    erasure_id: str,
    jws: str,
    until: datetime | None,
    deadlines: Deadlines,
    *,
    replayed: bool,
) -> None:
    months = [] if held.person is None else uow.secrets.traces_of(held.person)
    body = {
        "event": EVENT,
        "erasure_id": erasure_id,
        "decision": jws,
        "rows": dict(held.counts),
        "traces_until": instant(max(trace.expires_at for trace in months)) if months else None,
        "proof_until": None if until is None else instant(until),
        "final_by": instant(deadlines.final_by(uow.at)),
        "replayed": replayed,
    }
    uow.erasures.erase(
        held,
        body,
        erasure_id=erasure_id,
        event_id=EventId(new_uuid()),
        decision=seal.jws_digest(jws),
        keep_until=until,
    )


def _again(uow: UnitOfWork, entry: Erased, person: PersonId | None, deadlines: Deadlines) -> None:
    held = uow.erasures.held(person) if person is not None else Held(None, (), (), {})
    until = entry.proof_until if held.events else None
    _write(uow, held, entry.erasure_id, entry.decision, until, deadlines, replayed=True)


def _destroy(uow: UnitOfWork, row: ErasureRow, person: PersonId) -> None:
    uow.secrets.erase(person, row.erasure_id, proof_until=row.kept_until)
    uow.erasures.finished(row.erasure_id)


def _destroy_copy(uow: UnitOfWork, copy: PersonId, erasure_id: str) -> None:
    uow.secrets.erase(copy, erasure_id)


def _decision_of(uow: UnitOfWork, row: ErasureRow) -> str:
    return str(uow.erasures.opening(row, uow.secrets.system_key).body["decision"])
