"""``maillon connector match``: propose which column of a real file feeds which expected one; a person confirms once."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.kit.matching import Draft, Proposal, kept_in, matched, propose, to_toml
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.cli.connector import connector as connector  # main finds the whole family here
from hub.cli.connector import find_partner, partners_option
from hub.cli.output import EXIT_REFUSED, json_option, print_answer, table

_WHY = {
    "name": "same name",
    "synonym": "known synonym",
    "close": "looks like it: check",
    "given": "as you said",
    "several": "two headings would do: say which",
    "twice": "its heading stands twice: rename one",
    "none": "no heading found",
}


@connector.command("match")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--partner", "name", required=True, help="Slug of a shipped partner, or the path of its folder.")
@click.option("--source", "format_name", help="The format of FILE; may be left out when its name or the partner tells.")
@click.option("--sheet", default="", help="The sheet of a workbook; without it, the first visible one.")
@click.option(
    "--column", "given", multiple=True, metavar="COLUMN=HEADING", help="Decide one yourself; may be repeated."
)
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Keep the confirmed matching here.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Keep it in this edge's home, where `maillon ingest` finds it.",
)
@click.option("--yes", is_flag=True, help="Confirm without being asked.")
@partners_option
@json_option
def match(
    file: Path,
    name: str,
    format_name: str | None,
    sheet: str,
    given: tuple[str, ...],
    save: Path | None,
    home: Path | None,
    yes: bool,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Propose which column of FILE feeds which expected column of a format, and keep what you confirm.

    Headings are compared by name and known synonyms; values are only looked at for their shape and never shown.
    A later file whose headings differ from the confirmed ones is refused, by place, until it is matched again.

    \b
    Example:  maillon connector match domicilies.xlsx --partner ccas --source domiciliations \\
                --column numero="N° usager" --save domiciliations.matching.toml
    """
    partner = find_partner(name, folders)
    source = partner.source_file(file, format_name)
    with file.open("rb") as stream:
        draft = propose(partner.formats[source.format], stream, sheet=sheet, given=dict(map(_pair, given)))
    print_answer(_document(partner, draft), as_json, *_lines(draft))
    if missing := draft.missing():
        raise MaillonError(ErrorKind.CONFIGURATION, f"no heading for: {', '.join(missing)}; name them with --column")
    targets = [*([save] if save else []), *([kept_in(home, draft.format)] if home else [])]
    if targets and not yes and not click.confirm("Is every line right?", err=True):
        click.echo("Nothing is saved; say what is wrong with --column.", err=True)
        raise SystemExit(EXIT_REFUSED)
    text = to_toml(partner, draft)
    matched(partner, text.encode())
    for target in targets:
        try:
            target.write_text(text, "utf-8")
        except OSError as error:
            raise MaillonError(ErrorKind.STORAGE, f"cannot save the matching: {error.strerror}") from None
        click.echo(f"Saved: {target}", err=True)


def _pair(text: str) -> tuple[str, str]:
    column, equals, heading = text.partition("=")
    if not equals:
        raise click.BadParameter("write COLUMN=HEADING", param_hint="--column")
    return column.strip(), heading.strip()


def _lines(draft: Draft) -> list[str]:
    rows = [
        (
            each.column + (" *" if each.required else ""),
            each.heading or "–",
            _WHY[each.why],
            _fits(each),
        )
        for each in draft.proposals
    ]
    unused = [f"Not read: {', '.join(draft.unused)}"] if draft.unused else []
    where = f"Headings on line {draft.layout.line} of format {draft.format}; * is required."
    return [where, "", *table(("expected", "heading in the file", "why", "values of that shape"), rows), "", *unused]


def _fits(each: Proposal) -> str:
    if each.fits is None:
        return "–"
    return f"{each.fits:.0%}" + ("" if each.fits >= 0.5 else "  ← check")


def _document(partner: PartnerFolder, draft: Draft) -> dict[str, object]:
    return {
        "partner": partner.slug,
        "format": draft.format,
        "line": draft.layout.line,
        "columns": [
            {"column": p.column, "required": p.required, "heading": p.heading, "why": p.why, "fits": p.fits}
            for p in draft.proposals
        ],
        "unused": list(draft.unused),
    }
