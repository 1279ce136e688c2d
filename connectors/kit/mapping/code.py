"""A subject's rules written out as Python, once a mapping: the reading of each rule, one below the other (ADR 0023).

A loop over rules spends more on the loop than on what most rules say, which is: take this text, look up what it means,
put it there. What is written here is what such a loop would do, in its order, and nothing else. Of a ``mapping.toml``
only names enter the text, and each of them as a Python literal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from jmespath.exceptions import JMESPathError

from connectors.kit.mapping.columns import Column, Doubt, Judge
from connectors.kit.mapping.expressions import Expression, ExpressionWriter, indented, run_text
from connectors.kit.mapping.rules import IDENTITY_FIELDS, FieldRule, Subject, Value
from connectors.kit.port import Json, Quarantined, Reason
from connectors.kit.transforms.base import Refused, as_is, is_blank, text
from schemas import registry

Applies = Callable[[Json], bool]
"""``(record)`` → whether a subject is spoken of. Raises ``JMESPathError``."""
ReadMoment = Callable[[Json], datetime | None]
"""``(record)`` → an aware UTC datetime. Raises ``Refused``, ``JMESPathError``."""
ReadTraits = Callable[[Json, Any, str | None, list[Any], Json, str], Json]
"""``(record, it, role, liens, statements, instant)`` → the traits; those the source states become statements.

Raises ``At``.
"""
TellFields = Callable[[Json, Any, str | None, list[Any], Json, Json | None, Json, str, str, list[Any]], str]
"""``(record, it, role, liens, identite, demande, statements, instant, position, found)`` → the local id.

Entries for optional fields go to ``found``. Raises ``At``.
"""


class At(Exception):  # noqa: N818 (it carries a refusal to the place that reports it, and is never reported itself)
    """A refusal, and the path of the rule that met it."""

    def __init__(self, path: str, refusal: Refused) -> None:
        super().__init__(path)
        self.path = path
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Written:
    """Rules as code, to be given the columns of one stream."""

    text: str
    """The Python, for those who want to read it."""
    make: Callable[[list[Column], Doubt, str], Any]
    columns: tuple[tuple[Value, Judge | None], ...]

    def bind(self, doubt: Doubt, source: str) -> tuple[Any, list[Column]]:
        """Return the functions over new columns, and those; statements are of ``source``."""
        columns = [Column(value.read, doubt, judge) for value, judge in self.columns]
        return self.make(columns, doubt, source), columns


def write_applies(condition: Expression) -> Applies:
    """Return an ``Applies``."""
    writer = ExpressionWriter(_GIVEN, _OF_RECORD, ["record"])
    written = writer.condition(condition, "holds")
    lines = ["def applies(record):", *indented([*writer.shared(), f"return {written}"])]
    applies: Applies = run_text(lines, "applies", writer.given)
    return applies


def write_moment(value: Value) -> Written:
    """Return a ``ReadMoment``."""
    writer = _Writer(_OF_RECORD)
    body = writer.moment(replace(value, transform=lambda raw, table: aware(value.transform(raw, table))))
    return writer.written(body, "moment")


def write_traits(traits: Iterable[tuple[str, Value]], section: str, base_legale: str, *, stated: bool) -> Written:
    """Return a ``ReadTraits``: an entry calls each ``<section>.<trait>``; ``stated`` where they become statements."""
    writer = _Writer(_OF_TRAITS)
    body = writer.traits(traits, section, base_legale, stated)
    return writer.written(body, "traits")


def write_fields(subject: Subject) -> Written:
    """Return a ``TellFields`` of the subject's fields, of its answers that are none, and of its local id."""
    writer = _Writer(_OF_FIELDS)
    body = writer.fields(subject)
    return writer.written(body, "fields")


class _Writer:
    """Writes one function, and collects the columns it reads."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        self._columns: list[tuple[Value, Judge | None]] = []
        self._texts: dict[str, str] = {}
        self._expressions = ExpressionWriter(_GIVEN, roots, ["record"])

    def written(self, body: list[str], name: str) -> Written:
        columns = "".join(f"c{number}, " for number in range(len(self._columns)))
        unpacked = f"{columns[:-1]} = columns" if columns else "pass"
        lines = ["def make(columns, doubt, source):", *indented([unpacked, *body, f"return {name}"])]
        make = run_text(lines, "make", self._expressions.given)
        return Written("\n".join(lines), make, tuple(self._columns))

    def moment(self, value: Value) -> list[str]:
        read = self._assigned("at", value, None)
        return ["def moment(record):", *indented([*self._expressions.shared(), *read, "return at"])]

    def traits(self, traits: Iterable[tuple[str, Value]], section: str, base_legale: str, stated: bool) -> list[str]:
        steps: list[str] = []
        for name, value in traits:
            then, judge = [f"found[{name!r}] = value"], None
            if stated and name in IDENTITY_FIELDS:
                path, form = f"identite.{name}", FORMS.get(name)
                accepts = judge = registry.value_validator(path).accepts
                shown = "value"
                if form is not None:
                    shown, judge = f"{self._expressions.name('form', form)}(value)", _in_form(accepts, form)
                then += [f"statements[{path!r}] = said = frame.copy()", f"said['valeur'] = {shown}"]
            steps += [f"at = {f'{section}.{name}'!r}", *self._read(value, judge, then)]
        return [
            "def traits(record, it, role, liens, statements, instant):",
            *indented(
                ["found, at = {}, ''", f"frame = {_frame(base_legale, None)}", *self._guarded(steps), "return found"]
            ),
        ]

    def fields(self, subject: Subject) -> list[str]:
        frames: dict[tuple[str, int], str] = {}
        steps: list[str] = []
        for rule in subject.fields:
            frame = frames.setdefault((rule.base_legale, id(rule.date_effet)), f"f{len(frames)}")
            steps += self._field(rule, frame)
        if subject.outcome is not None:
            judge = registry.provenance_validator("absence").accepts
            steps += ["at = 'issue'", *self._assigned("value", subject.outcome.code, judge)]
            steps += [f"statements[{path!r}] = absent(value, source, instant)" for path in subject.outcome.paths]
        steps.append("at = 'local_id'")
        names = [f"k{number}" for number in range(len(subject.local_id))]
        for name, part in zip(names, subject.local_id, strict=True):
            steps += self._assigned(name, part, None)
        nobody = " and ".join(["True", *(f"{name} is None" for name in names)])
        steps += [f"if not statements or ({nobody}):", "    raise Refused(NO_SUBJECT)"]
        parts = ", ".join(f"'' if {name} is None else str({name})" for name in names)
        return [
            "def fields(record, it, role, liens, identite, demande, statements, instant, position, found):",
            *indented(
                [
                    "at = ''",
                    *(f"{frame} = None" for frame in frames.values()),
                    *self._guarded(steps),
                    f"return '|'.join(({parts},))",
                ]
            ),
        ]

    def _field(self, rule: FieldRule, frame: str) -> list[str]:
        path = repr(rule.path)
        effective = registry.provenance_validator("date_effet").accepts
        since = [] if rule.date_effet is None else self._assigned("since", rule.date_effet, effective)
        told = [
            f"if {frame} is None:",
            *indented([*since, f"{frame} = {_frame(rule.base_legale, 'since' if since else None)}"]),
            f"statements[{path}] = said = {frame}.copy()",
            "said['valeur'] = value",
        ]
        otherwise = [f"statements[{path}] = absent({rule.absent!r}, source, instant)"] if rule.absent else []
        judge = registry.value_validator(rule.path).accepts
        steps = self._read(rule.value, judge, told, otherwise)
        if rule.absences:
            steps = ["else:", *indented(steps)]
            for number, (condition, absence) in reversed(list(enumerate(rule.absences))):
                gone = f"statements[{path}] = absent({absence!r}, source, instant)"
                test = f"{'elif' if number else 'if'} {self._expressions.condition(condition, 'holds')}:"
                steps = [test, *indented([gone]), *steps]
        if rule.when is not None:
            steps = [f"if {self._expressions.condition(rule.when, 'holds')}:", *indented(steps)]
        if rule.optional is not None:
            check = self._expressions.name("check", rule.optional.check)
            steps += [f"if doubt.raised and {path} in statements:", f"    {check}(statements[{path}])"]
            aside = [f"statements.pop({path}, None)", f"found.append(entry(position, {path}, refusal(error)))"]
            caught = "except (Refused, JMESPathError, SchemaViolation) as error:"
            steps = ["try:", *indented(steps), caught, *indented(aside)]
        return [f"at = {path}", *steps]

    def _guarded(self, steps: list[str]) -> list[str]:
        """Return ``steps`` after what they share, any refusal leaving as an ``At``."""
        tried = ["try:", *indented(steps or ["pass"])]
        return [
            *self._expressions.shared(),
            *tried,
            "except (Refused, JMESPathError) as error:",
            "    raise At(at, refusal(error)) from None",
        ]

    def _read(
        self, value: Value, judge: Judge | None, then: list[str], otherwise: list[str] | None = None
    ) -> list[str]:
        """Return the lines that read ``value`` and, where it says something, do ``then``."""
        met = f"{self._met(value, judge)}"
        if not otherwise and not value.several:
            return [
                f"raw = {self._raw(value)}",
                "if raw is not None:",
                *indented([f"value = {met}", "if value is not None:", *indented(then)]),
            ]
        return [
            *self._lines("value", value, met),
            "if value is not None:",
            *indented(then),
            *(["else:", *indented(otherwise)] if otherwise else []),
        ]

    def _assigned(self, name: str, value: Value, judge: Judge | None) -> list[str]:
        return self._lines(name, value, self._met(value, judge))

    def _lines(self, name: str, value: Value, met: str) -> list[str]:
        return [f"raw = {self._raw(value)}", f"{name} = None if raw is None else {met}"]

    def _met(self, value: Value, judge: Judge | None) -> str:
        column = f"c{len(self._columns)}"
        self._columns.append((value, judge))
        if value.several:
            return f"{column}.of(raw)"
        texts = column
        if value.transform in (text, as_is):  # of a text, both say the same
            texts = self._texts.setdefault(value.sources[0].text, column)
            texts = texts if judge is None else column
        return f"{texts}[raw] if type(raw) is str else {column}.of(raw)"

    def _raw(self, value: Value) -> str:
        found = [self._expressions.write(each) for each in value.sources]
        return f"[{', '.join(found)}]" if value.several else found[0]


def _frame(base_legale: str, since: str | None) -> str:
    """A value's statement without the value: copying it is twice as fast as making another."""
    shared = "'source': source, 'date_collecte': instant"
    return f"{{'valeur': None, 'date_effet': {since}, 'base_legale': {base_legale!r}, {shared}}}"


def aware(written: Any) -> datetime | None:
    """Return a moment as ISO 8601 writes it in UTC, in which it is where it names no other zone."""
    if written is None:
        return None
    at = datetime.fromisoformat(written)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def holds(found: Any) -> bool:
    """Say whether what a condition gave counts as true."""
    return found is True or not (found is False or found == {} or is_blank(found))


def refusal(error: Exception) -> Refused:
    """Return ``error`` as a refusal, without what it quotes."""
    if isinstance(error, Refused):
        return error
    return Refused(Reason.BAD_VALUE, "expression" if isinstance(error, JMESPathError) else "")


def entry(position: str, path: str, refused: Refused) -> Quarantined:
    """Return the entry of what was refused there."""
    return Quarantined(position, path, refused.reason, refused.detail)


def absent(absence: str, source: str, instant: str) -> Json:
    """Return the statement that a value is absent, and how."""
    return {"absence": absence, "source": source, "date_collecte": instant}


def _partial_date(known: str) -> Json:
    """A birth date as far as it is known, with its precision beside it."""
    if len(known) == 10:
        return {"date": known, "precision": "jour"}
    return (
        {"date": f"{known}-00", "precision": "mois"}
        if len(known) == 7
        else {"date": f"{known}-00-00", "precision": "annee"}
    )


def _in_form(accepts: Judge, form: Callable[[Any], Any]) -> Judge:
    return lambda value: accepts(form(value))


FORMS: Final[Mapping[str, Callable[[Any], Any]]] = {"date_naissance": _partial_date}
"""A trait as it stands in the dossier; the others stand as they were written."""

_OF_FIELDS: Final = {name: name for name in ("record", "it", "role", "liens", "identite", "demande")}
_OF_TRAITS: Final = _OF_FIELDS | {"identite": "None", "demande": "None"}
_OF_RECORD: Final = _OF_TRAITS | {"it": "record", "role": "None", "liens": "[]"}
"""What the names of a scope are in the functions written."""
_GIVEN: Final[dict[str, Any]] = {
    "At": At,
    "JMESPathError": JMESPathError,
    "NO_SUBJECT": Reason.NO_SUBJECT,
    "Refused": Refused,
    "SchemaViolation": registry.SchemaViolation,
    "absent": absent,
    "entry": entry,
    "holds": holds,
    "refusal": refusal,
}
"""What the text may name."""
