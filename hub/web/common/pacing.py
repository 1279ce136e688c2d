"""Answers whose size and moment say nothing: padded to powers of two, sent on a fixed tick (DESIGN §6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

SMALLEST: Final = 1024


def padded(document: Mapping[str, Any]) -> bytes:
    """Return ``document`` as JSON with a ``padding`` member that makes its size a power of two, 1 KiB at least."""
    size = len(orjson.dumps({**document, "padding": ""}))
    target = max(SMALLEST, 1 << (size - 1).bit_length())
    return orjson.dumps({**document, "padding": "A" * (target - size)})


class Tick:
    """Holds answers back to multiples of a fixed time after their request came in; zero lets them go at once."""

    def __init__(
        self,
        milliseconds: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``monotonic`` and ``sleep`` can be replaced in tests."""
        self._seconds = milliseconds / 1000
        self._monotonic = monotonic
        self._sleep = sleep

    def wait(self, began: float) -> None:
        """Sleep until the next multiple of the tick after ``began`` (a ``monotonic`` reading)."""
        if self._seconds > 0:
            self._sleep(self._seconds - (self._monotonic() - began) % self._seconds)
