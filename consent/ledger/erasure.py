"""What proves an erasure, without telling whom: the DPO's signed decision, what went, and its place in the log.

A JSON object like a consent receipt: the event's content in the open (no pseudonym stands in it), what opens its leaf,
and a ``.tlog-proof``. Whoever holds it can read, through its id, what the law keeps for a while; nobody else can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from consent.ledger import envelope
from consent.ledger.exact import LedgerError, is_one, utf8
from consent.ledger.jws import Jws, from_base64url
from consent.ledger.leaf import SALT_BYTES, EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from consent.ledger.opening import OPENING, opening_members, read_leaf
from consent.ledger.proof import LogProof
from consent.ledger.verify import TrustedKeys, verify_proof

TYPE: Final = "maillon-erasure-receipt"
DECISION: Final = "maillon-erasure+jws"
EVENT: Final = "erasure:person:erased"
_MEMBERS: Final = {"v", "type", "erasure", "event", "proof"}


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """An erasure receipt, read and not verified. ``body``: the event's content; ``proof``: a ``.tlog-proof``."""

    body: Mapping[str, Any]
    leaf: Leaf
    r32: bytes
    proof: bytes

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "v": 1,
            "type": TYPE,
            "erasure": dict(self.body),
            "event": opening_members(self.leaf, self.r32),
            "proof": utf8(self.proof, "receipt_form"),
        }

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Self:
        """Return the receipt of a JSON object. Its leaf is computed: it is what the proof must then prove.

        Raises ``LedgerError("receipt_form")``.
        """
        if not isinstance(value, Mapping) or set(value) != _MEMBERS or value["type"] != TYPE or not is_one(value["v"]):
            raise LedgerError("receipt_form")
        body, event, proof = value["erasure"], value["event"], value["proof"]
        if not isinstance(body, Mapping) or not isinstance(proof, str) or body.get("event") != EVENT:
            raise LedgerError("receipt_form")
        if not isinstance(event, Mapping) or set(event) != OPENING:
            raise LedgerError("receipt_form")
        try:
            payload, proof_bytes = envelope.encode(body, None), proof.encode()
        except (ValueError, RecursionError):
            raise LedgerError("receipt_form") from None
        r32 = from_base64url(event["r32"], "receipt_form", SALT_BYTES)
        return cls(body, read_leaf(EventClass.ERASURE, event, payload), r32, proof_bytes)


@dataclass(frozen=True, slots=True)
class ErasureVerdict:
    """What an erasure receipt is worth. ``code`` is None when it holds. ``decision``: what the DPO signed."""

    code: str | None
    body: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    origin: str = ""
    index: int = 0
    size: int = 0
    at_us: int = 0
    witnesses: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything that could be checked is true."""
        return self.code is None


def verify_erasure(value: Mapping[str, Any], keys: TrustedKeys) -> ErasureVerdict:
    """Return what an erasure receipt is worth under ``keys``. Never raises for what the receipt holds.

    The DPO's own signature is for whoever has the DPO's key: the log's keys say that the hub logged this decision.
    """
    try:
        read = ErasureReceipt.parse(value)
        decision = Jws.read(read.body.get("decision"), DECISION, "record_form")
        proof = LogProof.parse(read.proof)
        signed = verify_proof(proof, leaf_hash(read.leaf.encode()), keys)
        return ErasureVerdict(
            None,
            body=read.body,
            decision=decision.payload,
            origin=signed.checkpoint.origin,
            index=proof.index,
            size=signed.checkpoint.size,
            at_us=read.leaf.at_us,
            witnesses=tuple(sorted(each.key.name for each in signed.signed_by(keys.witnesses))),
        )
    except LedgerError as error:
        return ErasureVerdict(error.code)
