"""``maillon edge``: one partner's edge. Runs it here; each further subject has its own module."""

from __future__ import annotations

import os
from pathlib import Path

import click

from connectors.kit.edge_home import HOME_VARIABLE, EdgeHome
from connectors.kit.runtime.serving import serve
from hub.cli.edge_alarms import alarms
from hub.cli.edge_intake import follow_persons, poll_feed, watch
from hub.cli.edge_link import link
from hub.cli.edge_looks import gaps, looks
from hub.cli.edge_make import init, join
from hub.cli.edge_names import names
from hub.cli.edge_records import history, quarantine, removals
from hub.cli.edge_refs import refs
from hub.cli.output import home_option


@click.group("edge")
def edge() -> None:
    """A partner's edge: make it, have it join the consortium, run it."""


for command in (
    *(init, join, poll_feed, watch, follow_persons),
    *(alarms, refs, gaps, history, link, looks, names, quarantine, removals),
):
    edge.add_command(command)


@edge.command("run")
@home_option
def run(home: Path) -> None:
    """Run the edge of HOME until it is stopped. Logs are JSON lines.

    \b
    Example:  maillon edge run --home /srv/maillon/caf
    """
    files = EdgeHome(home)
    settings = files.settings()
    os.environ[HOME_VARIABLE] = str(home.resolve())
    serve("connectors.kit.edge_app:from_environment", files.listen(settings), home)
