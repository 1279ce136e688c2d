"""What honest hubs do is never taken for tampering: the audit after each story of links, splits and reviews."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.app import close_hub
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from tests.hub import test_identity
from tests.hub.conftest import World

STORIES = [
    story
    for name, story in vars(test_identity).items()
    if name.startswith("test_") and list(inspect.signature(story).parameters) == ["world"]
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    close_hub(world.hub)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.removeprefix("test_"))
def test_the_audit_finds_nothing_after(world: World, story: Callable[[World], None]) -> None:
    story(world)
    home = world.home.path
    report = fsck(home / "hub.db", trust_of_home(home / "hub.db", world.directory), home=home)
    assert report.finding is None
    assert report.opened > 0


def test_there_are_stories() -> None:
    assert len(STORIES) >= 5
