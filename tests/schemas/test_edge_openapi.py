"""The description of an edge: sound, of the very routes that are served, and as docs/protocol.md lists them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from connectors.kit.edge_app import create_app
from schemas import registry
from tests.kit.conftest import consortium  # noqa: F401 (a fixture)
from tests.kit.consortium import Consortium
from tests.schemas.sampling import places, target
from tests.schemas.test_openapi import OPENAPI

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "schemas" / "edge.yaml").read_text("utf-8"))


def test_follows_the_structure_of_openapi_3_1_and_every_reference_resolves() -> None:
    assert [error.json_path for error in Draft202012Validator(OPENAPI).iter_errors(DOCUMENT)] == []
    for path, value in places(DOCUMENT):
        if path and path[-1] == "$ref" and not value.startswith("#/"):
            assert target(value, "")[0]
    problem = DOCUMENT["components"]["responses"]["Problem"]["content"]["application/problem+json"]
    registry.validator("problem").check(problem["example"])
    assert (ROOT / "docs" / f"{problem['example']['type'].removeprefix('/')}.md").exists()


def test_describes_what_an_edge_serves_and_the_protocol_lists() -> None:
    described = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item}
    page = (ROOT / "docs/protocol.md").read_text("utf-8")
    table = page.partition("## Operations of an edge")[2].partition("\n## ")[0]
    assert described == set(re.findall(r"`((?:GET|POST) /[^\s`]*)`", table))


def test_describes_the_routes_of_the_application(consortium: Consortium) -> None:  # noqa: F811
    app = create_app(consortium.edges["caf"])
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    served = {
        (rule.rule, method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == described
    health = app.test_client().get("/health").get_json()
    schema = DOCUMENT["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) <= set(health) <= set(schema["properties"])
