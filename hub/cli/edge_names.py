"""``maillon edge names``: how common names are, as this edge tells the hub's rules, and where it knows it from."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.kit.edge import Edge
from connectors.kit.edge_names import COUNTED, ENOUGH_TO_COUNT
from connectors.kit.rarity import read_shares
from connectors.kit.registration import Told, register_pending
from connectors.kit.runtime.clock import SystemClock, whole_seconds
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.output import home_option, json_option, print_answer


@click.command("names")
@home_option
@click.option(
    "--table",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV kind,name,share (S or G; 0 to 1): put it in force.",
)
@click.option("--count", "recount", is_flag=True, help="Count the records held, and put that in force.")
@click.option("--no-register", is_flag=True, help="Tell the hub of changed records later.")
@json_option
def names(home: Path, table: Path | None, recount: bool, no_register: bool, as_json: bool) -> None:
    """Show, or change, how common this edge takes names to be.

    Two records of a rare name and one birth date are one person's; of a common name, perhaps two homonyms'. The hub is
    told a class of half a power of ten for the whole name, never a name or a share. Without a table the edge counts its
    own records once, when it holds 10,000 persons; then nothing changes unless asked here. Records whose class changes
    are told to the hub again; whom they were linked to does not change.

    \b
    Example:  maillon edge names --home /srv/maillon/caf --table prenoms-et-noms.csv
    """
    if table is not None and recount:
        raise click.UsageError("--table or --count, not both.")
    here, changed, told = Edge.open(home, SystemClock()), None, Told()
    try:
        if table is not None:
            counted, persons = here.store.names.count()
            here.store.names.keep(read_shares(table).beside(counted), persons, source=table.name, at=here.clock.now())
        elif recount:
            counted, persons = here.store.names.count()
            if persons < ENOUGH_TO_COUNT:
                raise MaillonError(ErrorKind.CONFLICT, f"{ENOUGH_TO_COUNT} persons are needed to count; give a table")
            here.store.names.keep(counted, persons, source=COUNTED, at=here.clock.now())
        if table is not None or recount:
            changed = here.store.names.apply()
            if not no_register:
                live = here.live is not None
                told = register_pending(
                    here.store, here.hub, declares_sections=not live and here.partner.declares_sections, live=live
                )
        kept = here.store.names.kept()
    finally:
        here.close()
    document = {
        "source": kept and kept.source,
        "since": kept and whole_seconds(kept.at),
        "counted_in": kept and kept.persons,
        "surnames": kept and kept.surnames,
        "given_names": kept and kept.givens,
        "changed": changed,
        **vars(told),
    }
    if kept is None:
        lines = [f"No name is known to be rare: give a table, or wait for {ENOUGH_TO_COUNT:,} persons."]
    else:
        lines = [
            f"{kept.source}, since {kept.at:%Y-%m-%d}: {kept.surnames:,} surnames, {kept.givens:,} given names"
            + (f"; own names counted in {kept.persons:,} persons." if kept.persons else "; own names not counted yet.")
        ]
    if changed is not None:
        lines.append(f"{changed:,} record(s) say otherwise than before; {told.registered:,} told to the hub.")
    print_answer(document, as_json, *lines)
