"""Reading, with nothing but the public keys, what a collector signed: docs/protocol.md's one form of JWS, and the
certificate inside it. The edge and the hub use a JOSE library; the offline verifier has to stand alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent.ledger.exact import LedgerError, is_one, utf8

CONSENT: Final = "maillon-consent+jws"
CERTIFICATE: Final = "maillon-cert+jws"
DIRECTORY: Final = "maillon-directory+jws"
MAX_JWS: Final = 2 * 1024 * 1024
_CERTIFICATE_SECONDS: Final = 1800


def from_base64url(text: object, code: str, length: int | None = None) -> bytes:
    """Return the bytes of ``text``, the one unpadded base64url (RFC 7515) of them, ``length`` long when given.

    Raises ``LedgerError(code)``.
    """
    try:
        if not isinstance(text, str):
            raise ValueError
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise LedgerError(code) from None
    if to_base64url(data) != text or (length is not None and len(data) != length):
        raise LedgerError(code)
    return data


def to_base64url(data: bytes) -> str:
    """Return the unpadded base64url of ``data``."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def read_object(data: bytes, code: str) -> dict[str, Any]:
    """Return the JSON object ``data`` is; a member said twice, or a number nobody else reads the same, is refused.

    Raises ``LedgerError(code)``.
    """
    try:
        value = json.loads(utf8(data, code), object_pairs_hook=_once)
        if not isinstance(value, dict):
            raise ValueError
        rfc8785.dumps(value)  # whatever JSON has no canonical form, two readers may read differently
    except (ValueError, RecursionError):
        raise LedgerError(code) from None
    return value


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS read as a ``typ`` and **not verified**: header exactly ``{alg: Ed25519, typ, kid}``."""

    token: str
    kid: str
    payload: dict[str, Any]

    @classmethod
    def read(cls, token: object, typ: str, code: str) -> Self:
        """Return ``token`` read. Raises ``LedgerError(code)``."""
        if not isinstance(token, str) or len(token) > MAX_JWS or token.count(".") != 2:
            raise LedgerError(code)
        header, payload, signature = token.split(".")
        members = read_object(from_base64url(header, code), code)
        from_base64url(signature, code, 64)
        kid = members.pop("kid", None)
        if members != {"alg": "Ed25519", "typ": typ} or not isinstance(kid, str):
            raise LedgerError(code)
        return cls(token, kid, read_object(from_base64url(payload, code), code))

    def check(self, public: bytes, code: str) -> None:
        """Raise ``LedgerError(code)`` unless the holder of the Ed25519 key ``public`` (32 bytes) signed it."""
        signed, _, signature = self.token.rpartition(".")
        if self.kid != thumbprint(public):
            raise LedgerError(code)
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(from_base64url(signature, code), signed.encode())
        except (InvalidSignature, ValueError):
            raise LedgerError(code) from None


@dataclass(frozen=True, slots=True)
class Collected:
    """A consent record that holds: what it says, who signed it, and between which instants it can only have been
    signed (seconds since 1970, ``issued`` included, ``expires`` not: the life of the signer's certificate)."""

    payload: dict[str, Any]
    collector: str
    issued: int
    expires: int


def open_record(token: object, collectors: Mapping[str, frozenset[bytes]]) -> Collected:
    """Return the consent record of ``token``, signed under a certificate by the identity key of its collector.

    ``collectors`` maps a partner to its identity keys, past ones included. Raises ``LedgerError``: ``record_form``,
    ``collector_unknown``, ``certificate``, ``record_signature``.
    """
    record = Jws.read(token, CONSENT, "record_form")
    slug = record.payload.get("collector")
    if not isinstance(slug, str) or slug not in collectors:
        raise LedgerError("collector_unknown")
    certificate = Jws.read(record.payload.get("certificate"), CERTIFICATE, "certificate")
    signer = next((key for key in collectors[slug] if thumbprint(key) == certificate.kid), None)
    if signer is None:
        raise LedgerError("certificate")
    certificate.check(signer, "certificate")
    said = certificate.payload
    if (
        set(said) != {"v", "slug", "sign_key", "seal_key", "iat", "exp"}
        or not is_one(said["v"])
        or said["slug"] != slug
    ):
        raise LedgerError("certificate")
    issued, expires = said["iat"], said["exp"]
    if type(issued) is not int or type(expires) is not int or not 0 < expires - issued <= _CERTIFICATE_SECONDS:
        raise LedgerError("certificate")
    record.check(public_key(said["sign_key"], "certificate"), "record_signature")
    return Collected(record.payload, slug, issued, expires)


def collectors_of(directory: str, root: Mapping[str, object]) -> dict[str, frozenset[bytes]]:
    """Return who may collect, with their identity keys, by a ``directory`` the consortium root (a JWK) signed.

    Its age is not looked at: a receipt outlives the directory of its day. Raises ``LedgerError("directory")``.
    """
    read = Jws.read(directory, DIRECTORY, "directory")
    read.check(public_key(root, "directory"), "directory")
    partners = read.payload.get("partners")
    if not isinstance(partners, list):
        raise LedgerError("directory")
    found: dict[str, frozenset[bytes]] = {}
    for partner in partners:
        if not isinstance(partner, dict) or not isinstance(partner.get("slug"), str):
            raise LedgerError("directory")
        if partner.get("can_collect") is True:
            found[partner["slug"]] = frozenset({public_key(partner.get("identity_key"), "directory")})
    return found


def public_key(jwk: object, code: str) -> bytes:
    """Return the 32 bytes of an Ed25519 public JWK of exactly three members. Raises ``LedgerError(code)``."""
    if not isinstance(jwk, Mapping) or set(jwk) != {"kty", "crv", "x"}:
        raise LedgerError(code)
    if (jwk["kty"], jwk["crv"]) != ("OKP", "Ed25519"):
        raise LedgerError(code)
    return from_base64url(jwk["x"], code, 32)


def thumbprint(public: bytes) -> str:
    """Return the RFC 7638 thumbprint of an Ed25519 key, base64url: the ``kid`` of what it signs."""
    jwk = rfc8785.dumps({"crv": "Ed25519", "kty": "OKP", "x": to_base64url(public)})
    return to_base64url(hashlib.sha256(jwk).digest())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members
