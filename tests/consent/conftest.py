"""The real policy: ``config/`` over the dossier's own fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent.model import FieldIndex
from consent.policy import Policy, load_policy
from schemas.registry import fields

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="session")
def config_files() -> dict[str, bytes]:
    """Return the real ``config/``, by relative name."""
    return {path.relative_to(CONFIG).as_posix(): path.read_bytes() for path in CONFIG.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def real_fields() -> dict[str, str]:
    """Return the dossier's fields with their class."""
    return {field.path: field.classe for field in fields()}


@pytest.fixture(scope="session")
def real_policy(config_files: dict[str, bytes], real_fields: dict[str, str]) -> Policy:
    """Return the real policy, compiled."""
    return load_policy(config_files, FieldIndex(tuple(real_fields), tuple(real_fields.values())))
