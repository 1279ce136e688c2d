"""The policy in force: compiled from ``config/``, written in the log, swapped whole, kept when new files are bad."""

from __future__ import annotations

import threading
from pathlib import Path

from connectors.kit.policy_folder import load_policy_folder
from connectors.kit.runtime.errors import MaillonError
from consent.policy import Policy
from hub.store.session import Writer

_Signature = frozenset[tuple[Path, int, int]]


class CurrentPolicy:
    """Holds one compiled policy at a time."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        """Compile ``folder`` and write its version in the log.

        Raises ``MaillonError(CONFIGURATION)`` naming the file and key at fault.
        """
        self._folder = folder
        self._writer = writer
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._policy = load_policy_folder(folder)
        self._log(self._policy)

    def get(self) -> Policy:
        """Return the policy in force."""
        return self._policy

    def refresh(self) -> bool:
        """Compile the folder again if a file changed; return whether another policy is now in force.

        Raises ``MaillonError(CONFIGURATION)`` for bad files, once, and ``STORAGE`` when the log cannot be written; the
        policy in force stays.
        """
        with self._lock:
            signature = self._signature()
            if signature == self._seen:
                return False
            self._seen = signature
            policy = load_policy_folder(self._folder)
            changed = policy.version != self._policy.version
            try:
                self._log(policy)
            except MaillonError:
                self._seen = frozenset()  # to be tried again
                raise
            self._policy = policy
            return changed

    def _log(self, policy: Policy) -> None:
        """Nothing is decided under a policy before the log says it is in force."""
        self._writer.run(lambda uow: uow.in_force.take_policy(policy.version))

    def _signature(self) -> _Signature:
        found = [(path, path.stat()) for path in self._folder.rglob("*") if path.is_file()]
        return frozenset((path, stat.st_mtime_ns, stat.st_size) for path, stat in found)
