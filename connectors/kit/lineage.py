"""Writes ``docs/lineage.md`` from the mappings: which partner field feeds which dossier field, and the other way round.

``python -m connectors.kit.lineage`` writes it; ``--check`` compares instead and exits 1 when it is stale. It is for an
analyst who reads French and no Python: what stands in a mapping stands here, and nothing else does. What many fields
say alike (an error's codes, a code table, the question asked) is said once, in a section their rows point to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from connectors.kit.lineage_cells import NOTHING, code, lines, link, pieces, spelled, table
from connectors.kit.lineage_shared import (
    PARTNER,
    answer_heading,
    answer_name,
    answers,
    answers_section,
    question_heading,
    questions,
    questions_section,
    tables_section,
    transforms_section,
)
from connectors.kit.lineage_words import Spec, Words, absences_said
from connectors.kit.mapping.rules import IDENTITY_FIELDS, FieldRule, LineageRow, Outcome, Subject, Value
from connectors.kit.mapping.run import FormatMapping
from connectors.kit.partner import Format, PartnerFolder, bundled_directory, discover
from schemas import registry

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = Path("docs/lineage.md")
_SECTION: Final = "Rubrique `{}`"
_FORMAT: Final = "Format `{}.{}`"
_ABSENCE: Final = "Réponse sans données : l’absence que dit l’erreur"

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
chemins, un par ligne, vont ensemble à la transformation. `role` et `liens` sont la place de la personne dans le foyer,
`demande` la personne sur qui portait la question, `identite` ses traits. Une transformation suivie de […] est dite en
entier tout en bas. *Facultatif* : illisible, ce champ seul est mis de côté ; sans ce mot, c’est toute la personne.

**Classes** : C0 référentiel · C1 identité et contact · C2 social et économique · C3 NIR · C4 secret professionnel ·
C5 santé · C6 enfance et judiciaire. Les textes cités sont à faire confirmer par votre DPO.

**Si la source ne dit rien** : le code d’absence répondu, avec sa condition ; un tiret, ou pas de colonne, veut dire que
le champ n’est pas mentionné. Zéro ne veut jamais dire « inconnu ». Les codes :

{absences}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of one partner's mapping, with all that an analyst asks of it."""

    partner: PartnerFolder
    row: LineageRow
    source: str
    transform: str
    absence: str
    base_legale: str
    answer: str = ""
    """How an answer without data is read, for a row that says only that; ``source`` and the rest then say nothing."""


def lineage_page(partners: Iterable[PartnerFolder]) -> str:
    """Return the page for ``partners``."""
    ordered = sorted(partners, key=lambda partner: partner.slug)
    words = {partner.slug: Words(partner) for partner in ordered}
    found = [line for partner in ordered for line in _lines(partner, words[partner.slug])]
    halves = [*_by_field(found), *_by_partner(ordered, found, words)]
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


def _lines(partner: PartnerFolder, words: Words) -> Iterator[Line]:
    for native in partner.formats.values():
        rows = {name: list(own) for name, own in groupby(native.mapping.lineage(), key=lambda row: row.subject)}
        for subject in native.mapping.subjects:
            for row, (target, origin) in zip(rows.get(subject.name, ()), _origins(subject), strict=True):
                assert row.target == target  # noqa: S101 (rows come in the order of the rules)
                yield _line(partner, native.mapping, row, origin, words)


def _origins(subject: Subject) -> Iterator[tuple[str, Value | FieldRule | Outcome]]:
    """Yield what each row of ``subject`` comes from, with its target, in the order of the rows."""
    for trait, value in subject.identity:
        if subject.asserts_identity and trait in IDENTITY_FIELDS:
            yield f"identite.{trait}", value
    for rule in subject.fields:
        yield rule.path, rule
    if subject.outcome is not None:
        for path in subject.outcome.paths:
            yield path, subject.outcome


def _line(
    partner: PartnerFolder, mapping: FormatMapping, row: LineageRow, origin: Value | FieldRule | Outcome, words: Words
) -> Line:
    if isinstance(origin, Outcome):
        answer = answer_name(words, row.format, row.subject)
        return Line(partner, row, "", "", "", mapping.base_legale, answer)
    if isinstance(origin, Value):
        spec = words.value(words.traits(row.format, row.subject)[row.target.removeprefix("identite.")])
        value, base_legale, absence, optional = origin, mapping.base_legale, NOTHING, False
    else:
        spec = words.value(words.subject(row.format, row.subject)["fields"][row.target])
        value, base_legale, optional = origin.value, origin.base_legale, origin.optional is not None
        absence = _absence(origin, spec, words)
    transform = words.transform(value.transform_name, value.transform, spec)
    return Line(
        partner,
        row,
        _source(row, value, spec),
        f"{transform} · *facultatif*" if optional else transform,
        absence,
        base_legale,
    )


def _source(row: LineageRow, value: Value, spec: Spec) -> str:
    condition = f"*si* {code(row.condition)}" if row.condition else ""
    return lines(spec.get("description", ""), *_codes(row.source, value), condition)


def _codes(source: str, value: Value) -> list[str]:
    return [code(each) for each in (pieces(source) if value.several else [source])]


def _absence(rule: FieldRule, spec: Spec, words: Words) -> str:
    told = []
    for (condition, absence), each in zip(rule.absences, words.conditions(spec), strict=True):
        said = f"{each['description']} : " if "description" in each else ""
        told.append(f"**{absence}** *si* {said}{code(condition.text)}")
    if rule.absent:
        told.append(f"{'sinon ' if told else ''}**{rule.absent}**")
    return lines(*told)


def _by_field(found: Sequence[Line]) -> Iterator[str]:
    yield "# Du dossier vers les partenaires\n"
    fed = {path: list(group) for path, group in groupby(sorted(found, key=_target), key=_target)}
    for section, fields in groupby(registry.fields(), key=lambda known: known.section):
        known = list(fields)
        yield f"## {_SECTION.format(section)}\n"
        for field in known:
            if field.path in fed:
                yield f"### `{field.path}`\n\n{field.libelle} · **{field.classe}** · {field.note_legale}\n"
                yield from _sources(fed[field.path])
        if without := [f"`{field.path}`" for field in known if field.path not in fed]:
            yield f"Sans source à ce jour : {', '.join(without)}.\n"


def _sources(found: Sequence[Line]) -> Iterator[str]:
    """Yield what feeds one field, then which errors are answered by its absence."""
    header = ("Partenaire", "Champ du partenaire", "Transformation", "Si la source ne dit rien", "Personne", "Format")
    if rows := list(_merged([line for line in found if not line.answer])):
        yield from table(header, rows)
    for way, alike in groupby(sorted((line for line in found if line.answer), key=_answer), key=_answer):
        formats = dict.fromkeys((line.partner.slug, line.row.format) for line in alike)
        who = " · ".join(
            f"{slug} ({', '.join(_format(slug, name) for _, name in own)})"
            for slug, own in groupby(formats, key=lambda each: each[0])
        )
        yield f"{_ABSENCE} {link(f'`{way}`', answer_heading(way))}, pour {who}.\n"


def _merged(found: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """Say once what several formats and persons of one partner do alike."""
    groups: dict[tuple[str, str, str, str], list[Line]] = {}
    for line in found:
        groups.setdefault((line.partner.slug, line.source, line.transform, line.absence), []).append(line)
    for (slug, source, transform, absence), alike in groups.items():
        formats = dict.fromkeys(line.row.format for line in alike)
        persons = dict.fromkeys(line.row.subject for line in alike)
        shown = lines(*(_format(slug, name) for name in formats))
        yield link(slug, PARTNER.format(slug)), source, transform, absence, spelled(persons), shown


def _by_partner(partners: Sequence[PartnerFolder], found: Sequence[Line], words: Mapping[str, Words]) -> Iterator[str]:
    yield "# Des partenaires vers le dossier\n"
    for partner in partners:
        nir = "autorisé" if partner.nir_autorise else "écarté dès la lecture"
        yield f"## {PARTNER.format(partner.slug)}\n\n**{partner.name}**\n"
        yield f"Connecteur tenu par : `{partner.operator}` · numéro local : {partner.local_id} · NIR : {nir}\n"
        yield from (f"- {_format(partner.slug, name)} : {each.description}" for name, each in partner.formats.items())
        yield ""
        own = words[partner.slug]
        for name, native in partner.formats.items():
            yield f"### {_FORMAT.format(partner.slug, name)}\n\n{native.description} · {native.mapping.base_legale}\n"
            yield from _record(native.mapping, own)
            here = [line for line in found if line.partner is partner and line.row.format == name]
            for subject in native.mapping.subjects:
                theirs = [line for line in here if line.row.subject == subject.name]
                yield from _subject(subject, native, theirs, own)


def _record(mapping: FormatMapping, words: Words) -> Iterator[str]:
    """Yield what is read of a record as a whole: its dates and its household."""
    dates = (("recueilli le", mapping.collected), ("vrai au", mapping.as_of))
    told = [f"{what} {_read(value)}" for what, value in dates if value is not None]
    if mapping.household is not None:
        members = " ; ".join(f"{code(each.text)}, rôle {_read(role)}" for each, role in mapping.household.groups)
        spec = words.format(mapping.name)["household"]
        tables = [group["role"]["table"] for group in spec["members"] if "table" in words.value(group["role"])]
        tables += [spec["links"]] if "links" in spec else []
        known = ", ".join(words.table(name) for name in dict.fromkeys(tables))
        told.append(f"foyer : {members}" + (f" ({known})" if known else ""))
    if mapping.asked:
        given = words.format(mapping.name)["asked"]
        asked = ", ".join(f"{spelled([trait])} ({_read(value)})" for trait, value in mapping.asked)
        told.append(f"la réponse doit nommer qui la question nommait : {_question(given, words) or asked}")
    if told:
        yield f"Chaque enregistrement : {' · '.join(told)}.\n"


def _question(given: object, words: Words) -> str:
    """Return the link to the identity ``given`` names; nothing when it is written there."""
    if not isinstance(given, str):
        return ""
    named = words.named("identities", given)
    return link(f"question `{named}`", question_heading(named))


def _read(value: Value) -> str:
    return ", ".join(code(source.text) for source in value.sources)


def _subject(subject: Subject, native: Format, found: Sequence[Line], words: Words) -> Iterator[str]:
    yield f"**Personne : {spelled([subject.name])}**\n"
    yield from (f"- {said}" for said in _who(subject, native, words))
    yield ""

    def field(line: Line) -> str:
        name = f"`{line.row.target}`"
        return f"{link(name, name)} · {classes[line.row.target]}"

    own, classes = native.mapping.base_legale, {known.path: known.classe for known in registry.fields()}
    rows = [line for line in found if not line.answer]
    if rows:
        yield from table(
            (
                *("Champ du partenaire", "Champ du dossier et classe", "Transformation"),
                *("Si la source ne dit rien", "Vrai depuis", "Base légale propre"),
            ),
            [
                (
                    *(line.source, field(line), line.transform, line.absence),
                    lines(*(code(each) for each in pieces(line.row.since) if each)),
                    NOTHING if line.base_legale == own else line.base_legale,
                )
                for line in rows
            ],
        )
    for way, alike in groupby((line for line in found if line.answer), key=_answer):
        told = ", ".join(map(field, alike))
        yield f"{_ABSENCE} {link(f'`{way}`', answer_heading(way))}, pour {told}.\n"


def _who(subject: Subject, native: Format, words: Words) -> Iterator[str]:
    """Yield which persons these are, and what is read of them for the tokens and the local number alone."""
    spec = words.subject(native.name, subject.name)
    if subject.when is not None:
        yield f"si {code(subject.when.text)}"
    if subject.each is not None:
        yield f"une par élément de {code(subject.each.text)}"
    if subject.roles is not None:
        yield f"de rôle {', '.join(map(code, spec['roles']))}"
    for one, other in subject.same:
        yield f"{code(one.text)} et {code(other.text)} ne doivent pas se contredire"
    if question := _question(spec["identity"], words):
        yield f"traits : ceux de la {question}"
    else:
        for trait, value in subject.identity:
            if trait not in IDENTITY_FIELDS:
                yield f"pour les jetons seulement, hors du dossier : {spelled([trait])} ({_read(value)})"
    number = (
        f"{_read(value)} ({words.transform(value.transform_name, value.transform)})" for value in subject.local_id
    )
    yield f"numéro local : {' + '.join(number)}"


def _format(slug: str, name: str) -> str:
    return link(f"`{name}`", _FORMAT.format(slug, name))


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
