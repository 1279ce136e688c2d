"""The hub's world, attacked: real SQLite, real keys, real signatures."""

from pathlib import Path

import pytest

from tests.attacks.log_world import Kept, Scene, build
from tests.hub.conftest import known, world

__all__ = ["known", "world"]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return build(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def scene(kept: Kept, tmp_path: Path) -> Scene:
    return Scene(kept, tmp_path)
