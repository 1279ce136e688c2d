"""``maillon index records`` and ``split``: which records are one person, and giving back those that are another's."""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli.homes import hub_client
from hub.cli.index_review import hub_home, pair_lines, reason_option
from hub.cli.output import json_option, print_answer, table

_partner = click.option("--partner", required=True, help="Whose ref it is.")
_ref = click.option("--ref", required=True, help="The person, as that partner knows it.")
_complaint = click.option("--complaint", required=True, help="What gives the right to name a person; logged.")


@click.command("records")
@hub_home
@_partner
@_ref
@_complaint
@json_option
def records(home: Path, partner: str, ref: str, complaint: str, as_json: bool) -> None:
    """Show which records are one person, since when and by which rule, and the pairs that agree least. Logged.

    \b
    Example:  maillon index records --home dpo --partner departement --ref AAECAwQFBgcICQoLDA0ODw --complaint R-2026-12
    """
    answer = hub_client(home, "dpo").ask_index(
        "persons/records", {"partner": partner, "ref": ref, "complaint": complaint}
    )
    rows = [(each["record_id"], each["partner"], each["since"][:10], each["rule"]) for each in answer["records"]]
    lines = table(("record", "partner", "since", "rule"), rows)
    print_answer(answer, as_json, *lines, "", *pair_lines(answer["pairs"]))


@click.command("split")
@hub_home
@_partner
@_ref
@click.option("--record", "record_ids", multiple=True, required=True, help="A record that is another person's.")
@_complaint
@reason_option
@json_option
def split(
    home: Path, partner: str, ref: str, record_ids: tuple[str, ...], complaint: str, reason: str, as_json: bool
) -> None:
    """Give records that are another person's to a person of their own, and tell who received what under the wrong link.

    They are never linked again by a rule. `maillon index review decide REVIEW link` with the review printed undoes it.

    \b
    Example:  maillon index split --home dpo --partner departement --ref AAECAwQFBgcICQoLDA0ODw \\
                --record 6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d --complaint R-2026-12 --reason homonymes
    """
    asked = {
        "partner": partner,
        "ref": ref,
        "records": list(record_ids),
        "complaint": complaint,
        "reason": reason,
    }
    answer = hub_client(home, "dpo").ask_index("persons/split", asked)
    told = [f"{each['partner']}: {each['notices']} notice(s)" for each in answer["told"]] or ["No partner to be told."]
    undo = f"maillon index review decide {answer['review_id']} link"
    head = f"{len(answer['records'])} record(s) given back. Undo: {undo}"
    print_answer(answer, as_json, head, *told)
