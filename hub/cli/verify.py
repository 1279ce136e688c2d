"""``maillon verify``: is this receipt true? Offline, with public keys only, for anybody.

Starts in a fraction of a second: it imports neither the hub nor what talks to it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from connectors.kit.receipts.check import Checked, KeysFile, check_receipt, grouped, partners_of, read_receipt
from connectors.kit.receipts.names import names_of
from connectors.kit.receipts.told import HIDDEN, moment, tell
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.words import Language
from hub.cli.output import EXIT_PARTIAL, EXIT_REFUSED, json_option, print_json
from hub.cli.verify_others import ERASURE, PERSON, check_erasure, check_folder, check_person

EXIT_UNUSABLE = 2
"""A file that is no receipt or no keys file: nothing was judged."""

_HEAD = {
    "fr": ("REÇU VALABLE", "REÇU VALABLE, MAIS TROP PEU DE TÉMOINS", "REÇU REFUSÉ"),
    "en": ("VALID RECEIPT", "VALID RECEIPT, BUT TOO FEW WITNESSES", "RECEIPT REFUSED"),
}
_PARTS = {
    "fr": ("Ce qu’il dit", "Ce qu’il prouve", "Ce qu’il ne prouve pas", "Empreinte", "Clés garanties par la racine"),
    "en": ("What it says", "What it proves", "What it does not prove", "Digest", "Keys vouched for by the root"),
}
_SAID = {
    "fr": ("{title}, le {at}", "auprès de : {by}", "pour : {purpose}", "informations : {sections}", "jusqu’au {until}"),
    "en": ("{kind}, on {at}", "collected by: {by}", "for: {purpose}", "details: {sections}", "until {until}"),
}


@click.command("verify")
@click.argument("receipt", metavar="RECEIPT", type=click.Path(path_type=Path, exists=True))
@click.option("--keys", "keys_file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--root", "fingerprint", help="Fingerprint of the consortium root the keys must come from.")
@click.option("--notice", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The text that was shown.")
@click.option("--digest", help="The digest printed on the page or in its QR code.")
@click.option("--language", default="fr", show_default=True, type=click.Choice(["fr", "en"]))
@json_option
def verify(
    receipt: Path,
    keys_file: Path,
    fingerprint: str | None,
    notice: Path | None,
    digest: str | None,
    language: Language,
    as_json: bool,
) -> None:
    """Check RECEIPT offline and say in plain words what it proves, and what it does not.

    RECEIPT may also be the receipt of an erasure, a person's own copy of her history (maillon log person), or the
    folder of an exported log (maillon log export).

    \b
    Exit codes: 0 it holds, 1 it does not, 2 a file is unusable, 4 it holds but too few witnesses have seen it
    Example:  maillon verify recu.json --keys cles.json
    """
    try:
        keys = KeysFile.read(keys_file)
        value = {} if receipt.is_dir() else read_receipt(receipt)
    except MaillonError as error:
        click.echo(f"maillon: {error.kind.value}: {error.detail}", err=True)
        sys.exit(EXIT_UNUSABLE)
    if fingerprint is not None:
        keys.check_root(fingerprint)
    if receipt.is_dir():
        check_folder(receipt, keys, language, as_json)
    if value.get("type") == ERASURE:
        check_erasure(value, keys, language, as_json)
    if value.get("type") == PERSON:
        check_person(value, keys, language, as_json)
    checked = check_receipt(value, keys.keys)
    if checked.verdict.holds:
        _check_beside(checked, notice, digest)
    if as_json:
        print_json(_document(checked, keys))
    else:
        for line in _lines(checked, keys, language):
            click.echo(line)
    sys.exit((0 if checked.is_witnessed else EXIT_PARTIAL) if checked.verdict.holds else EXIT_REFUSED)


def _check_beside(checked: Checked, notice: Path | None, digest: str | None) -> None:
    """Hold what lies beside the receipt against it; ``MaillonError(CONFLICT)`` when they are not of one event."""
    if notice is not None and hashlib.sha256(notice.read_bytes()).hexdigest() != checked.verdict.notice_sha256:
        raise MaillonError(ErrorKind.CONFLICT, "this is not the text that was shown")
    if digest is not None:
        given = "".join(digest.split()).lower().rpartition(":")[2]
        if given != checked.digest:
            raise MaillonError(ErrorKind.CONFLICT, "the digest is another receipt's")


def _document(checked: Checked, keys: KeysFile) -> dict[str, Any]:
    verdict = checked.verdict
    return {
        "holds": verdict.holds,
        "is_witnessed": checked.is_witnessed and verdict.holds,
        "code": verdict.code,
        "reason": {language: verdict.reason(language) for language in ("fr", "en")},
        "proves": {language: verdict.proves(language) for language in ("fr", "en")},
        "does_not_prove": {language: verdict.does_not_prove(language) for language in ("fr", "en")},
        "record": verdict.record,
        "origin": verdict.origin,
        "index": verdict.index,
        "size": verdict.size,
        "witnesses": [{"name": name, "time": time} for name, time in verdict.witnesses],
        "digest": checked.digest,
        "root_fingerprint": keys.root_fingerprint,
    }


def _lines(checked: Checked, keys: KeysFile, language: Language) -> list[str]:
    verdict = checked.verdict
    valid, short, refused = _HEAD[language]
    if not verdict.holds or verdict.record is None:
        return [refused, "", verdict.reason(language)]
    says, proves, leaves_open, digest, root = _PARTS[language]
    lines = [valid if checked.is_witnessed else short, "", f"{says} :"]
    lines += [f"  {line}" for line in _said(verdict.record, keys, language)]
    lines += ["", f"{proves} :", *(f"  - {line}" for line in verdict.proves(language))]
    lines += ["", f"{leaves_open} :", *(f"  - {line}" for line in verdict.does_not_prove(language))]
    lines += ["", f"{digest} : {grouped(checked.digest)}"]
    if keys.root_fingerprint is not None:
        lines += [f"{root} : {keys.root_fingerprint}"]
    return lines


def _said(record: Mapping[str, Any], keys: KeysFile, language: Language) -> list[str]:
    """Return what the record says, in a few lines; of a kind never shown on paper, its code and its date alone."""
    if record["kind"] in HIDDEN:
        return [f"{record['kind']}, {moment(record['at'])}"]
    told = tell(record, names_of(partners_of(keys.content)))
    values = {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in asdict(told).items()}
    needed = ("title", "by", "purpose", "sections", "until")
    lines = zip(_SAID[language], needed, strict=True)
    return [line.format(**values) for line, member in lines if values[member]]
