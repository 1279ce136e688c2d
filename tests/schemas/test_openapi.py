"""The HTTP description: sound OpenAPI 3.1, every reference resolves, every operation of docs/protocol.md is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from jsonschema import Draft202012Validator

from schemas import registry
from schemas.description import described, served_description
from tests.schemas.sampling import examples, places, put, target

ROOT = Path(__file__).parents[2]
DOCUMENT = described()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
NAMED = pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])

# The parts of the OpenAPI 3.1 structure that this document uses; the full meta-schema is not at hand offline.
REFERENCE = {"type": "object", "required": ["$ref"], "additionalProperties": False, "properties": {"$ref": {}}}
MEDIA = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^[a-z]+/[a-z0-9.+-]+$"},
    "additionalProperties": {
        "type": "object",
        "required": ["schema"],
        "additionalProperties": False,
        "properties": {"schema": {"type": "object"}, "example": {}},
    },
}
RESPONSE = {
    "type": "object",
    "required": ["description", "content"],
    "additionalProperties": False,
    "properties": {"description": {"type": "string"}, "content": MEDIA},
}
SECURITY = {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "array"}}}
OPERATION = {
    "type": "object",
    "required": ["operationId", "tags", "summary", "responses"],
    "additionalProperties": False,
    "properties": {
        "operationId": {"pattern": "^[a-z][A-Za-z]+$"},
        "tags": {"type": "array", "minItems": 1},
        "summary": {"type": "string"},
        "description": {"type": "string"},
        "security": SECURITY,
        "parameters": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "in", "required", "schema"],
                "additionalProperties": False,
                "properties": {"name": {}, "in": {"enum": ["path", "query"]}, "required": {}, "schema": {}},
            },
        },
        "requestBody": {
            "type": "object",
            "required": ["required", "content"],
            "additionalProperties": False,
            "properties": {"required": {"const": True}, "content": MEDIA},
        },
        "responses": {
            "type": "object",
            "required": ["default"],
            "propertyNames": {"pattern": "^(?:default|[1-5][0-9][0-9])$"},
            "additionalProperties": {"anyOf": [REFERENCE, RESPONSE]},
        },
    },
}
OPENAPI = {
    "type": "object",
    "required": ["openapi", "info", "servers", "security", "paths", "components"],
    "additionalProperties": False,
    "properties": {
        "openapi": {"pattern": r"^3\.1\."},
        "info": {"type": "object", "required": ["title", "version", "license"]},
        "servers": {"type": "array"},
        "security": SECURITY,
        "tags": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "paths": {
            "propertyNames": {"pattern": "^/[a-z0-9/.{}_-]*$"},
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {"get": OPERATION, "post": OPERATION},
            },
        },
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "securitySchemes": {"type": "object"},
                "responses": {"type": "object", "additionalProperties": RESPONSE},
            },
        },
    },
}


def followed(node: dict[str, Any]) -> dict[str, Any]:
    """Return the component a ``$ref`` of this document names, or the node itself."""
    reference = node.get("$ref", "")
    if not reference.startswith("#/"):
        return node
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def test_follows_the_structure_of_openapi_3_1() -> None:
    Draft202012Validator.check_schema(OPENAPI)
    assert [error.json_path for error in Draft202012Validator(OPENAPI).iter_errors(DOCUMENT)] == []


def test_every_reference_resolves() -> None:
    references = [value for path, value in places(DOCUMENT) if path and path[-1] == "$ref"]
    assert len(references) > 60
    for reference in references:
        if reference.startswith("#/"):
            assert followed({"$ref": reference})
        else:
            assert target(reference, "")[0]


def test_every_schema_of_a_body_stands_in_the_description() -> None:
    used = {value for path, value in places(DOCUMENT) if path and path[-1] == "$ref" and "schema.json" in value}
    bodies = set(registry.names()) - {
        # Payloads of JWS and JWE: named in the text of the operation that carries them.
        *("certificate", "client_assertion", "consent_event", "directory", "fragment_envelope", "klink", "order"),
        *("request", "dossier", "fragment", "common", "access_record", "erasure_decision"),
        *("look", "look_order", "ref_map", "masked_traits"),
        # Body of an operation of an edge; the description is the hub's.
        "addressed_order",
    }
    assert {f"{name}.schema.json" for name in bodies} <= used


def test_operation_ids_are_unique_and_tags_declared() -> None:
    ids = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert {tag for _, op in OPERATIONS for tag in op["tags"]} == {tag["name"] for tag in DOCUMENT["tags"]}


def test_holds_the_hub_operations_of_the_protocol_and_no_other() -> None:
    page = (ROOT / "docs/protocol.md").read_text("utf-8")
    table = page.partition("## Operations of the hub")[2].partition("\n## ")[0]
    assert {name for name, _ in OPERATIONS} == set(re.findall(r"`((?:GET|POST) /[^\s`]*)`", table))


@NAMED
def test_every_refusal_is_a_problem(name: str, operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        content = followed(response)["content"]
        if (name, status) == ("GET /health", "503"):
            continue  # a state, told in full
        if status == "default" or status >= "400":
            assert list(content) == ["application/problem+json"]
            assert content["application/problem+json"]["schema"] == {"$ref": "problem.schema.json"}
            example = content["application/problem+json"]["example"]
            assert status in ("default", str(example["status"]))
            page = ROOT / "docs" / f"{example['type'].removeprefix('/')}.md"
            assert page.exists(), example["type"]
    if name.startswith("POST"):
        assert {"400", "401", "403"} <= set(operation["responses"])


@NAMED
def test_who_may_call_is_stated(name: str, operation: dict[str, Any]) -> None:
    scopes = DOCUMENT["components"]["securitySchemes"]["token"]["flows"]["clientCredentials"]["scopes"]
    wanted = operation.get("security", DOCUMENT["security"])
    assert {scope for need in wanted for scope in need["token"]} <= set(scopes)
    is_open = operation["tags"] in (["public"], ["access"]) or name.startswith("GET /log/")
    assert (wanted == []) == (is_open and "receipts" not in name), name


@NAMED
def test_nothing_about_a_person_stands_in_a_path_or_query(name: str, operation: dict[str, Any]) -> None:
    assert "?" not in name
    if name.startswith("GET /log/"):
        # What anybody may read of the log, and a random id that answers its collector alone.
        asked = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert asked <= {"path", "leaf", "index", "size", "old", "new", "receipt_id"}
        return
    assert "{" not in name
    assert "parameters" not in operation


def test_every_example_follows_its_schema() -> None:
    judged = 0
    for _, media in places(DOCUMENT):
        if isinstance(media, dict) and "example" in media and "schema" in media:
            reference = media["schema"]["$ref"]
            registry.validator(reference.removesuffix(".schema.json")).check(media["example"])
            judged += 1
    assert judged > 20


SERVED: dict[str, Any] = yaml.safe_load(served_description())


def test_what_is_served_refers_to_nothing_outside_itself() -> None:
    references = [value for path, value in places(SERVED) if path and path[-1] == "$ref"]
    assert len(references) > 300
    for reference in references:
        node: Any = SERVED
        assert reference.startswith("#/"), reference
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    # An ``$id`` would make its schema a resource of its own, and ``#`` mean another place to a tool that heeds it.
    assert not [path for path, _ in places(SERVED["components"]) if path and path[-1] == "$id"]
    assert SERVED["paths"].keys() == DOCUMENT["paths"].keys()


@pytest.mark.parametrize("name", examples())
def test_a_served_schema_judges_as_its_file_does(name: str) -> None:
    judge = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": SERVED["components"]}, validate_formats=True
    )
    example = examples()[name]
    assert judge.is_valid(example)
    for path, text in places(example):
        if isinstance(text, str) and path[-1] in ("ref", "kind", "purpose", "trace_id"):
            assert not judge.is_valid(put(example, path, f"{text}!")), path
    assert not judge.is_valid(example | {"De Trop": 1})
