"""The hub's world, attacked: real SQLite, real keys, real signatures."""

from tests.hub.conftest import known, world

__all__ = ["known", "world"]
