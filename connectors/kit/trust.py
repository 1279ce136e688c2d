"""Where trust comes from: an offline consortium root, a signed directory, short-lived certified keys.

The root signs the directory and seals ``K_link``; a partner's identity key, read from that directory, signs
certificates of at most 30 minutes; everything else is signed by a certified key. The hub only carries these
messages: whatever it alters, adds or holds back is refused by name (docs/protocol.md).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import orjson

from connectors.kit import seal
from connectors.kit.klink import KLink, klink_of, said
from connectors.kit.ledger.keys import are_distinct, check_keys
from connectors.kit.runtime import b64url, keys, strict_json
from connectors.kit.runtime.clock import Clock, from_epoch, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import PRIVATE, replace_file
from connectors.kit.runtime.ids import PartnerSlug, is_slug
from connectors.kit.runtime.keys import PublicJwk, SealKey, SigningKey
from connectors.kit.seal import Typ
from consent.model import KINDS

HUB: Final = PartnerSlug("hub")
OPERATIONAL_LIFETIME: Final = timedelta(minutes=30)
ROTATE_BEFORE: Final = timedelta(minutes=5)
"""An operational pair this close to its end is replaced, so that nothing sealed to it outlives it."""
DIRECTORY_LIFETIME: Final = timedelta(days=90)


def fingerprint(jwk: Mapping[str, str]) -> str:
    """Return a key's SHA-256 thumbprint (RFC 7638) for human eyes: 16 groups of 4 hex digits."""
    text = keys.thumbprint_digest(jwk).hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def subject_digest(ref: str, salt: bytes) -> str:
    """Return the ``subject`` of a request or consent: base64url SHA-256 of domain tag, 16-byte salt, ref's text."""
    if len(salt) != 16:
        raise ValueError("a subject salt has 16 bytes")
    return b64url.encode(hashlib.sha256(b"maillon/subject/v1" + salt + ref.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class DirectoryPartner:
    """One partner of the directory; wire names and types in docs/protocol.md."""

    slug: PartnerSlug
    name: str
    kind: str
    operator: str
    status: str
    identity_key: PublicJwk
    seal_key: PublicJwk
    endpoint: str
    roles: tuple[str, ...] = ()
    supplies: tuple[str, ...] = ()
    nir_autorise: bool = False
    can_collect: bool = False
    log_key: str = ""
    witness_key: str = ""
    reviewer_key: str = ""

    @property
    def is_active(self) -> bool:
        """Whether the consortium lets this partner take part now."""
        return self.status == "active"

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object of the directory."""
        wire: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return wire | {"roles": list(self.roles), "supplies": list(self.supplies)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Return the partner of a directory's JSON object; ``MaillonError(UNTRUSTED_DIRECTORY)`` on any surprise."""
        try:
            if set(wire) != set(cls.__slots__):
                raise ValueError("members")
            partner = cls(**{**wire, "roles": tuple(wire["roles"]), "supplies": tuple(wire["supplies"])})
            texts = (*partner.roles, *partner.supplies, partner.log_key, partner.witness_key, partner.reviewer_key)
            texts += (partner.name, partner.operator, partner.endpoint)
            if not (is_slug(partner.slug) and all(isinstance(text, str) for text in texts)):
                raise ValueError("text")
            if partner.kind not in KINDS or partner.status not in ("active", "suspended"):
                raise ValueError("kind or status")
            if type(partner.nir_autorise) is not bool or type(partner.can_collect) is not bool:
                raise ValueError("flag")
            keys.public_jwk(partner.identity_key, "Ed25519")
            keys.public_jwk(partner.seal_key, "X25519")
            check_keys(partner, HUB)
        except (MaillonError, TypeError, ValueError):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "partner form", pointer="/partners") from None
        return partner


@dataclass(frozen=True, slots=True)
class Directory:
    """The verified directory. Only :meth:`verify` makes one from bytes of outside."""

    version: int
    issued_at: datetime
    valid_until: datetime
    jws: str
    _partners: Mapping[PartnerSlug, DirectoryPartner] = field(repr=False)

    @classmethod
    def verify(cls, token: str, root_public_jwk: Mapping[str, str], at: datetime, minimum_version: int) -> Self:
        """Return the directory of ``token``, signed by the root, valid at ``at`` and no older than already seen.

        Raises ``MaillonError(UNTRUSTED_DIRECTORY)``; the detail names what failed: the JWS member, ``version``,
        ``issued_at``, ``valid_until``, ``duplicate slug``, ``duplicate witness key`` or ``partner form``.
        """
        payload = _directory_payload(token, root_public_jwk)
        version, issued, until, rows = (payload.get(k) for k in ("version", "issued_at", "valid_until", "partners"))
        if type(version) is not int or version < max(1, minimum_version) or payload.get("v") != 1:
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "version")
        if type(issued) is not int or issued > to_epoch(at + seal.CLOCK_SKEW):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "issued_at")
        if type(until) is not int or until <= to_epoch(at):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "valid_until")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "partner form", pointer="/partners")
        partners = {partner.slug: partner for partner in map(DirectoryPartner.from_wire, rows)}
        if len(partners) != len(rows):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "duplicate slug", pointer="/partners")
        if not are_distinct(partners.values()):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "duplicate witness key", pointer="/partners")
        return cls(version, from_epoch(issued), from_epoch(until), token, partners)

    @staticmethod
    def version_of(token: str, root_public_jwk: Mapping[str, str]) -> int:
        """Return the version of a directory of the root, whatever its age; raises ``UNTRUSTED_DIRECTORY``."""
        version = _directory_payload(token, root_public_jwk).get("version")
        if type(version) is not int:
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "version")
        return version

    def partner(self, slug: str) -> DirectoryPartner:
        """Return the partner named ``slug``; ``MaillonError(UNKNOWN_PARTNER)`` when the directory has none."""
        found = self._partners.get(PartnerSlug(slug))
        if found is None:
            raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "not in the directory")
        return found

    def partners(self) -> tuple[DirectoryPartner, ...]:
        """Return every partner, in slug order."""
        return tuple(self._partners[slug] for slug in sorted(self._partners))


class Root:
    """The consortium root: made and kept offline, one 0600 file holding its key and every K_link epoch."""

    def __init__(self, key: SigningKey, klinks: Sequence[KLink]) -> None:
        self._key = key
        self._klinks = tuple(klinks)
        self.public_jwk = key.public_jwk
        self.fingerprint = fingerprint(key.public_jwk)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new root with K_link epoch 1 and keep it at ``path``; raises as ``keys.write_private``."""
        root = cls(SigningKey.generate(), [KLink(1, secrets.token_bytes(32))])
        keys.write_private(path, root._content())
        return root

    @property
    def epochs(self) -> tuple[KLink, ...]:
        """Every epoch of K_link, the newest last."""
        return tuple(sorted(self._klinks, key=lambda klink: klink.epoch))

    def with_klinks(self, klinks: Sequence[KLink]) -> Root:
        """Return the root with other epochs of K_link; nothing is written."""
        return Root(self._key, klinks)

    def save(self, path: Path) -> None:
        """Replace the root's file, whole or not at all. Raises ``MaillonError(STORAGE)``."""
        replace_file(path, self._content(), PRIVATE)

    def _content(self) -> bytes:
        klinks = [said(klink) for klink in self.epochs]
        return orjson.dumps({"v": 1, "key": self._key.private_jwk(), "klinks": klinks})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the root kept at ``path``; ``MaillonError(CONFIGURATION)`` when it is not one, or not private."""
        try:
            content: Any = strict_json.loads_object(keys.read_private(path))
            klinks = [klink_of(row) for row in content["klinks"]]
            return cls(SigningKey.from_jwk(content["key"]), klinks)
        except (KeyError, TypeError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} is not a consortium root") from None

    def sign_directory(
        self,
        partners: Iterable[DirectoryPartner],
        version: int,
        at: datetime,
        lifetime: timedelta = DIRECTORY_LIFETIME,
    ) -> str:
        """Return the directory JWS of ``partners``, verified as any edge would; raises as ``Directory.verify``."""
        payload = {
            "v": 1,
            "version": version,
            "issued_at": to_epoch(at),
            "valid_until": to_epoch(at + lifetime),
            "partners": [partner.to_wire() for partner in sorted(partners, key=lambda partner: partner.slug)],
        }
        token = seal.sign(payload, Typ.DIRECTORY, self._key)
        Directory.verify(token, self.public_jwk, at, version)
        return token

    def seal_klink(self, slug: str, seal_key: Mapping[str, str]) -> str:
        """Return K_link, every epoch of it, as a JWE only the edge ``slug`` can open."""
        *former, newest = self.epochs
        payload: dict[str, Any] = {"v": 1, "slug": slug, **said(newest)}
        if former:
            payload["former"] = [said(klink) for klink in former]
        return seal.seal(seal.sign(payload, Typ.KLINK, self._key).encode(), Typ.SEALED_KLINK, seal_key)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A partner's operational public keys, vouched for by its identity key."""

    slug: PartnerSlug
    sign_key: PublicJwk
    seal_key: PublicJwk
    issued_at: datetime
    expires_at: datetime

    @property
    def seal_key_id(self) -> str:
        """The thumbprint of the key to seal to."""
        return keys.thumbprint(self.seal_key)

    def check_alive(self, at: datetime) -> None:
        """Raise ``MaillonError(EXPIRED)`` unless the certificate lives at ``at`` and was made for ≤ 30 minutes."""
        claims = {"iat": to_epoch(self.issued_at), "exp": to_epoch(self.expires_at)}
        seal.check_lifetime(claims, at, OPERATIONAL_LIFETIME, "certificate")

    @classmethod
    def verify(cls, token: object, slug: str, identity_key: Mapping[str, str]) -> Self:
        """Return the certificate of ``token``, by ``identity_key``, for ``slug``; its time is not looked at.

        Raises ``MaillonError(UNTRUSTED_KEY)`` whose detail names what failed.
        """
        try:
            payload = _certificate_claims(_text(token, "certificate"), frozenset(identity_key.items()))
            sign_key = keys.public_jwk(payload.get("sign_key"), "Ed25519")
            seal_key = keys.public_jwk(payload.get("seal_key"), "X25519")
            if set(payload) != {"v", "slug", "sign_key", "seal_key", "iat", "exp"} or payload["v"] != 1:
                raise MaillonError(ErrorKind.UNTRUSTED_KEY, "members")
            if payload["slug"] != slug:
                raise MaillonError(ErrorKind.UNTRUSTED_KEY, "slug")
            times = seal.lifetime_of(payload, "certificate")
        except MaillonError as error:
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, f"certificate: {error.detail}") from None
        return cls(PartnerSlug(slug), sign_key, seal_key, *times)


@dataclass(frozen=True, slots=True)
class OperationalKeys:
    """A pair of working keys with the certificate that goes inside each message they sign."""

    slug: PartnerSlug
    sign_key: SigningKey
    seal_key: SealKey
    certificate: str
    expires_at: datetime

    @classmethod
    def mint(
        cls, identity: SigningKey, slug: str, at: datetime, lifetime: timedelta = OPERATIONAL_LIFETIME
    ) -> OperationalKeys:
        """Return new keys for ``slug``, certified by ``identity`` from ``at`` for ``lifetime`` (30 minutes at most)."""
        if lifetime > OPERATIONAL_LIFETIME:
            raise ValueError("an operational key lives 30 minutes at most")
        sign_key, seal_key = SigningKey.generate(), SealKey.generate()
        expires = from_epoch(to_epoch(at + lifetime))
        payload = {
            "v": 1,
            "slug": slug,
            "sign_key": sign_key.public_jwk,
            "seal_key": seal_key.public_jwk,
            "iat": to_epoch(at),
            "exp": to_epoch(expires),
        }
        token = seal.sign(payload, Typ.CERTIFICATE, identity)
        return cls(PartnerSlug(slug), sign_key, seal_key, token, expires)

    def should_rotate(self, at: datetime) -> bool:
        """Whether these keys are near their end, or from a clock since set back, and should be replaced."""
        return not timedelta(0) <= self.expires_at - at - ROTATE_BEFORE <= OPERATIONAL_LIFETIME

    def sign(self, payload: Mapping[str, Any], typ: str) -> str:
        """Return the JWS of ``payload`` with this pair's certificate inside."""
        return seal.sign({**payload, "certificate": self.certificate}, typ, self.sign_key)


class RotatingKeys:
    """Calling it gives the live operational keys of one identity, minted anew before they expire. Thread-safe."""

    def __init__(self, identity: SigningKey, slug: str, clock: Clock) -> None:
        self._identity = identity
        self._slug = slug
        self._clock = clock
        self._lock = threading.Lock()
        self._current: OperationalKeys | None = None

    def __call__(self) -> OperationalKeys:
        """Return keys with at least :data:`ROTATE_BEFORE` to live."""
        with self._lock:
            at = self._clock.now()
            if self._current is None or self._current.should_rotate(at):
                self._current = OperationalKeys.mint(self._identity, self._slug, at)
            return self._current


def issuer_of(token: str, typ: str, member: str) -> PartnerSlug:
    """Return who ``token`` **claims** to be from (its ``member``), to look that partner's identity key up."""
    return PartnerSlug(_text(seal.peek(token, typ).get(member), f"{typ}: {member}"))


def open_certified(
    token: str, typ: str, slug: str, identity_key: Mapping[str, str]
) -> tuple[dict[str, Any], Certificate]:
    """Return payload and certificate of a message of ``slug``, whose identity key is ``identity_key``.

    Checks both signatures and the slug, not the time: a consent event stays valid long after the key that signed it
    (see ``Certificate.check_alive``). Raises ``MaillonError(UNTRUSTED_KEY)`` for the certificate and
    ``MaillonError(BAD_SIGNATURE)`` for the message.
    """
    return _open(seal.read(token, typ), slug, identity_key)


def open_listed(
    token: str, typ: str, issuer_member: str, directory: Directory
) -> tuple[dict[str, Any], Certificate, DirectoryPartner]:
    """Return payload, certificate and signer of a message whose ``issuer_member`` names a partner of ``directory``.

    Looks neither at the time nor at the partner's status. Raises as :func:`open_certified`, and ``UNKNOWN_PARTNER``.
    """
    message = seal.read(token, typ)
    claimed = _text(message.payload.get(issuer_member), f"{typ}: {issuer_member}")
    partner = directory.partner(PartnerSlug(claimed))
    return *_open(message, partner.slug, partner.identity_key), partner


def verify_certified(
    token: str, typ: str, issuer_member: str, directory: Directory, at: datetime
) -> tuple[dict[str, Any], Certificate]:
    """Return payload and certificate of a message whose ``issuer_member`` names its signer, alive at ``at``.

    Raises as :func:`open_certified`, and ``UNKNOWN_PARTNER``, ``SUSPENDED`` or ``EXPIRED``.
    """
    payload, certificate, partner = open_listed(token, typ, issuer_member, directory)
    if not partner.is_active:
        raise MaillonError(ErrorKind.SUSPENDED, "suspended in the directory")
    certificate.check_alive(at)
    return payload, certificate


def _open(message: seal.Unverified, slug: str, identity_key: Mapping[str, str]) -> tuple[dict[str, Any], Certificate]:
    certificate = Certificate.verify(message.payload.get("certificate"), slug, identity_key)
    return message.verified_by(certificate.sign_key), certificate


@lru_cache(maxsize=1024)
def _certificate_claims(token: str, identity_key: frozenset[tuple[str, str]]) -> Mapping[str, Any]:
    """Verify a certificate's signature, once: it comes again with every message signed in the same half hour, and
    what it is worth depends on these arguments alone. Its time is the caller's to check, each time."""
    return MappingProxyType(seal.verify(token, Typ.CERTIFICATE, dict(identity_key)))


def _directory_payload(token: str, root_public_jwk: Mapping[str, str]) -> dict[str, Any]:
    try:
        return seal.verify(token, Typ.DIRECTORY, root_public_jwk)
    except MaillonError as error:
        raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, error.detail) from None


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise MaillonError(ErrorKind.BAD_SIGNATURE, what)
    return value
