"""The hub's settings: one frozen dataclass from ``hub.toml`` in its home and the environment, read once.

``MAILLON_HUB_<NAME>`` overrides the file. Each setting is described in ``docs/settings.md``; a test compares.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from connectors.kit.policy_folder import PACKAGED_CONFIG
from connectors.kit.runtime import keys
from connectors.kit.runtime.authorities import check_authorities
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.runtime.serving import Listen, check_listen
from consent.ledger.exact import LedgerError
from consent.ledger.proof import check_quorum

HOME_VARIABLE: Final = "MAILLON_HUB_HOME"
_PREFIX: Final = "MAILLON_HUB_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the hub may be told. Paths are relative to its home."""

    home: Path
    url: str
    dpo_key: PublicJwk
    operator_key: PublicJwk
    listen_host: str = "127.0.0.1"
    listen_port: int = 8400
    tls_cert: Path | None = None
    tls_key: Path | None = None
    threads: int = 16
    config_dir: Path = PACKAGED_CONFIG
    co_hosted: tuple[str, ...] = ()
    edge_ca: Path | None = None
    tick_ms: int = 25
    connect_seconds: float = 3.0
    answer_seconds: float = 7.0
    writer_batch: int = 64
    max_body_bytes: int = 4 * 1024 * 1024
    registrations_per_hour: int = 1_000_000
    lookups_per_hour: int = 100_000
    purge_seconds: int = 60
    directory_seconds: int = 2
    log_requests_per_second: int = 500
    log_origin: str | None = None
    witnesses: tuple[str, ...] = ()
    witness_quorum: int = 0
    witness_faulty: int = 0
    witness_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot work; raises ``MaillonError(CONFIGURATION)`` or ``TLS_REQUIRED``, naming the setting."""
        for name in ("dpo_key", "operator_key"):
            try:
                keys.public_jwk(getattr(self, name), "Ed25519")
            except MaillonError:
                raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: not a public Ed25519 JWK") from None
        if urlsplit(self.url).scheme not in ("http", "https") or self.url.endswith("/"):
            raise MaillonError(ErrorKind.CONFIGURATION, "url: an http(s) URL without trailing slash")
        for name in (
            *("threads", "connect_seconds", "answer_seconds", "writer_batch"),
            *("max_body_bytes", "witness_seconds"),
        ):
            if getattr(self, name) <= 0:
                raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: must be above zero")
        # An order lives 10 s and no longer (DESIGN §7).
        if self.connect_seconds + self.answer_seconds > 10:
            raise MaillonError(ErrorKind.CONFIGURATION, "connect_seconds + answer_seconds: 10 at most")
        if self.log_requests_per_second < 0:
            raise MaillonError(ErrorKind.CONFIGURATION, "log_requests_per_second: zero (no bound) or more")
        if self.registrations_per_hour < 0 or self.lookups_per_hour < 0:
            raise MaillonError(ErrorKind.CONFIGURATION, "registrations_per_hour, lookups_per_hour: zero (off) or more")
        if self.tick_ms < 0:
            raise MaillonError(ErrorKind.CONFIGURATION, "tick_ms: zero (off) or more")
        if len(set(self.witnesses)) != len(self.witnesses):
            raise MaillonError(ErrorKind.CONFIGURATION, "witnesses: one named twice")
        try:
            check_quorum(len(self.witnesses), self.witness_faulty, self.quorum)
        except LedgerError:
            raise MaillonError(
                ErrorKind.CONFIGURATION,
                "witness_quorum: more than (witnesses + witness_faulty) / 2, and no more than there are",
            ) from None
        if self.edge_ca is not None:
            check_authorities(self.edge_ca, "edge_ca")
        check_listen(self.listen)

    @property
    def origin(self) -> str:
        """The constant name of the log."""
        return self.log_origin or log_origin_of(self.url)

    @property
    def quorum(self) -> int:
        """How many witnesses must cosign a checkpoint: the least safe number unless one was set."""
        least = (len(self.witnesses) + self.witness_faulty) // 2 + 1 if self.witnesses else 0
        return self.witness_quorum or least

    @property
    def listen(self) -> Listen:
        """Where and how to listen."""
        return Listen(self.listen_host, self.listen_port, self.tls_cert, self.tls_key, self.threads)


def log_origin_of(url: str) -> str:
    """Return the name of the log of a hub at ``url`` when nothing else was set: its address without the scheme."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}/log"


def load_settings(home: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the hub whose home is ``home``.

    Raises ``MaillonError(CONFIGURATION)`` naming the first unknown, missing or unreadable setting.
    """
    environment = os.environ if environment is None else environment
    path = home / "hub.toml"
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise MaillonError(ErrorKind.CONFIGURATION, "hub.toml is missing or unreadable in the hub's home") from None
    types = {field.name: str(field.type) for field in fields(Settings) if field.name != "home"}
    values = {name: _value(name, value, types, home) for name, value in content.items()}
    for name, declared in types.items():
        text = environment.get(_PREFIX + name.upper())
        if text is not None:
            values[name] = _value(name, _from_text(name, text, declared), types, home)
    try:
        return Settings(home=home, **values)
    except TypeError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"hub.toml: {error}") from None


def home_from_environment(environment: Mapping[str, str] | None = None) -> Path:
    """Return the home named by ``MAILLON_HUB_HOME``; ``MaillonError(CONFIGURATION)`` when it is not set."""
    value = (os.environ if environment is None else environment).get(HOME_VARIABLE)
    if not value:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{HOME_VARIABLE} is not set")
    return Path(value)


def _value(name: str, value: Any, types: Mapping[str, str], home: Path) -> Any:
    declared = types.get(name)
    if declared is None:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: unknown setting")
    if declared.startswith("Path") and isinstance(value, str):
        return home / value
    if declared.startswith("tuple") and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if declared == "float" and type(value) in (int, float):
        return float(value)
    if declared == "PublicJwk" and isinstance(value, dict):
        return value
    if (declared == "int" and type(value) is int) or (declared.startswith("str") and isinstance(value, str)):
        return value
    raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: {declared} expected")


def _from_text(name: str, text: str, declared: str) -> Any:
    try:
        if declared.startswith("tuple"):
            return [item for item in text.split(",") if item]
        return {"int": int, "float": float}.get(declared, str)(text)
    except ValueError:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{name}: {declared} expected") from None
