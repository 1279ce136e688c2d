"""The glossary covers the terms that code, configuration and protocol really use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from connectors.kit.trust import KINDS
from consent.model import EventKind, EvidenceLevel, Regime
from schemas import registry

DOCS = Path(__file__).parents[2] / "docs"
CONFIG = DOCS.parent / "config"

EXPLAINED = re.findall(r"`([^`\n]+)`", (DOCS / "glossary.md").read_text("utf-8"))
TERMS = {part for term in EXPLAINED for part in re.split(r"[,\s]+", term)}


def named(file: str, table: str) -> set[str]:
    """Return the codes that a configuration file defines."""
    content = tomllib.loads((CONFIG / file).read_text("utf-8"))
    return set(content.get(table, content))


def protocol_codes() -> set[str]:
    """Return every signed type and every refusal reason that docs/protocol.md names."""
    text = (DOCS / "protocol.md").read_text("utf-8")
    types = set(re.findall(r"maillon-[a-z]+\+jw[se]", text))
    reasons = re.search(r"and a `reason`: `([^`]+)`", text)
    assert reasons
    return types | set(re.split(r"[,\s]+", reasons.group(1)))


@pytest.mark.parametrize(
    ("what", "terms"),
    [
        ("sections of the dossier", {field.section for field in registry.fields()}),
        ("classes", {field.classe for field in registry.fields()}),
        ("absences", set(registry.absences())),
        ("consent events", {kind.value for kind in EventKind}),
        ("regimes", {regime.value for regime in Regime}),
        ("evidence levels", {level.name for level in EvidenceLevel}),
        ("kinds of partner", set(KINDS)),
        ("roles", named("roles.toml", "roles")),
        ("purposes", named("purposes.toml", "purposes")),
        ("messages and refusals", protocol_codes()),
    ],
)
def test_glossary_covers(what: str, terms: set[str]) -> None:
    assert len(terms) >= 3, what
    assert sorted(terms - TERMS) == [], what
