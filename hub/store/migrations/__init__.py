"""Alembic migrations of the hub's two files, as two branches of one tree: ``hub`` and ``secrets``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, branch: str, version: str | None = None) -> None:
    """Bring the file behind ``engine`` to ``version``, or the newest, of ``branch`` (``hub`` or ``secrets``)."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), version or f"{branch}@head")
