"""``maillon edge link``: how far this edge has come with a new K_link; an edge that is served does it by itself."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from hub.cli.output import home_option, json_option, print_answer


@click.command("link")
@home_option
@click.option("--status", is_flag=True, help="Only tell how far it is.")
@json_option
def link(home: Path, status: bool, as_json: bool) -> None:
    """Tell the hub of every record held under each epoch of K_link in this edge's klink.jwe; cut short, it goes on.

    \b
    Example:  maillon edge link --home /srv/maillon/ccas
    """
    edge = Edge.open(home, SystemClock())
    try:
        told = 0 if status else edge.go_over()
        standing, is_told = edge.store.links.standing(), edge.store.links.is_told()
    finally:
        edge.close()
    live = " and ".join(map(str, standing.live))
    retired = f" ({' and '.join(map(str, standing.retired))} retired)" if standing.retired else ""
    print_answer(
        {
            "live": list(standing.live),
            "retired": list(standing.retired),
            "through": standing.through,
            "of": standing.of,
            "hub_told": is_told,
            "told": told,
        },
        as_json,
        f"K_link epoch {live}{retired}: {standing.through} of {standing.of} records have their tokens under it.",
        "The hub was told of all." if is_told else "The hub is not told of all yet: maillon edge link",
    )
