"""``maillon partner``: who is in the consortium's directory, and who is suspended."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.kit.runtime import keys, strict_json
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import Directory, fingerprint
from hub.cli.homes import hub_client
from hub.cli.output import json_option, print_answer, table
from hub.cli.root import RootFolder, read_identity
from hub.home import HubHome

_ROOT = click.option(
    "--root", "root", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="Root folder."
)


@click.group("partner")
def partner() -> None:
    """Admit, list and suspend partners."""


@partner.command("add")
@click.argument("identity", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_ROOT
@click.option("--fingerprint", "expected", help="The fingerprint the partner read to you; asked for when absent.")
@json_option
def add(identity: Path, root: Path, expected: str | None, as_json: bool) -> None:
    """Admit the partner of the IDENTITY file (made by `maillon edge init` or `maillon init`).

    \b
    Example:  maillon partner add caf.identity.json --root /media/usb/maillon-root
    """
    folder, newcomer = RootFolder.load(root), read_identity(identity)
    seen = fingerprint(newcomer.identity_key)
    if expected is None:
        click.echo(f"{newcomer.slug}: {newcomer.name}\n  {seen}", err=True)
        click.confirm("Does the partner read you the same fingerprint?", abort=True, err=True)
    elif expected.replace(" ", "").lower() != seen.replace(" ", ""):
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the fingerprint is not the one given")
    version, klink = folder.admit(newcomer)
    written = [folder.path / "directory.jws", *([klink] if newcomer.kind != "hub" else [])]
    print_answer(
        {"slug": newcomer.slug, "version": version, "files": [str(path) for path in written]},
        as_json,
        f"{newcomer.slug} stands in directory version {version}. Give it:",
        *(f"  {path}" for path in written),
    )


@partner.command("list")
@click.option("--directory", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--root-key", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@json_option
def list_partners(directory: Path, root_key: Path, as_json: bool) -> None:
    """List the partners of a signed directory, after checking its signature.

    \b
    Example:  maillon partner list --directory directory.jws --root-key root.pub.jwk
    """
    checked = Directory.verify(
        directory.read_text().strip(),
        keys.public_jwk(strict_json.loads(root_key.read_bytes()), "Ed25519"),
        SystemClock().now(),
        minimum_version=1,
    )
    rows = [(p.slug, p.status, p.kind, p.operator, str(len(p.supplies)), p.name) for p in checked.partners()]
    print_answer(
        {"version": checked.version, "partners": [p.to_wire() for p in checked.partners()]},
        as_json,
        f"Directory version {checked.version}, valid until {checked.valid_until:%Y-%m-%d}",
        *table(("slug", "status", "kind", "operator", "fields", "name"), rows),
    )


@partner.command("renew")
@_ROOT
@json_option
def renew(root: Path, as_json: bool) -> None:
    """Sign the same partners again for another 90 days; to be installed at the hub like any new directory.

    \b
    Example:  maillon partner renew --root /media/usb/maillon-root
    """
    version = RootFolder.load(root).renew()
    print_answer({"version": version}, as_json, f"Directory version {version} is signed: {root / 'directory.jws'}")


@partner.command("install")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--home", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False), help="A hub's.")
@click.option("--root-key", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def install(directory: Path, home: Path, root_key: Path, as_json: bool) -> None:
    """Give a hub a new DIRECTORY, after checking it against the root pinned the first time. Edges fetch it there.

    \b
    Example:  maillon partner install directory.jws --home /srv/maillon/hub --root-key root.pub.jwk
    """
    key = keys.public_jwk(strict_json.loads(root_key.read_bytes()), "Ed25519")
    installed = HubHome(home).install_directory(directory.read_text("utf-8").strip(), key, SystemClock())
    print_answer(
        {"version": installed.version, "partners": [p.slug for p in installed.partners()]},
        as_json,
        f"Directory version {installed.version} is in place: {len(installed.partners())} partners.",
    )


@partner.command("suspend")
@click.argument("slug")
@click.option("--root", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Sign it for everyone.")
@click.option("--home", type=click.Path(path_type=Path, exists=True, file_okay=False), help="At once, at this hub.")
@click.option("--reason", help="Kept in the hub's log; needed with --home.")
@click.option("--resume", is_flag=True, help="End the suspension.")
@json_option
def suspend(slug: str, root: Path | None, home: Path | None, reason: str | None, resume: bool, as_json: bool) -> None:
    """Suspend SLUG: at the hub at once (--home), or in the directory every edge obeys (--root).

    \b
    Example:  maillon partner suspend caf --home /srv/maillon/hub --reason "key lost"
    """
    if (root is None) == (home is None):
        raise click.UsageError("one of --root and --home")
    if home is not None and not reason:
        raise click.UsageError("--reason is needed with --home")
    if root is not None:
        answer: dict[str, object] = {
            "version": RootFolder.load(root).set_status(slug, "active" if resume else "suspended")
        }
    else:
        assert home is not None and reason  # noqa: S101, PT018 (tells mypy what the checks above established)
        answer = hub_client(home, "operator").suspend(slug, not resume, reason)
    state = "active again" if resume else "suspended"
    print_answer({"slug": slug, "suspended": not resume, **answer}, as_json, f"{slug} is {state}.")
