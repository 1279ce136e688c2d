"""``maillon access-log`` and ``maillon explain``: who saw what, and why a field was released or held back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from connectors.kit.edge import Edge
from connectors.kit.hub_client import HubClient
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.homes import hub_client
from hub.cli.output import json_option, print_answer, table

_home = click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An edge's folder, or the hub's (with --view dpo).",
)


@click.command("access-log")
@_home
@click.option(
    "--view",
    default="partenaire",
    show_default=True,
    type=click.Choice(["usager", "partenaire", "dpo"]),
    help="usager: one person's, in plain words, without names of agents; dpo: the hub's, with its DPO key.",
)
@click.option("--person", help="This partner's own number for the person (needed by the view usager).")
@click.option("--partner", "partner_slug", help="Only what this partner asked.")
@click.option("--erasure", "erasure_id", help="With --view dpo: the traces of the person of this erasure.")
@click.option("--complaint", help="What gives the DPO the right to name a person; logged.")
@click.option("--purpose", help="Only under this purpose.")
@click.option("--outcome", help="Only with this outcome.")
@click.option("--limit", default=100, show_default=True)
@json_option
def access_log(
    home: Path,
    view: str,
    person: str | None,
    partner_slug: str | None,
    erasure_id: str | None,
    complaint: str | None,
    purpose: str | None,
    outcome: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show who asked for what, when, why, and what came of it. Reading this log is itself written in it.

    \b
    Example:  maillon access-log --home departement --view usager --person D-1
    """
    if view == "usager" and person is None:
        raise click.UsageError("--view usager needs --person")
    criteria: dict[str, Any] = {"partner": partner_slug, "purpose": purpose, "outcome": outcome, "limit": limit}
    criteria |= {"erasure_id": erasure_id, "complaint": complaint}
    client: HubClient
    if view == "dpo":
        client = hub_client(home, "dpo")
    else:
        edge = Edge.open(home, SystemClock())
        client = edge.hub
        if person is not None:
            criteria["ref"] = edge.store.ref_of(person)
            if criteria["ref"] is None:
                raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "this person is not registered by this edge")
    answer = client.access_log(view, **{name: value for name, value in criteria.items() if value is not None})
    header = ("when", "what", "service", "function", "purpose", "outcome", "fields", "from")
    rows = [
        (
            row["started_at"],
            row["kind"],
            row["partner"],
            row["role"] or "–",
            row["purpose"] or "–",
            row["outcome"],
            _fields(row),
            ", ".join(source["source"] for source in row["sources"]) or "–",
        )
        for row in answer["rows"]
    ]
    print_answer(answer, as_json, *(table(header, rows) if rows else ["Nothing in the log matches."]))


def _fields(row: dict[str, Any]) -> str:
    asked, released = len(row["fields"]["requested"]), len(row["fields"]["released"])
    return f"{released} of {asked}" if row["kind"] in ("delivered", "shown") else f"{asked} asked"


@click.command("explain")
@click.argument("trace_id")
@click.option("--home", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="The hub's.")
@json_option
def explain(trace_id: str, home: Path, as_json: bool) -> None:
    """Replay the decision of TRACE_ID from the log, with the DPO's key: each field, its reason, its rule.

    \b
    Example:  maillon explain 4bf92f3577b34da6a3ce929d0e0e4736 --home hub
    """
    answer = hub_client(home, "dpo").explain(trace_id)
    lines = [f"{answer['partner']} as {answer['role']} for {answer['purpose']}, policy {answer['policy_version'][:12]}"]
    for decision in answer["decisions"]:
        lines += ["", f"from {decision['source']} at {decision['at']}"]
        lines += table(
            ("field", "reason", "rule"), [(f["path"], f["reason"], f["rule"] or "–") for f in decision["fields"]]
        )
    print_answer(answer, as_json, *lines)
