"""What the rules of a mapping read in one stream, each text once: columns repeat (codes, dates, communes, given names).

A column is kept as long as its stream is read and no longer, for it holds what the stream says of people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jmespath.exceptions import JMESPathError

from connectors.kit.expressions import Getter
from connectors.kit.mapping_rules import IDENTITY_FIELDS, FieldRule, Subject, Value
from connectors.kit.port import Json, Reason
from connectors.kit.transforms import Refused
from schemas import registry

Judge = Callable[[Any], bool]
"""Says whether a meaning fits what the dossier's schema wants of it."""
Form = Callable[[Any], Any]
"""A trait as it stands in the dossier."""

KEPT: Final = 4096
LONGEST: Final = 128
"""Bounds of what one column remembers: texts, and characters in one of them."""


class Doubt:
    """Whether anything that did not fit the dossier's schema has been read since ``raised`` was last set."""

    __slots__ = ("raised",)

    def __init__(self) -> None:
        self.raised = False


class Column(dict[str, Any]):
    """A source's text → what it means, ``None`` when that is nothing. A text not met yet is read, judged and kept.

    ``column[text]`` and ``column.of(anything)`` raise what ``read`` raises. A meaning that ``judge`` refuses, be it by
    ``ValueError`` or ``TypeError``, is returned too, and raises the doubt: who asked has the whole fragment judged.
    """

    __slots__ = ("__weakref__", "_doubt", "_judge", "_read")

    def __init__(self, read: Callable[[Any], Any], doubt: Doubt, judge: Judge | None = None) -> None:
        self._read = read
        self._judge = judge
        self._doubt = doubt

    def __missing__(self, raw: Any) -> Any:
        meaning = self._read(raw)
        if meaning is not None and self._judge is not None:
            try:
                fits = self._judge(meaning)
            except (ValueError, TypeError):
                fits = False
            if not fits:
                self._doubt.raised = True
                return meaning
        if type(raw) is str and len(self) < KEPT and len(raw) <= LONGEST:
            self[raw] = meaning
        return meaning

    def of(self, raw: Any) -> Any:
        """Return what any JSON value means. Only a text is kept: of numbers, 1 and true would be one key."""
        return self[raw] if type(raw) is str else self.__missing__(raw)


Place = tuple[str | None, Getter, Column]
"""Where a value stands, and its column: the member of the record, else the expression."""
Trait = tuple[str, str | None, Getter, Column, str | None, Form | None]
"""An identity trait and its place; where the source itself states it, its path and, if another, its form there."""
Row = tuple[str, str | None, Getter, Column, int, FieldRule | None]
"""A field rule as the loop over them wants it: path, place, which of the provenances, and the rule itself where it is
more than that (conditions, an absence, optional)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One subject's rules over the columns of one stream, in the order they are applied."""

    subject: Subject
    identity: tuple[Trait, ...]
    rows: tuple[Row, ...]
    provenances: tuple[tuple[str, Place | None], ...]
    """What the rows share: legal basis, and the date a value takes effect."""
    local_id: tuple[Place, ...]
    code: Place | None
    """Of an answer that is none: which absence it stands for,"""
    issue: tuple[str, ...]
    """and for which paths."""


def plan_of(subject: Subject, doubt: Doubt) -> Plan:
    """Return new columns for ``subject``'s rules."""
    shared = list({_provenance(rule): rule for rule in subject.fields}.items())
    numbers = {key: number for number, (key, _) in enumerate(shared)}
    effective = registry.provenance_validator("date_effet").accepts
    return Plan(
        subject=subject,
        identity=traits(subject.identity, doubt, stated=subject.asserts_identity),
        rows=tuple(
            (
                rule.path,
                *place(rule.value, doubt, registry.value_validator(rule.path).accepts),
                numbers[_provenance(rule)],
                rule if rule.when or rule.absences or rule.absent or rule.optional else None,
            )
            for rule in subject.fields
        ),
        provenances=tuple(
            (rule.base_legale, None if rule.date_effet is None else place(rule.date_effet, doubt, effective))
            for _, rule in shared
        ),
        local_id=tuple(place(part, doubt) for part in subject.local_id),
        code=None
        if subject.outcome is None
        else place(subject.outcome.code, doubt, registry.provenance_validator("absence").accepts),
        issue=() if subject.outcome is None else subject.outcome.paths,
    )


def traits(given: Iterable[tuple[str, Value]], doubt: Doubt, *, stated: bool) -> tuple[Trait, ...]:
    """Return identity traits as they are read; ``stated`` where they become statements."""
    paths = {trait: f"identite.{trait}" for trait in IDENTITY_FIELDS if stated}
    return tuple(
        (
            trait,
            *place(value, doubt, _judge(trait) if trait in paths else None),
            paths.get(trait),
            _FORMS.get(trait) if trait in paths else None,
        )
        for trait, value in given
    )


def place(value: Value, doubt: Doubt, judge: Judge | None = None) -> Place:
    """Return where ``value`` stands, and a new column of it."""
    return value.column, value.raw if value.several else value.getters[0], Column(value.read, doubt, judge)


def said(where: Place, scope: Json) -> Any:
    """Return what stands there in ``scope``, ``None`` when that is nothing; raises ``Refused``."""
    member, get, column = where
    try:
        raw = scope["record"].get(member) if member is not None else get(scope)
    except JMESPathError:
        raise Refused(Reason.BAD_VALUE, "expression") from None
    return None if raw is None else column.of(raw)


def _partial_date(known: str) -> Json:
    """A birth date as far as it is known, with its precision beside it."""
    if len(known) == 10:
        return {"date": known, "precision": "jour"}
    return (
        {"date": f"{known}-00", "precision": "mois"}
        if len(known) == 7
        else {"date": f"{known}-00-00", "precision": "annee"}
    )


def _provenance(rule: FieldRule) -> tuple[str, int]:
    return rule.base_legale, id(rule.date_effet)


def _judge(trait: str) -> Judge:
    accepts, form = registry.value_validator(f"identite.{trait}").accepts, _FORMS.get(trait)
    return accepts if form is None else lambda value: accepts(form(value))


_FORMS: Final[Mapping[str, Form]] = {"date_naissance": _partial_date}
"""The other traits stand as they were written."""
