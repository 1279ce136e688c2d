"""The compiled policy: what a role and a purpose allow, each one dictionary look-up away.

Compiled once from ``config/*.toml`` (:mod:`consent.policy_source`) and never changed: a reload builds another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from consent.canonical import jcs
from consent.model import CLASSES, KINDS, Attributes, EvidenceLevel, FieldIndex, PurposeRule, Regime
from consent.policy_source import (
    NAMED,
    Denial,
    Notice,
    PolicyError,
    Purpose,
    RegimeRow,
    Role,
    Source,
    Variant,
    read_source,
)

__all__ = ["Denial", "Notice", "Policy", "PolicyError", "Purpose", "RegimeRow", "Role", "Variant", "load_policy"]

RoleKey = tuple[str, bool, bool, str | None, str | None]
"""Role code, assigned, own, mission, aid."""
RuleKey = tuple[str, str, str, str]
"""Purpose code, source slug (empty: any of its kind), source kind, recipient kind."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything ``decide`` and ``authority`` need. Build it with :func:`load_policy`; nothing ever changes it.

    The tables are plain dictionaries behind read-only types: a proxy would cost ``decide`` a tenth of its time.
    """

    version: str
    """Hex SHA-256 of the canonical form of the tables, the field list and the notices' hashes."""
    index: FieldIndex
    roles: Mapping[str, Role]
    denials: tuple[Denial, ...]
    purposes: Mapping[str, Purpose]
    notices: tuple[Notice, ...]
    role_table: Mapping[RoleKey, tuple[int, int]]
    """(permit, deny) of each role and variant."""
    rule_table: Mapping[RuleKey, PurposeRule]
    named_sources: frozenset[str]
    """Sources that some row names by slug."""
    evidence_table: Mapping[str, tuple[int, int, int, int]]
    """Per purpose, the fields an accord proven at E0, E1, E2, E3 may release."""
    shown: frozenset[tuple[str, Regime, str, str, str, str]]
    """(purpose, regime, notice id, version, language, sha256) of every known text."""
    reach: Mapping[tuple[str, str], int]
    """Per (purpose, recipient kind), the fields some source may release: what the request alone decides."""

    def role_masks(self, role: str, attributes: Attributes) -> tuple[int, int]:
        """Return (permit, deny) of a role's variant; an unknown attribute value gives the narrowest variant.

        An unknown role permits nothing.
        """
        a = attributes
        masks = self.role_table.get((role, a.assigned, a.own, a.mission, a.aid))
        return masks or self.role_table.get((role, False, False, None, None)) or (0, 0)

    def rule(self, purpose: str, source: str, source_kind: str, recipient_kind: str) -> PurposeRule | None:
        """Return what the purpose does for this source and kind of recipient; None when it says nothing."""
        slug = source if source in self.named_sources else ""
        return self.rule_table.get((purpose, slug, source_kind, recipient_kind))

    def rows(
        self, purpose: str, source: str, source_kind: str, recipient_kind: str
    ) -> tuple[tuple[RegimeRow, int], ...]:
        """Return the regime rows that apply, each with the fields it governs; disjoint. Empty for an unknown name."""
        known = self.purposes.get(purpose)
        return _rows(known, source, source_kind, recipient_kind) if known else ()

    def request_exclusions(
        self, purpose: str, role: str, attributes: Attributes, recipient_kind: str, wanted: int
    ) -> tuple[int, int]:
        """Return (by role, by purpose): wanted fields excluded whoever the person and the source are.

        They depend on the request alone, so telling them says nothing about the person (DESIGN §6).
        """
        permit, deny = self.role_masks(role, attributes)
        by_role = wanted & ~(permit & ~deny)
        return by_role, wanted & ~by_role & ~self.reach.get((purpose, recipient_kind), 0)

    def notice(self, notice_id: str, version: str) -> Notice | None:
        """Return one version of a notice, or None."""
        return next((n for n in self.notices if (n.notice_id, n.version) == (notice_id, version)), None)


def load_policy(files: Mapping[str, bytes], index: FieldIndex) -> Policy:
    """Compile ``files`` (name relative to ``config/`` → bytes) over ``index``; the result is immutable.

    Reads ``roles.toml``, ``purposes.toml``, ``rules.toml`` and ``notices/<id>/<version>/*``; other names are left
    alone. Raises :class:`PolicyError` naming the file and key of anything unknown, double, empty or without its text.
    """
    source = read_source(files, index)
    rules, named = _compile_rules(source)
    reach: dict[tuple[str, str], int] = {}
    for (purpose, _, _, recipient), rule in rules.items():
        reach[purpose, recipient] = reach.get((purpose, recipient), 0) | rule.cap
    return Policy(
        version=_version(source, index),
        index=index,
        roles=source.roles,
        denials=source.denials,
        purposes=source.purposes,
        notices=source.notices,
        role_table=_compile_roles(source),
        rule_table=rules,
        named_sources=named,
        evidence_table=_compile_evidence(source, index),
        shown=frozenset(
            (n.purpose, n.regime, n.notice_id, n.version, language, sha256)
            for n in source.notices
            for language, sha256 in n.sha256.items()
        ),
        reach=reach,
    )


def _version(source: Source, index: FieldIndex) -> str:
    form = {
        "v": 1,
        "fields": [list(pair) for pair in zip(index.all_paths, index.classes, strict=True)],
        "config": dict(source.raw),
        "notices": {f"{n.notice_id}/{n.version}": dict(n.sha256) for n in source.notices},
    }
    # Texts, booleans and lists only: the reading let nothing else through, so the canonical form exists.
    return hashlib.sha256(jcs(form)).hexdigest()


def _compile_roles(source: Source) -> dict[RoleKey, tuple[int, int]]:
    table: dict[RoleKey, tuple[int, int]] = {}
    missions, aids = [None, *sorted(source.missions)], [None, *sorted(source.aids)]
    for role in source.roles.values():
        deny = 0
        for denial in source.denials:
            if role.code in denial.roles:
                deny |= denial.fields
        for assigned, own, mission, aid in product((False, True), (False, True), missions, aids):
            permit = role.permit
            for variant in role.variants:
                if variant_applies(variant, Attributes(assigned, own, mission, aid)):
                    permit |= variant.permit
            table[role.code, assigned, own, mission, aid] = (permit, deny)
    return table


def variant_applies(variant: Variant, attributes: Attributes) -> bool:
    """Say whether the attributes meet every condition of the variant."""
    return (
        (attributes.assigned or not variant.assigned)
        and (attributes.own or not variant.own)
        and (not variant.missions or attributes.mission in variant.missions)
        and (not variant.aids or attributes.aid in variant.aids)
    )


def _compile_rules(source: Source) -> tuple[dict[RuleKey, PurposeRule], frozenset[str]]:
    named = frozenset(
        name.removeprefix(NAMED)
        for purpose in source.purposes.values()
        for row in purpose.rows
        for name in row.sources
        if name.startswith(NAMED)
    )
    table: dict[RuleKey, PurposeRule] = {}
    for purpose, slug, kind, recipient in product(source.purposes.values(), ("", *sorted(named)), KINDS, KINDS):
        masks = dict.fromkeys(Regime, 0)
        opposable = cap = 0
        for row, fields in _rows(purpose, slug, kind, recipient):
            if fields & cap:
                where = f"purposes.toml.purposes.{purpose.code}.regles.{row.row_id}"
                raise PolicyError(where, f"a field already has its regime from {kind} to {recipient}")
            masks[row.regime] |= fields
            cap |= fields
            opposable |= fields if row.opposable else 0
        if cap:
            table[purpose.code, slug, kind, recipient] = PurposeRule(
                masks[Regime.ACCORD], masks[Regime.INFORMATION], masks[Regime.OBLIGATION], opposable, cap
            )
    return table, named


def _rows(purpose: Purpose, source: str, source_kind: str, recipient_kind: str) -> tuple[tuple[RegimeRow, int], ...]:
    """Return the rows for one source and kind of recipient; a row that names the source prevails over its kind's."""
    to_it = [row for row in purpose.rows if recipient_kind in row.recipients]
    named = [row for row in to_it if NAMED + source in row.sources]
    settled = 0
    for row in named:
        settled |= row.fields
    by_kind = [(row, row.fields & ~settled) for row in to_it if source_kind in row.sources and row not in named]
    return (*((row, row.fields) for row in named), *(pair for pair in by_kind if pair[1]))


def _compile_evidence(source: Source, index: FieldIndex) -> dict[str, tuple[int, int, int, int]]:
    table = {}
    for purpose in source.purposes.values():
        masks = [0, 0, 0, 0]
        if purpose.minimum_evidence is not None:
            for classe, level in product(CLASSES, EvidenceLevel):
                if level >= max(purpose.minimum_evidence, source.class_evidence[classe]):
                    masks[level] |= index.of_class(classe)
        table[purpose.code] = (masks[0], masks[1], masks[2], masks[3])
    return table
