"""What every command shares: ``--json``, tables a person can read, and exit codes that mean something."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from connectors.kit.runtime.errors import ErrorKind, MaillonError

EXIT_REFUSED = 1
"""The request was understood and refused, or a check failed."""
EXIT_UNREACHABLE = 3
"""The far side did not answer; trying again later may help."""
EXIT_PARTIAL = 4
"""Done in part: what is missing is named in the output."""

_UNREACHABLE = {ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT}

_NARROWEST = 12
"""A column is not cut below this many characters."""
_INDENT = 5
"""What the demo puts before a line."""

F = TypeVar("F", bound=Callable[..., Any])


home_option = click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The edge's folder.",
)
"""``--home`` of the commands that work in an edge's folder."""

dpo_home_option = click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The DPO's folder: dpo.jwk and a copy of hub.toml.",
)
"""``--home`` of what the DPO alone does."""


def json_option(command: F) -> F:
    """Add ``--json`` to a command, given to it as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for a machine.")(command)


def print_json(document: object) -> None:
    """Print ``document`` on standard output as indented UTF-8 JSON."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True))


def print_answer(document: Mapping[str, object], as_json: bool, *lines: str) -> None:
    """Print ``document`` for a machine, or ``lines`` for a person."""
    if as_json:
        print_json(document)
    else:
        for line in lines:
            click.echo(line)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], most: int | None = None) -> list[str]:
    """Lay ``rows`` out in columns under ``header``; returns the lines.

    They fit ``most`` columns, by default those of the terminal; to a file or a pipe every cell goes whole.
    """
    widths = [max(len(str(row[column])) for row in (header, *rows)) for column in range(len(header))]
    if most is None and sys.stdout.isatty():
        most = shutil.get_terminal_size().columns - _INDENT
    while most is not None and sum(widths) + 2 * (len(widths) - 1) > most and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = [
        "  ".join(clip(str(cell), width).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    head = "  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True))
    return [line.rstrip() for line in (head, "  ".join("─" * width for width in widths), *lines)]


def clip(text: str, most: int) -> str:
    """Return ``text`` fit for ``most`` columns; ``--json`` has all of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def progress_bar(done: int, total: int, told: str) -> None:
    """Draw on standard error, in place, how much of ``total`` is done, and ``told`` beside it."""
    share = min(done / total, 1.0) if total else 1.0
    click.echo(f"\r[{'█' * int(share * 24):·<24}] {share:4.0%}  {told}", nl=False, err=True)


def fail(error: MaillonError, as_json: bool) -> NoReturn:
    """Print ``error`` on standard error and leave with the code its kind asks for."""
    # Commands speak to no one but the hub.
    detail = f"the hub did not answer ({error.detail})" if error.kind in _UNREACHABLE else error.detail
    if as_json:
        document = {"error": error.kind.value, "detail": detail, "pointer": error.pointer}
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
    else:
        where = f" ({error.pointer})" if error.pointer else ""
        click.echo(f"maillon: {error.kind.value}: {detail}{where}", err=True)
    sys.exit(EXIT_UNREACHABLE if error.kind in _UNREACHABLE else EXIT_REFUSED)
