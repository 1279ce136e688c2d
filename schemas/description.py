"""The HTTP description as it is served: ``openapi.yaml`` with every schema it or its payloads need inside it."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from schemas.registry import names, schema

_HOME = "#/components/schemas/"


def described() -> dict[str, Any]:
    """Return ``openapi.yaml`` as written: its references name the schema files beside it."""
    parsed: dict[str, Any] = yaml.safe_load((resources.files(__package__) / "openapi.yaml").read_text("utf-8"))
    return parsed


def served_description() -> bytes:
    """Return the description as one YAML document that refers to nothing outside itself (OpenAPI 3.1, UTF-8).

    The schemas stand under ``components/schemas``, those of signed payloads too: a partner needs no other file.
    """
    whole = _at_home(described(), "")
    # ``$id`` would make each schema a resource of its own, whose references start from itself.
    embedded = {
        name: {key: _at_home(value, name) for key, value in schema(name).items() if key not in ("$id", "$schema")}
        for name in names()
    }
    whole["components"]["schemas"] = embedded
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False, width=120).encode()


def _at_home(node: Any, document: str) -> Any:
    """Copy ``node``, pointing its references under ``components/schemas``; ``document`` is where ``#`` starts from."""
    if isinstance(node, dict):
        return {
            key: _home_of(value, document) if key == "$ref" else _at_home(value, document)
            for key, value in node.items()
        }
    return [_at_home(child, document) for child in node] if isinstance(node, list) else node


def _home_of(reference: str, document: str) -> str:
    file, _, pointer = reference.partition("#")
    name = file.removesuffix(".schema.json") or document
    return f"{_HOME}{name}{pointer}" if name else reference
