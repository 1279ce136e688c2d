"""The half of the lineage page from the partners to the dossier: a section a format, its versions together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from connectors.kit.lineage_cells import NOTHING, code, lines, link, pieces, spelled, table
from connectors.kit.lineage_lines import ABSENCE, Line
from connectors.kit.lineage_shared import PARTNER, answer_heading, question_heading
from connectors.kit.lineage_versions import Family, absences_by_version, by_version, families, source_by_version
from connectors.kit.lineage_words import Words
from connectors.kit.mapping.rules import IDENTITY_FIELDS, Subject, Value
from connectors.kit.mapping.run import FormatMapping
from connectors.kit.partner import Format, PartnerFolder
from schemas import registry

_HEADER: Final = (
    *("Champ du partenaire", "Champ du dossier et classe", "Transformation"),
    *("Si la source ne dit rien", "Vrai depuis", "Base légale propre"),
)


def by_partner(partners: Sequence[PartnerFolder], found: Sequence[Line], words: Mapping[str, Words]) -> Iterator[str]:
    """Yield what is read of each partner's formats; ``found`` are the lines of all."""
    yield "# Des partenaires vers le dossier\n"
    for partner in partners:
        nir = "autorisé" if partner.nir_autorise else "écarté dès la lecture"
        yield f"## {PARTNER.format(partner.slug)}\n\n**{partner.name}**\n"
        yield f"Connecteur tenu par : `{partner.operator}` · numéro local : {partner.local_id} · NIR : {nir}\n"
        own, theirs = list(families(partner)), [line for line in found if line.partner is partner]
        for family in own:
            for each in family.formats.values():
                yield f"- {link(f'`{each.name}`', family.heading)} : {each.description}"
        yield ""
        for family in own:
            yield from _family(family, theirs, words[partner.slug])


def _family(family: Family, found: Sequence[Line], words: Words) -> Iterator[str]:
    yield f"### {family.heading}\n"
    texts = {version: each.mapping.base_legale for version, each in family.formats.items()}
    alone = [f"{each.description} · " for each in family.formats.values() if len(family.formats) == 1]
    yield f"{''.join(alone)}{by_version(texts, family.formats)}\n"
    read = {version: " · ".join(_record(each.mapping, words)) for version, each in family.formats.items()}
    if told := {version: f"Chaque enregistrement : {each}." for version, each in read.items() if each}:
        yield f"{by_version(told, family.formats)}\n"
    persons = dict.fromkeys(subject.name for each in family.formats.values() for subject in each.mapping.subjects)
    for person in persons:
        having = {
            version: (each, subject)
            for version, each in family.formats.items()
            for subject in each.mapping.subjects
            if subject.name == person
        }
        yield from _person(family, person, having, found, words)


def _record(mapping: FormatMapping, words: Words) -> Iterator[str]:
    """Yield what is read of a record as a whole: its dates and its household."""
    dates = (("recueilli le", mapping.collected), ("vrai au", mapping.as_of))
    yield from (f"{what} {_read(value)}" for what, value in dates if value is not None)
    if mapping.household is not None:
        members = " ; ".join(f"{code(each.text)}, rôle {_read(role)}" for each, role in mapping.household.groups)
        spec = words.format(mapping.name)["household"]
        tables = [group["role"]["table"] for group in spec["members"] if "table" in words.value(group["role"])]
        tables += [spec["links"]] if "links" in spec else []
        known = ", ".join(words.table(name) for name in dict.fromkeys(tables))
        yield f"foyer : {members}" + (f" ({known})" if known else "")
    if mapping.asked:
        given = words.format(mapping.name)["asked"]
        asked = ", ".join(f"{spelled([trait])} ({_read(value)})" for trait, value in mapping.asked)
        yield f"la réponse doit nommer qui la question nommait : {_question(given, words) or asked}"


def _question(given: object, words: Words) -> str:
    """Return the link to the identity ``given`` names; nothing when it is written there."""
    if not isinstance(given, str):
        return ""
    named = words.named("identities", given)
    return link(f"question `{named}`", question_heading(named))


def _read(value: Value) -> str:
    return ", ".join(code(source.text) for source in value.sources)


def _person(
    family: Family, person: str, having: Mapping[str, tuple[Format, Subject]], found: Sequence[Line], words: Words
) -> Iterator[str]:
    """Yield what the versions of ``having`` say of one person."""
    where = "" if len(having) == len(family.formats) else f" · *{', '.join(having)}*"
    yield f"**Personne : {spelled([person])}**{where}\n"
    told: dict[str, dict[str, None]] = {}
    for version, (native, subject) in having.items():
        for said in _who(subject, native, words):
            told.setdefault(said, {})[version] = None
    yield from (f"- {by_version(dict.fromkeys(own, said), having)}" for said, own in told.items())
    yield ""
    rows: dict[str, dict[str, Line]] = {}
    answered: dict[tuple[str, str], dict[str, None]] = {}
    classes = {known.path: known.classe for known in registry.fields()}
    for version, (native, _) in having.items():
        for line in found:
            if (line.row.format, line.row.subject) != (native.name, person):
                continue
            if line.answer:
                answered.setdefault((line.answer, line.row.target), {})[version] = None
            else:
                rows.setdefault(line.row.target, {})[version] = line
    if rows:
        yield from table(_HEADER, [_row(own, having, classes[target]) for target, own in rows.items()])
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (way, target), versions in answered.items():
        alike.setdefault((way, tuple(versions)), []).append(_field(target, classes[target]))
    for (way, whose), fields in alike.items():
        only = "" if len(whose) == len(having) else f" · *{', '.join(whose)}*"
        yield f"{ABSENCE} {link(f'`{way}`', answer_heading(way))}, pour {', '.join(fields)}{only}.\n"


def _row(own: Mapping[str, Line], having: Mapping[str, object], classe: str) -> tuple[str, ...]:
    """Return one field's row: the source beside each version that has one, the rest where versions differ."""
    shown = {
        version: (
            line.transform,
            lines(*(code(each) for each in pieces(line.row.since) if each)),
            NOTHING if line.is_legal_note_of_format else line.base_legale,
        )
        for version, line in own.items()
    }
    target = next(iter(own.values())).row.target
    source = source_by_version({version: (line.description, line.source) for version, line in own.items()}, having)
    rest = (by_version({version: cells[at] for version, cells in shown.items()}, own) for at in range(3))
    transform, *more = rest
    absence = absences_by_version({version: line.absences for version, line in own.items()})
    return (source, _field(target, classe), transform, absence, *more)


def _field(target: str, classe: str) -> str:
    return f"{link(f'`{target}`', f'`{target}`')} · {classe}"


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
