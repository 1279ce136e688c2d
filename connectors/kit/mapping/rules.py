"""The rules a ``mapping.toml`` is compiled to (``file``), and ``run`` applies. Data, and nothing read yet.

Expressions are JMESPath over: ``record`` (the whole record), ``it`` (the person's own part of it), ``role`` and
``liens`` (household), ``identite`` (the traits just read), ``demande`` (the traits asked, for that person alone).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.kit.mapping.expressions import Expression
from connectors.kit.port import Json, Reason
from connectors.kit.transforms.base import Refused, Table, Transform, as_is, is_blank, text
from connectors.kit.visible import is_misread
from schemas import registry

SCOPE: Final = frozenset({"record", "it", "role", "liens", "identite", "demande"})
IDENTITY_FIELDS: Final = (
    *("nom_naissance", "nom_usage", "prenoms", "sexe", "date_naissance"),
    *("code_cog_insee_commune_naissance", "code_cog_insee_pays_naissance"),
)
"""Traits that are dossier fields too; ``nir`` is a trait only, unless a field of ``identifiants`` maps it."""


@dataclass(frozen=True, slots=True)
class LineageRow:
    """One line of "which partner field feeds which dossier field": paths, transform and rule, no value."""

    format: str
    subject: str
    source: str
    transform: str
    target: str
    absence: str
    condition: str = ""
    """Without it the field is not filled; empty when there is none."""
    since: str = ""
    """What says since when it is true; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Value:
    """``from`` through ``with`` and a table."""

    sources: tuple[Expression, ...]
    several: bool
    """Whether ``from`` is a list: the transform is then given one, of what each source says."""
    transform_name: str
    transform: Transform
    table: Table
    plain: bool = field(init=False)
    """Whether a text is taken as it is written."""

    def __post_init__(self) -> None:
        """Look once for what is asked a million times."""
        object.__setattr__(self, "plain", self.transform in (text, as_is))

    def raw(self, scope: Json) -> Any:
        """Return what the source wrote; raises ``JMESPathError`` for an expression given the wrong type."""
        return [each.get(scope) for each in self.sources] if self.several else self.sources[0].get(scope)

    def read(self, raw: Any) -> Any:
        """Return what ``raw`` means, ``None`` when it says nothing. Of ``raw`` alone; raises ``Refused``."""
        if isinstance(raw, str):  # almost all
            if self.plain and raw.isascii() and raw.isprintable():
                return raw.strip() or None  # what is done below, without a call
            if not raw or raw.isspace():
                return None
            if not raw.isascii() and is_misread(raw):
                raise Refused(Reason.ENCODING)
        elif raw is None or (isinstance(raw, list) and self._says_nothing(raw)):
            return None
        return self.transform(raw, self.table)

    def _says_nothing(self, raw: list[Any]) -> bool:
        """Say whether every item of a list is blank; raises ``Refused`` for a text read in the wrong encoding."""
        nothing = True
        for item in raw:
            if isinstance(item, str):
                if not item.isascii() and is_misread(item):
                    raise Refused(Reason.ENCODING)
                nothing = nothing and (not item or item.isspace())
            else:
                nothing = nothing and is_blank(item)
        return nothing


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one dossier field is filled, or why it is absent."""

    path: str
    value: Value
    base_legale: str
    date_effet: Value | None
    when: Expression | None
    absences: tuple[tuple[Expression, str], ...]
    """(condition, absence code), the first that holds wins."""
    absent: str | None
    """The absence when the source says nothing; without it, there is no statement at all."""
    optional: registry.Validator | None = None
    """Set when a value that cannot be read sets aside this field alone, not the person: what its value must be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer that is no answer: every one of ``paths`` gets the absence that ``code`` gives."""

    code: Value
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of person a record speaks of."""

    name: str
    each: Expression | None
    roles: frozenset[str] | None
    when: Expression | None
    same: tuple[tuple[Expression, Expression], ...]
    """Pairs that must be equal where both say something: what was asked, and what was answered."""
    identity: tuple[tuple[str, Value], ...]
    asserts_identity: bool
    """Whether the source itself states the traits; not when they are only those it was asked about."""
    local_id: tuple[Value, ...]
    fields: tuple[FieldRule, ...]
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Household:
    """Where a record's members stand, and how roles tie them."""

    groups: tuple[tuple[Expression, Value], ...]
    links: Mapping[str, str]
