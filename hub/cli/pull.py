"""``maillon pull``: ask for one person's dossier, and lay it out for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from connectors.kit.assembly import Assembled
from connectors.kit.edge import Edge
from connectors.kit.pull import pull as pull_dossier
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.transport import INDISPONIBLE, MAINTENANCE
from consent.model import Attributes
from hub.cli.output import EXIT_PARTIAL, clip, home_option, json_option, print_answer, table

STATUSES = {
    "exclu_role": "excluded by the role",
    "exclu_finalite": "outside the purpose",
    "non_communique": "not communicated: to be asked of the person",
}


@click.command("pull")
@home_option
@click.option("--person", required=True, help="This partner's own number for the person.")
@click.option("--purpose", required=True, help="e.g. accompagnement_global")
@click.option("--role", required=True, help="e.g. referent_parcours")
@click.option("--agent", required=True, help="Who asks; leaves the edge as a keyed digest only.")
@click.option("--case", required=True, help="The case it is for; same.")
@click.option("--field", "selectors", multiple=True, default=("*",), help="e.g. droits.rsa.* (default: everything).")
@click.option("--assigned", is_flag=True, help="The agent is named on this person's measure.")
@click.option("--own", is_flag=True, help="One of the agent's own usagers.")
@click.option("--mission", help="e.g. decret_nir")
@click.option("--aid", help="The aid being examined, e.g. rsa")
@json_option
def pull(
    home: Path,
    person: str,
    purpose: str,
    role: str,
    agent: str,
    case: str,
    selectors: tuple[str, ...],
    assigned: bool,
    own: bool,
    mission: str | None,
    aid: str | None,
    as_json: bool,
) -> None:
    """Ask for the dossier of a person this edge has registered; every value comes with its source and date.

    \b
    Exit codes:  0  every source answered, be it that it holds nothing or may not tell
                 1  refused
                 3  the hub did not answer
                 4  in part: a source, or a field of one, is indisponible or in maintenance (asking again later may
                    help), or what a source answered had to be kept out

    \b
    Example:  maillon pull --home departement --person D-1 --purpose accompagnement_global \\
                --role referent_parcours --agent a.martin --case 2026-17
    """
    edge = Edge.open(home, SystemClock())
    try:
        got = pull_dossier(
            edge,
            person,
            purpose=purpose,
            role=role,
            agent=agent,
            case=case,
            fields=selectors,
            attributes=Attributes(assigned=assigned, own=own, mission=mission, aid=aid),
        )
    finally:
        edge.close()
    reports = [asdict(report) for report in got.reports]
    document = {
        "trace_id": got.trace_id,
        "purpose": got.purpose,
        "dossier": got.dossier,
        "legal": list(got.legal),
        "reports": reports,
    }
    print_answer(document, as_json, *lines(got))
    if is_partial(got):
        raise SystemExit(EXIT_PARTIAL)


def is_partial(got: Assembled) -> bool:
    """Return whether asking again later may bring more, from a source or for a field, or an answer was kept out.

    An absence that lasts (no file, no right, not authorised) is an answer.
    """
    said = [gap["outcome"] for gap in got.dossier["gaps"]]
    said += [statement.get("absence") for _, statement in statements(got.dossier)]
    return bool(got.reports) or not {INDISPONIBLE, MAINTENANCE}.isdisjoint(said)


def statements(dossier: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path, statement) of an assembled dossier, in its order."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if isinstance(node, list):
            yield from ((path, statement) for statement in node)
            return
        for name, child in node.items():
            yield from walk(child, f"{path}.{name}" if path else name)

    yield from walk(dossier["sections"], "")


def lines(got: Assembled) -> list[str]:
    """Return a dossier as lines of text: values with source and date, then gaps, then what was held back and why."""
    rows = [
        (
            path,
            clip(show_value(said), 60),
            str(said["source"]),
            str(said.get("date_effet") or said["date_collecte"])[:10],
        )
        for path, said in statements(got.dossier)
    ]
    out = table(("field", "value", "source", "as of"), rows) if rows else ["No field is communicated."]
    out += [f"{gap['source']}: {gap['outcome']}" for gap in got.dossier["gaps"]]
    out += [f"{ground['source']}: {ground['regime']}: {ground['texte']}" for ground in got.legal]
    withheld = list(got.dossier["withheld"].values())
    out += [f"{withheld.count(code)} field(s) {words}" for code, words in STATUSES.items() if code in withheld]
    out += [f"warning: {report.source}: {report.finding.value}" for report in got.reports]
    return [*out, f"trace {got.trace_id}"]


def show_value(said: Mapping[str, Any]) -> str:
    """Return a statement's value on one line, or its typed absence in brackets."""
    if "absence" in said:
        return f"[{said['absence']}]"
    return _plain(said["valeur"])


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "oui" if value else "non"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(child)}" for name, child in value.items() if child is not None)
    if isinstance(value, list):
        return " · ".join(_plain(child) for child in value) or "–"
    return str(value)
