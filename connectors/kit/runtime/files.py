"""Files that a power cut leaves whole: the former content or the new one, and what was said to be written is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600


def replace_file(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Put ``content`` in the place of ``path``, or make it, durably; the umask takes from ``mode`` as ever.

    Not for two at once: the new file is made under one name beside it. A cut may leave that one, which the next call
    replaces. Raises ``MaillonError(STORAGE)`` when the disk refuses: ``path`` is then the former file or the new one.
    """
    replacement = path.with_name(f".{path.name}.new")
    try:
        replacement.unlink(missing_ok=True)  # its mode would stay
        with os.fdopen(os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(replacement, path)
        sync(path.parent)
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"{path.name}: {error.strerror}") from None


def sync(path: Path) -> None:
    """Have the disk keep a file's content, or the names in a folder. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
