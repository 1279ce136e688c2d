"""``maillon edge alarms``: what an edge found wrong with the hub's log, and the evidence to show others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from connectors.kit.edge_home import EdgeHome
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.store import Alarm, Raised
from connectors.kit.runtime import keys
from connectors.kit.runtime.clock import SystemClock, whole_seconds
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.output import EXIT_REFUSED, home_option, json_option, print_answer, table

_MEANS = {
    Alarm.ORDER_MISSING: "an order of the hub is not in its log",
    Alarm.ORDERS_UNPROVEN: "for two minutes nobody could say whether orders are in the log",
    Alarm.FORK: "the log signed two trees that cannot both be",
    Alarm.NOT_AN_EXTENSION: "the log could not show that it only grew",
    Alarm.TREE_SHRANK: "the hub shows a smaller log than before",
    Alarm.BAD_CHECKPOINT: "the hub's checkpoint is not signed by the log of the directory",
    Alarm.DIRECTORY_BEHIND: "a partner has a newer directory than the hub gives here",
}


@click.command("alarms")
@home_option
@click.option("--all", "ended", is_flag=True, help="Also those that ended.")
@click.option(
    "--export", type=click.Path(path_type=Path, file_okay=False), help="Write the evidence of each into this folder."
)
@click.option("--settle", type=int, metavar="NUMBER", help="End this one: you have dealt with it.")
@json_option
def alarms(home: Path, ended: bool, export: Path | None, settle: int | None, as_json: bool) -> None:
    """Show what this edge found wrong with the hub's log. The exit code is 1 while an alarm is in force.

    \b
    Example:  maillon edge alarms --home /srv/maillon/caf --export evidence
    """
    files = EdgeHome(home)
    store = EdgeStore.open(files.store, keys.read_private(files.store_key))
    try:
        if settle is not None and not store.log.settle(settle, SystemClock().now()):
            raise MaillonError(ErrorKind.NOT_FOUND, "no alarm of that number is in force")
        found = store.log.alarms(ended=ended)
        waiting = store.log.count_unproven()
        whose = {raised.number: store.local_of(raised.ref) or "" for raised in found if raised.ref}
    finally:
        store.close()
    written = {raised.number: str(_write(export, raised)) for raised in found if export and raised.evidence}
    rows = [
        (str(r.number), whole_seconds(r.since), r.code.value, whose.get(r.number, ""), _MEANS[r.code] + _until(r))
        for r in found
    ]
    print_answer(
        {
            "alarms": [_wire(r, written.get(r.number), whose.get(r.number)) for r in found],
            "unproven_orders": waiting,
        },
        as_json,
        *(table(("", "since", "code", "about", "what it means"), rows) if rows else ["No alarm."]),
        *(f"evidence of {number}: {path}" for number, path in written.items()),
    )
    if any(raised.ended is None for raised in found):
        raise SystemExit(EXIT_REFUSED)


def _write(folder: Path, raised: Raised) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{raised.code.value}-{raised.number}.json"
    path.write_bytes(raised.evidence)
    return path


def _wire(raised: Raised, path: str | None, local_id: str | None) -> dict[str, Any]:
    return {
        "number": raised.number,
        "code": raised.code.value,
        "since": whole_seconds(raised.since),
        "ended": None if raised.ended is None else whole_seconds(raised.ended),
        "has_evidence": bool(raised.evidence),
        "evidence_file": path,
        "local_id": local_id,
    }


def _until(raised: Raised) -> str:
    return "" if raised.ended is None else f" (ended {whole_seconds(raised.ended)})"
