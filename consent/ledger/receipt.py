"""What a person keeps of a consent event: everything needed to check, without the hub, that it is in the log.

A JSON object: the record as its collector signed it, the digest of the text shown, the event's leaf (with the salt of
its commitment), and a ``.tlog-proof`` with the signed checkpoint and its cosignatures. It holds no pseudonym.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import rfc8785

from consent.ledger import envelope
from consent.ledger.dictionary import DICTIONARY
from consent.ledger.envelope import Link
from consent.ledger.exact import LedgerError, is_one, utf8
from consent.ledger.jws import from_base64url, read_object, to_base64url
from consent.ledger.leaf import SALT_BYTES, EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from consent.ledger.opening import OPENING, opening_members, read_leaf

TYPE: Final = "maillon-receipt"
MAX_BYTES: Final = 4096
"""What a receipt should fit in; past it, the record inside is deflated."""
MAX_RECORD: Final = 1 << 17
_MEMBERS: Final = {"v", "type", "record", "notice_sha256", "event", "proof"}
_EVENT: Final = OPENING | {"class", "subject"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt, read and not verified. ``record`` is the collector's compact JWS, ``notice_sha256`` hex, ``proof`` a
    ``.tlog-proof``."""

    record: str
    notice_sha256: str | None
    leaf: Leaf
    r32: bytes
    link: Link | None
    proof: bytes

    def encode(self) -> bytes:
        """Return the JSON (RFC 8785), its record readable if that fits :data:`MAX_BYTES`, else deflated."""
        readable = rfc8785.dumps(self._value(_open_record(self.record)))
        return readable if len(readable) <= MAX_BYTES else rfc8785.dumps(self._value(_deflated(self.record)))

    def _value(self, record: Any) -> dict[str, Any]:
        return {
            "v": 1,
            "type": TYPE,
            "record": record,
            "notice_sha256": self.notice_sha256,
            "event": {
                "class": self.leaf.event_class.value,
                **opening_members(self.leaf, self.r32),
                "subject": None if self.link is None else self.link.to_wire(),
            },
            "proof": utf8(self.proof, "receipt_form"),
        }

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Self:
        """Return the receipt of a JSON object. Its leaf is computed: it is what the proof must then prove.

        Raises ``LedgerError``: ``receipt_form``, ``record_form``.
        """
        if not isinstance(value, Mapping) or set(value) != _MEMBERS or value["type"] != TYPE or not is_one(value["v"]):
            raise LedgerError("receipt_form")
        event, notice, proof = value["event"], value["notice_sha256"], value["proof"]
        if not isinstance(event, Mapping) or set(event) != _EVENT or not isinstance(proof, str):
            raise LedgerError("receipt_form")
        if not (notice is None or isinstance(notice, str)) or event["class"] != EventClass.CONSENT.value:
            raise LedgerError("receipt_form")
        record = _record(value["record"])
        link = None if event["subject"] is None else Link.from_wire(event["subject"])
        shown = {name: event[name] for name in OPENING}
        leaf = read_leaf(EventClass.CONSENT, shown, envelope.encode(record, link))
        r32 = from_base64url(event["r32"], "receipt_form", SALT_BYTES)
        try:
            return cls(record, notice, leaf, r32, link, proof.encode())
        except UnicodeEncodeError:
            raise LedgerError("receipt_form") from None


def leaf_hash_of(receipt: Receipt) -> bytes:
    """Return the hash of the leaf the receipt is about (32 bytes)."""
    return leaf_hash(receipt.leaf.encode())


def _open_record(record: str) -> Any:
    """Return a JWS with its payload in the open, or as it is when its payload has another spelling than RFC 8785's."""
    protected, payload, signature = record.split(".")
    said = read_object(from_base64url(payload, "record_form"), "record_form")
    shown = {"protected": protected, "payload": said, "signature": signature}
    return shown if _record(shown) == record else record


def _deflated(record: str) -> dict[str, str]:
    protected, payload, signature = record.split(".")
    deflater = zlib.compressobj(9, zdict=DICTIONARY)
    packed = deflater.compress(from_base64url(payload, "record_form")) + deflater.flush()
    return {"protected": protected, "deflated": to_base64url(packed), "signature": signature}


def _record(value: object) -> str:
    """Return the compact JWS of a receipt's ``record``, in any of its three spellings."""
    if isinstance(value, str):
        return _ascii(value)
    if not isinstance(value, Mapping) or not all(isinstance(value.get(end), str) for end in ("protected", "signature")):
        raise LedgerError("record_form")
    if set(value) == {"protected", "payload", "signature"}:
        try:
            payload = rfc8785.dumps(value["payload"])
        except (ValueError, RecursionError):
            raise LedgerError("record_form") from None
    elif set(value) == {"protected", "deflated", "signature"}:
        payload = _inflate(from_base64url(value["deflated"], "record_form"))
    else:
        raise LedgerError("record_form")
    return _ascii(f"{value['protected']}.{to_base64url(payload)}.{value['signature']}")


def _inflate(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(zdict=DICTIONARY)
    try:
        data = inflater.decompress(packed, MAX_RECORD)
    except zlib.error:
        raise LedgerError("record_form") from None
    if not inflater.eof or inflater.unused_data:
        raise LedgerError("record_form")
    return data


def _ascii(record: str) -> str:
    if not record.isascii() or record.startswith("{"):
        raise LedgerError("record_form")
    return record
