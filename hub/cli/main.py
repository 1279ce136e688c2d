"""Entry point of ``maillon``. A family of commands is imported only when asked for: ``--help`` is instant."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.output import fail

_COMMANDS = {
    "init-root": ("hub.cli.root", "init_root"),
    "rotate-link": ("hub.cli.root", "rotate_link"),
    "partner": ("hub.cli.partner", "partner"),
    "init": ("hub.cli.serve", "init"),
    "serve": ("hub.cli.serve", "serve_hub"),
    "edge": ("hub.cli.edge", "edge"),
    "ingest": ("hub.cli.ingest", "ingest_files"),
    "connector": ("hub.cli.matching", "connector"),
    "index": ("hub.cli.index_family", "index"),
    "simulate": ("hub.cli.simulate", "simulate"),
    "consent": ("hub.cli.consent", "consent"),
    "pull": ("hub.cli.pull", "pull"),
    "access-log": ("hub.cli.audit", "access_log"),
    "erase": ("hub.cli.erase", "erase"),
    "backup": ("hub.cli.backup", "backup"),
    "restore": ("hub.cli.backup", "restore"),
    "explain": ("hub.cli.audit", "explain"),
    "receipt": ("hub.cli.receipt", "receipt"),
    "verify": ("hub.cli.verify", "verify"),
    "log": ("hub.cli.log", "log"),
    "demo": ("hub.cli.demo.command", "demo"),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="maillon")
def cli() -> None:
    """Maillon: one shared social dossier, with the person's agreement, and no surveillance file.

    \b
    See it work:      maillon demo
    Map a file:       maillon connector map caf --source rsa_mensuel FILE
    Exit codes:       0 done, 1 refused, 2 wrong usage, 3 no answer, 4 done in part
    """


def main() -> None:
    """Run the command line; a refusal becomes one line on standard error and a meaningful exit code."""
    try:
        cli()
    except MaillonError as error:
        fail(error, as_json="--json" in sys.argv)
    except Exception as error:
        if os.environ.get("MAILLON_TRACEBACK"):
            raise
        # Only where it happened: an unforeseen exception's text may hold what the command was working on.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {frame.name}, line {frame.lineno} of {os.path.basename(frame.filename)}"
        fail(MaillonError(ErrorKind.INTERNAL, f"{place}; MAILLON_TRACEBACK=1 shows more"), as_json="--json" in sys.argv)
