"""Signing and sealing: one JWS form, one JWE form, everything else refused (docs/protocol.md, RFC 7515/7516/9864).

joserfc does the cryptography; this module pins what it may do. Errors name the failing member, never the content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from connectors.kit.runtime import b64url, keys, strict_json
from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from consent.canonical import digest, jcs

MAX_COMPACT: Final = 2 * 1024 * 1024
"""Largest JWS or JWE accepted, in characters."""
CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far ahead of ours another machine's clock may be; never prolongs an ``exp``."""
_HEADER_BYTES: Final = 1024
_CLAIM_SECONDS: Final = 2**35  # the year 3058


class Typ(StrEnum):
    """Every ``typ`` of the protocol; a message is only ever read as the one expected."""

    DIRECTORY = "maillon-directory+jws"
    CERTIFICATE = "maillon-cert+jws"
    REQUEST = "maillon-request+jws"
    CONSENT = "maillon-consent+jws"
    ORDER = "maillon-order+jws"
    FRAGMENT = "maillon-fragment+jws"
    SEALED_FRAGMENT = "maillon-fragment+jwe"
    KLINK = "maillon-klink+jws"
    SEALED_KLINK = "maillon-klink+jwe"
    REF_MAP = "maillon-refmap+jws"
    SEALED_REF_MAP = "maillon-refmap+jwe"
    ERASURE = "maillon-erasure+jws"
    LOOK = "maillon-look+jws"
    LOOK_ORDER = "maillon-look-order+jws"
    TRAITS = "maillon-traits+jws"
    SEALED_TRAITS = "maillon-traits+jwe"
    CLIENT_ASSERTION = "client-authentication+jwt"
    ACCESS_TOKEN = "at+jwt"  # noqa: S105


class _JwsRegistry(jws.JWSRegistry):
    max_header_length = _HEADER_BYTES
    max_payload_length = MAX_COMPACT


class _JweRegistry(jwe.JWERegistry):
    max_protected_header_length = _HEADER_BYTES
    max_ciphertext_length = MAX_COMPACT


_JWS: Final = _JwsRegistry(algorithms=["Ed25519"])
_JWE: Final = _JweRegistry(algorithms=["ECDH-ES", "A256GCM"])


def sign(payload: Mapping[str, Any], typ: str, key: SigningKey) -> str:
    """Return the compact JWS of ``payload`` (serialised per RFC 8785) under ``key``.

    Raises ``MaillonError(MALFORMED)`` for a payload JCS cannot write (NaN, an integer beyond 2⁵³).
    """
    try:
        data = jcs(payload)
    except ValueError:
        raise MaillonError(ErrorKind.MALFORMED, f"{typ}: payload has no canonical form") from None
    header = {"alg": "Ed25519", "typ": typ, "kid": key.thumbprint}
    return jws.serialize_compact(header, data, key.jose, registry=_JWS)


def verify(token: str, typ: str, public_jwk: Mapping[str, str]) -> dict[str, Any]:
    """Return the payload of ``token``, signed by the holder of ``public_jwk`` as a ``typ``.

    Raises ``MaillonError(BAD_SIGNATURE)`` whose detail is ``<typ>: <member>``: ``size``, ``form``, ``header``,
    ``alg``, ``typ``, ``kid``, ``signature`` or ``payload``.
    """
    return read(token, typ).verified_by(public_jwk)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A JWS of the one form, read once. Its ``payload`` is what it **claims**: enough to learn whose key to try."""

    token: str
    typ: str
    kid: str
    payload: dict[str, Any]

    def verified_by(self, public_jwk: Mapping[str, str]) -> dict[str, Any]:
        """Return the payload, signed by the holder of ``public_jwk``; raises as :func:`verify`."""
        jwk = keys.public_jwk(public_jwk, "Ed25519")
        if self.kid != keys.thumbprint(jwk):
            raise _bad(ErrorKind.BAD_SIGNATURE, self.typ, "kid")
        try:
            jws.deserialize_compact(self.token, OKPKey.import_key(dict(jwk)), registry=_JWS)
        except (JoseError, ValueError):
            raise _bad(ErrorKind.BAD_SIGNATURE, self.typ, "signature") from None
        return self.payload


def read(token: str, typ: str) -> Unverified:
    """Return ``token`` read as a ``typ`` and not verified; raises as :func:`verify`, save ``kid`` and ``signature``."""
    parts = _split(token, typ, 3, ErrorKind.BAD_SIGNATURE)
    header = _header(parts[0], typ, {"alg", "typ", "kid"}, ErrorKind.BAD_SIGNATURE)
    for member, wanted in (("alg", "Ed25519"), ("typ", typ)):
        if header[member] != wanted:
            raise _bad(ErrorKind.BAD_SIGNATURE, typ, member)
    try:
        return Unverified(token, typ, header["kid"], strict_json.loads_object(b64url.decode(parts[1])))
    except MaillonError:
        raise _bad(ErrorKind.BAD_SIGNATURE, typ, "payload") from None


def peek(token: str, typ: str) -> dict[str, Any]:
    """Return the **unverified** payload of ``token``; raises as :func:`read`."""
    return read(token, typ).payload


def typ_of(token: str) -> str:
    """Return the ``typ`` a JWS or JWE **claims**, ``""`` for what is neither: only to choose who reads it."""
    try:
        typ = strict_json.loads_object(b64url.decode(token.split(".", 1)[0]), max_bytes=_HEADER_BYTES).get("typ")
    except MaillonError:
        return ""
    return typ if isinstance(typ, str) else ""


def jws_digest(token: str) -> str:
    """Return the base64url SHA-256 of the compact ASCII form of a JWS or JWE."""
    return digest(token.encode("ascii"))


def seal(data: bytes, typ: str, public_jwk: Mapping[str, str]) -> str:
    """Return ``data`` sealed to the holder of ``public_jwk``: compact JWE, ECDH-ES over X25519, A256GCM."""
    jwk = keys.public_jwk(public_jwk, "X25519")
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": typ, "kid": keys.thumbprint(jwk)}
    try:
        return jwe.encrypt_compact(header, data, OKPKey.import_key(dict(jwk)), registry=_JWE)
    except (JoseError, ValueError):  # a low-order public key
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "seal key") from None


def unseal(token: str, typ: str, key: SealKey) -> bytes:
    """Return what was sealed to ``key`` as a ``typ``.

    Raises ``MaillonError(BAD_SEAL)`` whose detail is ``<typ>: <member>``: ``size``, ``form``, ``header``, ``alg``,
    ``enc``, ``typ``, ``kid``, ``epk`` or ``decryption``.
    """
    parts = _split(token, typ, 5, ErrorKind.BAD_SEAL)
    header = _header(parts[0], typ, {"alg", "enc", "typ", "kid", "epk"}, ErrorKind.BAD_SEAL)
    for member, wanted in (("alg", "ECDH-ES"), ("enc", "A256GCM"), ("typ", typ), ("kid", key.thumbprint)):
        if header[member] != wanted:
            raise _bad(ErrorKind.BAD_SEAL, typ, member)
    if parts[1]:
        raise _bad(ErrorKind.BAD_SEAL, typ, "form")
    try:
        keys.public_jwk(header["epk"], "X25519")
    except MaillonError:
        raise _bad(ErrorKind.BAD_SEAL, typ, "epk") from None
    try:
        plaintext = jwe.decrypt_compact(token, key.jose, registry=_JWE).plaintext
    except (JoseError, ValueError, AssertionError):
        raise _bad(ErrorKind.BAD_SEAL, typ, "decryption") from None
    return plaintext or b""


def lifetime_of(payload: Mapping[str, Any], what: str) -> tuple[datetime, datetime]:
    """Return ``iat`` and ``exp`` of ``payload``; ``MaillonError(EXPIRED)`` (``<what>: iat|exp``) if no times."""
    for member in ("iat", "exp"):
        if type(payload.get(member)) is not int or not 0 < payload[member] < _CLAIM_SECONDS:
            raise MaillonError(ErrorKind.EXPIRED, f"{what}: {member}")
    return from_epoch(payload["iat"]), from_epoch(payload["exp"])


def check_lifetime(payload: Mapping[str, Any], at: datetime, longest: timedelta, what: str) -> None:
    """Check that ``payload`` lives at ``at``: ``iat <= at < exp`` and ``exp - iat <= longest``.

    Raises ``MaillonError(EXPIRED)`` with detail ``<what>: iat`` (not a time, or in the future beyond the clock skew)
    or ``<what>: exp`` (not a time, past, or too far from ``iat``).
    """
    issued, expires = lifetime_of(payload, what)
    if issued > at + CLOCK_SKEW:
        raise MaillonError(ErrorKind.EXPIRED, f"{what}: iat")
    if not issued < expires <= issued + longest or at >= expires:
        raise MaillonError(ErrorKind.EXPIRED, f"{what}: exp")


def _split(token: str, typ: str, count: int, kind: ErrorKind) -> list[str]:
    if len(token) > MAX_COMPACT:
        raise _bad(kind, typ, "size")
    parts = token.split(".")
    if len(parts) != count or not token.isascii():
        raise _bad(kind, typ, "form")
    return parts


def _header(segment: str, typ: str, members: set[str], kind: ErrorKind) -> dict[str, Any]:
    try:
        header = strict_json.loads_object(b64url.decode(segment), max_bytes=_HEADER_BYTES, max_depth=2)
    except MaillonError:
        raise _bad(kind, typ, "header") from None
    # ``alg`` is named first: it is what an attacker changes, and what a reader of the log looks for.
    if header.get("alg") not in ("Ed25519", "ECDH-ES"):
        raise _bad(kind, typ, "alg")
    if set(header) != members:
        raise _bad(kind, typ, "header")
    return header


def _bad(kind: ErrorKind, typ: str, member: str) -> MaillonError:
    return MaillonError(kind, f"{typ}: {member}")
