"""Fixtures of the kit's tests."""

from pathlib import Path

import pytest

from tests.kit.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
