"""``maillon index review traits``: both sides' masked traits, set beside one another on the DPO's own machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from connectors.kit.review.compare import LABELS, OTHER, SAME, Line, compare
from connectors.kit.review.masks import FIELDS
from connectors.kit.review.reviewer import REVIEWER, Seen, fields_in_doubt, open_side, sign_look
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.keys import load_signing_key
from connectors.kit.trust import Directory, RotatingKeys
from hub.cli.homes import hub_client
from hub.cli.index_review import hub_home
from hub.cli.output import EXIT_PARTIAL, json_option, print_answer, table
from hub.home import HubHome

_WHY = {
    "personne_inconnue": "ne connaît plus cette fiche",
    "non_autorise": "sa propre règle garde ces traits",
    "indisponible": "n’a pas répondu",
    "maintenance": "en maintenance",
}


@click.command("traits")
@click.argument("review_id")
@hub_home
@click.option("--all", "everything", is_flag=True, help="Also traits the tokens have shown to be equal.")
@json_option
def traits(review_id: str, home: Path, everything: bool, as_json: bool) -> None:
    """Ask the sources of both sides for masked traits, and compare them here. Both persons' histories show it.

    Only what the tokens leave in doubt is asked for. Of a name you see how many letters its words have and where the
    two sides part; of a date and a NIR, in which places; no source and no hub sends more. Sealed to the DPO's key: the
    hub reads none of it. The home needs dpo.jwk, hub.toml and root.pub.jwk.

    \b
    Example:  maillon index review traits 6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d --home dpo
    """
    clock, files = SystemClock(), HubHome(home)
    client, root = hub_client(home, "dpo"), files.pinned_root()
    directory = Directory.verify(client.directory(), root, clock.now(), 1)
    shown = client.ask_index("reviews/show", {"review_id": review_id})
    fields = FIELDS if everything else fields_in_doubt(shown["pairs"])
    sent = sign_look(review_id, fields, RotatingKeys(load_signing_key(files.dpo), REVIEWER, clock)(), clock.now())
    answer = client.ask_index("reviews/traits", {"look": sent.jws})
    sides = [open_side(answer[side], sent, directory, clock.now()) for side in ("raised", "candidate")]
    pairs = [
        (one.source, other.source, compare(left, right))
        for one in sides[0]
        for left in one.records
        for other in sides[1]
        for right in other.records
    ]
    missing = [seen for side in sides for seen in side if not seen.records]
    print_answer(
        {
            "review_id": review_id,
            "fields": list(sent.fields),
            "raised": [asdict(seen) for seen in sides[0]],
            "candidate": [asdict(seen) for seen in sides[1]],
            "pairs": [
                {"one": one, "other": other, "lines": [asdict(line) for line in lines]} for one, other, lines in pairs
            ],
        },
        as_json,
        *_told(shown, sent.fields, pairs, missing),
    )
    if missing:
        raise SystemExit(EXIT_PARTIAL)


def _told(
    shown: dict[str, Any],
    fields: Sequence[str],
    pairs: Sequence[tuple[str, str, Sequence[Line]]],
    missing: Sequence[Seen],
) -> list[str]:
    equal = [label for field, label in LABELS.items() if field not in fields]
    lines = [f"Doute : {shown['doubt']}. Déjà identiques, donc pas demandés : {', '.join(equal) or 'rien'}."]
    for one, other, found in pairs:
        header = ("trait", f"fiche A ({one})", f"fiche B ({other})", "ce que cela dit")
        rows = [(LABELS[line.field], line.one or "–", line.other or "–", line.says) for line in found]
        lines += ["", *table(header, rows)]
    lines += [f"{seen.source} : {_WHY.get(seen.outcome, f'réponse écartée ({seen.outcome})')}." for seen in missing]
    if pairs:
        lines += ["", f"{SAME} pareil des deux côtés, {OTHER} différent ; A est à gauche."]
        lines += ["Décider : maillon index review decide … link | different | ask"]
    return lines
