"""Signed notes (C2SP signed-note) and the two kinds of key that sign ours: a log's, and a witness's cosignature/v1.

A note is text, an empty line, and signature lines ``— <name> base64(key id ‖ signature)``. Signatures of unknown keys
are ignored, as the specification demands; one of a known key that fails refuses the whole note, as it advises. A key
that signs a note twice counts once, and both its signatures must hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent.ledger.exact import MAX_SIZE, LedgerError, from_base64, to_base64, utf8

MAX_NOTE: Final = 1 << 20
"""Largest note read, in bytes; the specification asks for room for 16 signatures of 5 kB."""
MAX_SIGNATURES: Final = 100
KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8
_ID_BYTES: Final = 4
_DASH: Final = "— "
_PRIVATE: Final = "PRIVATE+KEY+"


class KeyType(IntEnum):
    """The signature types of signed-note that are read and written here; the byte before a public key."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key: ``name`` (a log's origin, or a witness's name), what it signs, and its 32 bytes (Ed25519)."""

    name: str
    type: KeyType
    public: bytes

    def __post_init__(self) -> None:
        """Raise ``LedgerError``: ``key_name``, ``key_length``."""
        _check_name(self.name, "key_name")
        if len(self.public) != KEY_BYTES:
            raise LedgerError("key_length")

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before its signatures."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.type]) + self.public).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """``<name>+<key id in hex>+<base64(type ‖ key)>``."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.type]) + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Return the key whose one form is ``vkey``; raises ``LedgerError("vkey")``."""
        name, _, material = _read_key(vkey, "vkey")
        key = cls(name, _key_type(material, "vkey"), material[1:])
        if key.vkey != vkey:
            raise LedgerError("vkey")
        return key

    def verify(self, text: bytes, signature: bytes) -> int | None:
        """Return when ``signature`` says it was made (seconds since 1970; None for a log's key).

        Raises ``LedgerError("signature")`` unless this key signed ``text`` so.
        """
        time = None
        if self.type is KeyType.COSIGNATURE_V1:
            time, signature = int.from_bytes(signature[:_TIME_BYTES], "big"), signature[_TIME_BYTES:]
            if time > MAX_SIZE:
                raise LedgerError("signature")
            text = cosigned(text, time)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            raise LedgerError("signature") from None
        return time


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key: the same, with its 32-byte seed, which no representation of this object shows."""

    name: str
    type: KeyType
    _private: Ed25519PrivateKey

    @classmethod
    def from_seed(cls, name: str, seed: bytes, key_type: KeyType = KeyType.ED25519) -> Self:
        """Return the key of this 32-byte seed. Raises ``LedgerError``: ``key_name``, ``key_length``."""
        _check_name(name, "key_name")
        if len(seed) != KEY_BYTES:
            raise LedgerError("key_length")
        return cls(name, key_type, Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def parse(cls, skey: str) -> Self:
        """Return the key of ``PRIVATE+KEY+<name>+<key id>+<base64(type ‖ seed)>``; raises ``LedgerError("skey")``."""
        if not skey.startswith(_PRIVATE):
            raise LedgerError("skey")
        name, key_id, material = _read_key(skey.removeprefix(_PRIVATE), "skey")
        key = cls.from_seed(name, material[1:], _key_type(material, "skey"))
        if key.verifier.key_id.hex() != key_id:
            raise LedgerError("skey")
        return key

    @property
    def skey(self) -> str:
        """``PRIVATE+KEY+<name>+<key id>+<base64(type ‖ seed)>``: a secret, for a key file."""
        material = to_base64(bytes([self.type]) + self._private.private_bytes_raw())
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{material}"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.type, self._private.public_key().public_bytes_raw())

    def sign(self, text: bytes, time: int | None = None) -> bytes:
        """Return the signature line of ``text``, its newline included. A cosignature, and nothing else, has a time.

        Raises ``LedgerError("signature_time")``.
        """
        if (time is None) is (self.type is KeyType.COSIGNATURE_V1) or not 0 <= (time or 0) <= MAX_SIZE:
            raise LedgerError("signature_time")
        stamp = b""
        if time is not None:
            text, stamp = cosigned(text, time), time.to_bytes(_TIME_BYTES, "big")
        blob = self.verifier.key_id + stamp + self._private.sign(text)
        return f"{_DASH}{self.name} {to_base64(blob)}\n".encode()

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"SignerKey({self.name!r})"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature that holds: whose, its line in the note, and when it says it was made (cosignatures)."""

    key: VerifierKey
    line: bytes
    time: int | None


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note at least one known key signed. ``signatures`` hold, one a key; ``text`` ends in a newline."""

    text: bytes
    signatures: tuple[Signature, ...]


def cosigned(text: bytes, time: int) -> bytes:
    """Return what a cosignature/v1 signs: two lines, then the checkpoint's whole text (C2SP tlog-cosignature)."""
    return f"cosignature/v1\ntime {time}\n".encode() + text


def sign_note(text: bytes, signers: Sequence[SignerKey]) -> bytes:
    """Return ``text`` signed by each of ``signers`` (log keys). Raises ``LedgerError("note_text")``, ``("signer")``."""
    if not signers:
        raise LedgerError("signer")
    if not text.endswith(b"\n") or not _is_clean(utf8(text, "note_text")):
        raise LedgerError("note_text")
    return text + b"\n" + b"".join(signer.sign(text) for signer in signers)


def open_text(note: bytes, verifiers: Iterable[VerifierKey]) -> SignedNote:
    """Return the text of ``note`` and who of ``verifiers`` signed it.

    Raises ``LedgerError``: ``note_size``, ``note_form``, and as :func:`verify_lines`.
    """
    text, lines = split_note(note)
    return SignedNote(text, verify_lines(text, lines, verifiers))


def verify_lines(text: bytes, lines: Iterable[str], verifiers: Iterable[VerifierKey]) -> tuple[Signature, ...]:
    """Return the signatures of ``verifiers`` on ``text`` among signature ``lines``, one a key, in the order they came.

    Raises ``LedgerError``: ``signature_line``, ``ambiguous_key``, ``signature`` for a known key's that fails,
    ``unsigned`` when none of them signed.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in verifiers:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise LedgerError("ambiguous_key")
    found: dict[VerifierKey, Signature] = {}
    for line in lines:
        name, key_id, signature = read_line(line)
        signer = known.get((name, key_id))
        if signer is not None:
            time = signer.verify(text, signature)
            found.setdefault(signer, Signature(signer, f"{line}\n".encode(), time))
    if not found:
        raise LedgerError("unsigned")
    return tuple(found.values())


def split_note(note: bytes) -> tuple[bytes, list[str]]:
    """Return the text and the signature lines (without newline) of ``note``, none verified.

    Raises ``LedgerError``: ``note_size``, ``note_form``.
    """
    if len(note) > MAX_NOTE:
        raise LedgerError("note_size")
    whole = utf8(note, "note_form")
    text, gap, signatures = whole.rpartition("\n\n")
    if not gap or not _is_clean(whole):
        raise LedgerError("note_form")
    return f"{text}\n".encode(), split_lines(signatures)


def split_lines(signatures: str) -> list[str]:
    """Return the lines of ``signatures``, each of which ends in a newline. Raises ``LedgerError("note_form")``."""
    lines = signatures.split("\n")
    if lines.pop() != "" or not 0 < len(lines) <= MAX_SIGNATURES:
        raise LedgerError("note_form")
    return lines


def read_line(line: str) -> tuple[str, bytes, bytes]:
    """Return the key name, key id and signature of a signature line. Raises ``LedgerError("signature_line")``."""
    if not line.startswith(_DASH):
        raise LedgerError("signature_line")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    _check_name(name, "signature_line")
    blob = from_base64(encoded, "signature_line")
    if len(blob) <= _ID_BYTES:
        raise LedgerError("signature_line")
    return name, blob[:_ID_BYTES], blob[_ID_BYTES:]


def _read_key(key: str, code: str) -> tuple[str, str, bytes]:
    parts = key.split("+", 2)
    if len(parts) != 3:
        raise LedgerError(code)
    name, key_id, encoded = parts
    _check_name(name, code)
    return name, key_id, from_base64(encoded, code, 1 + KEY_BYTES)


def _key_type(material: bytes, code: str) -> KeyType:
    try:
        return KeyType(material[0])
    except ValueError:
        raise LedgerError(code) from None


def _check_name(name: str, code: str) -> None:
    if not name or "+" in name or any(each.isspace() or each < " " for each in name):
        raise LedgerError(code)


def _is_clean(text: str) -> bool:
    return all(each >= " " or each == "\n" for each in text)
