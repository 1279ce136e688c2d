"""The receipt of what a person just said, or said before: into a file for her, onto a page to hand out.

The edge keeps none by itself: whoever took an event down can ask the hub for its receipt again, and what is not kept
needs no erasing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import click

from connectors.kit.edge import Edge
from connectors.kit.edge_home import EdgeHome
from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.receipts.names import names_of
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import write_private
from consent.ledger.verify import TrustedKeys
from hub.cli.output import EXIT_PARTIAL, home_option, json_option, print_answer
from hub.cli.receipt import write_page

F = TypeVar("F", bound=Callable[..., Any])
_WANTED: Final = "hub.cli.consent_receipt"


def _remember(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None and value.exists():
        # Said before anything is sent: what was recorded is not recorded twice for the want of a file.
        raise click.BadParameter("the file is there already", context, parameter)
    if value is not None:
        context.meta.setdefault(_WANTED, {})[str(parameter.name)] = value


def receipt_options(command: F) -> F:
    """Add ``--receipt`` and ``--pdf``; :func:`keep` finds what was given."""
    file = click.Path(path_type=Path, dir_okay=False)
    for name, text in (
        ("--receipt", "Write the person's receipt here (0600)."),
        ("--pdf", "And as a page to hand out."),
    ):
        command = click.option(name, type=file, help=text, expose_value=False, callback=_remember)(command)
    return command


def keep(edge: Edge, home: Path, answer: Mapping[str, Any]) -> list[str]:
    """Write the receipt in the hub's ``answer`` where the command was told to; return what to tell.

    Raises as :func:`write`, and ``MaillonError(UNAVAILABLE)`` when the log has not taken the event in yet.
    """
    wanted: dict[str, Path] = click.get_current_context().meta.get(_WANTED, {})
    if not wanted:
        return []
    return write(edge, home, answer.get("receipt"), wanted)


def write(edge: Edge, home: Path, receipt: Mapping[str, Any] | None, wanted: Mapping[str, Path]) -> list[str]:
    """Write ``receipt`` as the files of ``wanted`` (``receipt``, ``pdf``), none of which may exist.

    Raises ``MaillonError``: ``UNAVAILABLE`` for a receipt that is not there yet, ``CONFLICT`` for a file that is, and
    as :func:`hub.cli.receipt.write_page`.
    """
    if receipt is None:
        raise MaillonError(ErrorKind.UNAVAILABLE, "recorded; its receipt is not ready yet: maillon consent receipt")
    told = []
    if "receipt" in wanted:
        write_private(wanted["receipt"], json.dumps(receipt, ensure_ascii=False, separators=(",", ":")).encode())
        told.append(f"Receipt written: {wanted['receipt']}")
    if "pdf" in wanted:
        folder = EdgeHome(home)
        names = names_of([partner.to_wire() for partner in edge.directory.partners()], folder.config(folder.settings()))
        keys = TrustedKeys.parse(keys_file(edge.directory, folder.pinned_root(), quorum=None))
        write_page(dict(receipt), keys, names, wanted["pdf"])
        told.append(f"Page written: {wanted['pdf']}")
    return told


@click.command("receipt")
@click.argument("receipt_id", type=click.UUID)
@home_option
@receipt_options
@json_option
def receipt(receipt_id: UUID, home: Path, as_json: bool) -> None:
    """Fetch the receipt of something a person said, with the witnesses that have seen it by now.

    \b
    Example:  maillon consent receipt 0b7e9a54-1c2d-4e3f-8a9b-5c6d7e8f9a0b --home departement --receipt recu.json
    """
    edge = Edge.open(home, SystemClock())
    try:
        answer = edge.hub.receipt(str(receipt_id))
        if "recu" in answer:
            print_answer(answer, as_json, "The log has not taken it in yet: ask again.")
            sys.exit(EXIT_PARTIAL)
        lines = keep(edge, home, {"receipt": answer})
        print_answer(answer, as_json, *(lines or [json.dumps(answer, ensure_ascii=False)]))
    finally:
        edge.close()
