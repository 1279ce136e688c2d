"""What else ``maillon verify`` checks: an erasure's receipt, a person's own copy, a whole log that was exported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from connectors.kit.receipts.check import KeysFile, verify_either_way
from connectors.kit.receipts.exported import check_export
from connectors.kit.receipts.told import moment
from consent.ledger.erasure import TYPE as ERASURE
from consent.ledger.erasure import verify_erasure
from consent.ledger.person import TYPE as PERSON
from consent.ledger.person_check import PersonVerdict, verify_person
from consent.ledger.words import Language, reason
from hub.cli.output import EXIT_PARTIAL, EXIT_REFUSED, print_json

__all__ = ["ERASURE", "PERSON", "check_erasure", "check_folder", "check_person"]

_ERASED: Final = {
    "fr": (
        "REÇU D’EFFACEMENT VALABLE",
        "REÇU D’EFFACEMENT VALABLE, MAIS TROP PEU DE TÉMOINS",
        "REÇU REFUSÉ",
        "Effacement inscrit au journal le {at}, sur décision signée. Définitif, sauvegardes comprises, le {final}.",
        "Ce reçu ne dit pas de qui il s’agit, ni que d’autres organismes ont effacé leurs propres fichiers.",
    ),
    "en": (
        "VALID ERASURE RECEIPT",
        "VALID ERASURE RECEIPT, BUT TOO FEW WITNESSES",
        "RECEIPT REFUSED",
        "Erasure entered in the log on {at}, on a signed decision. Final, backups included, on {final}.",
        "This receipt does not say whom it is about, and does not prove that others have erased their own files.",
    ),
}


def check_erasure(value: Mapping[str, Any], keys: KeysFile, language: Language, as_json: bool) -> NoReturn:
    """Check an erasure receipt, say what came of it, and leave."""
    verdict, is_witnessed = verify_either_way(verify_erasure, value, keys.keys)
    valid, short, refused, said, limits = _ERASED[language]
    if as_json:
        print_json(asdict(verdict) | {"holds": verdict.holds, "is_witnessed": is_witnessed and verdict.holds})
    elif verdict.body is None:
        click.echo(f"{refused}\n\n{reason(str(verdict.code), language)}")
    else:
        at, final = (moment(str(text)) for text in (value["event"]["at"], verdict.body["final_by"]))
        click.echo(f"{valid if is_witnessed else short}\n\n{said.format(at=at, final=final)}\n{limits}")
    sys.exit((0 if is_witnessed else EXIT_PARTIAL) if verdict.holds else EXIT_REFUSED)


_COPY: Final = {
    "fr": (
        "COPIE ENTIÈRE",
        "COPIE ENTIÈRE, MAIS TROP PEU DE TÉMOINS",
        "COPIE REFUSÉE",
        "Ce qu’elle prouve :",
        "Ce qu’elle ne prouve pas :",
    ),
    "en": (
        "WHOLE COPY",
        "WHOLE COPY, BUT TOO FEW WITNESSES",
        "COPY REFUSED",
        "What it proves:",
        "What it does not prove:",
    ),
}


def check_person(value: Mapping[str, Any], keys: KeysFile, language: Language, as_json: bool) -> NoReturn:
    """Check a person's own copy of her history, say what came of it, and leave."""
    verdict, is_witnessed = verify_either_way(verify_person, value, keys.keys)
    if as_json:
        print_json(_person_document(verdict, is_witnessed))
    else:
        whole, short, refused, proves, leaves_open = _COPY[language]
        lines = [refused, "", verdict.reason(language)]
        if verdict.holds:
            lines = [
                whole if is_witnessed else short,
                "",
                proves,
                *(f"  - {line}" for line in verdict.proves(language)),
            ]
            lines += ["", leaves_open, *(f"  - {line}" for line in verdict.does_not_prove(language))]
        for line in lines:
            click.echo(line)
    sys.exit((0 if is_witnessed else EXIT_PARTIAL) if verdict.holds else EXIT_REFUSED)


def _person_document(verdict: PersonVerdict, is_witnessed: bool) -> dict[str, Any]:
    told = {name: value for name, value in asdict(verdict).items() if name != "witnesses"}
    return told | {
        "holds": verdict.holds,
        "is_witnessed": is_witnessed and verdict.holds,
        "reason": {language: verdict.reason(language) for language in ("fr", "en")},
        "proves": {language: verdict.proves(language) for language in ("fr", "en")},
        "does_not_prove": {language: verdict.does_not_prove(language) for language in ("fr", "en")},
        "witnesses": [{"name": name, "time": time} for name, time in verdict.witnesses],
    }


def check_folder(folder: Path, keys: KeysFile, language: Language, as_json: bool) -> NoReturn:
    """Check an exported log, say what came of it, and leave."""
    verdict = check_export(folder, keys.keys)
    told = {
        "fr": (
            f"JOURNAL ENTIER : {verdict.size} événements de « {verdict.origin} », aucun modifié ni manquant.",
            f"Témoins : {', '.join(verdict.witnesses) or 'trop peu'}.",
            f"JOURNAL REFUSÉ : {verdict.code}, événement {verdict.index}.",
        ),
        "en": (
            f"WHOLE LOG: {verdict.size} events of “{verdict.origin}”, none altered, none missing.",
            f"Witnesses: {', '.join(verdict.witnesses) or 'too few'}.",
            f"LOG REFUSED: {verdict.code}, event {verdict.index}.",
        ),
    }[language]
    holds = verdict.code is None
    if as_json:
        print_json(asdict(verdict) | {"holds": holds})
    else:
        for line in told[:2] if holds else told[2:]:
            click.echo(line)
    sys.exit((0 if verdict.is_witnessed else EXIT_PARTIAL) if holds else EXIT_REFUSED)
