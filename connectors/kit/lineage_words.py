"""What the lineage page says in words: read from the folder's own ``mapping.toml``, for which nothing is compiled.

A mapping runs without them: ``description`` beside an expression and ``[labels.<table>]`` are for its reader alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from connectors.kit import shared_parts
from connectors.kit.lineage_cells import link
from connectors.kit.mapping.file import read_toml
from connectors.kit.partner import PartnerFolder
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Transform
from schemas import registry

Spec = Mapping[str, Any]
"""A value, a rule or an outcome, as ``mapping.toml`` writes it."""

_NOTHING: Final[Spec] = {}
TRANSFORMS: Final = "Transformations"
"""The heading under which they are said in full."""


def transforms_said() -> Mapping[str, str]:
    """Return what each transform of the kit does, in French, by name."""
    text = (resources.files("connectors.kit") / "lineage.toml").read_text("utf-8")
    said: Mapping[str, str] = tomllib.loads(text)["transformations"]
    return said


def absences_said() -> Mapping[str, str]:
    """Return what each code of absence means, in French, in the order of the dossier."""
    said: Mapping[str, str] = registry.schema("dossier")["$defs"]["absence"]["x-libelles"]
    return said


class Words:
    """The words of one partner's mapping, and the names of what it says once.

    A name is that of the shared part, if the partner changes nothing of it (``flux_rsa.etat_rsa``), else its own
    (``caf.issues``): it stays the same whatever other partners do.
    """

    def __init__(self, partner: PartnerFolder) -> None:
        own = read_toml((partner.path / "mapping.toml").read_bytes(), "mapping.toml")
        self._slug = partner.slug
        self._parts = {
            name: read_toml(shared_parts.text(name, "toml").encode(), name) for name in shared_parts.names(own)
        }
        self._document = shared_parts.expand(own, self._parts.values())
        self._said = transforms_said()
        self.tables: dict[str, Mapping[str, object]] = {}
        """The code tables met so far, by name."""
        self.transforms: dict[str, None] = {}
        """What the transforms met so far do."""

    def named(self, kind: str, name: str) -> str:
        """Return the name, among all partners, of ``[<kind>.<name>]``."""
        content = self._document[kind][name]
        whose = next((part for part, said in self._parts.items() if said.get(kind, {}).get(name) == content), None)
        return f"{whose or self._slug}.{name}"

    def format(self, native: str) -> Spec:
        """Return the format ``native``."""
        found: Spec = self._document["formats"][native]
        return found

    def subject(self, native: str, subject: str) -> Spec:
        """Return a subject of the format ``native``."""
        found: Spec = self.format(native)["subjects"][subject]
        return found

    def traits(self, native: str, subject: str) -> Spec:
        """Return what each trait of a subject is read from."""
        given = self.subject(native, subject)["identity"]
        found: Spec = self._document["identities"][given] if isinstance(given, str) else given
        return found

    def value(self, spec: object) -> Spec:
        """Return ``spec`` in its long form, a value's name followed."""
        if not isinstance(spec, Mapping):
            return {"from": spec}
        return spec if "value" not in spec else self._document["values"][spec["value"]] | {**spec}

    def conditions(self, spec: Spec) -> list[Spec]:
        """Return the conditions of a field's absences, wherever they are written."""
        given = spec.get("absences", [])
        found: list[Spec] = self._document["absences"][given] if isinstance(given, str) else given
        return found

    def labels(self, table: str) -> Mapping[str, str]:
        """Return what the codes of ``[tables.<table>]`` are, in French; only those that the mapping says."""
        found: Mapping[str, str] = self._document.get("labels", _NOTHING).get(table, _NOTHING)
        return found

    def transform(self, name: str, transform: Transform, spec: Spec = _NOTHING) -> str:
        """Return what a transform does, in short, with a link to its code table; the page then has to say the rest."""
        said = self._said.get(name) if BUILT_IN.get(name) is transform else None
        said = said or f"`{name}` : {(transform.__doc__ or 'propre à ce partenaire').strip().splitlines()[0]}"
        self.transforms[said] = None
        short, _, more = said.partition(" ; ")
        short += f" [{link('…', TRANSFORMS)}]" if more else ""
        return f"{short} ({self.table(spec['table'])})" if "table" in spec else short

    def table(self, name: str) -> str:
        """Return the link to a code table, which the page then has to show."""
        named = self.named("tables", name)
        self.tables[named] = self._document["tables"][name]
        return link(f"table `{named}`", table_heading(named))


def table_heading(named: str) -> str:
    """Return the heading of a code table."""
    return f"Table `{named}`"
