"""The words of the law: fields as bits, regimes, evidence, the question asked, the authority found, the decision.

A *mask* is an ``int`` whose bit *i* stands for field *i* of a :class:`FieldIndex` (the document order of
``schemas.registry.fields()``). Every instant is an aware UTC ``datetime``; every interval is half-open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

CLASSES: Final = ("C0", "C1", "C2", "C3", "C4", "C5", "C6")
"""Sensitivity classes of DOMAIN §3, mildest first."""
KINDS: Final = ("hub", "departement", "commune", "caisse", "etat", "sante", "bailleur", "association")
"""Kinds of partner (docs/protocol.md)."""


class UnknownField(LookupError):  # noqa: N818  (a shared name)
    """A path or selector that names no field."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown field: {name}")
        self.name = name


class FieldIndex:
    """The closed list of fields: bit *i* of every mask is ``all_paths[i]``.

    ``FieldIndex(paths, classes)`` takes two sequences of equal length; a path twice or a class outside
    :data:`CLASSES` raises ``ValueError``.
    """

    __slots__ = ("_bits", "_by_class", "all_paths", "classes", "full")

    def __init__(self, paths: Sequence[str], classes: Sequence[str]) -> None:
        if len(paths) != len(classes):
            raise ValueError("one class per path")
        self.all_paths: Final = tuple(paths)
        self.classes: Final = tuple(classes)
        self.full: Final = (1 << len(paths)) - 1
        self._bits: Final = {path: 1 << i for i, path in enumerate(paths)}
        if len(self._bits) != len(paths):
            raise ValueError("a path stands twice")
        self._by_class: Final = dict.fromkeys(CLASSES, 0)
        for i, classe in enumerate(classes):
            if classe not in self._by_class:
                raise ValueError("unknown class")
            self._by_class[classe] |= 1 << i

    def mask(self, paths: Iterable[str]) -> int:
        """Return the mask of exact ``paths``; raises :class:`UnknownField` on the first unknown one."""
        mask = 0
        for path in paths:
            bit = self._bits.get(path)
            if bit is None:
                raise UnknownField(path)
            mask |= bit
        return mask

    def known(self, paths: Iterable[str]) -> int:
        """Return the mask of those of ``paths`` that are fields; the others are left out."""
        bits = self._bits
        return sum(bits[path] for path in set(paths) if path in bits)

    def select(self, selector: str) -> int:
        """Return the mask of a selector: one path, ``droits.rsa.*``, ``droits.*.etat``, ``classe:C2`` or ``*``.

        ``A & B`` keeps what both select. Raises :class:`UnknownField` when it selects nothing: a rule that matches
        no field is a mistyped rule.
        """
        mask = self.full
        for part in selector.split("&"):
            mask &= self._select_one(part.strip())
        if not mask:
            raise UnknownField(selector)
        return mask

    def _select_one(self, selector: str) -> int:
        if selector.startswith("classe:"):
            return self._by_class.get(selector.removeprefix("classe:"), 0)
        if "*" not in selector:
            return self._bits.get(selector, 0)
        # A star stands for one name, the last one for all that follow.
        *above, last = ("[^.]+" if name == "*" else re.escape(name) for name in selector.split("."))
        matches = re.compile(r"\.".join([*above, ".+" if last == "[^.]+" else last])).fullmatch
        return sum(bit for path, bit in self._bits.items() if matches(path))

    def of_class(self, classe: str) -> int:
        """Return the mask of a class of :data:`CLASSES`; 0 when no field has it."""
        return self._by_class[classe]

    def paths(self, mask: int) -> tuple[str, ...]:
        """Return the paths of ``mask`` in document order; bits beyond the list are ignored."""
        return tuple(path for i, path in enumerate(self.all_paths) if mask >> i & 1)


class Regime(StrEnum):
    """What a purpose needs before a field may leave (DOMAIN §6)."""

    ACCORD = "accord"
    INFORMATION = "information"
    OBLIGATION = "obligation"


class EvidenceLevel(IntEnum):
    """How an accord was proven: E0 declared, E1 desk and second agent, E2 code or card, E3 FranceConnect."""

    E0 = 0
    E1 = 1
    E2 = 2
    E3 = 3


class EventKind(StrEnum):
    """What can happen to a consent record. ``expired`` is computed at evaluation and never written."""

    GRANTED = "granted"
    DENIED = "denied"
    NARROWED = "narrowed"
    RENEWED = "renewed"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    INFORMED = "informed"
    OBJECTED = "objected"
    OBJECTION_UPHELD = "objection_upheld"
    OBJECTION_REJECTED = "objection_rejected"
    FROZEN = "frozen"
    UNFROZEN = "unfrozen"
    PROTECTED = "protected"
    UNPROTECTED = "unprotected"


class Reason(StrEnum):
    """Why a wanted field is released or not; each wanted field has exactly one (DESIGN §6)."""

    OK = "ok"
    ROLE_DENY = "role_deny"
    NO_RULE = "no_rule"
    PURPOSE_CAP = "purpose_cap"
    PROTECTED = "protected"
    CONSENT_DENY = "consent_deny"
    EVIDENCE = "evidence"
    NO_CONSENT = "no_consent"
    OBJECTION = "objection"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the recipient's partner signs about its agent for this case; missing means the narrowest rule.

    ``assigned``: named on this person's case; ``own``: the agent's own usager or notes; ``mission`` and ``aid``:
    codes of ``rules.toml``.
    """

    assigned: bool = False
    own: bool = False
    mission: str | None = None
    aid: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """May ``recipient`` (a partner slug) receive ``wanted`` (a mask) about one person from ``source``, at ``at``?"""

    purpose: str
    role: str
    attributes: Attributes
    source: str
    source_kind: str
    recipient: str
    recipient_kind: str
    wanted: int
    at: datetime = field(hash=False)


class Authority(NamedTuple):
    """What the person's events and mandates give for one question. Masks; built by ``lifecycle.authority``."""

    permit: int = 0
    """Live accord, proven well enough, under a mandate where one is needed."""
    deny: int = 0
    weak: int = 0
    """Live accord whose proof is too weak for the purpose or the class; disjoint from ``permit``."""
    informed: int = 0
    objection: int = 0
    """Pending or upheld; it bites only where the purpose's text lets it."""
    protected: int = 0
    """Withheld whatever the regime: a protection, or everything when the person is frozen."""
    consent_ids: tuple[str, ...] = ()
    """Records that give something here."""
    refusal_ids: tuple[str, ...] = ()
    """Records that refuse or object here."""
    valid_until: datetime | None = None
    """First later instant at which time alone may change this authority; None when it never does."""


class PurposeRule(NamedTuple):
    """What a purpose does for one (source, recipient kind): three disjoint masks whose union is ``cap``."""

    accord: int
    information: int
    obligation: int
    opposable: int
    """Part of ``information`` whose text lets the person object."""
    cap: int


class Decision(NamedTuple):
    """The answer with its compact explanation: nine disjoint masks that cover what was wanted."""

    allowed: int
    role_deny: int = 0
    no_rule: int = 0
    purpose_cap: int = 0
    protected: int = 0
    consent_deny: int = 0
    evidence: int = 0
    no_consent: int = 0
    objection: int = 0
    consent_ids: tuple[str, ...] = ()
    refusal_ids: tuple[str, ...] = ()
    valid_until: datetime | None = None
    policy_version: str = ""
    rule: PurposeRule | None = None
    """The compiled rule that gave ``allowed`` its regimes."""

    def by_regime(self, regime: Regime) -> int:
        """Return the released fields that left under ``regime``, as a mask."""
        if self.rule is None:
            return 0
        rule_mask: int = getattr(self.rule, regime.value)
        return self.allowed & rule_mask

    def masks(self) -> tuple[tuple[Reason, int], ...]:
        """Return every reason with its mask, in order of precedence."""
        return tuple((reason, getattr(self, _ATTRIBUTE[reason])) for reason in Reason)


_ATTRIBUTE: Final = {reason: reason.value for reason in Reason} | {Reason.OK: "allowed"}
