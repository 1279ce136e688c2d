"""One at a time, in one process or several: a file lock that the kernel lets go of, however its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.kit.runtime.errors import ErrorKind, MaillonError


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Hold the file lock; raises ``MaillonError(CONFLICT)`` naming ``what`` when another holds it."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MaillonError(ErrorKind.CONFLICT, f"{what} is under way") from None
        yield
    finally:
        os.close(handle)
