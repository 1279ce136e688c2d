"""Writes what is generated from the dossier schema: ``docs/dossier.md`` and ``fragment.schema.json``.

``python -m schemas.document`` writes both; ``--check`` compares instead, names each stale file and exits 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from schemas.registry import BASE_URI, Field, Schema, field_nodes, resolved, schema, value_of

ROOT = Path(__file__).resolve().parent.parent

_INTRODUCTION = """\
# Le dossier : sections, champs, codes

*Generated from `schemas/dossier.schema.json` by `python -m schemas.document`; do not edit. For partner analysts: \
every field a connector may map, its type, nomenclature, sensitivity, usual suppliers and legal note.*

**Classes** : C0 référentiel · C1 identité et contact · C2 social et économique · C3 NIR · C4 secret professionnel ·
C5 santé · C6 enfance et judiciaire. L’existence d’un dossier chez un partenaire a la classe de sa section.

**Notes légales** : lues dans des sources secondaires, à faire confirmer par votre DPO avant tout usage.

**Fragment** : `{"v": 1, "statements": {"<chemin>": déclaration}}`. Une déclaration dit une valeur
(`valeur, source, date_effet, date_collecte, base_legale` ; `date_effet` vaut `null` quand la source ne la dit pas) ou
une absence (`absence, source, date_collecte`). Ni zéro ni `null` ne veulent dire « inconnu » : une absence a un code.
"""


def fragment_schema() -> Schema:
    """Return the schema of a fragment: one flat ``properties`` map, a statement per dossier path.

    Flat on purpose: one look-up per statement and no ``anyOf`` over fields keeps the gate above 50,000 fragments a
    second. ``x-bit: false`` fields are left out: they never travel.
    """
    statements = {
        field.path: {
            "$ref": "dossier.schema.json#/$defs/declaration",
            "properties": {"valeur": _linked(value_of(node))},
        }
        for field, node in field_nodes()
        if node.get("x-bit", True)
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{BASE_URI}fragment.schema.json",
        "title": "Fragment du dossier : ce qu’une source dit d’une seule personne",
        "description": "Generated from dossier.schema.json by python -m schemas.document; do not edit.",
        "type": "object",
        "additionalProperties": False,
        "required": ["v", "statements"],
        "properties": {
            "v": {"const": 1},
            "statements": {"type": "object", "additionalProperties": False, "properties": statements},
        },
    }


def dossier_page() -> str:
    """Return ``docs/dossier.md``: a table of fields per section, then the codes."""
    sections = schema("dossier")["properties"]["sections"]["properties"]
    parts = [_INTRODUCTION]
    for name, rows in groupby(field_nodes(), key=lambda pair: pair[0].section):
        section = sections[name]
        parts.append(f"## {section['title']} (`{name}`)\n\n{section['x-note-legale']}\n")
        parts.append("| Champ | Libellé | Type | Codes | Classe | Fournisseurs | Note légale |")
        parts.append("| --- | --- | --- | --- | --- | --- | --- |")
        parts += [_row(field, node, section["x-note-legale"]) for field, node in rows]
        parts.append("")
    parts.append("## Codes\n")
    for (title, nomenclature), labels in _code_lists().items():
        parts.append(f"**{title[:1].upper()}{title[1:]}** ({nomenclature})")
        parts.append("".join(f"\n- `{code}` : {label}" for code, label in labels.items()) + "\n")
    return "\n".join(parts).rstrip() + "\n"


def generated() -> dict[Path, str]:
    """Return each generated file's path, relative to the project, with the text it should hold."""
    return {
        Path("schemas/fragment.schema.json"): json.dumps(fragment_schema(), ensure_ascii=False, indent=1) + "\n",
        Path("docs/dossier.md"): dossier_page(),
    }


def stale(root: Path) -> tuple[Path, ...]:
    """Return the generated files that are missing under ``root`` or differ from what the schema gives."""
    return tuple(
        path
        for path, text in generated().items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    )


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write the generated files, or with ``--check`` compare them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m schemas.document", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args(arguments).check
    out_of_date = stale(root)
    for path in out_of_date:
        if check:
            sys.stderr.write(f"stale: {path} (run: python -m schemas.document)\n")
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(generated()[path], "utf-8")
            sys.stdout.write(f"written: {path}\n")
    return 1 if check and out_of_date else 0


def _linked(node: Any) -> Any:
    """Point local references of a piece of the dossier schema at the dossier schema."""
    if isinstance(node, dict):
        return {
            key: f"dossier.schema.json{value}" if key == "$ref" else _linked(value)
            for key, value in node.items()
            if not key.startswith("x-")
        }
    return [_linked(child) for child in node] if isinstance(node, list) else node


def _row(field: Field, node: Schema, section_note: str) -> str:
    name = field.path.partition(".")[2]
    note = "" if field.note_legale == section_note else field.note_legale
    suppliers = ", ".join(field.fournisseurs)
    return (
        f"| `{name}` | {field.libelle} | {_type_of(value_of(node))} | {field.codes or '–'} "
        f"| {field.classe} | {suppliers} | {note} |"
    )


def _type_of(node: Schema) -> str:
    node = resolved(node)
    if node.get("type") == "array":
        return f"liste : {_type_of(node['items'])}"
    members = node.get("properties")
    if members and "date" in members and "precision" in members:
        return str(node["title"])
    if members:
        return f"{node['title']} {{{', '.join(members)}}}"
    # A pattern that opens with what it forbids is free text: an example would teach nothing.
    is_coded = not node.get("pattern", "^[^").startswith("^[^")
    return f"{node['title']}, ex. `{node['examples'][0]}`" if is_coded else str(node["title"])


def _code_lists() -> dict[tuple[str, str], dict[str, str]]:
    """Collect every labelled code list of the dossier schema, each once, in document order."""
    found: dict[tuple[str, str], dict[str, str]] = {}

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if "x-libelles" in node:
                found.setdefault((node["title"], node["x-codes"]), node["x-libelles"])
            for child in node.values():
                collect(child)
        elif isinstance(node, list):
            for child in node:
                collect(child)

    collect(schema("dossier"))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
