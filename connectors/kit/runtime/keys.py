"""Key pairs of the protocol and the files that hold them.

Ed25519 to sign, X25519 to be sealed to, both as RFC 8037 JWKs reduced to their required members; a key is named by
its RFC 7638 thumbprint.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeVar

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from connectors.kit.runtime import b64url, strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import sync

T = TypeVar("T")

Curve = Literal["Ed25519", "X25519"]
PublicJwk = dict[str, str]
"""``{"kty": "OKP", "crv": …, "x": …}`` and nothing else."""


def public_jwk(jwk: object, curve: Curve) -> PublicJwk:
    """Return ``jwk`` checked to be exactly a public key on ``curve``; ``MaillonError(UNTRUSTED_KEY)`` otherwise."""
    if not isinstance(jwk, Mapping) or set(jwk) != {"kty", "crv", "x"}:
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "jwk members")
    if jwk["kty"] != "OKP" or jwk["crv"] != curve or not isinstance(jwk["x"], str):
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, f"jwk is not {curve}")
    b64url.decode(jwk["x"], what="jwk x", length=32)
    return {"kty": "OKP", "crv": curve, "x": jwk["x"]}


def thumbprint_digest(jwk: Mapping[str, str]) -> bytes:
    """Return the 32 bytes of the RFC 7638 SHA-256 thumbprint of an OKP key (members crv, kty, x in that order)."""
    return hashlib.sha256(orjson.dumps({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"]})).digest()


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the RFC 7638 thumbprint as base64url, the ``kid`` of every header."""
    return b64url.encode(thumbprint_digest(jwk))


class _Pair:
    curve: ClassVar[Curve]

    def __init__(self, key: OKPKey) -> None:
        self.jose = key
        # From the key itself: an imported JWK's own ``x`` is not checked against its ``d`` by joserfc.
        self.public_jwk: PublicJwk = {
            "kty": "OKP",
            "crv": self.curve,
            "x": b64url.encode(key.public_key.public_bytes_raw()),
        }
        self.thumbprint = thumbprint(self.public_jwk)

    @classmethod
    def generate(cls) -> Self:
        """Return a new random pair."""
        return cls(OKPKey.generate_key(cls.curve))

    @classmethod
    def from_jwk(cls, jwk: object) -> Self:
        """Return the pair of a private JWK; ``MaillonError(CONFIGURATION)`` unless ``d`` and ``x`` are one key."""
        try:
            if not isinstance(jwk, Mapping):
                raise TypeError
            public = public_jwk({name: jwk.get(name) for name in ("kty", "crv", "x")}, cls.curve)
            pair = cls(OKPKey.import_key({**public, "d": jwk["d"]}))
            if not pair.jose.is_private or pair.public_jwk != public:
                raise ValueError
        except (MaillonError, JoseError, KeyError, TypeError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"not a private {cls.curve} JWK") from None
        return pair

    def private_jwk(self) -> dict[str, str]:
        """Return the private JWK, for a 0600 file only."""
        return {**self.public_jwk, "d": str(self.jose.as_dict(private=True)["d"])}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.thumbprint})"


class SigningKey(_Pair):
    """An Ed25519 pair: identity, operational or root."""

    curve = "Ed25519"


class SealKey(_Pair):
    """An X25519 pair that messages are sealed to."""

    curve = "X25519"


def write_private(path: Path, data: bytes) -> None:
    """Write a secret to a new 0600 file, whole or not at all (temporary file, fsync, link, directory fsync).

    Raises ``MaillonError(CONFLICT)`` when ``path`` exists (a key is never overwritten) and ``MaillonError(STORAGE)``
    when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # unlike rename, fails when the target exists
        finally:
            temporary.unlink()
        sync(path.parent)
    except FileExistsError:
        raise MaillonError(ErrorKind.CONFLICT, f"{path.name} exists and is not overwritten") from None
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"{path.name}: {error.strerror}") from None


def read_private(path: Path) -> bytes:
    """Return a secret file's bytes.

    Raises ``MaillonError(CONFIGURATION)`` when it is missing, unreadable, or group or others have any right on it.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} must be readable by its owner alone (0600)")
            return file.read()
    except OSError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: {error.strerror}") from None


def save_key(path: Path, key: SigningKey | SealKey) -> None:
    """Write ``key`` as a private JWK file; raises as :func:`write_private`."""
    write_private(path, orjson.dumps(key.private_jwk()))


def load_signing_key(path: Path) -> SigningKey:
    """Return the Ed25519 pair of a private JWK file; raises as :func:`read_private`, naming the file."""
    return _load(path, SigningKey.from_jwk)


def load_seal_key(path: Path) -> SealKey:
    """Return the X25519 pair of a private JWK file; raises as :func:`read_private`, naming the file."""
    return _load(path, SealKey.from_jwk)


def _load(path: Path, read: Callable[[object], T]) -> T:
    data = read_private(path)
    try:
        return read(strict_json.loads_object(data))
    except MaillonError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: {error.detail}") from None
