"""``maillon connector``: what a partner's analyst needs before any hub exists: list, check, map."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO

import click
import orjson

from connectors.kit.checks import check_partner
from connectors.kit.lineage import lineage_page
from connectors.kit.mapping.stream import map_stream
from connectors.kit.matching import as_confirmed, matched
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.port import Quarantined
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.output import EXIT_PARTIAL, EXIT_REFUSED, json_option, print_answer, print_json, table

partners_option = click.option(
    "--partners",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of partner folders to use beside those shipped; may be repeated.",
)


matching_option = click.option(
    "--matching",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A column matching saved by: maillon connector match.",
)


def as_matched(partner: PartnerFolder, home: Path, formats: set[str], matching: Path | None) -> PartnerFolder:
    """Return ``partner`` reading ``formats`` as ``matching`` says, else as was confirmed for the edge of ``home``."""
    return as_confirmed(partner, home, formats) if matching is None else with_matching(partner, matching)


def with_matching(partner: PartnerFolder, matching: Path | None) -> PartnerFolder:
    """Return ``partner`` reading as the saved ``matching`` says, if one is given; raises as ``matched``."""
    return partner if matching is None else matched(partner, matching.read_bytes())


def find_partner(name: str, folders: tuple[Path, ...] = ()) -> PartnerFolder:
    """Return the partner called ``name`` (a slug, or the path of its folder).

    Raises ``MaillonError(UNKNOWN_PARTNER)``, and ``CONFIGURATION`` for a folder that is wrong.
    """
    for folder in (Path(name), *(directory / name for directory in (*folders, bundled_directory()))):
        if (folder / "manifest.toml").is_file():
            return PartnerFolder.load(folder.resolve())
    if os.sep in name or name == ".":  # a path was meant: say what is missing there
        return PartnerFolder.load(Path(name).resolve())
    raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "no folder of that name; see: maillon connector list")


@click.group("connector")
def connector() -> None:
    """The partners' connectors: list them, check one, map a file with one."""


@connector.command("list")
@partners_option
@json_option
def list_connectors(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the connectors, the formats they read and how many dossier fields they supply.

    \b
    Example:  maillon connector list
    """
    found = discover([bundled_directory(), *folders]).values()
    rows = [(p.slug, p.kind, p.operator, ", ".join(p.formats), str(len(p.supplies)), p.name) for p in found]
    documents = [
        {
            "slug": p.slug,
            "name": p.name,
            "kind": p.kind,
            "operator": p.operator,
            "formats": {name: each.description for name, each in p.formats.items()},
            "supplies": list(p.supplies),
        }
        for p in found
    ]
    header = ("slug", "kind", "operator", "formats", "fields", "name")
    print_answer({"connectors": documents}, as_json, *table(header, rows))


@connector.command("check")
@click.argument("name")
@partners_option
@json_option
def check(name: str, folders: tuple[Path, ...], as_json: bool) -> None:
    """Run the contract suite on one partner folder (a slug, or a path); exit 1 when it breaks the contract.

    \b
    Example:  maillon connector check ./my_partners/bailleur_x
    """
    partner = find_partner(name, folders)
    findings = check_partner(partner)
    documents = [{"check": f.check, "where": f.where, "problem": f.problem} for f in findings]
    lines = [f"{f.check}: {f.where}: {f.problem}" for f in findings]
    verdict = "keeps the contract" if not findings else f"breaks the contract in {len(findings)} place(s)"
    not_live = {name: each.not_live for name, each in partner.formats.items() if each.not_live}
    print_answer(
        {"slug": partner.slug, "findings": documents, "live": list(partner.api_formats()), "not_live": not_live},
        as_json,
        *lines,
        *([f"asked live: {', '.join(partner.api_formats())}"] if partner.api else []),
        *(f"not asked live: {name}: {why}" for name, why in not_live.items()),
        f"{partner.slug} {verdict}.",
    )
    if findings:
        raise SystemExit(EXIT_REFUSED)


@connector.command("lineage")
@click.argument("names", nargs=-1)
@partners_option
@json_option
def lineage(names: tuple[str, ...], folders: tuple[Path, ...], as_json: bool) -> None:
    """Print which partner field feeds which dossier field, and the other way round: a page (Markdown, in French).

    It is written from the mappings of the partners NAMES (slugs, or paths of folders), of all when none is named, for
    an analyst who reads no code: transform, absence, class, legal note, legal basis.

    \b
    Example:  maillon connector lineage ./my_partners/bailleur_x > lineage.md
    """
    found = [find_partner(name, folders) for name in names]
    partners = found or list(discover([bundled_directory(), *folders]).values())
    if as_json:
        rows = [(each.slug, row) for each in partners for f in each.formats.values() for row in f.mapping.lineage()]
        print_json({"rows": [{"partner": slug, **asdict(row)} for slug, row in rows]})
        return
    click.echo(lineage_page(partners), nl=False)


@connector.command("map")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", "format_name", help="The format of FILE; may be left out when the partner has one.")
@click.option("--quarantine", type=click.Path(path_type=Path, dir_okay=False), help="Write what was set aside here.")
@matching_option
@partners_option
def map_file(
    name: str,
    file: Path,
    format_name: str | None,
    quarantine: Path | None,
    matching: Path | None,
    folders: tuple[Path, ...],
) -> None:
    """Map FILE to dossier fragments, one person a line (NDJSON) on standard output. Needs no hub, keeps nothing.

    Each line is {position, local_id, traits, as_of, fragment}. What cannot be mapped goes, with its position, path
    and reason, to the --quarantine file (NDJSON), or to standard error; the exit code is then 4.

    \b
    Example:  maillon connector map caf --source rsa_mensuel FILE --quarantine set_aside.ndjson
    """
    partner = with_matching(find_partner(name, folders), matching)
    source = partner.source_file(file, format_name)
    out, set_aside = sys.stdout.buffer, 0
    with ExitStack() as stack:
        stream = stack.enter_context(file.open("rb"))
        aside: IO[bytes] = stack.enter_context(quarantine.open("wb")) if quarantine else sys.stderr.buffer
        for found in map_stream(stream, partner.formats[source.format], SystemClock().now()):
            if isinstance(found, Quarantined):
                set_aside += 1
                aside.write(orjson.dumps(found) + b"\n")
                continue
            line = {
                "position": found.position,
                "local_id": found.local_id,
                "traits": found.identity_traits,
                "as_of": found.as_of,
                "fragment": found.fragment,
            }
            out.write(orjson.dumps(line) + b"\n")
    if set_aside:
        raise SystemExit(EXIT_PARTIAL)
