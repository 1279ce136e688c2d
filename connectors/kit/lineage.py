"""Writes ``docs/lineage.md`` from the mappings: which partner field feeds which dossier field, and the other way round.

``python -m connectors.kit.lineage`` writes it; ``--check`` compares instead and exits 1 when it is stale. It is for an
analyst who reads French and no Python: what stands in a mapping stands here, and nothing else does.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Final

from connectors.kit.mapping import FormatMapping
from connectors.kit.mapping_rules import FieldRule, LineageRow, Subject
from connectors.kit.partner import Format, PartnerFolder, bundled_directory, discover
from connectors.kit.transforms import BUILT_IN, Transform
from schemas import registry

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = Path("docs/lineage.md")

_INTRODUCTION = """\
# D’où vient chaque champ du dossier

*Generated from the partners' mappings by `python -m connectors.kit.lineage`; do not edit.*

Cette page dit, pour chaque champ du [dossier](dossier.md), quel champ de quel partenaire le nourrit, par quelle
transformation, et ce qui est répondu quand la source ne dit rien ; puis l’inverse, partenaire par partenaire. Elle est
écrite à partir des correspondances elles-mêmes : ce qui n’y figure pas n’est pas lu. Chaque analyste peut la relire et
la contester sans lire une ligne de programme.

**Lire un chemin** : `Personne[].Identification.NOM` est l’élément `NOM` de l’`Identification` de chaque `Personne` ;
`a || b` prend `a`, ou `b` quand `a` est vide ; `a && 'x'` dit `x` quand `a` est vrai ; `[?A == '1']` garde les lignes
dont `A` vaut 1 ; `| [0]` prend la première ; *si* dit la condition sans laquelle le champ n’est pas rempli. `role` et
`liens` sont la place de la personne dans le foyer, `demande` la personne sur qui portait la question.

**Si la source ne dit rien** : le code d’absence répondu, avec sa condition ; un tiret veut dire que le champ n’est pas
mentionné. Zéro ne veut jamais dire « inconnu ».

**Classes** : C0 référentiel · C1 identité et contact · C2 social et économique · C3 NIR · C4 secret professionnel ·
C5 santé · C6 enfance et judiciaire. Les textes cités sont à faire confirmer par votre DPO.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of one partner's mapping, with all that an analyst asks of it."""

    partner: PartnerFolder
    row: LineageRow
    transform: str
    since: str
    base_legale: str


class _Words:
    """What a transform does, in French; and the code tables of one partner, numbered as they are met."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said
        self.tables: dict[tuple[tuple[str, str], ...], int] = {}

    def of(self, name: str, transform: Transform, table: Mapping[str, object]) -> str:
        said = self._said.get(name) if BUILT_IN.get(name) is transform else None
        said = said or f"`{name}` : {(transform.__doc__ or 'propre à ce partenaire').strip().splitlines()[0]}"
        if not table:
            return said
        content = tuple((str(code), str(meaning)) for code, meaning in table.items())
        return f"{said} (table {self.tables.setdefault(content, len(self.tables) + 1)})"


def transforms_said() -> Mapping[str, str]:
    """Return what each transform of the kit does, in French, by name."""
    text = (resources.files("connectors.kit") / "lineage.toml").read_text("utf-8")
    said: Mapping[str, str] = tomllib.loads(text)["transformations"]
    return said


def lineage_page(partners: Iterable[PartnerFolder]) -> str:
    """Return the page for ``partners``."""
    ordered, said = sorted(partners, key=lambda partner: partner.slug), transforms_said()
    words = {partner.slug: _Words(said) for partner in ordered}
    lines = [line for partner in ordered for line in _lines(partner, words[partner.slug])]
    return "\n".join([_INTRODUCTION, *_by_field(lines), *_by_partner(ordered, lines, words)]).rstrip() + "\n"


def _lines(partner: PartnerFolder, words: _Words) -> Iterator[Line]:
    for native in partner.formats.values():
        rules = {(s.name, rule.path): rule for s in native.mapping.subjects for rule in s.fields}
        for row in native.mapping.lineage():
            yield _line(partner, native.mapping, row, rules.get((row.subject, row.target)), words)


def _line(
    partner: PartnerFolder, mapping: FormatMapping, row: LineageRow, rule: FieldRule | None, words: _Words
) -> Line:
    subject = next(each for each in mapping.subjects if each.name == row.subject)
    if rule is not None and rule.value.transform_name == row.transform:
        value = rule.value
    elif (trait := row.target.removeprefix("identite.")) in (known := dict(subject.identity)):
        value = known[trait]
    else:
        assert subject.outcome is not None  # noqa: S101 (the only other origin of a row)
        value = subject.outcome.code
    return Line(
        partner,
        row,
        words.of(row.transform, value.transform, value.table),
        row.since,
        rule.base_legale if rule is not None else mapping.base_legale,
    )


def _by_field(lines: Sequence[Line]) -> Iterator[str]:
    yield "# Du dossier vers les partenaires\n"
    fed = {path: list(group) for path, group in groupby(sorted(lines, key=_target), key=_target)}
    for section, fields in groupby(registry.fields(), key=lambda known: known.section):
        known = list(fields)
        yield f"## Rubrique `{section}`\n"
        for field in known:
            if field.path in fed:
                yield f"### `{field.path}`\n\n{field.libelle} · **{field.classe}** · {field.note_legale}\n"
                yield from _table(
                    (
                        "Partenaire",
                        "Format",
                        "Personne",
                        "Champ du partenaire",
                        "Transformation",
                        "Si la source ne dit rien",
                    ),
                    _merged(fed[field.path]),
                )
        if without := [f"`{field.path}`" for field in known if field.path not in fed]:
            yield f"Sans source à ce jour : {', '.join(without)}.\n"


def _merged(lines: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """Say once what several formats and persons of one partner do alike."""
    groups: dict[tuple[str, str, str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.partner.slug, _source(line.row), line.transform, line.row.absence), []).append(line)
    for (slug, source, transform, absence), alike in groups.items():
        formats = dict.fromkeys(line.row.format for line in alike)
        persons = dict.fromkeys(line.row.subject for line in alike)
        shown = ", ".join(f"`{name}`" for name in formats)
        yield slug, shown, _spelled(persons), source, transform, _absence(absence)


def _by_partner(partners: Sequence[PartnerFolder], lines: Sequence[Line], words: Mapping[str, _Words]) -> Iterator[str]:
    yield "# Des partenaires vers le dossier\n"
    classes = {known.path: known.classe for known in registry.fields()}
    for partner in partners:
        nir = "autorisé" if partner.nir_autorise else "écarté dès la lecture"
        yield f"## {partner.name} (`{partner.slug}`)\n"
        yield f"Connecteur tenu par : `{partner.operator}` · numéro local : {partner.local_id} · NIR : {nir}\n"
        for name, native in partner.formats.items():
            yield f"### `{partner.slug}` : {native.description}\n\nFormat `{name}` · {native.mapping.base_legale}\n"
            own = [line for line in lines if line.partner is partner and line.row.format == name]
            for subject in native.mapping.subjects:
                yield from _subject(
                    subject, native, [line for line in own if line.row.subject == subject.name], classes
                )
        if tables := words[partner.slug].tables:
            yield f"### Tables de codes de `{partner.slug}`\n"
            for content, number in tables.items():
                yield f"- **table {number}** : " + " · ".join(f"`{_bare(code)}` → {said}" for code, said in content)
            yield ""


def _subject(subject: Subject, native: Format, lines: Sequence[Line], classes: Mapping[str, str]) -> Iterator[str]:
    told = {line.row.target.rpartition(".")[2] for line in lines}
    silent = [name for name, _ in subject.identity if name not in told]
    kept = f". Pour les jetons seulement, hors du dossier : {_spelled(silent)}.\n" if silent else ".\n"
    yield f"**Personne : {_spelled([subject.name])}**{kept}"
    own = native.mapping.base_legale
    yield from _table(
        (
            "Champ du partenaire",
            "Transformation",
            "Champ du dossier",
            "Classe",
            "Vrai depuis",
            "Si la source ne dit rien",
            "Base légale propre",
        ),
        (
            (
                _source(line.row),
                line.transform,
                f"`{line.row.target}`",
                classes[line.row.target],
                _code(line.since),
                _absence(line.row.absence),
                "–" if line.base_legale == own else line.base_legale,
            )
            for line in lines
        ),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "| " + " | ".join("---" for _ in header) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _target(line: Line) -> str:
    return line.row.target


def _spelled(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _code(text: str) -> str:
    """Write an expression as code; its own backquotes (JMESPath's literals) would end it."""
    return f"`{_bare(text)}`" if text else "–"


def _source(row: LineageRow) -> str:
    return f"{_code(row.source)} si {_code(row.condition)}" if row.condition else _code(row.source)


def _absence(text: str) -> str:
    parts = [part.rpartition(" → ") for part in text.split("; ") if part]
    return "; ".join(f"{_code(when)} → {code}" if when else code for when, _, code in parts) or "–"


def _bare(text: str) -> str:
    return text.replace("`", "").replace("record.", "")


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write the page, or with ``--check`` compare it. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.kit.lineage", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    check = parser.parse_args(arguments).check
    text = lineage_page(discover([bundled_directory()]).values())
    file = root / PAGE
    if file.exists() and file.read_text("utf-8") == text:
        return 0
    if check:
        sys.stderr.write(f"stale: {PAGE} (run: python -m connectors.kit.lineage)\n")
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    sys.stdout.write(f"written: {PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
