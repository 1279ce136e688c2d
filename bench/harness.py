"""Time two things in turn, A B A B …, and report medians, the spread and the ratio pair by pair.

Pairs are interleaved because the machine is shared and its speed drifts: a ratio of neighbours holds, an absolute
time does not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """Operations per second over several runs."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:,.0f}/s ({self.low:,.0f}–{self.high:,.0f})"


@dataclass(frozen=True)
class Figure:
    """One line of the result: ours, the bare limit, and ours ÷ bare."""

    name: str
    ours: Rate
    bare: Rate
    ratio: Rate
    note: str

    def line(self) -> str:
        """Return the figure as one row of the Markdown result table."""
        spread = f"{self.ratio.median:.2f}× ({self.ratio.low:.2f}–{self.ratio.high:.2f})"
        return f"| {self.name} | {self.ours} | {self.bare} | {spread} | {self.note} |"


def rate_of(samples: list[float]) -> Rate:
    """Fold samples into median, minimum and maximum."""
    return Rate(statistics.median(samples), min(samples), max(samples))


def run_for(operation: Callable[[], int], seconds: float) -> float:
    """Repeat ``operation`` (returns how many operations it did) for about ``seconds``; return operations per second."""
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        done += operation()
    return done / elapsed


def compare(
    name: str,
    ours: Callable[[], int],
    bare: Callable[[], int],
    note: str,
    *,
    pairs: int = 7,
    seconds: float = 0.5,
) -> Figure:
    """Time ``ours`` against ``bare`` in ``pairs`` interleaved runs of ``seconds`` each, after one warm-up of both."""
    run_for(ours, seconds / 5)
    run_for(bare, seconds / 5)
    samples = [(run_for(ours, seconds), run_for(bare, seconds)) for _ in range(pairs)]
    return Figure(
        name,
        rate_of([a for a, _ in samples]),
        rate_of([b for _, b in samples]),
        rate_of([a / b for a, b in samples]),
        note,
    )
