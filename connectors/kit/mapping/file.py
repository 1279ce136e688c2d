"""``mapping.toml``: checked, then compiled into :class:`~connectors.kit.mapping.run.FormatMapping`.

Everything that can be wrong is found here, when the partner's folder is opened: an unknown dossier field, transform,
table, absence or scope name stops it with the place in the file. A mapping is written by us, not received: its errors
may quote it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import jsonschema_rs

from connectors.kit import shared_parts
from connectors.kit.identity import TRAITS
from connectors.kit.mapping.expressions import Expression, ExpressionError, parse_expression
from connectors.kit.mapping.rules import (
    IDENTITY_FIELDS,
    SCOPE,
    FieldRule,
    Household,
    LineageRow,
    Outcome,
    Subject,
    Value,
)
from connectors.kit.mapping.run import FormatMapping
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transforms.base import Transform
from schemas import registry

_DATE: Final = "calendar_date"
_OWN: Final = re.compile(r"(?<![\w.'])it(?=[.\[]|$)")
"""The person's own part of the record, in an expression."""


def load_mapping(data: bytes, source: str, transforms: Mapping[str, Transform]) -> dict[str, FormatMapping]:
    """Return the compiled mapping of each format in the TOML ``data`` of partner ``source``.

    Raises ``MaillonError(CONFIGURATION)`` naming the place and what is wrong there.
    """
    document = read_toml(data, "mapping.toml")
    parts = [read_toml(shared_parts.text(name, "toml").encode(), name) for name in shared_parts.names(document)]
    document = shared_parts.expand(document, parts)
    check_shape(document, "mapping", "mapping.toml")
    compiler = _Compiler(document, source, transforms)
    return {name: compiler.format(name, spec) for name, spec in document["formats"].items()}


def read_toml(data: bytes, where: str) -> dict[str, Any]:
    """Return the TOML document ``data``; raises ``MaillonError(CONFIGURATION)`` with the line when it is not TOML."""
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{where}: not TOML: {error}") from None


def check_shape(document: object, schema: str, where: str) -> None:
    """Check ``document`` against ``<schema>.schema.json`` beside this module.

    Raises ``MaillonError(CONFIGURATION)`` with the place and the reason.
    """
    error = next(_shape(schema).iter_errors(document), None)
    if error is not None:
        place = ".".join(map(str, error.instance_path))
        raise MaillonError(ErrorKind.CONFIGURATION, f"{where}: {place or 'top'}: {error.message}")


@cache
def _shape(name: str) -> jsonschema_rs.Validator:
    text = (resources.files("connectors.kit") / f"{name}.schema.json").read_text("utf-8")
    return jsonschema_rs.validator_for(json.loads(text))


class _Compiler:
    def __init__(self, document: Mapping[str, Any], source: str, transforms: Mapping[str, Transform]) -> None:
        self._tables: Mapping[str, Any] = document.get("tables", {})
        self._identities: Mapping[str, Any] = document.get("identities", {})
        self._values: Mapping[str, Any] = document.get("values", {})
        self._absences: Mapping[str, Any] = document.get("absences", {})
        self._made: dict[str, Value] = {}
        self._source = source
        self._transforms = transforms
        self._paths = frozenset(known.path for known in registry.fields())

    def format(self, name: str, spec: Mapping[str, Any]) -> FormatMapping:
        where = f"formats.{name}"
        subjects = [
            self._subject(f"{where}.subjects.{key}", key, spec, subject) for key, subject in spec["subjects"].items()
        ]
        rows = [
            row
            for subject, (key, inner) in zip(subjects, spec["subjects"].items(), strict=True)
            for row in self._rows(name, key, inner, subject, spec)
        ]
        return FormatMapping(
            name=name,
            source=self._source,
            base_legale=spec["base_legale"],
            subjects=tuple(subjects),
            household=self._household(f"{where}.household", spec["household"]) if "household" in spec else None,
            asked=self._identity(f"{where}.asked", spec["asked"]) if "asked" in spec else (),
            collected=self._maybe(where, spec, "collected", "instant"),
            as_of=self._maybe(where, spec, "as_of", _DATE),
            rows=tuple(rows),
        )

    def _subject(self, where: str, name: str, form: Mapping[str, Any], spec: Mapping[str, Any]) -> Subject:
        given = spec["identity"]
        shared = isinstance(given, str)
        if "roles" in spec and "household" not in form:
            raise _wrong(where, "roles without a household")
        return Subject(
            name=name,
            each=self._expression(where, spec["each"]) if "each" in spec else None,
            roles=frozenset(spec["roles"]) if "roles" in spec else None,
            when=self._expression(where, spec["when"]) if "when" in spec else None,
            same=tuple((self._expression(where, a), self._expression(where, b)) for a, b in spec.get("same", [])),
            identity=self._identity(f"{where}.identity", given),
            asserts_identity=not shared,
            local_id=tuple(self._value(f"{where}.local_id", part, "text") for part in spec["local_id"]),
            fields=tuple(
                self._field(f"{where}.fields.{path}", path, form, rule) for path, rule in spec.get("fields", {}).items()
            ),
            outcome=self._outcome(f"{where}.outcome", spec["outcome"]) if "outcome" in spec else None,
        )

    def _identity(self, where: str, given: object) -> tuple[tuple[str, Value], ...]:
        if isinstance(given, str):
            given = self._named(where, "identities", self._identities, given)
        assert isinstance(given, dict)  # noqa: S101 (mapping.schema.json says so)
        if unknown := sorted(set(given) - set(TRAITS)):
            raise _wrong(where, f"unknown trait {unknown[0]}")
        defaults = {"prenoms": "texts", "date_naissance": "birth_date", "sexe": "sex", "nir": "nir"} | {
            f"code_cog_insee_{place}_naissance": "insee_code" for place in ("commune", "pays")
        }
        return tuple(
            (name, self._value(f"{where}.{name}", spec, defaults.get(name, "text"))) for name, spec in given.items()
        )

    def _household(self, where: str, spec: Mapping[str, Any]) -> Household:
        return Household(
            groups=tuple(
                (self._expression(where, group["each"]), self._value(where, group["role"], "text"))
                for group in spec["members"]
            ),
            links=self._named(where, "tables", self._tables, spec["links"]) if "links" in spec else {},
        )

    def _field(self, where: str, path: str, form: Mapping[str, Any], spec: object) -> FieldRule:
        rule: Mapping[str, Any] = spec if isinstance(spec, dict) else {"from": spec}
        absences = rule.get("absences", [])
        if isinstance(absences, str):
            absences = self._named(where, "absences", self._absences, absences)
        return FieldRule(
            path=self._path(where, path),
            value=self._value(where, rule, "as_is"),
            base_legale=rule.get("base_legale", form["base_legale"]),
            date_effet=self._maybe(where, rule, "date_effet", _DATE) or self._maybe(where, form, "date_effet", _DATE),
            when=self._expression(where, rule["when"]) if "when" in rule else None,
            absences=tuple(
                (self._expression(where, each["when"]), self._absence(where, each["code"])) for each in absences
            ),
            absent=self._absence(where, rule["absent"]) if "absent" in rule else None,
            optional=registry.statement_validator(path) if rule.get("optional") else None,
        )

    def _outcome(self, where: str, spec: Mapping[str, Any]) -> Outcome:
        code = self._value(where, spec, "code")
        for absence in code.table.values():
            self._absence(where, absence)
        return Outcome(code, tuple(self._path(where, path) for path in spec["fields"]))

    def _rows(
        self, name: str, key: str, spec: Mapping[str, Any], subject: Subject, form: Mapping[str, Any]
    ) -> list[LineageRow]:
        each = spec.get("each", "record")
        if "roles" in spec:
            groups = form["household"]["members"]
            # A group whose role is a constant feeds the subjects of that role alone.
            own = [group for group in groups if str(group["role"]).strip("'") in spec["roles"]] or groups
            each = " | ".join(group["each"] for group in own)

        def shown(sources: Iterable[str]) -> str:
            return ", ".join(_shown(source, each) for source in sources)

        def row(value: Value, target: str, absence: str, *more: str) -> LineageRow:
            sources = shown(source.text for source in value.sources)
            return LineageRow(name, key, sources, value.transform_name, target, absence, *more)

        rows = [
            row(value, f"identite.{trait}", "")
            for trait, value in subject.identity
            if subject.asserts_identity and trait in IDENTITY_FIELDS
        ]
        for rule in subject.fields:
            told = [f"{condition.text} → {absence}" for condition, absence in rule.absences]
            given = spec["fields"][rule.path]
            condition = given.get("when", "") if isinstance(given, dict) else ""
            absence = "; ".join([*told, rule.absent] if rule.absent else told)
            since = [source.text for source in rule.date_effet.sources] if rule.date_effet is not None else ()
            rows.append(row(rule.value, rule.path, absence, shown([condition]), shown(since)))
        if subject.outcome is not None:
            table = "; ".join(f"{code} → {absence}" for code, absence in subject.outcome.code.table.items())
            rows += [row(subject.outcome.code, path, table) for path in subject.outcome.paths]
        return rows

    def _maybe(self, where: str, spec: Mapping[str, Any], key: str, default: str) -> Value | None:
        return self._value(f"{where}.{key}", spec[key], default) if key in spec else None

    def _value(self, where: str, spec: object, default: str) -> Value:
        """Compile ``spec`` once: what a mapping says alike in several places is one object, and is read once."""
        key = json.dumps([spec, default])
        if key not in self._made:
            self._made[key] = self._new_value(where, spec, default)
        return self._made[key]

    def _new_value(self, where: str, spec: object, default: str) -> Value:
        rule: Mapping[str, Any] = spec if isinstance(spec, dict) else {"from": spec}
        if "value" in rule:
            rule = self._named(where, "values", self._values, rule["value"])
        given = rule["from"]
        sources = given if isinstance(given, list) else [given]
        name = rule.get("with", "code" if "table" in rule else default)
        return Value(
            sources=tuple(self._expression(where, source) for source in sources),
            several=isinstance(given, list),
            transform_name=name,
            transform=self._named(where, "transforms", self._transforms, name),
            table=self._named(where, "tables", self._tables, rule["table"]) if "table" in rule else {},
        )

    def _expression(self, where: str, text: str) -> Expression:
        try:
            return parse_expression(text, SCOPE)
        except ExpressionError as error:
            raise _wrong(where, str(error)) from None

    def _path(self, where: str, path: str) -> str:
        if path not in self._paths:
            raise _wrong(where, "not a dossier field")
        return path

    def _absence(self, where: str, absence: str) -> str:
        if absence not in registry.absences():
            raise _wrong(where, f"unknown absence {absence}")
        return absence

    def _named(self, where: str, what: str, known: Mapping[str, Any], name: str) -> Any:
        if name not in known:
            raise _wrong(where, f"{name} is not one of the {what}")
        return known[name]


def _shown(source: str, each: str) -> str:
    """Write a source path as someone who knows the partner's files would: no ``it``, no ``record``."""
    whole = each if each == "record" else f"{each}[]"
    return _OWN.sub(lambda _: whole, source).replace("record.", "")


def _wrong(where: str, what: str) -> MaillonError:
    return MaillonError(ErrorKind.CONFIGURATION, f"mapping.toml: {where}: {what}")
