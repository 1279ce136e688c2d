"""Tell the demo as a story a person can follow: numbered steps, what was run, what came back, right or wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click


@dataclass
class Report:
    """Collects every check of the scenario; ``quiet`` prints nothing (``--json``)."""

    quiet: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str, english: str) -> Iterator[None]:
        """Open a step of the story, with its title in French and in English."""
        self.steps.append({"step": title, "english": english, "checks": []})
        self._print("")
        self._print(click.style(f"{len(self.steps)}. {title}", bold=True) + click.style(f"  ({english})", dim=True))
        start = time.monotonic()
        yield
        self.steps[-1]["seconds"] = round(time.monotonic() - start, 2)

    def command(self, *arguments: str) -> None:
        """Show the command that is being run."""
        self._print(click.style(f"   $ maillon {' '.join(arguments)}", dim=True))

    def show(self, lines: Sequence[str], most: int = 30) -> None:
        """Show what came back, indented, at most ``most`` lines."""
        for line in lines[:most]:
            self._print(f"     {line}")
        if len(lines) > most:
            self._print(click.style(f"     … et {len(lines) - most} autres lignes", dim=True))

    def check(self, holds: bool, said: str) -> None:
        """Note whether something that must hold does."""
        self.steps[-1]["checks"].append({"ok": holds, "said": said})
        mark = click.style("✔", fg="green") if holds else click.style("✘ FAUX :", fg="red", bold=True)
        self._print(f"   {mark} {said}")

    @property
    def failures(self) -> list[str]:
        """What should have held and did not."""
        return [check["said"] for step in self.steps for check in step["checks"] if not check["ok"]]

    def _print(self, line: str) -> None:
        if not self.quiet:
            click.echo(line)
