"""One partner's edge, opened once: its keys, store, policy, directory, and its way to the hub."""

from __future__ import annotations

import hmac
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

import structlog

from connectors.kit.edge_home import CLIENT, STORE_KEY_BYTES, EdgeHome, EdgeSettings
from connectors.kit.edge_store import EdgeStore
from connectors.kit.hub_client import ANSWER_SECONDS, HubClient
from connectors.kit.klink import open_klink, tokeniser_of
from connectors.kit.ledger.client import HttpLog, LogView
from connectors.kit.ledger.heard import HeardDirectories
from connectors.kit.ledger.keys import log_keys
from connectors.kit.ledger.watch import Watch
from connectors.kit.ledger.witness import Witness
from connectors.kit.live.edge_client import ClientRelease, open_live
from connectors.kit.live.holdings import LiveHoldings
from connectors.kit.orders import ReleasePolicy
from connectors.kit.partner import PartnerFolder
from connectors.kit.policy_folder import load_policy_folder
from connectors.kit.ref_map import take_new_refs
from connectors.kit.registration import register_pending
from connectors.kit.runtime import b64url, keys
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.tokens import Tokeniser
from connectors.kit.transport import Transport
from connectors.kit.trust import HUB, Directory, RotatingKeys
from consent.ledger.checkpoint import SignerKey, VerifierKey
from consent.policy import Policy

WARN_BEFORE: Final = timedelta(days=14)
"""A directory this near its end is announced in the log."""

_log = structlog.get_logger("edge")


class Edge:
    """Everything an edge is made of. Safe to share between threads."""

    def __init__(
        self,
        home: EdgeHome,
        settings: EdgeSettings,
        clock: Clock,
        partner: PartnerFolder,
        policy: Policy,
        store: EdgeStore,
        tag_key: bytes,
        tokeniser: Tokeniser,
        operational: RotatingKeys,
        hub: HubClient,
        root: PublicJwk,
        log: LogView,
        live: LiveHoldings | None = None,
        cosigner: SignerKey | None = None,
    ) -> None:
        """Hold what :meth:`open` opened; the directory comes with the first use."""
        self.home = home
        self.settings = settings
        self.slug = settings.slug
        self.clock = clock
        self.partner = partner
        self.policy = policy
        self.store = store
        self.tokeniser = tokeniser
        self.operational = operational
        self.hub = hub
        self.live = live
        self.witness = None if cosigner is None else Witness(cosigner, store.log, self.log_keys, clock)
        self.watch = Watch(store.log, self.log_keys, log, clock)
        self.heard = HeardDirectories(store.log)
        self._tag_key = tag_key
        self._root = root
        self._lock = threading.Lock()
        self._directory: Directory | None = None

    @classmethod
    def open(cls, home: Path, clock: Clock, partner: PartnerFolder | None = None) -> Self:
        """Open the edge of ``home``; ``partner`` replaces the folder its settings name.

        Raises ``MaillonError``: ``CONFIGURATION`` for a file that is missing or wrong, ``BAD_SEAL`` or
        ``WRONG_RECIPIENT`` for another edge's K_link.
        """
        files = EdgeHome(home)
        settings = files.settings()
        partner = partner or files.partner(settings)
        if partner.slug != settings.slug:
            raise MaillonError(ErrorKind.CONFIGURATION, "slug: not the partner folder's")
        store_key = keys.read_private(files.store_key)
        if len(store_key) != STORE_KEY_BYTES:
            raise MaillonError(ErrorKind.CONFIGURATION, f"store.key: {STORE_KEY_BYTES} bytes expected")
        root = files.pinned_root()
        klinks = open_klink(files.klink_token(), keys.load_seal_key(files.seal), settings.slug, root)
        operational = RotatingKeys(keys.load_signing_key(files.identity), settings.slug, clock)
        store, tokeniser = EdgeStore.open(files.store, store_key), tokeniser_of(klinks)
        store.links.hold(tokeniser)
        transport = Transport(ca_file=home / settings.hub_ca if settings.hub_ca else None, answer=ANSWER_SECONDS)
        return cls(
            home=files,
            settings=settings,
            clock=clock,
            partner=partner,
            policy=load_policy_folder(files.config(settings)),
            store=store,
            # One key per use: this one never meets the store's own.
            tag_key=hmac.digest(store_key, b"maillon/edge-tag/v1", "sha256"),
            tokeniser=tokeniser,
            operational=operational,
            hub=HubClient(settings.hub_url, operational, clock, transport),
            root=root,
            live=open_live(files, settings, partner, store, tokeniser, clock) if settings.mode == CLIENT else None,
            cosigner=files.witness(),
            log=HttpLog(settings.hub_url, transport),
        )

    @property
    def release(self) -> ReleasePolicy:
        """What this partner lets go: its own rules, and in mode ``client`` what the habilitation lets through them."""
        return self.partner if self.live is None else ClientRelease(self.partner, self.directory)

    @property
    def directory(self) -> Directory:
        """The verified directory in force; ``MaillonError(UNTRUSTED_DIRECTORY)`` when none is, or it ran out."""
        with self._lock:
            now = self.clock.now()
            if self._directory is None:
                self._directory = Directory.verify(self.home.directory_token(), self._root, now, 1)
            if now >= self._directory.valid_until:
                raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "valid_until")
            return self._directory

    def log_keys(self) -> frozenset[VerifierKey]:
        """Return the keys of the hub's log, which the root vouches for; raises as :attr:`directory`."""
        return log_keys(self.directory.partner(HUB))

    def refresh_directory(self) -> bool:
        """Fetch the hub's directory and take it if it is the root's and newer; return whether it was.

        Raises ``FarSideError`` when the hub does not answer, ``MaillonError(UNTRUSTED_DIRECTORY)`` when it offers
        one that is forged, expired or older; the one in force then stays.
        """
        token = self.hub.directory()
        with self._lock:
            seen = self.home.version_seen()
            offered = Directory.verify(token, self._root, self.clock.now(), seen)
            if self._directory is not None and offered.version == self._directory.version:
                return False
            self.home.keep_directory(offered)
            self._directory = offered
            return True

    def upkeep(self) -> None:
        """Do one round of housekeeping: directory, expired single-use values, new refs, a new K_link.

        Logs what fails, raises nothing of it.
        """
        now = self.clock.now()
        try:
            try:
                self.refresh_directory()
            finally:
                self.heard.review(self.directory.version, now)
            if self.directory.valid_until - now < WARN_BEFORE:
                _log.warning("directory:expiring", valid_until=self.directory.valid_until.isoformat())
            self.store.forget_expired(now)
            if self.live is not None:
                self.live.forget_expired(now)
            if taken := self.take_new_refs():
                _log.info("refs:taken", subjects=taken)
            if told := self.go_over():
                _log.info("klink:records:told", records=told)
        except MaillonError as error:
            _log.warning("edge:upkeep:failed", kind=error.kind.value, detail=error.detail)

    def take_new_refs(self) -> int:
        """Take the new refs the hub offers, if any; return how many subjects had one. Raises as ``take_new_refs``."""
        seal_key = keys.load_seal_key(self.home.seal)
        return take_new_refs(self.hub, self.store.refs, self.slug, seal_key, self.directory, self.clock.now)

    def go_over(self) -> int:
        """Tell the hub of every record under the epochs of K_link it lacks; return how many records it was told of.

        Does nothing once that is done, and goes on when it was cut short. Raises as ``register_pending``.
        """
        if self.store.links.is_told():
            return 0
        live = self.live is not None
        sections = not live and self.partner.declares_sections
        told = register_pending(self.store, self.hub, declares_sections=sections, live=live)
        self.store.links.told()
        return told.registered

    def tag(self, kind: str, value: str) -> str:
        """Return the keyed digest of an agent or case reference: the same here each time, unreadable elsewhere."""
        return b64url.encode(hmac.digest(self._tag_key, f"{kind}\0{value}".encode(), "sha256"))

    def close(self) -> None:
        """Close the store, forget what an API answered."""
        if self.live is not None:
            self.live.close()
        self.store.close()
