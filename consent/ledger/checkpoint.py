"""What a log signs: its name, its size and its root (C2SP tlog-checkpoint, a signed note of three lines)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from consent.ledger.exact import HASH_BYTES, LedgerError, check_hash, check_size, decimal, from_base64, to_base64, utf8
from consent.ledger.note import KeyType, Signature, SignerKey, VerifierKey, open_text, sign_note

__all__ = ["Checkpoint", "KeyType", "Signature", "SignedCheckpoint", "SignerKey", "VerifierKey", "open_note", "sign"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of the log named ``origin``, with ``size`` leaves under ``root`` (32 bytes).

    ``extensions`` are read because the specification lets others write them; Maillon's log has none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ``LedgerError``: ``checkpoint_line``, ``checkpoint_size``, ``checkpoint_root``."""
        if not all(line and "\n" not in line for line in (self.origin, *self.extensions)):
            raise LedgerError("checkpoint_line")
        check_size(self.size, "checkpoint_size")
        check_hash(self.root, "checkpoint_root")

    def encode(self) -> bytes:
        """Return the text that is signed."""
        return "".join(
            f"{line}\n" for line in (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        ).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the checkpoint whose one text is ``text``.

        Raises ``LedgerError``: ``checkpoint_line``, ``checkpoint_size``, ``checkpoint_root``.
        """
        lines = utf8(text, "checkpoint_line").split("\n")
        if len(lines) < 4 or lines.pop() != "":
            raise LedgerError("checkpoint_line")
        origin, size, root, *extensions = lines
        return cls(
            origin,
            decimal(size, "checkpoint_size"),
            from_base64(root, "checkpoint_root", HASH_BYTES),
            tuple(extensions),
        )


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, the note it came in, and the known keys that signed it (one signature a key, all verified)."""

    checkpoint: Checkpoint
    note: bytes
    text: bytes
    signatures: tuple[Signature, ...]

    def signed_by(self, keys: Iterable[VerifierKey]) -> tuple[Signature, ...]:
        """Return the signatures of ``keys``."""
        wanted = set(keys)
        return tuple(signature for signature in self.signatures if signature.key in wanted)


def sign(checkpoint: Checkpoint, signers: Sequence[SignerKey]) -> bytes:
    """Return the note of ``checkpoint`` signed by each of the log's keys ``signers``, whose name is its origin.

    Raises ``LedgerError("signer")`` for another name or kind of key.
    """
    for signer in signers:
        if signer.name != checkpoint.origin or signer.type is not KeyType.ED25519:
            raise LedgerError("signer")
    return sign_note(checkpoint.encode(), signers)


def open_note(note: bytes, verifiers: Iterable[VerifierKey]) -> SignedCheckpoint:
    """Return the checkpoint in ``note`` and who of ``verifiers`` (the log's keys, witnesses) signed it.

    That the log signed it, and enough witnesses, is for :class:`consent.ledger.proof.Policy` to say. Raises as
    :func:`consent.ledger.note.open_text` and :meth:`Checkpoint.parse`.
    """
    opened = open_text(note, verifiers)
    return SignedCheckpoint(Checkpoint.parse(opened.text), note, opened.text, opened.signatures)
