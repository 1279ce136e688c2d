"""``maillon init`` and ``maillon serve``: make a hub, run a hub."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.serving import serve
from connectors.kit.trust import fingerprint
from hub.cli.output import json_option, print_answer
from hub.home import HubHome
from hub.settings import HOME_VARIABLE, load_settings


@click.command("init")
@click.argument("home", type=click.Path(path_type=Path, file_okay=False))
@click.option("--url", required=True, help="Where partners reach this hub, e.g. https://hub.example.fr")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8400, show_default=True)
@click.option("--operator", required=True, help="Who runs this hub, in words people will read.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="PEM; required off loopback.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="PEM; required off loopback.")
@click.option("--co-hosted", multiple=True, help="Slug of an edge on this same machine; shown by /health.")
@click.option("--witness", "witnesses", multiple=True, help="Slug of an edge that is to cosign the log; three or more.")
@json_option
def init(
    home: Path,
    url: str,
    host: str,
    port: int,
    operator: str,
    tls_cert: str | None,
    tls_key: str | None,
    co_hosted: tuple[str, ...],
    witnesses: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a hub in HOME: keys, keyring, settings, databases. Nothing is ever overwritten.

    \b
    Example:  maillon init /srv/maillon/hub --url https://hub.example.fr --operator "Département"
    """
    tls = (str(Path(tls_cert).resolve()), str(Path(tls_key).resolve())) if tls_cert and tls_key else None
    made = HubHome(home).create(
        url=url,
        host=host,
        port=port,
        operator=operator,
        clock=SystemClock(),
        tls=tls,
        co_hosted=co_hosted,
        witnesses=witnesses,
    )
    identity = home / "hub.identity.json"
    identity.write_text(json.dumps(made.to_wire(), indent=2) + "\n", "utf-8")
    print_answer(
        {"home": str(home), "identity": str(identity), "fingerprint": fingerprint(made.identity_key)},
        as_json,
        f"A hub is made in {home}. Its fingerprint, to be read to whoever holds the consortium root:",
        "",
        f"  {fingerprint(made.identity_key)}",
        "",
        f"Give them {identity}; they run: maillon partner add {identity.name} --root …",
        f"Move {home / 'dpo.jwk'} and {home / 'operator.jwk'} to their owners.",
    )


@click.command("serve")
@click.option("--home", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
def serve_hub(home: Path) -> None:
    """Run the hub of HOME until it is stopped. Logs are JSON lines on standard output.

    \b
    Example:  maillon serve --home /srv/maillon/hub
    """
    settings = load_settings(home)
    HubHome(home).check_databases()
    os.environ[HOME_VARIABLE] = str(home.resolve())
    serve("hub.app:from_environment", settings.listen, home)
