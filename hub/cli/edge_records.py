"""What a data team asks of its own edge: what was set aside, what a record said before, who would be taken away.

Read and decided on the edge's own machine; nothing of it goes to the hub but tokens, at the next registration.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from connectors.kit.edge_home import EdgeHome
from connectors.kit.edge_store import EdgeStore
from connectors.kit.edge_waiting import Entry, Removal
from connectors.kit.ingest import digest_of
from connectors.kit.port import Reason
from connectors.kit.runtime import keys
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.timeline import timeline
from hub.cli.output import EXIT_PARTIAL, home_option, json_option, print_answer, table

_MOST_LISTED = 100_000
_MOST_SHOWN = 200


@contextmanager
def open_store(home: Path) -> Iterator[EdgeStore]:
    """Open the store of the edge of ``home`` for one command."""
    files = EdgeHome(home)
    store = EdgeStore.open(files.store, keys.read_private(files.store_key))
    try:
        yield store
    finally:
        store.close()


def _person(local_id: str) -> str:
    """Return the number given; ``-`` is read from standard input, so that it stands in no shell history."""
    return sys.stdin.readline().strip() if local_id == "-" else local_id


# --- history --------------------------------------------------------------------------------------------------------


@click.command("history")
@click.argument("local_id")
@home_option
@json_option
def history(local_id: str, home: Path, as_json: bool) -> None:
    """Show what the records of LOCAL_ID said before, field by field, with the dates it was true between.

    LOCAL_ID is this partner's own number for the person; - reads it from standard input.

    \b
    Example:  maillon edge history D-1 --home /srv/maillon/departement
    """
    person = _person(local_id)
    with open_store(home) as store:
        held, versions = store.fragment_of(person), store.history_of(person)
        if held is None and not versions and store.identity_of(person) is None:
            raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no such local id at this edge")
    present = held["statements"] if held else {}
    changed = timeline(present, versions)
    rows = []
    for path, states in changed.items():
        rows.append((path, "", "now", _told(present.get(path)), ""))
        rows += [("", _day(s.since), _day(s.until), _told(s.statement), s.format) for s in states]
    document = {
        "held": len(present),
        "fields": [
            {
                "path": path,
                "now": present.get(path),
                "before": [
                    {
                        "since": state.since.isoformat(),
                        "until": state.until.isoformat(),
                        "format": state.format,
                        "statement": state.statement,
                    }
                    for state in states
                ],
            }
            for path, states in changed.items()
        ],
    }
    lines = table(("field", "from", "until", "said", "format"), rows) if rows else ["Nothing ever changed."]
    print_answer(document, as_json, f"{len(present)} field(s) held, {len(changed)} changed.", "", *lines)


def _told(statement: dict[str, Any] | None) -> str:
    if statement is None:
        return "– (no longer said)"
    return f"({statement['absence']})" if "absence" in statement else str(statement["valeur"])


def _day(at: Any) -> str:
    return f"{at:%Y-%m-%d}"


# --- quarantine -----------------------------------------------------------------------------------------------------


@click.group("quarantine")
def quarantine() -> None:
    """What was set aside: list it, look at one entry, decide, have it read again."""


@quarantine.command("list")
@home_option
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Only what this file left.")
@click.option("--reason", type=click.Choice([reason.value for reason in Reason]), help="Only for this reason.")
@click.option("--waiting", is_flag=True, help="Only what waits for somebody's decision.")
@json_option
def list_entries(home: Path, file: Path | None, reason: str | None, waiting: bool, as_json: bool) -> None:
    """List what was set aside, by number, with its place, path and reason; and the records the hub refused.

    \b
    Example:  maillon edge quarantine list --home /srv/maillon/caf --waiting
    """
    with open_store(home) as store:
        digest = None if file is None else digest_of(file)
        found = store.waiting.entries(file_digest=digest, limit=_MOST_LISTED)
        refused = store.waiting.refused() if file is None else []
    shown = [
        each
        for each in found
        if (reason is None or each.entry.reason.value == reason) and (each.is_claim or not waiting)
    ]
    rows = [
        (
            *(str(each.number), _day(each.at), each.format, each.entry.position, each.entry.path),
            *(each.entry.reason.value, each.entry.detail, _waits(each)),
        )
        for each in shown[:_MOST_SHOWN]
    ]
    header = ("number", "day", "format", "position", "path", "reason", "detail", "waits for")
    print_answer(
        {
            "entries": [_document(each) for each in shown],
            "refused": [{"local_id": local_id, "reason": why} for local_id, why in refused],
        },
        as_json,
        *(table(header, rows) if rows else ["Nothing set aside."]),
        *([f"… and {len(shown) - _MOST_SHOWN} more: --json names all"] if len(shown) > _MOST_SHOWN else []),
        *(["", "Refused by the hub, until they change or are renamed:"] if refused else []),
        *(f"  {local_id}: {why}" for local_id, why in refused),
    )


@quarantine.command("show")
@click.argument("number", type=int)
@home_option
@json_option
def show(number: int, home: Path, as_json: bool) -> None:
    """Show one entry; for another person under a known number, what both records say of who that is.

    \b
    Example:  maillon edge quarantine show 12 --home /srv/maillon/caf
    """
    with open_store(home) as store:
        found = _entry(store, number)
        claim = store.waiting.claim(number)
        held = store.identity_of(claim.local_id) if claim else None
    document = _document(found)
    lines = [f"{name}: {value}" for name, value in document.items()]
    if claim:
        document |= {"local_id": claim.local_id, "held": held, "set_aside": claim.traits}
        names = sorted({*claim.traits, *(held or {})})
        rows = [(name, str((held or {}).get(name, "")), str(claim.traits.get(name, ""))) for name in names]
        lines += ["", f"number: {claim.local_id}", *table(("trait", "held", "set aside"), rows)]
    print_answer(document, as_json, *lines)


@quarantine.command("decide")
@click.argument("number", type=int)
@home_option
@click.option("--same-person", "same", is_flag=True, help="It is a correction: these traits are right from now on.")
@click.option(
    "--someone-else", "other", is_flag=True, help="The number was given to another person: start anew under it."
)
@json_option
def decide(number: int, home: Path, same: bool, other: bool, as_json: bool) -> None:
    """Say who a record set aside as another person is about. Then give its file again: maillon ingest.

    With --someone-else everything held under the number is dropped, and the hub is told that the former record is
    gone; nothing of one person ever answers for the other.

    \b
    Example:  maillon edge quarantine decide 12 --someone-else --home /srv/maillon/caf
    """
    if same == other:
        raise click.UsageError("one of --same-person and --someone-else")
    with open_store(home) as store, store.batch():
        claim = store.waiting.claim(_entry(store, number).number)
        if claim is None:
            raise MaillonError(ErrorKind.CONFLICT, "this entry asks for no decision: correct it at the source")
        store.waiting.read_again(number)
        if other:
            store.waiting.start_anew(claim.local_id)
        else:
            store.waiting.accept(claim)
        store.waiting.dismiss(number)
    print_answer(
        {"number": number, "decision": "someone_else" if other else "same_person"},
        as_json,
        "Decided. The same file again takes the record: maillon ingest.",
    )


@quarantine.command("dismiss")
@click.argument("number", type=int)
@home_option
@json_option
def dismiss(number: int, home: Path, as_json: bool) -> None:
    """Drop an entry that needs nothing more. The record itself was never taken.

    \b
    Example:  maillon edge quarantine dismiss 12 --home /srv/maillon/caf
    """
    with open_store(home) as store, store.batch():
        store.waiting.dismiss(_entry(store, number).number)
    print_answer({"number": number}, as_json, "Dismissed.")


@quarantine.command("retry")
@click.argument("number", type=int)
@home_option
@json_option
def retry(number: int, home: Path, as_json: bool) -> None:
    """Have the file of an entry read again when it is given again, though it is the same.

    \b
    Example:  maillon edge quarantine retry 12 --home /srv/maillon/caf
    """
    with open_store(home) as store, store.batch():
        store.waiting.read_again(_entry(store, number).number)
    print_answer({"number": number}, as_json, "The same file is read again by: maillon ingest.")


@quarantine.command("rename")
@click.argument("local_id")
@home_option
@json_option
def rename(local_id: str, home: Path, as_json: bool) -> None:
    """Offer a record the hub refused as a new one: nothing of it agrees with what it was.

    The hub settles anew who it is, by its rules; its former name there is told as gone. LOCAL_ID is this partner's own
    number; - reads it from standard input.

    \b
    Example:  maillon edge quarantine rename D-1 --home /srv/maillon/departement
    """
    person = _person(local_id)
    with open_store(home) as store, store.batch():
        if person not in dict(store.waiting.refused()):
            raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "the hub refused no record of that local id")
        store.waiting.rename(person)
    print_answer({"renamed": True}, as_json, "Renamed. The next ingest or poll tells the hub.")


def _entry(store: EdgeStore, number: int) -> Entry:
    found = next((each for each in store.waiting.entries() if each.number == number), None)
    if found is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no entry of that number; see: maillon edge quarantine list")
    return found


def _waits(each: Entry) -> str:
    return "a decision" if each.is_claim else "its person" if each.is_nameless else ""


def _document(each: Entry) -> dict[str, Any]:
    return {
        "number": each.number,
        "at": each.at.isoformat(),
        "format": each.format,
        "position": each.entry.position,
        "path": each.entry.path,
        "reason": each.entry.reason.value,
        "detail": each.entry.detail,
        "waits_for": _waits(each),
    }


# --- removals -------------------------------------------------------------------------------------------------------


@click.command("removals")
@home_option
@click.option("--confirm", metavar="FORMAT", help="Yes: take them away, and keep what they said in their history.")
@click.option("--keep", metavar="FORMAT", help="No: the file was not everyone; leave them.")
@json_option
def removals(home: Path, confirm: str | None, keep: str | None, as_json: bool) -> None:
    """Show who is missing from a complete file that was too much smaller to be believed; say yes or no.

    \b
    Example:  maillon edge removals --home /srv/maillon/departement
              maillon edge removals --home /srv/maillon/departement --confirm accompagnement
    """
    if confirm and keep:
        raise click.UsageError("--confirm or --keep, not both")
    removed, now = 0, SystemClock().now()
    with open_store(home) as store:
        asked = {each.format: each for each in store.waiting.removals()}
        if wanted := confirm or keep:
            chosen = asked.pop(wanted, None)
            if chosen is None:
                raise MaillonError(ErrorKind.NOT_FOUND, "no file of that format asks for removals")
            with store.batch():
                removed = _answer(store, chosen, bool(confirm))
                store.waiting.answer_removal(chosen, now)
        missing = {name: (each, store.waiting.missing(each)) for name, each in asked.items()}
    lines = []
    for name, (each, who) in missing.items():
        lines.append(f"{name}, file of {_day(each.at)}: {len(who)} record(s) missing:")
        lines += [f"  {local_id}" for local_id in who[:_MOST_SHOWN]]
        lines += [f"  … and {len(who) - _MOST_SHOWN} more: --json names all"] if len(who) > _MOST_SHOWN else []
    print_answer(
        {
            "removed": removed,
            "asked": [
                {"format": name, "at": each.at.isoformat(), "missing": who} for name, (each, who) in missing.items()
            ],
        },
        as_json,
        *([f"{removed} record(s) taken away; the next ingest or poll tells the hub."] if confirm else []),
        *(lines or ["No file asks to take anyone away."]),
    )
    if missing:
        raise SystemExit(EXIT_PARTIAL)


def _answer(store: EdgeStore, asked: Removal, yes: bool) -> int:
    return store.archive.take_away(asked.format, asked.file, asked.until) if yes else 0
