"""``maillon edge refs``: take the new refs the hub offers, for an edge that is not served all the time."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from hub.cli.output import home_option, json_option, print_answer


@click.command("refs")
@home_option
@json_option
def refs(home: Path, as_json: bool) -> None:
    """Take the new refs the hub offers this partner, if any. An edge that is served does it by itself.

    \b
    Example:  maillon edge refs --home /srv/maillon/ccas
    """
    edge = Edge.open(home, SystemClock())
    try:
        edge.refresh_directory()
        taken = edge.take_new_refs()
    finally:
        edge.close()
    line = f"{taken} records have a new ref." if taken else "No new refs wait for this partner."
    print_answer({"taken": taken}, as_json, line)
