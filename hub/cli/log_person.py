"""``maillon log person``: a person's own copy of everything the log holds about her, made by the DPO."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.homes import hub_client
from hub.cli.output import dpo_home_option, json_option, print_answer

_PAUSE = 1.0


@click.command("person")
@dpo_home_option
@click.option("--partner", required=True, help="Whose ref it is.")
@click.option("--ref", help="The person's ref at that partner; asked for when it is not given (kept out of histories).")
@click.option("--complaint", required=True, help="What gives the right to name a person; logged. No name.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A new file.")
@click.option("--with-protection", is_flag=True, help="Open what tells of a protection too: only into her own hands.")
@click.option("--wait", default=10, show_default=True, type=click.IntRange(0, 600), help="Seconds, for witnesses.")
@json_option
def person_command(
    home: Path,
    partner: str,
    ref: str | None,
    complaint: str,
    out: Path,
    with_protection: bool,
    wait: int,
    as_json: bool,
) -> None:
    """Write a person's own copy of her agreements, of who saw what, and of how her records were linked.

    Anybody checks it offline with maillon verify, which says whether an event is missing. Making it is written in the
    log, as the last event of the copy: a copy without its end is known for one. It names nobody, but whoever holds it
    learns all of it: hand it over as you would the file.

    \b
    Example:  maillon log person --home dpo --partner departement --complaint R-2026-12 --out historique.json
    """
    if out.exists():
        raise MaillonError(ErrorKind.CONFLICT, f"{out.name} exists and is not overwritten")
    if ref is None:
        ref = str(click.prompt("Ref", hide_input=True))
    client = hub_client(home, "dpo")
    asked: dict[str, Any] = {"partner": partner, "ref": ref, "complaint": complaint}
    answer = client.copy_person(asked | ({"with_protection": True} if with_protection else {}))
    quorum = client.health().get("witnesses", {}).get("quorum", 0)
    until = time.monotonic() + wait
    while answer["witnesses"] < quorum and time.monotonic() < until:
        time.sleep(_PAUSE)
        answer = client.copy_person(asked | {"reading": answer["reading"]})
    copy = answer["copy"]
    with out.open("x", encoding="utf-8") as file:
        out.chmod(0o600)
        file.write(json.dumps(copy, ensure_ascii=False, sort_keys=True, indent=1) + "\n")
    events = [event for chain in copy["chains"] for event in chain]
    told = {
        "file": str(out),
        "reading": answer["reading"],
        "witnesses": answer["witnesses"],
        "shown": sum("envelope" in event for event in events) + len(copy["also"]),
        "removed": sum(e["n"] - e["first"] + 1 for e in events if e.get("removal") is not None),
        "closed": sum("envelope" not in e and e["removal"] is None for e in events),
    }
    print_answer(
        told,
        as_json,
        f"Copy written: {out} ({told['shown']} events, {told['removed']} removed at their time, "
        f"{told['closed']} not opened; {told['witnesses']} witnesses).",
        f"Check it:  maillon verify {out.name} --keys FILE",
    )
