"""``maillon index rotate``: new keys while the hub serves. The hub does the work; the command begins it and watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from connectors.kit.hub_client import HubClient
from hub.cli.homes import hub_client
from hub.cli.index_review import hub_home
from hub.cli.output import json_option, print_answer, progress_bar, table

_EVERY: Final = 0.5
"""Seconds between two looks at how far it is."""
_MEANS: Final = {
    "offered": "its edge has not taken them all yet",
    "taken": "taken; former ones still count",
    "done": "done; former ones mean no one",
}
_KEEP_KEYS: Final = "Copy the keys now (maillon backup keys): an older copy of keyring.json opens this index no more."


@click.command("rotate")
@click.option(
    "--pepper", is_flag=True, help="The key the index's tokens are stored under. No partner has to do anything."
)
@click.option(
    "--refs",
    "partner",
    metavar="PARTNER",
    help="What one partner calls people: its edge takes the new ones itself.",
)
@click.option("--link", is_flag=True, help="The connectors' key: take tokens under one more epoch of it.")
@click.option("--retire-link-epoch", "retired", type=int, metavar="N", help="Delete all tokens under an old epoch.")
@click.option("--force", is_flag=True, help="With --retire-link-epoch: even where records have no other tokens.")
@click.option("--status", is_flag=True, help="Only tell how rotations stand.")
@click.option("--no-wait", is_flag=True, help="Begin it and come back: the hub goes on by itself.")
@hub_home
@json_option
def rotate(
    pepper: bool,
    partner: str | None,
    link: bool,
    retired: int | None,
    force: bool,
    status: bool,
    no_wait: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Give the index, or the refs of one partner, a new key while the hub serves; begun again, it goes on.

    The hub re-wraps its tokens record by record and is open to everybody meanwhile, with the same answers. Stopping
    this command, or the hub, stops nothing: the hub goes on when it is back. Needs the operator's key.

    \b
    Example:  maillon index rotate --pepper --home /srv/maillon/operator
              maillon index rotate --refs ccas --home /srv/maillon/operator
              maillon index rotate --link --home /srv/maillon/operator
              maillon index rotate --retire-link-epoch 1 --home /srv/maillon/operator
    """
    if sum((pepper, partner is not None, link, retired is not None, status)) != 1:
        raise click.UsageError("one of --pepper, --refs, --link, --retire-link-epoch, --status")
    client = hub_client(home, "operator")
    if status:
        standing = client.rotations()
        print_answer(standing, as_json, *_lines(standing))
        return
    if partner is not None:
        standing = client.rotate("refs", partner=partner)
        print_answer(standing, as_json, *_lines(standing))
        return
    if link or retired is not None:
        standing = client.rotate("link") if link else client.rotate("retire_link", epoch=retired, force=force)
        print_answer(standing, as_json, *_lines(standing))
        return
    standing = client.rotate("pepper")
    if not no_wait:
        standing = _watch(client, standing, time.sleep)
    print_answer(standing, as_json, *_lines(standing), _KEEP_KEYS)


def _watch(client: HubClient, standing: dict[str, Any], wait: Callable[[float], None]) -> dict[str, Any]:
    try:
        while standing["pepper"]["state"] == "running":
            progress_bar(round(standing["pepper"]["share"] * 1000), 1000, f"{standing['pepper']['rewrapped']} records")
            wait(_EVERY)
            standing = client.rotations()
        progress_bar(1, 1, f"{standing['pepper']['rewrapped']} records")
    finally:
        click.echo(err=True)
    return standing


def _lines(standing: dict[str, Any]) -> list[str]:
    rows = [
        (
            each["partner"],
            str(each["epoch"]),
            _MEANS[each["state"]],
            (each["since"] or "–")[:16],
            str(each["refs"]),
            str(each["old_refs"]),
        )
        for each in standing["refs"]
    ]
    header = ("refs of", "epoch", "state", "since", "new", "former")
    return [_pepper_line(standing["pepper"]), *_link_lines(standing["link"]), *(table(header, rows) if rows else [])]


def _pepper_line(pepper: dict[str, Any]) -> str:
    if pepper["state"] == "running":
        return f"Index pepper: going over to epoch {pepper['epoch']}, {pepper['share']:.0%} of the index."
    return f"Index pepper: epoch {pepper['epoch']}, every record is under it."


def _link_lines(link: dict[str, Any]) -> list[str]:
    if link["state"] == "two_epochs":
        behind = [f"  {each['partner']}: {each['records']} record(s) not under it yet" for each in link["behind"]]
        end = f"K_link: epochs {link['epoch'] - 1} and {link['epoch']} are in use."
        return [end, *(behind or ["  Every record is under the newest: the older one can be retired."])]
    going = " Tokens of the one before are being deleted." if link["state"] == "deleting" else ""
    return [f"K_link: epoch {link['epoch']} is in use.{going}"]
