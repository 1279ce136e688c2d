from __future__ import annotations

from pathlib import Path

import pytest

from tests.receipts.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Shared: events are only ever added to its log."""
    folder: Path = tmp_path_factory.mktemp("consortium")
    return World(folder)
