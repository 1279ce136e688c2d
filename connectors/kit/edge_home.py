"""The folder an edge lives in: made once by ``maillon edge init``, completed by ``maillon edge join``.

``edge.toml`` settings · ``identity.jwk``, ``seal.jwk``, ``store.key``, ``witness.key`` 0600 secrets · ``edge.db`` the
encrypted store · ``root.pub.jwk``, ``directory.jws``, ``klink.jwe`` what the consortium gave.
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from connectors.kit.klink import open_klink
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.policy_folder import PACKAGED_CONFIG
from connectors.kit.runtime import keys, strict_json
from connectors.kit.runtime.authorities import check_authorities
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import replace_file
from connectors.kit.runtime.ids import PartnerSlug
from connectors.kit.runtime.keys import PublicJwk, SealKey, SigningKey
from connectors.kit.runtime.serving import Listen, check_listen
from connectors.kit.transport import check_proxy, check_url
from connectors.kit.trust import Directory, DirectoryPartner, fingerprint
from consent.ledger.checkpoint import KeyType, SignerKey
from consent.ledger.exact import LedgerError

PARTNER, CLIENT = "partner", "client"
HOME_VARIABLE: Final = "MAILLON_EDGE_HOME"
STORE_KEY_BYTES: Final = 32
MOST_LOG_SECONDS: Final = 30
"""An order missing in the log is told within two minutes (``ledger.watch``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """Everything ``edge.toml`` may say (docs/edge.md). Relative paths are relative to the home."""

    slug: str
    hub_url: str
    url: str = ""
    """Where the hub reaches this edge; empty when it only calls."""
    listen_host: str = "127.0.0.1"
    listen_port: int = 8410
    tls_cert: str = ""
    tls_key: str = ""
    threads: int = 8
    co_hosted: bool = False
    """Runs on the hub's machine: its operator could read. Said by ``/health`` and the pages."""
    partner_folder: str = ""
    """Empty: the folder of that slug that comes with Maillon."""
    config_dir: str = ""
    """Empty: the configuration that comes with Maillon."""
    hub_ca: str = ""
    """PEM file of the authority behind the hub's certificate; empty for the public ones."""
    refresh_seconds: int = 60
    """How often the directory is fetched again."""
    log_seconds: int = 30
    """How often the hub's log is followed, and asked for the orders known here."""
    poll_seconds: int = 0
    """How often the manifest's ``[feed]`` is fetched; 0: never by itself."""
    drop_folder: str = ""
    """Watched for files to ingest; empty: none is."""
    drop_seconds: int = 30
    """How often the drop folder is looked at."""
    mode: str = "partner"
    """``partner``: answers from the files it was given. ``client``: asks the partner's API, order by order."""
    api_url: str = ""
    """Replaces the address the manifest gives of the API or the feed (a test platform, the simulator)."""
    api_token: str = ""
    """0600 file with the bearer token of the API or the feed; empty when it asks for none."""
    api_ca: str = ""
    """PEM file of the authority behind the certificate of the API or the feed; empty for the public ones."""
    api_proxy: str = ""
    """``http://host:port`` of the proxy asked for a tunnel to the API or the feed; empty for none."""
    api_habilitation: str = ""
    """Mode ``client``: number of the administration that holds the habilitation (its SIRET)."""
    api_perimeter: str = ""
    """Mode ``client``: codes of the territory it may ask about, separated by commas, where the API asks for them."""


class EdgeHome:
    """The files of one edge."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is opened."""
        self.path = path
        self.settings_file = path / "edge.toml"
        self.identity = path / "identity.jwk"
        self.seal = path / "seal.jwk"
        self.store_key = path / "store.key"
        self.witness_key = path / "witness.key"
        self.store = path / "edge.db"
        self.root = path / "root.pub.jwk"
        self.directory = path / "directory.jws"
        self.klink = path / "klink.jwe"
        self.poll_lock = path / "poll.lock"

    def create(self, partner: PartnerFolder, settings: EdgeSettings) -> DirectoryPartner:
        """Make the keys and ``edge.toml``; return the identity to be entered in the directory.

        Raises ``MaillonError(CONFLICT)`` when the folder already holds an edge: no key is ever overwritten;
        ``TLS_REQUIRED`` or ``CONFIGURATION`` for settings that cannot work.
        """
        if partner.slug != settings.slug:
            raise MaillonError(ErrorKind.CONFIGURATION, "slug: not the partner folder's")
        self._check(settings)
        if settings.mode == CLIENT and partner.api is None:
            raise MaillonError(ErrorKind.CONFIGURATION, "mode: the partner folder has no [api]")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write_private(self.store_key, secrets.token_bytes(STORE_KEY_BYTES))
        identity, seal = SigningKey.generate(), SealKey.generate()
        keys.save_key(self.identity, identity)
        keys.save_key(self.seal, seal)
        witness = ""
        if settings.url:  # whom nobody reaches, nobody can ask to witness
            made = SignerKey.from_seed(_witness_name(settings), secrets.token_bytes(32), KeyType.COSIGNATURE_V1)
            keys.write_private(self.witness_key, made.skey.encode())
            witness = made.verifier.vkey
        values = {field.name: getattr(settings, field.name) for field in fields(EdgeSettings)}
        # A JSON string, number or boolean is a TOML one.
        self.settings_file.write_text(
            "".join(f"{k} = {orjson.dumps(v).decode()}\n" for k, v in values.items()), "utf-8"
        )
        return self._identity(partner, settings, identity.public_jwk, seal.public_jwk, witness)

    def join(self, root: object, root_fingerprint: str, directory: str, klink: str, at: datetime) -> Directory:
        """Check and keep what the consortium gave: the root's public key, the directory, this edge's K_link.

        ``root_fingerprint`` is what a human read aloud (spaces do not matter); a root once pinned is not replaced.
        Raises ``MaillonError(UNTRUSTED_KEY)`` for another fingerprint or root, ``UNTRUSTED_DIRECTORY``, ``BAD_SEAL``,
        ``WRONG_RECIPIENT``, ``CONFLICT`` for a K_link that lacks an epoch this edge has.
        """
        jwk = keys.public_jwk(root, "Ed25519")
        if "".join(root_fingerprint.split()).lower() != fingerprint(jwk).replace(" ", ""):
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the root's fingerprint is not the one given")
        if self.root.exists() and self.pinned_root() != jwk:
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "another root than the one pinned")
        slug = self.settings().slug
        verified = Directory.verify(directory.strip(), jwk, at, self.version_seen())
        mine = verified.partner(slug)
        if mine.identity_key != keys.load_signing_key(self.identity).public_jwk:
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the directory has another identity key for this edge")
        cosigner = self.witness()
        if mine.witness_key != (cosigner.verifier.vkey if cosigner else ""):
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the directory has another witness key for this edge")
        seal_key = keys.load_seal_key(self.seal)
        given = open_klink(klink.strip(), seal_key, slug, jwk)
        if self.klink.exists():
            kept = {(each.epoch, each.key) for each in open_klink(self.klink_token(), seal_key, slug, jwk)}
            if not kept <= {(each.epoch, each.key) for each in given}:
                raise MaillonError(ErrorKind.CONFLICT, "an older klink.jwe than the one this edge has")
        replace_file(self.root, orjson.dumps(jwk) + b"\n")
        replace_file(self.klink, klink.strip().encode("ascii") + b"\n")
        self.keep_directory(verified)
        return verified

    def settings(self) -> EdgeSettings:
        """Return the settings; ``MaillonError(CONFIGURATION)`` names the first that is unknown, missing or wrong."""
        try:
            content: dict[str, Any] = tomllib.loads(self.settings_file.read_text("utf-8"))
        except (OSError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, "edge.toml is missing or unreadable") from None
        types = {field.name: field.type for field in fields(EdgeSettings)}
        for name, value in content.items():
            if type(value).__name__ != types.get(name):
                raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: {types.get(name, 'unknown setting')}")
        try:
            settings = EdgeSettings(**content)
        except TypeError:
            raise MaillonError(ErrorKind.CONFIGURATION, "edge.toml: slug and hub_url are needed") from None
        self._check(settings)
        return settings

    def listen(self, settings: EdgeSettings) -> Listen:
        """Return where and how to listen."""
        cert, key = (self.path / name if name else None for name in (settings.tls_cert, settings.tls_key))
        return Listen(settings.listen_host, settings.listen_port, cert, key, settings.threads)

    def partner(self, settings: EdgeSettings) -> PartnerFolder:
        """Open this edge's partner folder; raises as ``PartnerFolder.load``."""
        named = settings.partner_folder
        return PartnerFolder.load(self.path / named if named else bundled_directory() / settings.slug)

    def config(self, settings: EdgeSettings) -> Path:
        """Return the folder of the policy."""
        return self.path / settings.config_dir if settings.config_dir else PACKAGED_CONFIG

    def witness(self) -> SignerKey | None:
        """Return the key this edge cosigns with, or ``None``; ``MaillonError(CONFIGURATION)`` for a bad file."""
        if not self.witness_key.exists():
            return None
        try:
            key = SignerKey.parse(keys.read_private(self.witness_key).decode("utf-8", "replace"))
        except LedgerError:
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self.witness_key.name}: not a witness's key") from None
        if key.type is not KeyType.COSIGNATURE_V1:
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self.witness_key.name}: not a witness's key")
        return key

    def pinned_root(self) -> PublicJwk:
        """Return the root's public key; ``MaillonError(CONFIGURATION)`` when this edge has not joined."""
        return keys.public_jwk(strict_json.loads_object(self._given(self.root)), "Ed25519")

    def directory_token(self) -> str:
        """Return the directory JWS kept here, unverified; ``MaillonError(CONFIGURATION)`` when there is none."""
        return self._given(self.directory)

    def klink_token(self) -> str:
        """Return the sealed K_link; ``MaillonError(CONFIGURATION)`` when there is none."""
        return self._given(self.klink)

    def keep_directory(self, directory: Directory) -> None:
        """Keep a verified directory, whole or not at all."""
        replace_file(self.directory, directory.jws.encode("ascii") + b"\n")

    def version_seen(self) -> int:
        """Return the version of the directory kept here, 1 when there is none: the least to accept."""
        if not self.directory.exists():
            return 1
        # Its age does not matter here: an old directory still shows what was seen.
        return Directory.version_of(self.directory_token(), self.pinned_root())

    def _given(self, file: Path) -> str:
        try:
            return file.read_text("ascii").strip()
        except (OSError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{file.name} is missing: has this edge joined?") from None

    def _check(self, settings: EdgeSettings) -> None:
        check_url(settings.hub_url, "hub_url")
        if settings.url:
            check_url(settings.url, "url")
        if settings.threads < 1 or settings.refresh_seconds < 1:
            raise MaillonError(ErrorKind.CONFIGURATION, "threads, refresh_seconds: above zero")
        if not 1 <= settings.log_seconds <= MOST_LOG_SECONDS:
            raise MaillonError(ErrorKind.CONFIGURATION, f"log_seconds: between 1 and {MOST_LOG_SECONDS}")
        if settings.mode not in (PARTNER, CLIENT):
            raise MaillonError(ErrorKind.CONFIGURATION, f"mode: {PARTNER} or {CLIENT}")
        if settings.poll_seconds < 0:
            raise MaillonError(ErrorKind.CONFIGURATION, "poll_seconds: not below zero")
        if settings.drop_seconds < 1:
            raise MaillonError(ErrorKind.CONFIGURATION, "drop_seconds: above zero")
        if settings.drop_folder and settings.mode == CLIENT:
            raise MaillonError(ErrorKind.CONFIGURATION, "drop_folder: an edge in mode client keeps nothing")
        if settings.api_url:
            check_url(settings.api_url, "api_url")
        if settings.api_proxy:
            check_proxy(settings.api_proxy, "api_proxy")
        for name, file in (("hub_ca", settings.hub_ca), ("api_ca", settings.api_ca)):
            if file:
                check_authorities(self.path / file, name)
        check_listen(self.listen(settings))

    @staticmethod
    def _identity(
        partner: PartnerFolder, settings: EdgeSettings, identity_key: PublicJwk, seal_key: PublicJwk, witness_key: str
    ) -> DirectoryPartner:
        return DirectoryPartner(
            slug=PartnerSlug(partner.slug),
            name=partner.name,
            kind=partner.kind,
            operator=partner.operator,
            status="active",
            identity_key=identity_key,
            seal_key=seal_key,
            endpoint=settings.url,
            roles=partner.roles,
            supplies=partner.supplies if settings.mode == PARTNER else partner.suppliable(partner.api_formats()),
            nir_autorise=partner.nir_autorise,
            can_collect=partner.can_collect,
            witness_key=witness_key,
        )


def _witness_name(settings: EdgeSettings) -> str:
    """Return the schema-less URL a witness is named by (C2SP signed-note); its key file keeps it afterwards."""
    parts = urlsplit(settings.url)
    return f"{parts.netloc}{parts.path.rstrip('/')}/witness/{settings.slug}".replace("+", "%2B")
