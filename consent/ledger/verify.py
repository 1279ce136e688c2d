"""Checking a receipt offline, with public keys only, and saying in plain words what that proves and what it does not.

The same for the whole log: :func:`consent.ledger.replay.replay`, found here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from consent.ledger import words
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, VerifierKey
from consent.ledger.exact import LedgerError, is_one
from consent.ledger.jws import Collected, collectors_of, from_base64url, open_record
from consent.ledger.keychange import Action, KeyChange, KeyHistory, KeySpan
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import split_note
from consent.ledger.opening import instant, read_leaf
from consent.ledger.proof import LogProof, Policy
from consent.ledger.receipt import Receipt, leaf_hash_of
from consent.ledger.replay import Fault, Reveal, replay

__all__ = ["Fault", "Reveal", "TrustedKeys", "Verdict", "replay", "verify_proof", "verify_receipt"]

KEYS_TYPE: Final = "maillon-keys"
_KEYS: Final = {"v", "type", "origin", "log", "key_changes", "witnesses", "quorum", "faulty", "collectors"}
_CLOCK_SKEW_US: Final = 5_000_000
"""How far ahead of the hub's clock a collector's may be (docs/protocol.md)."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Whose word counts: the log's keys, ``quorum`` of its witnesses (of which ``faulty`` may lie), the collectors'
    identity keys by partner (32 bytes each, past ones included)."""

    history: KeyHistory
    witnesses: frozenset[VerifierKey]
    quorum: int
    faulty: int
    collectors: Mapping[str, frozenset[bytes]]

    def policy(self, size: int) -> Policy:
        """Return whom to believe about the tree of ``size`` leaves. Raises as :class:`Policy`."""
        return Policy(self.history.origin, self.history.at(size), self.witnesses, self.quorum, self.faulty)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Self:
        """Return the keys of a JSON object ``{v: 1, type: "maillon-keys", origin, log: [vkey], key_changes: [...],
        witnesses: [vkey], quorum, faulty, collectors}``.

        ``collectors`` is ``{slug: [base64url key]}``, or ``{directory: JWS, root: JWK}``: a directory the root signed.
        A key change is ``{action, vkey, event: {event_id, at, r32, ciphertext_digest}, proof}``, proved under the keys
        before it. Raises ``LedgerError``: ``keys_form``, and as what it reads.
        """
        if (
            not isinstance(value, Mapping)
            or set(value) != _KEYS
            or value["type"] != KEYS_TYPE
            or not is_one(value["v"])
        ):
            raise LedgerError("keys_form")
        origin, quorum, faulty = value["origin"], value["quorum"], value["faulty"]
        if not isinstance(origin, str) or type(quorum) is not int or type(faulty) is not int:
            raise LedgerError("keys_form")
        keys = cls(
            KeyHistory(origin, tuple(KeySpan(key) for key in _vkeys(value["log"]))),
            frozenset(_vkeys(value["witnesses"])),
            quorum,
            faulty,
            _collectors(value["collectors"]),
        )
        keys.policy(0)  # so that a file nobody could satisfy is refused when it is read
        for change in _list(value["key_changes"]):
            keys = keys._after(change)
        return keys

    def _after(self, change: object) -> Self:
        """Return these keys with one more change, proved by a checkpoint that the keys of its time signed."""
        if not isinstance(change, Mapping) or set(change) != {"action", "vkey", "event", "proof"}:
            raise LedgerError("keys_form")
        if not all(isinstance(change[name], str) for name in ("action", "vkey", "proof")):
            raise LedgerError("keys_form")
        if change["action"] not in tuple(Action):
            raise LedgerError("keys_form")
        proof, action = _proof(change["proof"]), Action(change["action"])
        before = self.history.at(proof.index) if action is Action.INTRODUCE else frozenset()
        said = KeyChange(action, VerifierKey.parse(change["vkey"]), before)
        leaf = read_leaf(EventClass.KEY, change["event"], said.encode())
        changed = type(self)(
            self.history.after(said, proof.index), self.witnesses, self.quorum, self.faulty, self.collectors
        )
        signed = verify_proof(proof, leaf_hash(leaf.encode()), changed)
        size = signed.checkpoint.size
        # The overlap: who was trusted introduces, who comes in shows that it holds its key, who stays retires.
        if not signed.signed_by(self.history.at(size) - {said.key}):
            raise LedgerError("log_signature")
        if said.action is Action.INTRODUCE and not signed.signed_by({said.key}):
            raise LedgerError("log_signature")
        return changed


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt is worth. ``code`` is None when it holds; the rest then says what was found.

    ``record`` is the payload the collector signed (27560 members); ``witnesses`` maps each that cosigned to its time
    in seconds since 1970.
    """

    code: str | None
    record: Mapping[str, Any] | None = None
    collector: str = ""
    origin: str = ""
    index: int = 0
    size: int = 0
    at_us: int = 0
    notice_sha256: str | None = None
    witnesses: tuple[tuple[str, int], ...] = ()
    quorum: int = 0

    @property
    def holds(self) -> bool:
        """Whether everything that could be checked is true."""
        return self.code is None

    def reason(self, language: words.Language) -> str:
        """Return in plain words why the receipt is refused; empty when it holds."""
        return "" if self.code is None else words.reason(self.code, language)

    def proves(self, language: words.Language) -> list[str]:
        """Return in plain words what the receipt proves; nothing when it does not hold."""
        if self.code is not None:
            return []
        names = ", ".join(name for name, _ in self.witnesses)
        until = instant(max((time for _, time in self.witnesses), default=0) * 1_000_000)
        values = {
            "collector": self.collector,
            "notice": self.notice_sha256,
            "index": self.index,
            "origin": self.origin,
            "at": instant(self.at_us),
            "size": self.size,
            "count": len(self.witnesses),
            "until": until,
            "names": names,
        }
        chosen = ["record", "notice", "logged", "witnessed"]
        left_out = {"notice"} if self.notice_sha256 is None else set()
        left_out |= {"witnessed"} if not self.witnesses else set()
        return [words.say(words.PROVES[name], language, **values) for name in chosen if name not in left_out]

    def does_not_prove(self, language: words.Language) -> list[str]:
        """Return in plain words what the receipt leaves open."""
        left_open = [name for name in words.DOES_NOT_PROVE if name != "one_log" or not self.quorum]
        return [words.say(words.DOES_NOT_PROVE[name], language) for name in left_open]


def verify_receipt(receipt: Mapping[str, Any], keys: TrustedKeys) -> Verdict:
    """Return what ``receipt`` (a JSON object) is worth under ``keys``. Never raises for what the receipt holds."""
    try:
        read = Receipt.parse(receipt)
        collected = open_record(read.record, keys.collectors)
        _check_record(read, collected)
        proof = LogProof.parse(read.proof)
        signed = verify_proof(proof, leaf_hash_of(read), keys)
        witnesses = sorted((each.key.name, each.time or 0) for each in signed.signed_by(keys.witnesses))
        for _, time in witnesses:
            instant(time * 1_000_000)  # no calendar has it: refused here, rather than when it is said
        return Verdict(
            None,
            record=collected.payload,
            collector=collected.collector,
            origin=signed.checkpoint.origin,
            index=proof.index,
            size=signed.checkpoint.size,
            at_us=read.leaf.at_us,
            notice_sha256=read.notice_sha256,
            witnesses=tuple(witnesses),
            quorum=keys.quorum,
        )
    except LedgerError as error:
        return Verdict(error.code)


def _check_record(receipt: Receipt, collected: Collected) -> None:
    """Hold what the hub adds against what the collector signed: the text shown, and the time."""
    notice = collected.payload.get("notice")
    if receipt.notice_sha256 != (notice.get("sha256") if isinstance(notice, Mapping) else None):
        raise LedgerError("notice")
    check_time(collected, receipt.leaf.at_us)


def check_time(collected: Collected, at: int) -> None:
    """Raise ``LedgerError("record_time")`` unless the log's time of a record (microseconds since 1970) lies in the life
    of the certificate it was signed under, and not before it was said."""
    if not collected.issued * 1_000_000 - _CLOCK_SKEW_US <= at < collected.expires * 1_000_000:
        raise LedgerError("record_time")
    if _said_at(collected.payload.get("at")) > at + _CLOCK_SKEW_US:
        raise LedgerError("record_time")


def _said_at(text: object) -> int:
    try:
        if not isinstance(text, str) or not text.endswith("Z"):
            raise ValueError
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except ValueError:
        raise LedgerError("record_time") from None


def verify_proof(proof: LogProof, hashed: bytes, keys: TrustedKeys) -> SignedCheckpoint:
    """Verify ``proof`` of the leaf ``hashed`` under the keys of the size its checkpoint states, which the signature
    then has to confirm. Raises as ``LogProof.verify``."""
    size = Checkpoint.parse(split_note(proof.checkpoint)[0]).size
    return proof.verify(hashed, keys.policy(size))


def _proof(text: str) -> LogProof:
    try:
        return LogProof.parse(text.encode())
    except UnicodeEncodeError:
        raise LedgerError("keys_form") from None


def _collectors(value: object) -> Mapping[str, frozenset[bytes]]:
    if not isinstance(value, Mapping):
        raise LedgerError("keys_form")
    if set(value) == {"directory", "root"} and isinstance(value["directory"], str):
        return collectors_of(value["directory"], value["root"])
    return {
        slug: frozenset(from_base64url(key, "keys_form", 32) for key in _list(keys)) for slug, keys in value.items()
    }


def _vkeys(value: object) -> list[VerifierKey]:
    keys = _list(value)
    if not all(isinstance(key, str) for key in keys):
        raise LedgerError("keys_form")
    return [VerifierKey.parse(key) for key in keys]


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise LedgerError("keys_form")
    return value
