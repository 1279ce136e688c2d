"""A proof that one leaf is in the log, whole in itself: ``.tlog-proof`` (C2SP tlog-proof), and whom to believe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from consent.ledger.checkpoint import SignedCheckpoint, VerifierKey, open_note
from consent.ledger.exact import HASH_BYTES, LedgerError, check_hash, check_size, decimal, from_base64, to_base64, utf8
from consent.ledger.merkle import verify_inclusion
from consent.ledger.note import KeyType

_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
"""The longest proof any tree of these formats can have."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to believe about one log: its keys, all named ``origin``, and ``quorum`` of its ``witnesses``.

    ``faulty`` witnesses may lie without two different trees both passing: ``quorum > (witnesses + faulty) / 2``.
    """

    origin: str
    log_keys: frozenset[VerifierKey]
    witnesses: frozenset[VerifierKey] = frozenset()
    quorum: int = 0
    faulty: int = 0

    def __post_init__(self) -> None:
        """Raise ``LedgerError``: ``policy_log``, ``policy_witness``, or as :func:`check_quorum`."""
        if not self.log_keys or any(
            key.name != self.origin or key.type is not KeyType.ED25519 for key in self.log_keys
        ):
            raise LedgerError("policy_log")
        distinct = {key.public for key in self.witnesses | self.log_keys}
        if len(distinct) != len(self.witnesses) + len(self.log_keys) or any(
            key.type is not KeyType.COSIGNATURE_V1 for key in self.witnesses
        ):
            raise LedgerError("policy_witness")
        check_quorum(len(self.witnesses), self.faulty, self.quorum)

    def open(self, note: bytes) -> SignedCheckpoint:
        """Return the checkpoint in ``note``, signed by a key of the log and cosigned by a quorum of witnesses.

        Raises as :func:`consent.ledger.checkpoint.open_note`, and ``LedgerError``: ``origin``, ``log_signature``,
        ``quorum``.
        """
        signed = open_note(note, self.log_keys | self.witnesses)
        if signed.checkpoint.origin != self.origin:
            raise LedgerError("origin")
        if not signed.signed_by(self.log_keys):
            raise LedgerError("log_signature")
        if len(signed.signed_by(self.witnesses)) < self.quorum:
            raise LedgerError("quorum")
        return signed


def check_quorum(witnesses: int, faulty: int, quorum: int) -> None:
    """Raise ``LedgerError("policy_quorum")`` unless any two quorums share a witness that does not lie.

    ``quorum > (witnesses + faulty) / 2`` of ``witnesses``, of which ``faulty`` may lie; without witnesses, 0.
    """
    if not 0 <= faulty <= witnesses or quorum > witnesses:
        raise LedgerError("policy_quorum")
    if quorum < 0 or (witnesses and 2 * quorum <= witnesses + faulty):
        raise LedgerError("policy_quorum")


@dataclass(frozen=True, slots=True)
class LogProof:
    """Leaf ``index`` and its ``hashes`` up to the root of ``checkpoint``, a signed note as it came.

    ``extra`` is nobody's word: it is not covered by any signature.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Raise ``LedgerError``: ``proof_index``, ``proof_hash``."""
        check_size(self.index, "proof_index")
        if len(self.hashes) > MAX_HASHES:
            raise LedgerError("proof_hash")
        for each in self.hashes:
            check_hash(each, "proof_hash")

    def encode(self) -> bytes:
        """Return the ``.tlog-proof``."""
        lines = [_FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {to_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += [to_base64(each) for each in self.hashes]
        return "".join(f"{line}\n" for line in [*lines, ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the proof whose one form is ``data``; its checkpoint is not opened.

        Raises ``LedgerError``: ``proof_form``, ``proof_extra``, ``proof_index``, ``proof_hash``.
        """
        head, gap, checkpoint = data.partition(b"\n\n")
        first, *lines = utf8(head, "proof_form").split("\n")
        if first != _FIRST_LINE or not gap:
            raise LedgerError("proof_form")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0).removeprefix("extra "), "proof_extra")
        if not lines or not lines[0].startswith("index "):
            raise LedgerError("proof_index")
        index = decimal(lines.pop(0).removeprefix("index "), "proof_index")
        return cls(index, tuple(from_base64(line, "proof_hash", HASH_BYTES) for line in lines), checkpoint, extra)

    def verify(self, leaf_hash: bytes, policy: Policy) -> SignedCheckpoint:
        """Return the checkpoint under which the leaf hashing to ``leaf_hash`` stands, by ``policy``.

        Raises as :meth:`Policy.open` and :func:`consent.ledger.merkle.verify_inclusion`.
        """
        signed = policy.open(self.checkpoint)
        verify_inclusion(self.index, signed.checkpoint.size, leaf_hash, self.hashes, signed.checkpoint.root)
        return signed
