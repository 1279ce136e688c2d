"""Every schema is a schema, closed and bounded, and says the same thing to two independent validators."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from schemas import registry
from tests.schemas.sampling import examples, places, put

NAMES = registry.names()
EXAMPLES = examples()
LINE_BREAKS_ALLOWED = {"Reprise d’une formation envisagée.\nÀ revoir en mars.", "texte"}
"""Free text of several lines: long texts of the dossier, notices, a problem's detail."""


LINKED = Registry().with_resources(
    (registry.schema(name)["$id"], DRAFT202012.create_resource(registry.schema(name))) for name in NAMES
)


def second_judge(name: str, pointer: str = "") -> Draft202012Validator:
    """Return the reference implementation, with nothing of ours but the schemas."""
    reference = {"$ref": f"{registry.BASE_URI}{name}.schema.json#{pointer}"}
    return Draft202012Validator(reference, registry=LINKED, format_checker=FormatChecker())


def accepts(name: str, value: Any) -> bool:
    try:
        registry.validator(name).check(value)
    except registry.SchemaViolation:
        return False
    return True


def nodes(value: Any) -> list[tuple[str, Any]]:
    """Return every place of a schema document where a schema stands, with its place."""
    found = []
    for path, node in places(value):
        in_schema = not path or path[-1] not in ("examples", "x-libelles", "properties", "$defs")
        if isinstance(node, dict) and in_schema and "examples" not in path and "x-libelles" not in path:
            found.append(("/".join(map(str, path)), node))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_is_a_2020_12_schema_with_its_own_id(name: str) -> None:
    document = registry.schema(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"{registry.BASE_URI}{name}.schema.json"
    assert document["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_closed_and_everything_is_bounded(name: str) -> None:
    for place, node in nodes(registry.schema(name)):
        kinds = node.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if "if" in place.split("/") or "then" in place.split("/") or "else" in place.split("/"):
            continue  # narrows what is bounded already
        if "object" in kinds:
            assert node.get("additionalProperties") is False or {"maxProperties", "propertyNames"} <= set(node), place
        if "array" in kinds:
            assert "maxItems" in node, place
        if "string" in kinds:
            assert "maxLength" in node or "enum" in node, place
        if "number" in kinds:
            assert {"minimum", "maximum"} <= set(node), place
        if "pattern" in node and not place.endswith("/not"):
            assert node["pattern"].startswith("^"), place
            assert node["examples"] if "type" in node else True, place


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_accepted_by_both_judges(name: str) -> None:
    registry.validator(name).check(EXAMPLES[name])
    assert [error.json_path for error in second_judge(name).iter_errors(EXAMPLES[name])] == []


def line_breaks(value: Any) -> list[Any]:
    """Return ``value`` with a line break after each of its texts in turn."""
    return [put(value, path, f"{text}\n") for path, text in places(value) if is_coded(text)]


def is_coded(text: Any) -> bool:
    return isinstance(text, str) and text not in LINE_BREAKS_ALLOWED


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"dossier", "fragment", "fragment_envelope"}))
def test_a_line_break_after_any_value_is_refused_by_both_judges(name: str) -> None:
    """Python's ``$`` matches before a final line break; no pattern of ours may lean on it."""
    second = second_judge(name)
    for broken in line_breaks(EXAMPLES[name]):
        assert not accepts(name, broken), broken
        assert not second.is_valid(broken), broken


@pytest.mark.parametrize("path", [field.path for field in registry.fields()])
def test_a_line_break_after_any_dossier_value_is_refused_by_both_judges(path: str) -> None:
    statement = EXAMPLES["fragment"]["statements"][path]
    second = second_judge("fragment", f"/properties/statements/properties/{path}")
    assert second.is_valid(statement)
    for broken in line_breaks(statement):
        assert not second.is_valid(broken), broken
        with pytest.raises(registry.SchemaViolation):
            registry.statement_validator(path).check(broken)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_member_too_many_is_refused_everywhere(name: str) -> None:
    for path, inner in places(EXAMPLES[name]):
        if isinstance(inner, dict):
            assert not accepts(name, put(EXAMPLES[name], path, {**inner, "De Trop": 1})), path


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"dossier", "fragment", "fragment_envelope"}))
def test_a_required_member_missing_is_refused(name: str) -> None:
    document = registry.schema(name)
    for member in document["required"]:
        assert not accepts(name, {key: value for key, value in EXAMPLES[name].items() if key != member}), member
    assert document["required"], name


def test_examples_are_judged_valid_one_by_one() -> None:
    """The example beside each pattern is an example of that pattern, for both judges."""
    seen = 0
    for name in NAMES:
        for place, node in nodes(registry.schema(name)):
            if "examples" in node and "$ref" not in node and node.get("type") != "object":
                for example in node["examples"]:
                    assert Draft202012Validator(node_alone(node)).is_valid(example), (name, place)
                    seen += 1
    assert seen > 60


def node_alone(node: dict[str, Any]) -> dict[str, Any]:
    """Return a string schema without what points elsewhere."""
    return {key: value for key, value in node.items() if not (key == "not" and "$ref" in value)}
