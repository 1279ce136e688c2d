"""``maillon simulate``: a partner's API, played from payload files, on a good or a bad day."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from types import FrameType

import click
import structlog

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.serving import is_loopback
from connectors.kit.simulator.faults import Faults
from connectors.kit.simulator.server import Simulator, lay_out
from hub.cli.connector import find_partner, partners_option


@click.command("simulate")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--faults", "specs", multiple=True, metavar="SPEC", help="What goes wrong; may be repeated. See below.")
@click.option("--seed", default=0, show_default=True, help="The same seed, the same faults on the same requests.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback only: there is no TLS here.")
@click.option("--port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="0 takes any free port.")
@click.option("--token", default="", help="Ask for this bearer token; 401 without it.")
@partners_option
def simulate(
    name: str,
    folder: Path,
    specs: tuple[str, ...],
    seed: int,
    host: str,
    port: int,
    token: str,
    folders: tuple[Path, ...],
) -> None:
    """Play the payload files of FOLDER as the HTTP API of partner NAME, until stopped. Logs are JSON lines.

    Files are exchanges {params, status, payload, headers} in YAML, JSON or NDJSON. A request is answered by the case
    its identity parameters agree with best; /_simulator tells what was served.

    \b
    A fault is NAME[=VALUE][@PROBABILITY][#FIRST[-LAST]]:
      latency=2  latency=1-5     wait before answering (seconds)     429=30  503=60  502   that status (Retry-After)
      drip=20                    the body, byte by byte, over 20 s   maintenance=60-120    503 between those seconds
      drop                       close without a word                content_type=text/html
      truncate=0.5               half the body, then close           garbage=512           random bytes
      remove=data  rename        a member gone, or renamed (any one when none is named)

    \b
    Example:  maillon simulate caf ./cases --faults "latency=0.2-2@0.5,429=5@0.1,503=30#10-20" --port 8500
    """
    if not is_loopback(host):
        raise MaillonError(ErrorKind.TLS_REQUIRED, "the simulator listens on loopback only")
    partner = find_partner(name, folders)
    faults = Faults.parse(specs, seed)
    routes, unplayable = lay_out(folder, partner.api, partner.feed)
    for each in unplayable:
        click.echo(f"left out: {each.name}: {each.reason}", err=True)
    if not routes:
        raise MaillonError(ErrorKind.NOT_FOUND, "no case in that folder")
    structlog.configure(
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
    )
    try:
        simulator = Simulator(routes, faults, host=host, port=port, token=token)
    except OSError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"cannot listen on port {port}: {error.strerror}") from None
    for path, cases in sorted(routes.items()):
        click.echo(f"{simulator.url}{path}  {len(cases)} case(s)", err=True)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(KeyboardInterrupt):
        simulator.run()
