"""``maillon demo``: the whole path on this machine, each step checked; exit 0 only if every one was as it should be."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from pathlib import Path

import click

from hub.cli.demo.deployment import HUB
from hub.cli.demo.report import Report
from hub.cli.demo.scenario import SHIPPED, build, play
from hub.cli.output import EXIT_REFUSED, json_option, print_json


@click.command("demo")
@click.option("--keep-running", is_flag=True, help="Build and fill the deployment, leave it running, say what to try.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Where to build it (default: a temporary folder)."
)
@json_option
def demo(keep_running: bool, folder: Path | None, as_json: bool) -> None:
    """A small département on this machine: a hub, four edges, invented persons, every step checked.

    \b
    Example:  maillon demo
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maillon-demo-") as temporary:
        base = folder or Path(temporary)
        report = Report(quiet=as_json)
        deployment = build(base, report)
        with deployment.fleet:
            if keep_running:
                _leave_running(deployment.home(HUB).parent, deployment.url(HUB))
                return
            play(deployment, report)
    seconds = time.monotonic() - start
    if as_json:
        print_json({"steps": report.steps, "failures": report.failures, "seconds": round(seconds, 1)})
    else:
        held = sum(len(step["checks"]) for step in report.steps) - len(report.failures)
        click.echo(f"\n{held} vérifications justes, {len(report.failures)} fausses, en {seconds:.0f} s.")
    if report.failures:
        raise SystemExit(EXIT_REFUSED)


def _leave_running(base: Path, url: str) -> None:
    home = base / "departement"
    common = f"--home {home} --person {SHIPPED.maelle}"
    agents = "--agent a.martin --second-agent b.durand"
    ask = "--role referent_parcours --agent a.martin --case 2026-17"
    sources = "--source caf --source cpam --source france_travail --source departement"
    lines = [
        f"Le hub répond sur {url}. Dans un autre terminal, après  . .venv/bin/activate  :",
        "",
        f"  maillon pull {common} --purpose accompagnement_global {ask}",
        f"  maillon consent grant {common} --notice accompagnement_global {sources} {agents}",
        f"  maillon pull {common} --purpose accompagnement_global {ask}",
        f"  maillon consent show {common}",
        f"  maillon consent withdraw {common} --record ID --agent a.martin --second-agent b.durand",
        f"  maillon access-log --home {home} --view usager --person {SHIPPED.maelle}",
        f"  maillon access-log --home {base / HUB} --view dpo",
        "",
        "Ctrl-C arrête tout et efface le dossier.",
    ]
    click.echo("\n" + "\n".join(lines))
    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    stop.wait()
