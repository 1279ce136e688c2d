"""``maillon log``: the keys that check it, its audit, its export. Nothing here needs the hub to be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import PublicJwk, public_jwk
from connectors.kit.seal import Typ, peek
from connectors.kit.trust import Directory, fingerprint
from hub.cli.ledger_evidence import check_evidence
from hub.cli.output import json_option, print_answer


@click.group("log")
def log() -> None:
    """The log of every event: who may check it, and whether it is whole."""


log.add_command(check_evidence)


@log.command("keys")
@click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An edge's home, the hub's, or the folder of the root: what holds root.pub.jwk and directory.jws.",
)
@click.option("--quorum", type=click.IntRange(min=0), help="Witnesses needed (default: more than half).")
@click.option("--faulty", default=0, show_default=True, type=click.IntRange(min=0), help="Witnesses that may lie.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@json_option
def keys(home: Path, quorum: int | None, faulty: int, out: Path | None, as_json: bool) -> None:
    """Write the public keys that receipts and the log are checked with. All of it is public: hand it to anybody.

    \b
    Example:  maillon log keys --home departement --out cles.json
    """
    root, directory = open_directory(home)
    content = keys_file(directory, root, quorum, faulty)
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, "utf-8")
    told = {
        "keys": str(out),
        "root_fingerprint": fingerprint(root),
        "witnesses": len(content["witnesses"]),
        "quorum": content["quorum"],
    }
    print_answer(
        told,
        as_json,
        f"Keys written: {out} ({told['witnesses']} witnesses, {told['quorum']} needed).",
        "They are vouched for by the consortium root. Whoever uses them compares this fingerprint:",
        f"  {told['root_fingerprint']}",
    )


def open_directory(home: Path) -> tuple[PublicJwk, Directory]:
    """Return the root's public key and the directory of a home, whatever its age.

    Raises ``MaillonError(CONFIGURATION)`` when one is missing, ``UNTRUSTED_DIRECTORY`` when the root did not sign it.
    """
    found: dict[str, Any] = {}
    for name in ("root.pub.jwk", "directory.jws"):
        try:
            found[name] = (home / name).read_text("utf-8").strip()
        except OSError:
            raise MaillonError(ErrorKind.CONFIGURATION, f"{name} is missing in the folder given") from None
    try:
        root = public_jwk(json.loads(found["root.pub.jwk"]), "Ed25519")
        token = found["directory.jws"]
        signed_at = from_epoch(int(peek(token, Typ.DIRECTORY)["issued_at"]))
    except (ValueError, KeyError, TypeError):
        raise MaillonError(ErrorKind.CONFIGURATION, "root.pub.jwk or directory.jws does not read") from None
    # As of when it was signed: a receipt outlives the directory of its day.
    return root, Directory.verify(token, root, signed_at, 1)
