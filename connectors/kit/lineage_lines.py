"""What the lineage page says of each row of a mapping: its source, transformation and absence, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from connectors.kit.lineage_cells import code, lines, pieces
from connectors.kit.lineage_shared import answer_name
from connectors.kit.lineage_words import Spec, Words
from connectors.kit.mapping.rules import IDENTITY_FIELDS, FieldRule, LineageRow, Outcome, Subject, Value
from connectors.kit.mapping.run import FormatMapping
from connectors.kit.partner import PartnerFolder

ABSENCE: Final = "Réponse sans données : l’absence que dit l’erreur"
"""What begins the sentence about an answer without data."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of one partner's mapping, with all that an analyst asks of it."""

    partner: PartnerFolder
    row: LineageRow
    description: str
    """What is read there, in words."""
    source: str
    transform: str
    absences: tuple[tuple[str, str], ...]
    """What is answered when the source says nothing, and the expression on which that depends, if any."""
    base_legale: str
    answer: str = ""
    """How an answer without data is read, for a row that says only that; ``source`` and the rest then say nothing."""

    @property
    def is_legal_note_of_format(self) -> bool:
        """Return whether the legal text is the one its format names for all."""
        return self.base_legale == self.partner.formats[self.row.format].mapping.base_legale


def lines_of(partner: PartnerFolder, words: Words) -> Iterator[Line]:
    """Yield the lines of ``partner``, format by format, in the order of its mapping."""
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
        return Line(partner, row, "", "", "", (), mapping.base_legale, answer)
    if isinstance(origin, Value):
        spec = words.value(words.traits(row.format, row.subject)[row.target.removeprefix("identite.")])
        value, base_legale, optional = origin, mapping.base_legale, False
        absences: tuple[tuple[str, str], ...] = ()
    else:
        spec = words.value(words.subject(row.format, row.subject)["fields"][row.target])
        value, base_legale, optional = origin.value, origin.base_legale, origin.optional is not None
        absences = _absences(origin, spec, words)
    transform = words.transform(value.transform_name, value.transform, spec)
    return Line(
        partner,
        row,
        spec.get("description", ""),
        _source(row, value),
        f"{transform} · *facultatif*" if optional else transform,
        absences,
        base_legale,
    )


def _source(row: LineageRow, value: Value) -> str:
    condition = f"*si* {code(row.condition)}" if row.condition else ""
    return lines(*_codes(row.source, value), condition)


def _codes(source: str, value: Value) -> list[str]:
    return [code(each) for each in (pieces(source) if value.several else [source])]


def _absences(rule: FieldRule, spec: Spec, words: Words) -> tuple[tuple[str, str], ...]:
    told = []
    for (condition, absence), each in zip(rule.absences, words.conditions(spec), strict=True):
        said = f"{each['description']} : " if "description" in each else ""
        told.append((f"**{absence}** *si* {said}", code(condition.text)))
    if rule.absent:
        told.append((f"{'sinon ' if told else ''}**{rule.absent}**", ""))
    return tuple(told)
