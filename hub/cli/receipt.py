"""``maillon receipt``: a receipt on paper. A page is only ever made from a receipt that holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from connectors.kit.receipts import page
from connectors.kit.receipts.check import KeysFile, check_receipt, partners_of, read_receipt
from connectors.kit.receipts.names import PACKAGED_CONFIG, names_of
from connectors.kit.receipts.told import HIDDEN, Names, tell
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import write_private
from consent.ledger.verify import TrustedKeys
from hub.cli.output import json_option, print_answer


@click.group("receipt")
def receipt() -> None:
    """What a person keeps of an agreement, a refusal or a withdrawal."""


@receipt.command("pdf")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--keys", "keys_file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Never overwritten.")
@click.option("--config", default=PACKAGED_CONFIG, type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def pdf(file: Path, keys_file: Path, out: Path, config: Path, as_json: bool) -> None:
    """Put the receipt in FILE on one page, with its digest in a QR code. Needs: pip install 'maillon[pdf]'

    \b
    Example:  maillon receipt pdf recu.json --keys cles.json --out recu.pdf
    """
    keys = KeysFile.read(keys_file)
    write_page(read_receipt(file), keys.keys, names_of(partners_of(keys.content), config), out)
    print_answer({"page": str(out)}, as_json, f"Page written: {out}")


def write_page(value: dict[str, Any], keys: TrustedKeys, names: Names, out: Path) -> None:
    """Check the receipt ``value`` and write its page to ``out``, 0600.

    Raises ``MaillonError``: ``BAD_SIGNATURE`` when the receipt does not hold, ``FORBIDDEN`` for an event never put on
    paper, ``CONFLICT`` when the file is there, and as :func:`connectors.kit.receipts.page.render`.
    """
    checked = check_receipt(value, keys)
    record = checked.verdict.record
    if record is None:
        raise MaillonError(ErrorKind.BAD_SIGNATURE, f"the receipt does not hold: {checked.verdict.code}")
    if record["kind"] in HIDDEN:
        raise MaillonError(ErrorKind.FORBIDDEN, "a protection is never put on paper: found, it would tell of itself")
    write_private(out, page.render(tell(record, names), record["withdrawal_method"], checked.digest))
