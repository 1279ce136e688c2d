"""A witness of a log: what it is asked, when it may say yes, and what two contradicting checkpoints prove.

C2SP tlog-witness (``add-checkpoint``) and tlog-cosignature. The caller holds the state and makes it durable by
compare-and-set on its size **before** the cosignature leaves; nothing here keeps anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

from consent.ledger.checkpoint import SignedCheckpoint, SignerKey, VerifierKey, open_note
from consent.ledger.exact import HASH_BYTES, LedgerError, decimal, from_base64, to_base64, utf8
from consent.ledger.fork import Fork
from consent.ledger.merkle import EMPTY_ROOT, verify_growth
from consent.ledger.note import Signature, read_line, split_lines, split_note, verify_lines
from consent.ledger.proof import MAX_HASHES

SIZE_MEDIA_TYPE: Final = "text/x.tlog.size"
"""Content type of the 409 that tells the size a witness knows."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign ``checkpoint`` (a signed note), which adds to the tree of ``old_size`` by ``proof``."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old_size}", *(to_base64(each) for each in self.proof), ""]
        return "".join(f"{line}\n" for line in lines).encode() + self.checkpoint

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the request whose one form is ``body``; its checkpoint is not opened.

        Raises ``LedgerError("request_form")``.
        """
        head, gap, checkpoint = body.partition(b"\n\n")
        old, *proof = utf8(head, "request_form").split("\n")
        if not gap or not old.startswith("old ") or len(proof) > MAX_HASHES:
            raise LedgerError("request_form")
        return cls(
            decimal(old.removeprefix("old "), "request_form"),
            tuple(from_base64(line, "request_form", HASH_BYTES) for line in proof),
            checkpoint,
        )


@dataclass(frozen=True, slots=True)
class WitnessState:
    """What a witness knows of one log: its name, its keys, and the last tree it cosigned (``note``; none: size 0)."""

    origin: str
    keys: frozenset[VerifierKey]
    size: int = 0
    root: bytes = EMPTY_ROOT
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The witness may cosign ``signed``, once ``state`` is durable in the place of the one it had."""

    status: ClassVar[int] = 200
    state: WitnessState
    signed: SignedCheckpoint


@dataclass(frozen=True, slots=True)
class StaleOldSize:
    """The request starts from another tree than the last cosigned one, whose ``size`` the answer tells (409)."""

    status: ClassVar[int] = 409
    size: int

    @property
    def body(self) -> bytes:
        """The body of the answer, of type :data:`SIZE_MEDIA_TYPE`."""
        return f"{self.size}\n".encode()


@dataclass(frozen=True, slots=True)
class Conflict:
    """The log signed another tree of the size the witness cosigned: proof of a fork (409)."""

    status: ClassVar[int] = 409
    fork: Fork


@dataclass(frozen=True, slots=True)
class Refused:
    """A request refused: 400 malformed, 403 by no known key, 404 of another log, 422 by a proof that is none.

    A 422 comes with a checkpoint the log did sign (``note``): worth keeping, for it may be one half of a fork.
    """

    status: int
    code: str
    note: bytes = b""


Answer = Accepted | StaleOldSize | Conflict | Refused


def may_cosign(state: WitnessState, body: bytes) -> Answer:
    """Return what a witness in ``state`` answers to ``body``, in the order and with the statuses of tlog-witness."""
    try:
        request = AddCheckpoint.parse(body)
        text, _ = split_note(request.checkpoint)
    except LedgerError as error:
        return Refused(400, error.code)
    if text.partition(b"\n")[0] != state.origin.encode():
        return Refused(404, "origin")
    try:
        signed = open_note(request.checkpoint, state.keys)
    except LedgerError as error:
        return Refused(403 if error.code in ("unsigned", "signature") else 400, error.code)
    new = signed.checkpoint
    if request.old_size > new.size:
        return Refused(400, "old_size")
    if request.old_size != state.size:
        return StaleOldSize(state.size)
    if new.size == state.size and new.root != state.root:
        return Conflict(Fork(state.note or request.checkpoint, request.checkpoint))
    try:
        verify_growth(state.size, new.size, request.proof, state.root, new.root)
    except LedgerError as error:
        return Refused(422, error.code, request.checkpoint)
    return Accepted(replace(state, size=new.size, root=new.root, note=request.checkpoint), signed)


def cosign(signed: SignedCheckpoint, key: SignerKey, time: int) -> bytes:
    """Return the cosignature line of ``key`` on ``signed`` at ``time`` (seconds since 1970): the answer's body.

    Raises ``LedgerError("signature_time")`` for a key of another kind.
    """
    return key.sign(signed.text, time)


def read_cosignatures(signed: SignedCheckpoint, body: bytes, witnesses: Iterable[VerifierKey]) -> tuple[Signature, ...]:
    """Return the cosignatures of ``witnesses`` in a witness's answer ``body``; those of others are ignored.

    Raises ``LedgerError``: ``note_form``, and as :func:`consent.ledger.note.verify_lines`: ``unsigned`` for none.
    """
    return verify_lines(signed.text, split_lines(utf8(body, "note_form")), witnesses)


def with_cosignatures(note: bytes, cosignatures: Sequence[Signature]) -> bytes:
    """Return ``note`` with the lines of ``cosignatures`` it has not; one line a key, the first that came."""
    _, lines = split_note(note)
    there = {read_line(line)[:2] for line in lines}
    return note + b"".join(each.line for each in cosignatures if (each.key.name, each.key.key_id) not in there)
