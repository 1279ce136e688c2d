"""``maillon erase``: the DPO erases somebody for real, has the receipt again, reads what is kept as proof."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from connectors.kit.edge import Edge
from connectors.kit.erasure_decision import sign_decision
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import load_signing_key
from connectors.kit.seal import Typ, peek
from connectors.kit.trust import RotatingKeys
from hub.cli.homes import hub_client
from hub.cli.output import dpo_home_option, home_option, json_option, print_answer, print_json
from hub.home import HubHome

_NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z./-]{0,39}")


@click.group("erase")
def erase() -> None:
    """Erase a person for real; the receipt proves it and leads to what the law keeps."""


@erase.command("person")
@dpo_home_option
@click.option("--partner", required=True, help="Whose ref it is.")
@click.option("--ref", help="The person's ref at that partner; asked for when it is not given (kept out of histories).")
@click.option("--reason", required=True, help="One of config/retention.toml, e.g. accord_retire.")
@click.option("--request-number", required=True, help="Of the request or complaint, in your own register. No name.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the receipt goes (a new file).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def person(
    home: Path,
    partner: str,
    ref: str | None,
    reason: str,
    request_number: str,
    out: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign the decision with the DPO's key and have the hub carry it out. It cannot be undone.

    \b
    Example:  maillon erase person --home dpo --partner departement --reason accord_retire --request-number 2026-17
    """
    if _NUMBER.fullmatch(request_number) is None:
        raise MaillonError(ErrorKind.SCHEMA, "request-number: digits, letters, . / - (40 at most), and no name")
    if out is not None and out.exists():
        raise MaillonError(ErrorKind.CONFLICT, f"{out.name} exists and is not overwritten")
    if ref is None:
        ref = str(click.prompt("Ref", hide_input=True))
    if not yes:
        click.confirm(
            f"Erase the person {partner} knows under this ref (reason {reason}, request {request_number})? "
            "It cannot be undone",
            abort=True,
            err=True,
        )
    clock = SystemClock()
    keys = RotatingKeys(load_signing_key(HubHome(home).dpo), "dpo", clock)
    decision = sign_decision(partner, ref, reason, request_number, keys(), clock.now())
    _print_receipt(hub_client(home, "dpo").erase(decision.jws, decision.ref, decision.salt), out, as_json)


@erase.command("receipt")
@dpo_home_option
@click.argument("erasure_id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the receipt goes (a new file).")
@json_option
def receipt(home: Path, erasure_id: str, out: Path | None, as_json: bool) -> None:
    """Have the receipt of ERASURE_ID again, under the newest checkpoint: a day later, witnesses stand behind it.

    \b
    Example:  maillon erase receipt 0b7e9a54-1c2d-4e3f-8a9b-5c6d7e8f9a0b --home dpo --out effacement.json
    """
    _print_receipt(hub_client(home, "dpo").erasure_receipt(erasure_id), out, as_json)


@erase.command("agreements")
@dpo_home_option
@click.argument("erasure_id")
@click.option("--complaint", required=True, help="What gives you the right to read them; logged.")
@json_option
def agreements(home: Path, erasure_id: str, complaint: str, as_json: bool) -> None:
    """Show the agreements of an erased person that are kept as proof. The reading is written in the log.

    \b
    Example:  maillon erase agreements 0b7e9a54-1c2d-4e3f-8a9b-5c6d7e8f9a0b --complaint 2026-17 --home dpo
    """
    kept = hub_client(home, "dpo").kept_agreements(erasure_id, complaint)
    said = [peek(jws, Typ.CONSENT) for jws in kept]
    lines = [f"{event['at']}  {event['kind']}  {event.get('purpose') or '–'}  {event['collector']}" for event in said]
    print_answer({"agreements": kept}, as_json, *(lines or ["Nothing is kept (any more)."]))


@erase.command("ref")
@home_option
@click.option("--person", "local_id", required=True, help="This partner's own number for the person.")
@json_option
def ref_of(home: Path, local_id: str, as_json: bool) -> None:
    """Show this partner's ref of a person: what the DPO needs to name whom to erase. Hand it over as you would a name.

    \b
    Example:  maillon erase ref --home departement --person D-1
    """
    ref = Edge.open(home, SystemClock()).store.ref_of(local_id)
    if ref is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "this person is not registered by this edge")
    print_answer({"ref": ref}, as_json, ref)


def _print_receipt(receipt: dict[str, Any], out: Path | None, as_json: bool) -> None:
    said = receipt["erasure"]
    if out is not None:
        with out.open("x", encoding="utf-8") as file:
            file.write(json.dumps(receipt, ensure_ascii=False, sort_keys=True, indent=1) + "\n")
    if as_json:
        print_json(receipt)
        return
    rows = ", ".join(f"{count} {name}" for name, count in sorted(said["rows"].items()) if count)
    lines = [
        f"Erased: {said['erasure_id']}",
        f"  rows deleted: {rows or 'none'}",
        f"  contents emptied: {said['emptied']['count']}",
        f"  traces of access, readable by the DPO through this id: until {said['traces_until'] or '– (none)'}",
        f"  agreements kept as proof: until {said['proof_until'] or '– (none: their key is destroyed)'}",
        f"  final (no backup from before is left): {said['final_by']}",
        f"Receipt: {out}" if out is not None else "Keep the receipt: maillon erase receipt … --out FILE",
    ]
    for line in lines:
        click.echo(line)
