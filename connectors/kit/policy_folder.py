"""Read ``config/`` from disk into the compiled policy; the same files, and so the same version, at hub and edges."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.model import FieldIndex
from consent.policy import Policy, PolicyError, load_policy
from schemas.registry import fields

PACKAGED_CONFIG: Final = Path(__file__).resolve().parents[2] / "config"
"""The configuration that comes with Maillon."""


def field_index() -> FieldIndex:
    """Return the index of the dossier's fields: bit *i* of every mask is ``schemas.registry.fields()[i]``."""
    return FieldIndex([field.path for field in fields()], [field.classe for field in fields()])


def load_policy_folder(config_dir: Path) -> Policy:
    """Return the policy of ``config_dir``; ``MaillonError(CONFIGURATION)`` names the file and key that is wrong."""
    try:
        files = {
            path.relative_to(config_dir).as_posix(): path.read_bytes()
            for path in sorted(config_dir.rglob("*"))
            if path.is_file()
        }
        return load_policy(files, field_index())
    except (PolicyError, OSError) as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"policy: {error}") from None
