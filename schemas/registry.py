"""Reads, compiles and applies the JSON Schemas (2020-12) of this folder. Imports nothing of ours.

``dossier.schema.json`` is the source of the field list: a node with ``items`` is a field, its ``x-`` annotations
are its own or those of the nearest node above it. One judge, jsonschema-rs, both accepts and explains, so that the
two can never disagree; an explanation is put together from the *schema's* side of the error only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs

BASE_URI = "https://maillon.example/schemas/v1/"
"""Where the schemas' ``$id`` stand. A name, not a place: nothing is ever fetched."""

Schema = dict[str, Any]

_NAMES_AND_MEMBERS = frozenset(
    {"type", "required", "additionalProperties", "minProperties", "maxProperties", "dependentRequired", "properties"}
)
"""Keywords that look at which members an object has, and at each member by itself."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the dossier, the unit of release: bit *i* of every mask is ``fields()[i]``."""

    path: str
    """``section.field`` or ``section.code.field``."""
    section: str
    classe: str
    """Sensitivity, ``C0`` to ``C6`` (DOMAIN §3)."""
    libelle: str
    note_legale: str
    """To be confirmed by the DPO of whoever runs this."""
    fournisseurs: tuple[str, ...]
    """Kinds of institution that hold it; ``("tous",)`` when any may."""
    codes: str | None
    """The nomenclature its value, or the members of its value, come from."""


class SchemaViolation(ValueError):  # noqa: N818 — it names what happened, as a refusal does
    """A value its schema refuses. Neither the text nor the attributes ever hold any part of the value.

    ``pointer`` is an RFC 6901 pointer to the offending place, where a member name the schemas do not know is
    written ``*``; ``reason`` is the keyword that refused and what it expected.
    """

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '/'}: {reason}")
        self.pointer = pointer
        self.reason = reason


class Validator:
    """One schema, compiled once. Safe to share between threads."""

    def __init__(self, schema: Schema) -> None:
        self._gate = jsonschema_rs.Draft202012Validator(schema, registry=_linked(), validate_formats=True)
        self.accepts: Callable[[Any], bool] = self._gate.is_valid
        """:meth:`fits`, but ``ValueError`` or ``TypeError`` for what no JSON holds: for who judges a million values."""

    def fits(self, value: object) -> bool:
        """Say whether :meth:`check` would return."""
        judged: Any = value
        try:
            return self._gate.is_valid(judged)
        except (ValueError, TypeError):
            return False

    def check(self, value: object) -> None:
        """Return when ``value`` (what a strict JSON reader gives) fits the schema, else raise SchemaViolation."""
        judged: Any = value
        error: jsonschema_rs.ValidationError | None = None
        try:
            if self._gate.is_valid(judged):
                return
            error = next(self._gate.iter_errors(judged))
        except (ValueError, TypeError):
            pass  # a lone surrogate, a set, a key that is no text, a nesting past the reader's limit
        # Raised outside the handler: the library's error, which quotes the value, must not hang on as ``__context__``.
        if error is None:
            raise SchemaViolation("", "not a JSON value")
        while context := getattr(error.kind, "context", None):
            # Of an ``anyOf`` or ``oneOf`` the first form is the one meant; the others are ``null`` or its variants.
            error = context[0][0]
        raise SchemaViolation(_pointer(error.instance_path), _reason(error.kind))


def names() -> tuple[str, ...]:
    """Return the names of all schemas, sorted: ``consent_event``, ``dossier``, …"""
    suffix = ".schema.json"
    files = (entry.name for entry in resources.files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(suffix) for name in files if name.endswith(suffix)))


@cache
def schema(name: str) -> Schema:
    """Return one schema as parsed JSON, to be read and not changed. Raises KeyError on a name unknown."""
    if name not in names():
        raise KeyError("no such schema")
    text = (resources.files(__package__) / f"{name}.schema.json").read_text("utf-8")
    parsed: Schema = json.loads(text)
    return parsed


@cache
def validator(name: str) -> Validator:
    """Return the compiled validator of the schema ``name`` (see ``names()``). Raises KeyError on a name unknown."""
    return Validator(schema(name))


@cache
def statement_validator(path: str) -> Validator:
    """Return the validator of one field's whole statement: a value or a typed absence, with its provenance."""
    return Validator({"$ref": _in_fragment(path)})


@cache
def value_validator(path: str) -> Validator:
    """Return the validator of one field's bare value, what stands under ``valeur``. Raises KeyError."""
    return Validator({"$ref": _in_fragment(path) + "/properties/valeur"})


@cache
def provenance_validator(member: str) -> Validator:
    """Return the validator of what stands beside a value in every statement: ``source``, ``date_effet``, ``absence``…

    Raises KeyError on a name unknown.
    """
    if member not in schema("dossier")["$defs"]["declaration"]["properties"]:
        raise KeyError("no such member of a statement")
    return Validator({"$ref": f"{BASE_URI}dossier.schema.json#/$defs/declaration/properties/{member}"})


@cache
def is_separable() -> bool:
    """Say whether a fragment is valid exactly when each member of each of its statements is, each by itself.

    True while the fragment schema is one map of paths, every statement the shared declaration and its own ``valeur``,
    and the declaration says of its members together only which ones may stand there: a value with all of its
    provenance, or an absence with its own (ADR 0012). Nothing then ties what one member *says* to another.
    """
    fragment, declaration = schema("fragment"), schema("dossier")["$defs"]["declaration"]
    statements = fragment["properties"]["statements"]
    shared = "dossier.schema.json#/$defs/declaration"
    return (
        all(_keywords(node) <= _NAMES_AND_MEMBERS for node in (fragment, statements, declaration))
        and fragment["properties"].keys() == {"v", "statements"}
        and declaration["properties"]["valeur"] is True
        and all(
            _keywords(node) == {"$ref", "properties"}
            and node["$ref"] == shared
            and node["properties"].keys() == {"valeur"}
            for node in statements["properties"].values()
        )
    )


@cache
def fields() -> tuple[Field, ...]:
    """Return the dossier's fields in document order, without those marked ``x-bit: false``."""
    return tuple(field for field, node in field_nodes() if node.get("x-bit", True))


@cache
def absences() -> tuple[str, ...]:
    """Return the codes of typed absence (DOMAIN §3)."""
    return tuple(schema("dossier")["$defs"]["absence"]["enum"])


@cache
def field_nodes() -> tuple[tuple[Field, Schema], ...]:
    """Return every field, ``x-bit: false`` ones included, with its node of the dossier schema, in document order."""
    sections = schema("dossier")["properties"]["sections"]["properties"]
    return tuple(pair for name, node in sections.items() for pair in _walk(node, name, {}, ()))


def value_of(node: Schema) -> Schema:
    """Return the schema of a field node's value, as the node writes it (it may be a bare ``$ref``)."""
    value: Schema = node["items"]["properties"]["valeur"]
    return value


def resolved(node: Schema) -> Schema:
    """Return ``node`` with its local ``$ref`` (``#/$defs/…``) followed; the node's own members win."""
    reference = node.get("$ref")
    if reference is None:
        return node
    target: Schema = schema("dossier")["$defs"][reference.removeprefix("#/$defs/")]
    return resolved(target) | {key: value for key, value in node.items() if key != "$ref"}


def nomenclatures(node: Schema) -> tuple[str, ...]:
    """Return the names under ``x-codes`` in a value schema, its members and items included, first seen first."""
    node = resolved(node)
    below = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    found = [node["x-codes"]] if "x-codes" in node else []
    found += [name for child in below for name in nomenclatures(child)]
    return tuple(dict.fromkeys(found))


def _walk(node: Schema, path: str, above: Mapping[str, Any], labels: tuple[str, ...]) -> Iterator[tuple[Field, Schema]]:
    """Go down to the fields; a node's annotations replace those above it, its label comes after theirs."""
    annotations = {**above, **{key: value for key, value in node.items() if key.startswith("x-")}}
    if "items" in node:
        yield _field(path, (*labels, node["title"]), annotations, value_of(node)), node
        return
    # The section's own title is left out: a page shows it once, above its fields.
    labels = (*labels, node["title"]) if "." in path else labels
    for name, child in resolved(node)["properties"].items():
        yield from _walk(child, f"{path}.{name}", annotations, labels)


def _field(path: str, labels: tuple[str, ...], annotations: Mapping[str, Any], value: Schema) -> Field:
    return Field(
        path=path,
        section=path.partition(".")[0],
        classe=annotations["x-classe"],
        libelle=" : ".join(labels),
        note_legale=annotations["x-note-legale"],
        fournisseurs=tuple(annotations["x-fournisseurs"]),
        codes=", ".join(nomenclatures(value)) or None,
    )


def _keywords(node: Schema) -> set[str]:
    return node.keys() - {"$schema", "$id", "$defs", "title", "description", "examples"}


def _in_fragment(path: str) -> str:
    if path not in schema("fragment")["properties"]["statements"]["properties"]:
        raise KeyError("no such dossier field")
    return f"{BASE_URI}fragment.schema.json#/properties/statements/properties/{path}"


@cache
def _linked() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(schema(name)["$id"], schema(name)) for name in names()])


@cache
def _members() -> frozenset[str]:
    """Every member name some schema declares: the only names an error may repeat."""

    def declared(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from node.get("properties", {})
            for child in node.values():
                yield from declared(child)
        elif isinstance(node, list):
            for child in node:
                yield from declared(child)

    return frozenset(name for document in names() for name in declared(schema(document)))


def _pointer(path: list[str | int]) -> str:
    """Write an RFC 6901 pointer; no declared name holds ``~`` or ``/``, so there is nothing to escape."""
    return "".join(f"/{part if isinstance(part, int) or part in _members() else '*'}" for part in path)


def _reason(kind: Any) -> str:
    """Say what refused, from the schema's side only: never the value, never an unexpected member's name."""
    for attribute in ("types", "options", "property", "pattern", "format", "limit", "multiple_of", "expected_value"):
        expected = getattr(kind, attribute, None)
        if expected is not None:
            listed = expected if isinstance(expected, list) else [expected]
            return f"{kind.name}: {', '.join(item if isinstance(item, str) else json.dumps(item) for item in listed)}"
    return str(kind.name)
