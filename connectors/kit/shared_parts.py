"""What several partners' folders share: ``shared/<part>.toml`` and ``shared/<part>.schema.json`` beside this module.

A dozen institutions answer through one API, asked in one way and failing in one way. A mapping that says
``use = ["<part>"]`` finds that part's tables, values, absences, identities and formats beside its own, and its record
shapes beside those of ``record.schema.json``; what the folder itself says wins, key by key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Final

from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_DEEPEST: Final = 8

Document = Mapping[str, Any]


def names(document: Document) -> tuple[str, ...]:
    """Return the parts a ``mapping.toml`` asks for; nothing is checked but their form."""
    given = document.get("use", [])
    return tuple(name for name in given if isinstance(name, str)) if isinstance(given, list) else ()


def content(wanted: Iterable[str]) -> bytes:
    """Return the bytes of the parts, for whatever must change when they do. Raises as :func:`text`."""
    return b"".join(text(name, suffix).encode() for name in wanted for suffix in ("toml", "schema.json"))


def definitions(wanted: Iterable[str]) -> dict[str, Any]:
    """Return the ``$defs`` of the parts' record shapes. Raises as :func:`text`."""
    parts = (strict_json.loads_object(text(name, "schema.json").encode())["$defs"] for name in wanted)
    return {name: shape for part in parts if isinstance(part, dict) for name, shape in part.items()}


def text(name: str, suffix: str) -> str:
    """Return the file of a part; raises ``MaillonError(CONFIGURATION)`` when there is no such part."""
    try:
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise FileNotFoundError
        return (resources.files("connectors.kit") / "shared" / f"{name}.{suffix}").read_text("utf-8")
    except FileNotFoundError:
        raise MaillonError(ErrorKind.CONFIGURATION, f"mapping.toml: use: {name} is no shared part") from None


def expand(own: Document, parts: Iterable[Document]) -> dict[str, Any]:
    """Return the mapping ``own`` with its ``parts`` in it, and every ``like`` replaced by the format it names.

    What is not of the form of a mapping is left as it is, for the schema to refuse. Raises
    ``MaillonError(CONFIGURATION)`` naming the format whose ``like`` names none, or leads back to itself.
    """
    base: dict[str, Any] = {}
    for part in parts:
        base = _merged(base, part)
    whole = _merged(base, own)
    formats = own.get("formats")
    if isinstance(formats, Mapping):
        whole["formats"] = {name: _format(whole["formats"], name) for name in formats}
    return whole


def _format(formats: Document, name: str, depth: int = 0) -> Any:
    given = formats[name]
    if not isinstance(given, Mapping) or "like" not in given:
        return given
    spec = dict(given)
    model = spec.pop("like")
    if model not in formats or depth == _DEEPEST:
        raise MaillonError(ErrorKind.CONFIGURATION, f"mapping.toml: formats.{name}.like: {model} is not a format")
    return _merged(_format(formats, model, depth + 1), spec)


def _merged(base: Document, own: Document) -> dict[str, Any]:
    found = dict(base)
    for key, value in own.items():
        under = found.get(key)
        found[key] = _merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return found
