"""``maillon edge looks``: what a reviewer saw of this edge's persons. ``maillon edge gaps``: what its records lack."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from connectors.kit.birthplace import with_birthplace
from connectors.kit.identity import Identity, parse_identity
from connectors.kit.runtime.clock import SystemClock, whole_seconds
from hub.cli.edge_records import open_store
from hub.cli.output import home_option, json_option, print_answer, table

_MOST_SHOWN = 200


@click.command("looks")
@home_option
@click.option("--limit", default=_MOST_SHOWN, show_default=True)
@json_option
def looks(home: Path, limit: int, as_json: bool) -> None:
    """Show when the hub's DPO looked at masked traits of your persons, of whom, and in which review.

    \b
    Example:  maillon edge looks --home /srv/maillon/caf
    """
    with open_store(home) as store:
        found = store.looks.list(limit)
    rows = [
        (f"{each.at:%Y-%m-%d %H:%M}", each.review_id, ", ".join(each.local_ids), str(len(each.fields)))
        for each in found
    ]
    print_answer(
        {
            "looks": [
                {
                    "at": whole_seconds(each.at),
                    "review_id": each.review_id,
                    "local_ids": list(each.local_ids),
                    "fields": list(each.fields),
                }
                for each in found
            ]
        },
        as_json,
        *(table(("when", "review", "your numbers", "traits"), rows) if rows else ["Nobody looked."]),
    )


@click.command("gaps")
@home_option
@json_option
def gaps(home: Path, as_json: bool) -> None:
    """List which of your records lack what tells one person from another, so that you can complete them.

    This is what `ask` in a review waits for. It depends on your own records alone and is the same whether or not
    anybody asked: the hub takes no part in it.

    \b
    Example:  maillon edge gaps --home /srv/maillon/ccas
    """
    found: list[tuple[str, list[str]]] = []
    today = SystemClock().now().date()
    with open_store(home) as store:
        for local_id in store.waiting.local_ids():
            lacks = _lacks(with_birthplace(parse_identity(store.identity_of(local_id) or {}, today)))
            if lacks:
                found.append((local_id, lacks))
    counts = Counter(name for _, lacks in found for name in lacks)
    rows = [(local_id, ", ".join(lacks)) for local_id, lacks in found[:_MOST_SHOWN]]
    print_answer(
        {
            "records": [{"local_id": local_id, "lacks": lacks} for local_id, lacks in found],
            "counts": dict(sorted(counts.items())),
        },
        as_json,
        *(table(("your number", "lacks"), rows) if rows else ["No record lacks anything."]),
        *([f"… and {len(found) - _MOST_SHOWN} more: --json names all"] if len(found) > _MOST_SHOWN else []),
    )


def _lacks(identity: Identity) -> list[str]:
    lacks = {
        "prenoms": identity.givens.count <= 1,
        "date_naissance": identity.date_naissance.precision != "jour",
        "lieu_naissance": not identity.birthplace,
        "nir": identity.nir is None,
    }
    return [name for name, missing in lacks.items() if missing]
