"""Who takes part: the root-signed directory in force, and suspensions at the hub itself."""

from __future__ import annotations

import threading

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import jws_digest
from connectors.kit.trust import Directory, DirectoryPartner
from hub.home import HUB, HubHome
from hub.keyring import Keyring
from hub.store.session import UnitOfWork, Writer


class CurrentDirectory:
    """The directory in force. Verified against the pinned root when read; a bad new file leaves the old one."""

    def __init__(self, home: HubHome, keyring: Keyring, writer: Writer, clock: Clock) -> None:
        """Read and verify the installed directory; raises ``MaillonError`` when there is none worth trusting."""
        self._home = home
        self._keyring = keyring
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._root = home.pinned_root()
        self._directory = self._accept(home.directory_token())

    def get(self) -> Directory:
        """Return the directory; raises ``MaillonError(UNTRUSTED_DIRECTORY)`` once it has run out."""
        directory = self._directory
        if self._clock.now() >= directory.valid_until:
            raise MaillonError(ErrorKind.UNTRUSTED_DIRECTORY, "valid_until")
        return directory

    def refresh(self) -> bool:
        """Take the installed file if it is another one; return whether it was.

        Raises ``MaillonError(UNTRUSTED_DIRECTORY)`` for a file that is not the root's or is older; the directory in
        force then stays.
        """
        with self._lock:
            token = self._home.directory_token()
            if token == self._directory.jws:
                return False
            self._directory = self._accept(token)
            return True

    def _accept(self, token: str) -> Directory:
        seen = self._writer.run(lambda uow: uow.partners.directory_seen())
        directory = Directory.verify(token, self._root, self._clock.now(), max(seen, 1))
        self._keyring.add_partners(partner.slug for partner in directory.partners() if partner.slug != HUB)
        if directory.version > seen:
            self._writer.run(lambda uow: uow.partners.accept_directory(directory.version, jws_digest(token)))
        return directory


def check_active(uow: UnitOfWork, directory: Directory, slug: str) -> DirectoryPartner:
    """Return the partner ``slug`` if it may act now.

    Raises ``MaillonError(UNKNOWN_PARTNER)``, or ``SUSPENDED`` when the consortium or the hub suspended it.
    """
    partner = directory.partner(slug)
    if not partner.is_active:
        raise MaillonError(ErrorKind.SUSPENDED, "suspended in the directory")
    if slug in uow.partners.suspended():
        raise MaillonError(ErrorKind.SUSPENDED, "suspended at the hub")
    return partner


def suspend_partner(
    uow: UnitOfWork, directory: Directory, slug: str, *, suspended: bool, reason: str, actor: str
) -> dict[str, object]:
    """Suspend a partner at the hub from this commit on, or end that; return its standing.

    Pulls under way are stopped too: the second gate reads this. Raises ``MaillonError(UNKNOWN_PARTNER)``.
    """
    partner = directory.partner(slug)
    if slug == HUB:
        raise MaillonError(ErrorKind.FORBIDDEN, "the hub cannot suspend itself")
    uow.partners.suspend(slug, suspended=suspended, reason=reason, actor=actor)
    return {"slug": slug, "suspended": suspended or not partner.is_active, "suspended_at_hub": suspended}
