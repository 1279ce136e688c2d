"""The policy in force: compiled from ``config/``, swapped whole, kept when the new files are bad."""

from __future__ import annotations

import threading
from pathlib import Path

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.model import FieldIndex
from consent.policy import Policy, PolicyError, load_policy
from schemas.registry import fields


class CurrentPolicy:
    """Holds one compiled policy at a time."""

    def __init__(self, folder: Path) -> None:
        """Compile ``folder``; raises ``MaillonError(CONFIGURATION)`` naming the file and key at fault."""
        self._folder = folder
        self._index = FieldIndex([field.path for field in fields()], [field.classe for field in fields()])
        self._lock = threading.Lock()
        self._files = self._read()
        self._policy = self._compile(self._files)

    def get(self) -> Policy:
        """Return the policy in force."""
        return self._policy

    def refresh(self) -> bool:
        """Compile the folder again if a file changed; return whether it did.

        Raises ``MaillonError(CONFIGURATION)`` for bad files; the policy in force then stays.
        """
        with self._lock:
            files = self._read()
            if files == self._files:
                return False
            self._policy = self._compile(files)
            self._files = files
            return True

    def _read(self) -> dict[str, bytes]:
        try:
            found = {path.relative_to(self._folder).as_posix(): path for path in self._folder.rglob("*")}
            return {name: path.read_bytes() for name, path in sorted(found.items()) if path.is_file()}
        except OSError:
            raise MaillonError(ErrorKind.CONFIGURATION, "config_dir cannot be read") from None

    def _compile(self, files: dict[str, bytes]) -> Policy:
        try:
            return load_policy(files, self._index)
        except PolicyError as error:
            raise MaillonError(ErrorKind.CONFIGURATION, str(error)) from None
