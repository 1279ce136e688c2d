"""The folder a hub lives in: made once by ``maillon init``, opened by the hub's process.

``hub.toml`` settings · ``keyring.json``, ``wrapping.keys``, ``log.keys``, ``identity.jwk``, ``seal.jwk`` 0600 secrets ·
``hub.db``, ``secrets.db`` · ``directory.jws``, ``root.pub.jwk`` what the consortium gave · ``dpo.jwk``,
``operator.jwk`` to be moved to their owners · ``erasures.log``, ``log.seen`` what a restored backup is held against.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from connectors.kit.runtime import keys, strict_json
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import replace_file
from connectors.kit.runtime.ids import PartnerSlug
from connectors.kit.runtime.keys import PublicJwk, SealKey, SigningKey
from connectors.kit.trust import Directory, DirectoryPartner
from consent.ledger.note import KeyType, SignerKey
from hub.keyring import Keyring
from hub.settings import log_origin_of
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.wrapping import WrappingKeys

HUB = PartnerSlug("hub")


class HubHome:
    """The files of one hub."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is opened."""
        self.path = path
        self.settings = path / "hub.toml"
        self.keyring = path / "keyring.json"
        self.wrapping = path / "wrapping.keys"
        self.log_keys = path / "log.keys"
        self.log_stopped = path / "log.stopped"
        self.evidence = path / "evidence"
        self.identity = path / "identity.jwk"
        self.seal = path / "seal.jwk"
        self.database = path / "hub.db"
        self.secrets = path / "secrets.db"
        self.erasures = path / "erasures.log"
        self.log_seen = path / "log.seen"
        self.directory = path / "directory.jws"
        self.root = path / "root.pub.jwk"
        self.dpo = path / "dpo.jwk"
        self.operator = path / "operator.jwk"

    def create(
        self,
        *,
        url: str,
        host: str,
        port: int,
        operator: str,
        clock: Clock,
        tls: tuple[str, str] | None = None,
        co_hosted: Sequence[str] = (),
        witnesses: Sequence[str] = (),
    ) -> DirectoryPartner:
        """Make keys, keyring, settings and databases; return the identity to be entered in the directory.

        ``operator`` is who runs the hub, in words; ``tls`` the certificate and key files; ``co_hosted`` the partners
        whose edge will run on the same machine; ``witnesses`` those whose edge will cosign the log.
        Raises ``MaillonError(CONFLICT)`` when the folder already holds a hub: no key is ever overwritten.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyring, wrapping = Keyring.create(self.keyring), WrappingKeys.create(self.wrapping)
        identity, seal, dpo, run_by = (
            SigningKey.generate(),
            SealKey.generate(),
            SigningKey.generate(),
            SigningKey.generate(),
        )
        for file, key in ((self.identity, identity), (self.seal, seal), (self.dpo, dpo), (self.operator, run_by)):
            keys.save_key(file, key)
        origin = log_origin_of(url)
        log_key = SignerKey.from_seed(origin, secrets.token_bytes(32))
        keys.write_private(self.log_keys, f"{log_key.skey}\n".encode())
        lines = [f"url = {_toml(url)}", f"listen_host = {_toml(host)}", f"listen_port = {port}"]
        # Written down, so that the log keeps its name when the hub moves.
        lines.append(f"log_origin = {_toml(origin)}")
        if co_hosted:
            lines.append(f"co_hosted = [{', '.join(map(_toml, co_hosted))}]")
        if witnesses:
            lines.append(f"witnesses = [{', '.join(map(_toml, witnesses))}]")
        if tls is not None:
            lines += [f"tls_cert = {_toml(tls[0])}", f"tls_key = {_toml(tls[1])}"]
        for name, key in (("dpo_key", dpo), ("operator_key", run_by)):
            lines += ["", f"[{name}]", *(f"{member} = {_toml(value)}" for member, value in key.public_jwk.items())]
        self.settings.write_text("\n".join(lines) + "\n", "utf-8")
        engine = open_engine(self.database)
        upgrade(engine, "hub")
        engine.dispose()
        SecretStore(self.secrets, wrapping, clock, system_key=keyring.system_key).close()
        entry = DirectoryPartner(HUB, "Maillon", "hub", operator, "active", identity.public_jwk, seal.public_jwk, url)
        return replace(entry, log_key=log_key.verifier.vkey, reviewer_key=dpo.public_jwk["x"])

    def install_directory(self, token: str, root_public_jwk: PublicJwk, clock: Clock) -> Directory:
        """Check a directory against the root and put it in place, whole or not at all; return it.

        The root is pinned by the first call: a later one with another root is refused. Raises
        ``MaillonError(UNTRUSTED_DIRECTORY)``, also for a version older than the one in place or without this very hub.
        """
        pinned = self.pinned_root() if self.root.exists() else root_public_jwk
        if pinned != keys.public_jwk(root_public_jwk, "Ed25519"):
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "another root than the one pinned")
        seen = Directory.version_of(self.directory_token(), pinned) if self.directory.exists() else 1
        directory = Directory.verify(token, pinned, clock.now(), seen)
        own = keys.load_signing_key(self.identity).public_jwk
        log_keys = {key.verifier.vkey for key in self._log_signers()}
        if not any(p.slug == HUB and p.identity_key == own and p.log_key in log_keys for p in directory.partners()):
            raise MaillonError(
                ErrorKind.UNTRUSTED_DIRECTORY, "this hub does not stand in it: admit hub.identity.json first"
            )
        for file, content in ((self.root, orjson.dumps(pinned)), (self.directory, token.encode("ascii"))):
            replace_file(file, content + b"\n")
        return directory

    def log_signers(self, origin: str) -> list[SignerKey]:
        """Return the log's private keys, oldest first; ``MaillonError(CONFIGURATION)`` unless all are of ``origin``."""
        signers = self._log_signers()
        if any(key.name != origin for key in signers):
            raise MaillonError(ErrorKind.CONFIGURATION, "log_origin: not the log these log.keys are of")
        return signers

    def _log_signers(self) -> list[SignerKey]:
        try:
            lines = keys.read_private(self.log_keys).decode("utf-8").splitlines()
            signers = [SignerKey.parse(line) for line in lines]
        except ValueError:  # LedgerError is one
            signers = []
        if not signers or any(key.type is not KeyType.ED25519 for key in signers):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self.log_keys.name}: not the keys of a log")
        return signers

    def check_databases(self) -> None:
        """Raise ``MaillonError(CONFIGURATION)`` when one is missing: an empty one would forget every withdrawal."""
        for file in (self.database, self.secrets):
            if not file.is_file():
                raise MaillonError(ErrorKind.CONFIGURATION, f"{file.name} is missing: restore it from its backup")

    def pinned_root(self) -> PublicJwk:
        """Return the root's public key; ``MaillonError(CONFIGURATION)`` when it was not installed."""
        try:
            return keys.public_jwk(strict_json.loads_object(self.root.read_bytes()), "Ed25519")
        except OSError:
            raise MaillonError(ErrorKind.CONFIGURATION, "root.pub.jwk is missing in the hub's home") from None

    def directory_token(self) -> str:
        """Return the installed directory JWS, unverified; ``MaillonError(CONFIGURATION)`` when there is none."""
        try:
            return self.directory.read_text("ascii").strip()
        except (OSError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, "directory.jws is missing in the hub's home") from None


def _toml(text: str) -> str:
    # A JSON string is a TOML basic string.
    return orjson.dumps(text).decode()
