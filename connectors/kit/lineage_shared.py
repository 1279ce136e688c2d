"""What the lineage page says once for all partners: answers without data, the question asked, code tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from connectors.kit.lineage_cells import code, lines, link, spelled, table
from connectors.kit.lineage_words import TRANSFORMS, Words, absences_said, table_heading
from connectors.kit.mapping.rules import Subject, Value
from connectors.kit.partner import PartnerFolder

PARTNER: Final = "Partenaire `{}`"
"""The heading of a partner."""


@dataclass(slots=True)
class Answer:
    """How an answer without data is read, and what each partner makes of each code."""

    description: str
    value: Value
    words: Words
    tables: dict[str, Mapping[str, object]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Question:
    """The traits a question was about, and who reads them so."""

    traits: Sequence[tuple[str, Value]]
    words: Words
    partners: dict[str, None] = field(default_factory=dict)


def answer_name(words: Words, native: str, subject: str) -> str:
    """Return the name, among all partners, of the way ``subject`` reads an answer without data."""
    spec = words.subject(native, subject)["outcome"]
    return words.named("values", spec["value"]) if "value" in spec else words.named("tables", spec["table"])


def answer_heading(name: str) -> str:
    """Return the heading of a way to read an answer without data."""
    return f"Erreur `{name}`"


def question_heading(name: str) -> str:
    """Return the heading of a question."""
    return f"Question `{name}`"


def answers(partners: Iterable[PartnerFolder], words: Mapping[str, Words]) -> dict[str, Answer]:
    """Return each way to read an answer without data, by name."""
    found: dict[str, Answer] = {}
    for partner in partners:
        own = words[partner.slug]
        for native, subject in _subjects(partner):
            if subject.outcome is None:
                continue
            name = answer_name(own, native, subject.name)
            spec = own.value(own.subject(native, subject.name)["outcome"])
            answer = found.setdefault(name, Answer(spec.get("description", ""), subject.outcome.code, own))
            answer.tables[partner.slug] = subject.outcome.code.table
            answer.labels |= own.labels(spec.get("table", ""))
    return found


def answers_section(found: Mapping[str, Answer]) -> Iterator[str]:
    """Yield the section of the answers without data; nothing when there is none."""
    if not found:
        return
    yield "# Réponses sans données\n"
    yield (
        "Une API répond parfois par une erreur plutôt que par des données. Chaque champ que la question cherchait"
        " reçoit alors, non une valeur, mais l’absence que dit cette erreur : la voici une fois pour tous ces champs.\n"
    )
    for name, answer in found.items():
        yield f"## {answer_heading(name)}\n"
        if answer.description:
            yield f"{answer.description}\n"
        yield f"Partenaires : {_linked(answer.tables)}.\n"
        order = ", dans cet ordre" if answer.value.several else ""
        yield f"Ce qui est lu{order} ({_said(answer.value, answer.words)}) :\n"
        yield from (f"{at}. {code(source.text)}" for at, source in enumerate(answer.value.sources, 1))
        yield ""
        yield from table(("L’absence dite", "Ce qu’elle veut dire", "Quand la source répond"), _meanings(answer))


def questions(partners: Iterable[PartnerFolder], words: Mapping[str, Words]) -> dict[str, Question]:
    """Return each identity that a mapping names, by its name among all partners."""
    found: dict[str, Question] = {}
    for partner in partners:
        own = words[partner.slug]
        read = [
            *((own.subject(native, each.name)["identity"], each.identity) for native, each in _subjects(partner)),
            *((own.format(name).get("asked"), each.mapping.asked) for name, each in partner.formats.items()),
        ]
        for given, traits in read:
            if isinstance(given, str):
                question = found.setdefault(own.named("identities", given), Question(traits, own))
                question.partners[partner.slug] = None
    return found


def questions_section(found: Mapping[str, Question]) -> Iterator[str]:
    """Yield the section of the questions asked; nothing when there is none."""
    if not found:
        return
    yield "# Questions posées\n"
    yield (
        "Quand la réponse ne redit pas qui elle concerne, les traits sont ceux de la question. Ils servent aux jetons"
        " qui retrouvent la personne, et n’entrent pas dans le dossier : la source ne les affirme pas.\n"
    )
    for name, question in found.items():
        yield f"## {question_heading(name)}\n\nPartenaires : {_linked(question.partners)}.\n"
        yield from table(
            ("Trait", "Lu dans la question", "Transformation"),
            (
                (
                    spelled([trait]),
                    lines(*(code(source.text) for source in value.sources)),
                    _said(value, question.words),
                )
                for trait, value in question.traits
            ),
        )


def tables_section(words: Iterable[Words]) -> Iterator[str]:
    """Yield every code table that a row points to, in the order of their names."""
    found = {name: (content, own) for own in words for name, content in own.tables.items()}
    if not found:
        return
    yield "# Tables de codes\n\nÀ gauche le code de la source, à droite ce qu’il devient dans le dossier.\n"
    for name, (content, own) in sorted(found.items()):
        yield f"## {table_heading(name)}\n"
        labels = own.labels(name.partition(".")[2])
        yield "- " + " · ".join(f"{_labelled(each, labels)} → {meaning(to)}" for each, to in content.items()) + "\n"


def transforms_section(words: Iterable[Words]) -> Iterator[str]:
    """Yield what each transform of which a row says only the beginning does in full."""
    met = sorted({said.partition(" ; ")[::2] for own in words for said in own.transforms})
    if told := [f"- **{short}** : {more}" for short, more in met if more]:
        yield f"# {TRANSFORMS}\n"
        yield from told


def meaning(to: object) -> str:
    """Return what a code becomes, in French where it is yes or no."""
    return {True: "oui", False: "non"}[to] if isinstance(to, bool) else str(to)


def _meanings(answer: Answer) -> Iterator[tuple[str, str, str]]:
    codes = dict.fromkeys(chain.from_iterable(answer.tables.values()))
    for absence, libelle in absences_said().items():
        shown: dict[tuple[str, str], list[str]] = {}
        for each in codes:
            where = [slug for slug, content in answer.tables.items() if content.get(each) == absence]
            if where:
                only = "" if len(where) == len(answer.tables) else f" : {', '.join(where)} seulement"
                label = f" ({answer.labels[each]})" if each in answer.labels else ""
                # Numbers said alike stand on one line; a sentence has its own.
                shown.setdefault(("" if each.isdecimal() else each, label + only), []).append(each)
        if shown:
            alike = (" · ".join(map(code, own)) + said for (_, said), own in shown.items())
            yield f"**{absence}**", libelle, lines(*alike)


def _said(value: Value, words: Words) -> str:
    return words.transform(value.transform_name, value.transform)


def _labelled(each: str, labels: Mapping[str, str]) -> str:
    return f"{code(each)} ({labels[each]})" if each in labels else code(each)


def _linked(slugs: Iterable[str]) -> str:
    return ", ".join(link(slug, PARTNER.format(slug)) for slug in slugs)


def _subjects(partner: PartnerFolder) -> Iterator[tuple[str, Subject]]:
    return ((name, subject) for name, native in partner.formats.items() for subject in native.mapping.subjects)
