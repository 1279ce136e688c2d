"""Time two things in turn, A B A B …, and report medians, the spread and the ratio pair by pair.

Pairs are interleaved because the machine is shared and its speed drifts: a ratio of neighbours holds, an absolute
time does not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Say = Callable[[str], None]
"""Where progress goes."""


@dataclass(frozen=True)
class Scale:
    """How long to measure: ``pairs`` interleaved runs of ``seconds``; the sizes of the generated streams."""

    pairs: int = 15
    seconds: float = 0.2
    persons: tuple[int, ...] = (2_000, 20_000, 200_000)


QUICK = Scale(pairs=3, seconds=0.1, persons=(500, 2_000))


@dataclass(frozen=True)
class Rate:
    """A number per second (or in another ``unit``), or a ratio, over several runs."""

    median: float
    low: float
    high: float
    unit: str = "/s"

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1
        return f"{self.median:,.{digits}f}{self.unit} ({self.low:,.{digits}f}–{self.high:,.{digits}f})"


@dataclass(frozen=True)
class Figure:
    """One line of the result: ours, the bare limit, and ours ÷ bare."""

    name: str
    ours: Rate
    bare: Rate
    ratio: Rate
    note: str = ""

    def line(self) -> str:
        """Return the figure as one row of the Markdown result table."""
        spread = f"{self.ratio.median:.2f}× ({self.ratio.low:.2f}–{self.ratio.high:.2f})"
        return f"| {self.name} | {self.ours} | {self.bare} | {spread} | {self.note} |"


@dataclass(frozen=True)
class Result:
    """What one bench found: its figures, what was wanted, what was measured, what its time goes to, and the rest."""

    figures: tuple[Figure, ...]
    wanted: str
    measured: str
    dominates: str
    information: tuple[str, ...] = ()


def rate_of(samples: Iterable[float], unit: str = "/s") -> Rate:
    """Fold samples into median, minimum and maximum."""
    values = list(samples)
    return Rate(statistics.median(values), min(values), max(values), unit)


def run_for(operation: Callable[[], int], seconds: float) -> float:
    """Repeat ``operation`` (returns how many operations it did) for ``seconds`` of CPU; return operations per second.

    CPU time, not the clock's: what the machine's other tenants take is not ours to count.
    """
    done, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        done += operation()
    return done / elapsed


def compare(name: str, ours: Callable[[], int], bare: Callable[[], int], scale: Scale, note: str = "") -> Figure:
    """Time ``ours`` against ``bare``, both pure computation, in interleaved runs after a warm-up of each."""
    run_for(ours, scale.seconds / 5)
    run_for(bare, scale.seconds / 5)
    samples = [(run_for(ours, scale.seconds), run_for(bare, scale.seconds)) for _ in range(scale.pairs)]
    return figure_of(name, samples, note)


def figure_of(name: str, samples: list[tuple[float, float]], note: str = "", unit: str = "/s") -> Figure:
    """Return the figure of ``(ours, bare)`` measures taken side by side."""
    return Figure(
        name,
        rate_of((ours for ours, _ in samples), unit),
        rate_of((bare for _, bare in samples), unit),
        rate_of(ours / bare for ours, bare in samples),
        note,
    )
