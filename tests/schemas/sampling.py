"""Valid examples read off the schemas themselves, and ways to walk and change them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from schemas import registry

Path = tuple[str | int, ...]


def target(reference: str, document: str) -> tuple[Any, str]:
    """Return the schema a ``$ref`` of ``document`` points at, and the document that holds it."""
    file, _, pointer = reference.partition("#")
    document = file.removesuffix(".schema.json") or document
    node: Any = registry.schema(document)
    for part in filter(None, pointer.split("/")):
        node = node[part]
    return node, document


def sample(node: Any, document: str) -> Any:
    """Return one valid value of ``node``, with every optional member, from its examples, enums and bounds."""
    if "$ref" in node:
        base, home = target(node["$ref"], document)
        value = sample(base, home)
        if isinstance(value, dict):
            value |= {name: sample(child, document) for name, child in node.get("properties", {}).items()}
        if isinstance(value, list) and "items" in node:
            # A dossier field: the statement comes from the shared shape, its value from the field.
            value = [value[0] | {"valeur": sample(node["items"]["properties"]["valeur"], document)}]
        return value
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"][0]
    if "examples" in node:
        return node["examples"][0]
    if "anyOf" in node:
        return sample(node["anyOf"][0], document)
    if "prefixItems" in node:
        return [sample(child, document) for child in node["prefixItems"]]
    kind = node["type"] if isinstance(node["type"], str) else node["type"][0]
    match kind:
        case "object":
            return sample_object(node, document)
        case "array":
            return [sample(node["items"], document)]
        case "boolean":
            return True
        case "integer" | "number":
            return node["minimum"]
        case "string":
            return "texte"
    raise AssertionError(f"no sample for {kind}")


def sample_object(node: Any, document: str) -> dict[str, Any]:
    """Return an object with every declared member; of a ``oneOf`` of ``required``, those of the first form."""
    if "propertyNames" in node:
        return {sample(node["propertyNames"], document): sample(node["additionalProperties"], document)}
    forms = [name for form in node.get("oneOf", [])[1:] for name in form["required"]]
    if "absence" in node["properties"]:
        forms = ["absence"]
    return {
        name: True if child is True else sample(child, document)
        for name, child in node["properties"].items()
        if name not in forms
    }


def examples() -> dict[str, Any]:
    """Return a valid value of every schema that accepts any."""
    valid = {name: sample(registry.schema(name), name) for name in registry.names() if name != "common"}
    # What conditions ask for, on top of the members' own shapes.
    valid["consent_event"] |= {"seq": 0, "prev": None, "kind": "granted", "actor": "representant"}
    valid["consent_event"]["collection"]["evidence"] = "E2"
    valid["receipt"]["record"]["payload"] = valid["consent_event"]
    valid["consent_answer"]["receipt"] = valid["receipt"]
    return valid


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every place of a JSON value with what stands there, the whole first."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def at(value: Any, path: Path) -> Any:
    """Return what stands at ``path``."""
    for key in path:
        value = value[key]
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """Return a copy of ``value`` with ``new`` at ``path``."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    at(changed, path[:-1])[path[-1]] = new
    return changed


def fragment(path: str, value: Any) -> dict[str, Any]:
    """Return a fragment that says one thing."""
    return {
        "v": 1,
        "statements": {
            path: {
                "valeur": value,
                "source": "caf",
                "date_effet": None,
                "date_collecte": "2026-01-15T09:00:00Z",
                "base_legale": "CRPA L114-8",
            }
        },
    }
