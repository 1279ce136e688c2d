"""``maillon edge init`` and ``join``: make an edge, and give it what the consortium gave back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from connectors.kit.edge_home import CLIENT, PARTNER, EdgeHome, EdgeSettings
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.trust import fingerprint
from hub.cli.connector import find_partner, partners_option
from hub.cli.output import home_option, json_option, print_answer

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("init")
@click.argument("home", type=click.Path(path_type=Path, file_okay=False))
@click.option("--partner", "name", required=True, help="Slug of a shipped partner, or the path of its folder.")
@click.option("--hub-url", required=True)
@click.option("--url", default="", help="Where the hub reaches this edge; absent when the edge only asks.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8410, show_default=True)
@click.option("--tls-cert", default="", help="PEM; required off loopback.")
@click.option("--tls-key", default="", help="PEM; required off loopback.")
@click.option("--co-hosted", is_flag=True, help="This edge runs on the hub's machine; /health will say so.")
@click.option(
    "--mode",
    type=click.Choice([PARTNER, CLIENT]),
    default=PARTNER,
    show_default=True,
    help="client: answers by asking the partner's API, under one habilitation.",
)
@click.option("--api-url", default="", help="Mode client: instead of the manifest's, e.g. the simulator's address.")
@click.option("--api-token", default="", help="Mode client: 0600 file with the bearer token.")
@click.option("--api-ca", default="", help="PEM of the authority behind the API's certificate; else the public ones.")
@click.option("--api-proxy", default="", help="http://host:port of the proxy to the API; else none.")
@click.option("--api-habilitation", default="", help="Mode client: SIRET of the administration habilitated.")
@click.option(
    "--api-perimeter", default="", help="Mode client: codes of the territory asked about, where the API asks."
)
@partners_option
@json_option
def init(
    home: Path,
    name: str,
    hub_url: str,
    url: str,
    host: str,
    port: int,
    tls_cert: str,
    tls_key: str,
    co_hosted: bool,
    mode: str,
    api_url: str,
    api_token: str,
    api_ca: str,
    api_proxy: str,
    api_habilitation: str,
    api_perimeter: str,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make an edge in HOME: its keys, its settings, its identity file to be admitted.

    \b
    Example:  maillon edge init /srv/maillon/caf --partner caf --hub-url https://hub.example.fr \\
                --url https://caf.example.fr --port 8411
    """
    partner = find_partner(name, folders)
    settings = EdgeSettings(
        slug=partner.slug,
        hub_url=hub_url,
        url=url,
        listen_host=host,
        listen_port=port,
        tls_cert=tls_cert and str(Path(tls_cert).resolve()),
        tls_key=tls_key and str(Path(tls_key).resolve()),
        co_hosted=co_hosted,
        partner_folder=str(partner.path),
        mode=mode,
        api_url=api_url,
        api_token=api_token and str(Path(api_token).resolve()),
        api_ca=api_ca and str(Path(api_ca).resolve()),
        api_proxy=api_proxy,
        api_habilitation=api_habilitation,
        api_perimeter=api_perimeter,
    )
    made = EdgeHome(home).create(partner, settings)
    identity = home / f"{partner.slug}.identity.json"
    identity.write_text(json.dumps(made.to_wire(), indent=2) + "\n", "utf-8")
    print_answer(
        {"home": str(home), "identity": str(identity), "fingerprint": fingerprint(made.identity_key)},
        as_json,
        f"The edge {partner.slug} is made in {home}. Its fingerprint, to be read to the consortium:",
        "",
        f"  {fingerprint(made.identity_key)}",
        "",
        f"Give them {identity}; they give back directory.jws, {partner.slug}.klink.jwe and root.pub.jwk.",
    )


@click.command("join")
@home_option
@click.option("--root-key", required=True, type=_FILE, help="root.pub.jwk")
@click.option("--fingerprint", "root_fingerprint", required=True, help="The root's fingerprint, as read to you.")
@click.option("--directory", required=True, type=_FILE, help="directory.jws")
@click.option("--klink", required=True, type=_FILE, help="<slug>.klink.jwe")
@json_option
def join(home: Path, root_key: Path, root_fingerprint: str, directory: Path, klink: Path, as_json: bool) -> None:
    """Check and keep what the consortium gave: the root's key, the directory, this edge's token key.

    \b
    Example:  maillon edge join --home /srv/maillon/caf --root-key root.pub.jwk \\
                --fingerprint "1a2b …" --directory directory.jws --klink caf.klink.jwe
    """
    joined = EdgeHome(home).join(
        strict_json.loads(root_key.read_bytes()),
        root_fingerprint,
        directory.read_text("utf-8"),
        klink.read_text("utf-8"),
        SystemClock().now(),
    )
    print_answer(
        {"version": joined.version, "partners": [partner.slug for partner in joined.partners()]},
        as_json,
        f"Joined: directory version {joined.version}, {len(joined.partners())} partners.",
    )
