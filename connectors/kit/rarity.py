"""How rare a person's names are: what tells one bearer of a rare name from one of ten thousand namesakes.

A connector looks the names up in a table of shares, its own file's or a public one's, and sends the hub two coarse
flags, never a name or a share: a class of half a power of ten for the whole name, and whether the given name is known.
Without a table both say what is least useful: the hub then links nobody on a rare name.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.kit.identity import Identity
from connectors.kit.names import given_names, surname_forms
from connectors.kit.runtime.errors import ErrorKind, MaillonError

COMMON = 0.005
"""No given name counts as rarer: names run in generations and origins, so that a rare one is common among those who
share a birth year."""
STEPS = 2
"""Classes to a power of ten."""
RAREST = 20
_SEEN_ENOUGH = 3
"""A given name this often in a file is a name, not a typing error."""


@dataclass(frozen=True, slots=True)
class NameShares:
    """Shares of the population by normal form. What is in neither table has at most ``unlisted_surname``.

    ``surnames``, ``givens``: form → share (0 to 1). ``unlisted_surname``: upper bound for a surname not listed.
    ``complete_givens``: whether a given name not listed is probably misspelt.
    """

    surnames: dict[str, float] = field(default_factory=dict, repr=False)
    givens: dict[str, float] = field(default_factory=dict, repr=False)
    unlisted_surname: float = 1.0
    complete_givens: bool = False

    def beside(self, counted: NameShares) -> NameShares:
        """Return these shares, knowing also the given names that ``counted`` does: a table never has them all."""
        if not self.complete_givens:
            return self
        return replace(self, givens=dict.fromkeys(counted.givens, 0.0) | self.givens)

    def rarity(self, identity: Identity) -> int:
        """Return the class of the whole name: ``n`` when at most one person in ``10 ** (n / 2)`` bears it, 0 unknown.

        The most common of its forms counts, so that half a rare compound name is as common as the half.
        """
        names = (*identity.surnames, *identity.surname_parts)
        if not names or not identity.givens.first or not (self.surnames or self.unlisted_surname < 1):
            return 0
        surname = max(self.surnames.get(name, self.unlisted_surname) for name in names)
        given = max(self.givens.get(name, 0.0) for name in identity.givens.first)
        return max(0, min(RAREST, math.floor(-STEPS * math.log10(surname * max(given, COMMON)))))

    def knows_given(self, identity: Identity) -> bool:
        """Say whether the first given name, in one of its forms, is a known one; ``True`` where that cannot be told."""
        return not self.complete_givens or any(name in self.givens for name in identity.givens.first)


UNKNOWN_SHARES = NameShares()


def read_shares(path: Path) -> NameShares:
    """Read a CSV of shares: ``kind`` (``S`` surname, ``G`` given name), ``name``, ``share`` (0 to 1).

    Raises ``MaillonError(CONFIGURATION)`` naming the line for another shape, a share out of bounds or an empty table.
    """
    tables: dict[str, dict[str, float]] = {"S": {}, "G": {}}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"kind", "name", "share"} <= set(rows.fieldnames or ()):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: columns kind, name, share expected")
        for row in rows:
            try:
                table, share = tables[row["kind"]], float(row["share"])
            except (KeyError, TypeError, ValueError):
                share = -1.0
            if not 0 < share <= 1:
                raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: line {rows.line_num}: not a share")
            forms = surname_forms(row["name"]) if row["kind"] == "S" else given_names(row["name"])[0].first[-1:]
            for form in forms:
                table[form] = table.get(form, 0.0) + share
    if not tables["S"] or not tables["G"]:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: surnames and given names expected")
    return NameShares(tables["S"], tables["G"], min(tables["S"].values()), complete_givens=True)


class NameCount:
    """Shares counted in a partner's own file: what a partner has without any public table.

    A name seen ``n`` times among ``N`` persons may well be ``n + 2`` times as common as seen (upper bound of a count),
    so only a file of some hundred thousand persons tells a rare name from a common one.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._surnames: Counter[str] = Counter()
        self._givens: Counter[str] = Counter()
        self._persons = 0

    def add(self, identities: Iterable[Identity]) -> None:
        """Count the names of ``identities``, each form once a person."""
        for identity in identities:
            self._persons += 1
            self._surnames.update({*identity.surnames, *identity.surname_parts})
            self._givens.update(identity.givens.first[:1])

    def shares(self) -> NameShares:
        """Return the shares; with nobody counted, those of a table that knows nothing."""
        if not self._persons:
            return UNKNOWN_SHARES
        # A surname seen once is as good as not listed, and most are: the table is several times as small without them.
        surnames = {name: min(1.0, (n + 2) / self._persons) for name, n in self._surnames.items() if n > 1}
        givens = {name: min(1.0, (n + 2) / self._persons) for name, n in self._givens.items() if n >= _SEEN_ENOUGH}
        return NameShares(surnames, givens, min(1.0, 3 / self._persons), complete_givens=True)
