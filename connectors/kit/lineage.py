"""Writes ``docs/lineage.md`` from the mappings: which partner field feeds which dossier field, and the other way round.

``python -m connectors.kit.lineage`` writes it; ``--check`` compares instead and exits 1 when it is stale. It is for an
analyst who reads French and no Python: what stands in a mapping stands here, and nothing else does. What many fields
say alike (an error's codes, a code table, the question asked) is said once, in a section their rows point to; so is
what the versions of one format do alike.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from connectors.kit.lineage_cells import link, spelled, table
from connectors.kit.lineage_lines import ABSENCE, Line, lines_of
from connectors.kit.lineage_partners import by_partner
from connectors.kit.lineage_shared import (
    PARTNER,
    answer_heading,
    answers,
    answers_section,
    questions,
    questions_section,
    tables_section,
    transforms_section,
)
from connectors.kit.lineage_versions import Family, absences_by_version, by_version, families, source_by_version
from connectors.kit.lineage_words import Words, absences_said
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from schemas import registry

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = Path("docs/lineage.md")
_SECTION: Final = "Rubrique `{}`"

_INTRODUCTION = """\
# D’où vient chaque champ du dossier

*Generated from the partners' mappings by `python -m connectors.kit.lineage`; do not edit.*

Cette page dit, pour chaque champ du [dossier](dossier.md), quel champ de quel partenaire le nourrit, par quelle
transformation, et ce qui est répondu quand la source ne dit rien ; puis l’inverse, partenaire par partenaire. Elle est
écrite à partir des correspondances elles-mêmes : ce qui n’y figure pas n’est pas lu. Chaque analyste peut la relire et
la contester sans lire une ligne de programme. **Vous avez dix minutes ?** Allez droit à votre organisme.

{contents}

**Lire un chemin** : `Personne[].Identification.NOM` est l’élément `NOM` de l’`Identification` de chaque `Personne` ;
`a || b` prend `a`, ou `b` quand `a` est vide ; `a && 'x'` dit `x` quand `a` est vrai ; `[?A == '1']` garde les lignes
dont `A` vaut 1 ; `| [0]` prend la première ; *si* dit la condition sans laquelle le champ n’est pas rempli. Plusieurs
chemins, un par ligne, vont ensemble à la transformation ; un long chemin peut passer à la ligne après un point. Les
versions d’un format (`_v2`, `_v3`…) sont dites ensemble : *v3, v2* précède ce qui ne vaut que pour elles. `role` et
`liens` sont la place de la personne dans le foyer,
`demande` la personne sur qui portait la question, `identite` ses traits. Une transformation suivie de […] est dite en
entier tout en bas. *Facultatif* : illisible, ce champ seul est mis de côté ; sans ce mot, c’est toute la personne.

**Classes** : C0 référentiel · C1 identité et contact · C2 social et économique · C3 NIR · C4 secret professionnel ·
C5 santé · C6 enfance et judiciaire. Les textes cités sont à faire confirmer par votre DPO.

**Si la source ne dit rien** : le code d’absence répondu, avec sa condition ; un tiret, ou pas de colonne, veut dire que
le champ n’est pas mentionné. Zéro ne veut jamais dire « inconnu ». Les codes :

{absences}
"""


def lineage_page(partners: Iterable[PartnerFolder]) -> str:
    """Return the page for ``partners``."""
    ordered = sorted(partners, key=lambda partner: partner.slug)
    words = {partner.slug: Words(partner) for partner in ordered}
    found = [line for partner in ordered for line in lines_of(partner, words[partner.slug])]
    halves = [*_by_field(ordered, found), *by_partner(ordered, found, words)]
    told = answers(ordered, words)
    once = [
        *answers_section(told),
        *questions_section(questions(ordered, words)),
        *tables_section(words.values()),
        *transforms_section(words.values()),
    ]
    introduction = _INTRODUCTION.format(
        contents="\n".join(_contents(ordered, told)),
        absences="\n".join(f"- **{each}** : {libelle}" for each, libelle in absences_said().items()),
    )
    return "\n".join([introduction, *halves, *once]).rstrip() + "\n"


def _contents(partners: Sequence[PartnerFolder], told: Iterable[str]) -> Iterator[str]:
    sections = dict.fromkeys(known.section for known in registry.fields())
    named = (link(partner.name, PARTNER.format(partner.slug)) for partner in partners)
    yield f"- **Des partenaires vers le dossier** : {' · '.join(named)}"
    filed = (link(f"`{section}`", _SECTION.format(section)) for section in sections)
    yield f"- **Du dossier vers les partenaires** : {' · '.join(filed)}"
    if ways := [link(f"`{way}`", answer_heading(way)) for way in told]:
        yield f"- **Réponses sans données** : {' · '.join(ways)}"


def _by_field(partners: Sequence[PartnerFolder], found: Sequence[Line]) -> Iterator[str]:
    yield "# Du dossier vers les partenaires\n"
    places = {
        (partner.slug, each.name): (family, version)
        for partner in partners
        for family in families(partner)
        for version, each in family.formats.items()
    }
    fed = {path: list(group) for path, group in groupby(sorted(found, key=_target), key=_target)}
    for section, fields in groupby(registry.fields(), key=lambda known: known.section):
        known = list(fields)
        yield f"## {_SECTION.format(section)}\n"
        for field in known:
            if field.path in fed:
                yield f"### `{field.path}`\n\n{field.libelle} · **{field.classe}** · {field.note_legale}\n"
                yield from _sources(fed[field.path], places)
        if without := [f"`{field.path}`" for field in known if field.path not in fed]:
            yield f"Sans source à ce jour : {', '.join(without)}.\n"


_Places = Mapping[tuple[str, str], tuple[Family, str]]
"""The family and the version of each partner's formats."""


def _sources(found: Sequence[Line], places: _Places) -> Iterator[str]:
    """Yield what feeds one field, then which errors are answered by its absence."""
    header = ("Partenaire", "Champ du partenaire", "Transformation", "Si la source ne dit rien", "Personne", "Format")
    if rows := list(_merged([line for line in found if not line.answer], places)):
        yield from table(header, rows)
    for way, alike in groupby(sorted((line for line in found if line.answer), key=_answer), key=_answer):
        whose = [places[line.partner.slug, line.row.format] for line in alike]
        who = " · ".join(
            f"{slug} ({_linked([place for place in whose if place[0].slug == slug], ' ; ')})"
            for slug in dict.fromkeys(family.slug for family, _ in whose)
        )
        yield f"{ABSENCE} {link(f'`{way}`', answer_heading(way))}, pour {who}.\n"


def _merged(found: Sequence[Line], places: _Places) -> Iterator[tuple[str, ...]]:
    """Say once what the versions of a format, then several formats and persons of one partner, do alike."""
    versions: dict[tuple[str, str, str], dict[str, Line]] = {}
    for line in found:
        family, version = places[line.partner.slug, line.row.format]
        versions.setdefault((family.slug, family.heading, line.row.subject), {})[version] = line
    groups: dict[tuple[str, ...], list[Line]] = {}
    for (slug, _, _), own in versions.items():
        said = (
            source_by_version({version: (line.description, line.source) for version, line in own.items()}, own),
            by_version({version: line.transform for version, line in own.items()}, own),
            absences_by_version({version: line.absences for version, line in own.items()}),
        )
        groups.setdefault((slug, *said), []).extend(own.values())
    for (slug, *cells), alike in groups.items():
        persons = dict.fromkeys(line.row.subject for line in alike)
        shown = _linked([places[slug, line.row.format] for line in alike], "<br>")
        yield link(slug, PARTNER.format(slug)), *cells, spelled(persons), shown


def _linked(places: Sequence[tuple[Family, str]], separator: str) -> str:
    """Return the links to the families of ``places``, each with its versions."""
    versions: dict[str, dict[str, None]] = {}
    for family, version in places:
        versions.setdefault(family.heading, {})[version] = None
    known = {family.heading: family for family, _ in places}
    return separator.join(known[heading].linked(own) for heading, own in versions.items())


def _target(line: Line) -> str:
    return line.row.target


def _answer(line: Line) -> str:
    return line.answer


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
