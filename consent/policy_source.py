"""The policy as people write it: ``config/*.toml`` and the notices, read strictly and kept readable.

Everything doubtful stops the reading with :class:`PolicyError`, naming the file and the key: an unknown key or name, a
duplicate, an empty set, a missing legal text. :mod:`consent.policy` compiles what is read here.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from consent.model import CLASSES, KINDS, EvidenceLevel, FieldIndex, Regime, UnknownField

NAMED: Final = "partenaire:"
"""Prefix of a source named by its slug instead of its kind."""
_PARTNER_KINDS: Final = tuple(kind for kind in KINDS if kind != "hub")
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{1,63}")
_NOT_A_PURPOSE: Final = re.compile(r"contr[oô]le|sanction|fraude")
_T = TypeVar("_T", bound=object)


class PolicyError(ValueError):
    """The policy cannot be used. ``where`` names the file and key, ``reason`` what is wrong there."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Variant:
    """More fields for a role whose attributes meet every condition (DESIGN §6)."""

    variant_id: str
    assigned: bool
    own: bool
    missions: frozenset[str]
    aids: frozenset[str]
    permit: int


@dataclass(frozen=True, slots=True)
class Role:
    """A trade: the fields it may see at its narrowest, and its variants."""

    code: str
    libelle: str
    permit: int
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Denial:
    """A prohibition no variant lifts, with the text it comes from."""

    denial_id: str
    roles: frozenset[str]
    fields: int
    texte: str


@dataclass(frozen=True, slots=True)
class RegimeRow:
    """Under one purpose: which regime governs ``fields`` from these sources to these kinds of recipient, and why."""

    row_id: str
    regime: Regime
    sources: frozenset[str]
    """Kinds, or ``partenaire:<slug>``; a named partner's row prevails over its kind's."""
    recipients: frozenset[str]
    fields: int
    texte: str
    opposable: bool


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why details are asked for: its legal bases (GDPR 6 and 9), the proof an accord needs, its ceiling, its rows."""

    code: str
    libelle: str
    base_art6: str
    condition_art9: str | None
    minimum_evidence: EvidenceLevel | None
    usual_act: bool
    ceiling: int
    rows: tuple[RegimeRow, ...]
    anonymous: bool
    """Statistics: nothing identifying may leave, so there is no row."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A text shown to people, in its languages; ``sha256`` maps a language to the hex digest of the exact bytes."""

    notice_id: str
    version: str
    purpose: str
    regime: Regime
    texts: Mapping[str, str]
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """The whole policy, read and checked, not yet compiled. ``raw`` is what ``policy_version`` is computed from."""

    roles: Mapping[str, Role]
    denials: tuple[Denial, ...]
    purposes: Mapping[str, Purpose]
    class_evidence: Mapping[str, EvidenceLevel]
    missions: frozenset[str]
    aids: frozenset[str]
    notices: tuple[Notice, ...]
    raw: Mapping[str, object]


class _Table:
    """One TOML table; every key must be asked for, or :meth:`close` refuses it."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict) or not value:
            raise PolicyError(where, "a table with content is needed")
        self._value: dict[str, Any] = dict(value)
        self.where = where

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}"

    def error(self, key: str, reason: str) -> PolicyError:
        return PolicyError(self._at(key), reason)

    def take(self, key: str, kind: type[_T]) -> _T | None:
        value = self._value.pop(key, None)
        if value is not None and type(value) is not kind:
            raise self.error(key, f"{kind.__name__} needed")
        return value

    def text(self, key: str) -> str:
        value = (self.take(key, str) or "").strip()
        if not value:
            raise self.error(key, "missing text")
        return value

    def flag(self, key: str) -> bool:
        return bool(self.take(key, bool))

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        values = self.take(key, list)
        if values is None and optional:
            return ()
        if not values or not all(isinstance(item, str) and item for item in values):
            raise self.error(key, "a list of texts that is not empty is needed")
        if len(set(values)) != len(values):
            raise self.error(key, "a value stands twice")
        return tuple(values)

    def names(self, key: str, known: frozenset[str], *, optional: bool = False) -> frozenset[str]:
        values = frozenset(self.texts(key, optional=optional))
        if values - known:
            raise self.error(key, f"unknown name: {min(values - known)}")
        return values

    def mask(self, key: str, index: FieldIndex) -> int:
        mask = 0
        for selector in self.texts(key):
            try:
                mask |= index.select(selector)
            except UnknownField as unknown:
                raise self.error(key, f"selects no field: {unknown.name}") from None
        return mask

    def evidence(self, key: str) -> EvidenceLevel:
        name = self.text(key)
        if name not in EvidenceLevel.__members__ or name == "E0":
            raise self.error(key, "E1, E2 or E3 needed: a mere declaration releases nothing")
        return EvidenceLevel[name]

    def tables(self) -> Iterator[tuple[str, _Table]]:
        """Yield each sub-table with its code, leaving nothing behind."""
        for code in tuple(self._value):
            if _CODE.fullmatch(code) is None:
                raise self.error(code, "a code is lower-case letters, digits and underscores")
            yield code, _Table(self._value.pop(code), self._at(code))

    def rows(self, key: str) -> Iterator[tuple[str, _Table]]:
        """Yield each table of an array of tables with its ``id``, distinct within the array."""
        seen = set()
        for i, row in enumerate(self.take(key, list) or ()):
            table = _Table(row, f"{self._at(key)}[{i}]")
            row_id = table.text("id")
            if row_id in seen:
                raise table.error("id", "stands twice")
            seen.add(row_id)
            yield row_id, table

    def child(self, key: str) -> _Table:
        return _Table(self._value.pop(key, None), self._at(key))

    def close(self) -> None:
        if self._value:
            raise self.error(min(self._value), "unknown key")


def read_source(files: Mapping[str, bytes], index: FieldIndex) -> Source:
    """Read ``roles.toml``, ``purposes.toml``, ``rules.toml`` and ``notices/…`` of ``files`` (name → bytes).

    Other names are none of the policy's and are left alone. Raises :class:`PolicyError`.
    """
    parsed = {name: _toml(files, name) for name in ("roles.toml", "purposes.toml", "rules.toml")}
    rules = _Table(parsed["rules.toml"], "rules.toml")
    attributes = rules.child("attributs")
    missions, aids = frozenset(attributes.texts("missions")), frozenset(attributes.texts("aides"))
    attributes.close()
    proofs = rules.child("preuves")
    class_evidence = {classe: proofs.evidence(classe) for classe in CLASSES}
    proofs.close()
    roles = {c: _role(c, table, index, missions, aids) for c, table in _codes(parsed, "roles")}
    denials = tuple(_denial(i, table, index, frozenset(roles)) for i, table in rules.rows("interdits"))
    rules.close()
    purposes = {c: _purpose(c, table, index) for c, table in _codes(parsed, "purposes")}
    notices = tuple(_notices(files, purposes))
    return Source(
        MappingProxyType(roles),
        denials,
        MappingProxyType(purposes),
        MappingProxyType(class_evidence),
        missions,
        aids,
        notices,
        MappingProxyType(parsed),
    )


def _toml(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        raise PolicyError(name, "missing file")
    try:
        return tomllib.loads(files[name].decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(name, f"not TOML: {error}") from None


def _codes(parsed: Mapping[str, object], name: str) -> Iterator[tuple[str, _Table]]:
    """Yield the tables ``[<name>.<code>]`` of ``<name>.toml``, which holds nothing else."""
    file = _Table(parsed[f"{name}.toml"], f"{name}.toml")
    yield from file.child(name).tables()
    file.close()


def _role(code: str, table: _Table, index: FieldIndex, missions: frozenset[str], aids: frozenset[str]) -> Role:
    libelle = table.text("libelle")
    permit = table.mask("permet", index) if not table.flag("traces_seulement") else 0
    variants = []
    for variant_id, row in table.rows("variantes"):
        when = row.child("si")
        variant = Variant(
            variant_id,
            assigned=when.flag("assigned"),
            own=when.flag("own"),
            missions=when.names("mission", missions, optional=True),
            aids=when.names("aid", aids, optional=True),
            permit=row.mask("permet", index),
        )
        when.close()
        row.close()
        if not (variant.assigned or variant.own or variant.missions or variant.aids):
            raise when.error("assigned", "a variant needs a condition that can fail")
        variants.append(variant)
    table.close()
    return Role(code, libelle, permit, tuple(variants))


def _denial(denial_id: str, table: _Table, index: FieldIndex, roles: frozenset[str]) -> Denial:
    named = table.names("roles", roles, optional=True)
    spared = table.names("sauf", roles, optional=True)
    if bool(named) == bool(spared):
        raise table.error("roles", "either roles or sauf")
    denial = Denial(denial_id, named or roles - spared, table.mask("champs", index), table.text("texte"))
    table.close()
    return denial


def _purpose(code: str, table: _Table, index: FieldIndex) -> Purpose:
    libelle, base_art6 = table.text("libelle"), table.text("base_art6")
    if _NOT_A_PURPOSE.search(f"{code} {libelle.lower()}"):
        raise PolicyError(table.where, "to control or to sanction is never a purpose")
    if table.flag("anonyme"):
        table.text("texte")
        table.close()
        return Purpose(code, libelle, base_art6, None, None, False, 0, (), anonymous=True)
    ceiling = table.mask("plafond", index)
    condition = table.text("condition_art9") if ceiling & index.of_class("C5") else table.take("condition_art9", str)
    usual = table.take("acte_usuel", bool)
    if usual is None:
        raise table.error("acte_usuel", "true or false needed")
    rows = tuple(_row(row_id, row, index, ceiling) for row_id, row in table.rows("regles"))
    if not rows:
        raise table.error("regles", "a purpose needs a regime")
    needs_accord = any(row.regime is Regime.ACCORD for row in rows)
    evidence = table.evidence("preuve_minimale") if needs_accord else None
    table.close()
    return Purpose(code, libelle, base_art6, condition, evidence, usual, ceiling, rows, anonymous=False)


def _row(row_id: str, table: _Table, index: FieldIndex, ceiling: int) -> RegimeRow:
    name = table.text("regime")
    if name not in tuple(Regime):
        raise table.error("regime", f"unknown name: {name}")
    regime = Regime(name)
    sources = frozenset(table.texts("sources"))
    for source in sources:
        slug = source.removeprefix(NAMED) if source.startswith(NAMED) else None
        if source not in _PARTNER_KINDS and (slug is None or _CODE.fullmatch(slug) is None):
            raise table.error("sources", f"unknown name: {source}")
    recipients = table.names("destinataires", frozenset(_PARTNER_KINDS))
    if len(recipients) == len(_PARTNER_KINDS):
        raise table.error("destinataires", "every partner at once is not a recipient")
    fields = table.mask("champs", index) & ceiling
    if not fields:
        raise table.error("champs", "nothing of it stands under the purpose's plafond")
    opposable = table.take("opposable", bool)
    if (opposable is None) == (regime is Regime.INFORMATION):
        raise table.error("opposable", "needed under information, and only there")
    row = RegimeRow(row_id, regime, sources, recipients, fields, table.text("texte"), bool(opposable))
    table.close()
    return row


def _notices(files: Mapping[str, bytes], purposes: Mapping[str, Purpose]) -> Iterator[Notice]:
    folders: dict[tuple[str, str], dict[str, bytes]] = {}
    for name in sorted(files):
        if name.startswith("notices/"):
            parts = name.split("/")
            if len(parts) != 4:
                raise PolicyError(name, "a notice's files stand in notices/<id>/<version>/")
            folders.setdefault((parts[1], parts[2]), {})[parts[3]] = files[name]
    for (notice_id, version), content in folders.items():
        where = f"notices/{notice_id}/{version}/notice.toml"
        table = _Table(_toml(files, where), where)
        if (table.text("id"), table.text("version")) != (notice_id, version):
            raise table.error("id", "id and version are those of the folder")
        yield _notice(table, (notice_id, version), content, purposes)


def _notice(
    table: _Table, name: tuple[str, str], content: Mapping[str, bytes], purposes: Mapping[str, Purpose]
) -> Notice:
    purpose, regime = table.text("purpose"), table.text("regime")
    if purpose not in purposes:
        raise table.error("purpose", f"unknown name: {purpose}")
    if regime not in {row.regime for row in purposes[purpose].rows}:
        raise table.error("regime", f"not a regime of {purpose}")
    languages = table.texts("languages")
    table.close()
    if set(content) != {"notice.toml", *(f"{language}.md" for language in languages)}:
        raise table.error("languages", "one text per language, and nothing else")
    texts = {}
    for language in languages:
        try:
            texts[language] = content[f"{language}.md"].decode("utf-8")
        except UnicodeDecodeError:
            raise table.error("languages", f"{language}.md is not UTF-8") from None
        if not texts[language].strip():
            raise table.error("languages", f"{language}.md is empty")
    hashes = {language: hashlib.sha256(content[f"{language}.md"]).hexdigest() for language in languages}
    return Notice(*name, purpose, Regime(regime), MappingProxyType(texts), MappingProxyType(hashes))
