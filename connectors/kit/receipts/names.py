"""What the codes of a consent record are called: by the directory, the policy and the dossier's schema."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from connectors.kit.receipts.told import Names

PACKAGED_CONFIG: Final = Path(__file__).resolve().parents[3] / "config"
"""As :mod:`connectors.kit.policy_folder` says, without what it imports: ``maillon verify`` answers at once."""


def names_of(partners: Iterable[Mapping[str, Any]], config: Path = PACKAGED_CONFIG) -> Names:
    """Return the names by a directory's ``partners`` (as on the wire) and the policy's files in ``config``.

    The files are read for their words alone: a policy that does not compile still has them. One that is not there
    has none, and codes are shown as they are.
    """
    return Names(
        partners={str(partner["slug"]): str(partner["name"]) for partner in partners},
        purposes=_labels(config / "purposes.toml", "purposes"),
        roles=_labels(config / "roles.toml", "roles"),
        sections=_sections(),
    )


def _labels(file: Path, table: str) -> dict[str, str]:
    try:
        rows = tomllib.loads(file.read_text("utf-8")).get(table, {})
    except (OSError, ValueError):
        return {}
    return {code: row["libelle"] for code, row in rows.items() if isinstance(row.get("libelle"), str)}


def _sections() -> dict[str, str]:
    schema = json.loads((resources.files("schemas") / "dossier.schema.json").read_text("utf-8"))
    nodes: dict[str, Any] = schema["properties"]["sections"]["properties"]
    return {code: node["title"] for code, node in nodes.items()}
