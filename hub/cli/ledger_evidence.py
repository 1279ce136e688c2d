"""``maillon log check-evidence``: what a file of evidence proves, to anyone, with public keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from connectors.kit.ledger.client import HttpLog
from connectors.kit.ledger.evidence import open_missing_order
from connectors.kit.ledger.keys import log_keys
from connectors.kit.runtime import keys, strict_json
from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ, peek
from connectors.kit.transport import Transport
from connectors.kit.trust import HUB, Directory
from consent.ledger.checkpoint import SignedCheckpoint, VerifierKey, open_note
from consent.ledger.exact import LedgerError
from consent.ledger.fork import Fork
from consent.ledger.merkle import verify_growth, verify_inclusion
from hub.cli.output import EXIT_REFUSED, json_option, print_answer

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("check-evidence")
@click.argument("evidence", type=_file)
@click.option("--directory", "directory_file", required=True, type=_file, help="directory.jws")
@click.option("--root-key", required=True, type=_file, help="root.pub.jwk, whose fingerprint you were read aloud.")
@click.option("--hub-url", help="Ask this hub to disprove what only it can disprove.")
@json_option
def check_evidence(evidence: Path, directory_file: Path, root_key: Path, hub_url: str | None, as_json: bool) -> None:
    """Say what EVIDENCE of an edge's alarm proves. The exit code is 0 when it proves that the log is false.

    Offline, two different trees are proof by themselves; a missing order, or a tree that does not grow from another, is
    proof when the hub, asked with --hub-url, cannot show otherwise.

    \b
    Example:  maillon log check-evidence fork-1.json --directory directory.jws --root-key root.pub.jwk
    """
    directory = _directory(directory_file, root_key)
    log = HttpLog(hub_url, Transport()) if hub_url else None
    data = evidence.read_bytes()
    try:
        pair = Fork.parse(data)
    except LedgerError:
        said = _missing(data, directory, log)
    else:
        said = _fork(pair, log_keys(directory.partner(HUB)), log)
    print_answer(said, as_json, *said["words"])
    if not said["proves"]:
        raise SystemExit(EXIT_REFUSED)


def _directory(file: Path, root_key: Path) -> Directory:
    """Return the directory as of when it was signed: one that ran out since names the same keys."""
    token = file.read_text("ascii").strip()
    root = keys.public_jwk(strict_json.loads_object(root_key.read_bytes()), "Ed25519")
    return Directory.verify(token, root, from_epoch(int(peek(token, Typ.DIRECTORY)["issued_at"])), 1)


def _fork(pair: Fork, named: frozenset[VerifierKey], log: HttpLog | None) -> dict[str, Any]:
    try:
        first, second = pair.verify(named)
    except LedgerError as error:
        if error.code != "no_fork":
            raise MaillonError(ErrorKind.BAD_SIGNATURE, f"evidence: {error.code}") from None
    else:
        return _said(
            "fork",
            True,
            f"The log {first.checkpoint.origin} signed two trees that cannot both be:",
            *map(_tree, (first, second)),
            "Its history was rewritten. This is proof by itself.",
        )
    old, new = sorted((open_note(pair.first, named), open_note(pair.second, named)), key=lambda s: s.checkpoint.size)
    words = ["The log signed these two trees:", _tree(old), _tree(new)]
    if log is None:
        return _said("not-an-extension", False, *words, "An honest log can show that the second adds to the first.")
    one, other = old.checkpoint, new.checkpoint
    try:
        proof = log.consistency(one.size, other.size) if one.size else ()
        verify_growth(one.size, other.size, proof, one.root, other.root)
    except LedgerError:
        return _said("not-an-extension", True, *words, "Asked to, it could not show that one adds to the other.")
    return _said("not-an-extension", False, *words, "It showed that the second adds to the first.")


def _missing(data: bytes, directory: Directory, log: HttpLog | None) -> dict[str, Any]:
    found = open_missing_order(data, directory)
    size, root = found.signed.checkpoint.size, found.signed.checkpoint.root
    words = [
        f"The hub ordered {found.source} to send to {found.recipient} at {found.ordered_at:%Y-%m-%dT%H:%M:%SZ},",
        f"under the leaf {found.leaf_hash.hex()}, and showed this tree afterwards:",
        _tree(found.signed),
    ]
    if log is None:
        return _said("order-missing", False, *words, "An honest log can show where the leaf stands in it.")
    proof = log.inclusion(found.leaf_hash, size)
    try:
        if proof is not None:
            verify_inclusion(proof.index, size, found.leaf_hash, proof.hashes, root)
            return _said("order-missing", False, *words, f"It showed the leaf, at {proof.index}.")
    except LedgerError:
        pass
    return _said("order-missing", True, *words, "Asked to, it could not show where the leaf stands in it.")


def _said(kind: str, proves: bool, *words: str) -> dict[str, Any]:
    return {"kind": kind, "proves": proves, "words": list(words)}


def _tree(signed: SignedCheckpoint) -> str:
    return f"  {signed.checkpoint.size} leaves, root {signed.checkpoint.root.hex()}"
