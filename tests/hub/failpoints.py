"""Where a writer may be killed: each step between an event and its acknowledgement. Armed in a forked process only."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from sqlalchemy import Engine, event

from hub.store.secrets import SecretStore
from hub.store.session import Writer
from hub.store.sql import Sql

RANDOM = "random moment"
FAILPOINTS = ("before the event", "after the tiles", "before the commit", "after the secrets", "after the commit")


def arm(engine: Engine, point: str, nth: int) -> None:
    """Make this process kill itself when it is at ``point`` for the ``nth`` time."""
    left = nth

    def reached(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            die()

    if point == "before the commit":
        event.listen(engine, "commit", reached)
    elif point == "after the secrets":
        flush = SecretStore.flush

        def flushed(self: SecretStore) -> None:
            drew = bool(self._drawn.secrets or self._drawn.traces)
            flush(self)
            if drew:
                reached()

        SecretStore.flush = flushed  # type: ignore[method-assign]
    elif point == "after the commit":
        commit = Writer._commit

        def committed(self: Writer, items: Any) -> Any:
            outcomes = commit(self, items)
            reached()
            return outcomes

        Writer._commit = committed  # type: ignore[method-assign]
    elif point in ("before the event", "after the tiles"):
        for name in ("run", "run_all"):
            setattr(Sql, name, _watched(getattr(Sql, name), point, reached))


def _watched(real: Any, point: str, reached: Any) -> Any:
    def watched(self: Sql, statement: str, values: Any) -> Any:
        if point == "before the event" and statement.startswith("INSERT INTO journal"):
            reached()
        done = real(self, statement, values)
        if point == "after the tiles" and statement.startswith("INSERT INTO tile"):
            reached()
        return done

    return watched


def die() -> None:
    time.sleep(0.01)  # whoever was answered too early has the time to say so
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
