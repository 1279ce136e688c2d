"""Who may speak for someone else: a mandate's nature, field, scope and dates (DOMAIN §6, C. civ. 372-2, 459, 494-6).

A mandate that may not decide says neither yes nor no: its grants, refusals and objections alike count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class MandateNature(StrEnum):
    """Measures of DOMAIN §3, parental authority, and a judgment that settles who decides."""

    SAUVEGARDE = "sauvegarde"
    CURATELLE_SIMPLE = "curatelle_simple"
    CURATELLE_RENFORCEE = "curatelle_renforcee"
    TUTELLE = "tutelle"
    HABILITATION_FAMILIALE = "habilitation_familiale"
    MANDAT_PROTECTION_FUTURE = "mandat_protection_future"
    MASP = "masp"
    MAJ = "maj"
    MJAGBF = "mjagbf"
    AUTORITE_PARENTALE = "autorite_parentale"
    JUGEMENT = "jugement"


DECIDING: Final = frozenset(
    {
        MandateNature.TUTELLE,
        MandateNature.HABILITATION_FAMILIALE,
        MandateNature.MANDAT_PROTECTION_FUTURE,
        MandateNature.AUTORITE_PARENTALE,
        MandateNature.JUGEMENT,
    }
)
"""Under any other measure (curatelle, sauvegarde, budget measures) the person signs."""
PERSONNE: Final = "personne"
"""The field a mandate must cover: one for property (``biens``) only cannot consent."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """One person's power to speak for another over ``scope`` (a mask) in ``[start, end)``.

    ``holder`` is an opaque handle of the mandatary: two parents have two.
    """

    nature: MandateNature
    holder: str
    champ: frozenset[str]
    scope: int
    start: datetime
    end: datetime

    def decides(self, at: datetime) -> bool:
        """Say whether the holder may decide for the person at ``at``: nature, field and half-open dates."""
        return self.nature in DECIDING and PERSONNE in self.champ and self.start <= at < self.end
