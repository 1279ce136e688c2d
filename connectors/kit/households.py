"""A household's answer seen as persons: who stands in it, how they are tied, and which of them was asked about.

Several sources answer about one person with the record of a whole household. Each member becomes a subject of their
own; about the others a member's fragment may hold the link alone (DESIGN §5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from connectors.kit.dates import PartialDate, parse_birth_date
from connectors.kit.names import given_names, surname_forms


class Member(NamedTuple):
    """One person of a household record: the place in it, the role, the source's own object about them."""

    place: int
    role: str
    data: Any


def links_of(member: Member, members: Sequence[Member], links: Mapping[str, str]) -> list[dict[str, str]]:
    """Return ``[{lien}]`` for every other member, in order; ``links`` maps ``own>other`` (or ``*>other``) roles.

    Roles without an entry give no link.
    """
    found = (
        links.get(f"{member.role}>{other.role}", links.get(f"*>{other.role}"))
        for other in members
        if other is not member
    )
    return [{"lien": link} for link in found if link is not None]


class Forms:
    """The compared forms of names and dates, each text's worked out once: an answer repeats what was asked.

    What it remembers are names of people: it is to go with the stream they stand in.
    """

    def __init__(self, most: int = 4096) -> None:
        self.surname = lru_cache(most)(surname_forms)
        self.first = lru_cache(most)(lambda names: given_names(names)[0].first)
        self.date = lru_cache(most)(lambda text: parse_birth_date(text)[0])


def asked_about(
    asked: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]], forms: Forms | None = None
) -> tuple[int, bool] | None:
    """Return which of ``candidates`` (identity traits) is the person ``asked`` about, and whether nothing contradicts.

    At least two of surname, first given name and birth date must agree, and one candidate must agree best; ``None``
    otherwise: an answer about somebody else must not be filed under the person asked. ``forms`` may be those of the
    same stream.
    """
    forms = forms or Forms()
    scores, wanted = [], _compared(asked, forms)
    for index, candidate in enumerate(candidates):
        verdicts = _agreements(wanted, _compared(candidate, forms))
        agreed, differing = verdicts.count(True), verdicts.count(False)
        if agreed >= 2:
            scores.append((agreed - differing, differing == 0, index))
    if len(scores) > 1:
        scores.sort(key=lambda score: score[0])
    if not scores or (len(scores) > 1 and scores[-1][0] == scores[-2][0]):
        return None
    _, coherent, index = scores[-1]
    return index, coherent


_Compared = tuple[tuple[str, ...], tuple[str, ...], PartialDate]
"""Forms of the surname, forms of the first given name, birth date."""


def _compared(traits: Mapping[str, Any], forms: Forms) -> _Compared:
    given = traits.get("prenoms") or ""
    return (
        forms.surname(str(traits.get("nom_naissance") or ""), str(traits.get("nom_usage") or "")),
        forms.first(given if isinstance(given, str) else tuple(given)),
        forms.date(str(traits.get("date_naissance") or "")),
    )


def _agreements(one: _Compared, other: _Compared) -> list[bool | None]:
    return [_meet(one[0], other[0]), _meet(one[1], other[1]), _same_date(one[2], other[2])]


def _meet(one: Sequence[str], other: Sequence[str]) -> bool | None:
    return not set(one).isdisjoint(other) if one and other else None


def same_written(one: str, other: str) -> bool:
    """Say whether two sources' texts tell the same: to the letter, but of two dates written with their separators the
    day, as far as both know it; a time and its zone move none (DOMAIN §5).
    """
    if one == other:
        return True
    if one.isdigit() or other.isdigit():  # a number, whatever date its digits would make
        return False
    return _same_date(parse_birth_date(one)[0], parse_birth_date(other)[0]) or False


def _same_date(one: PartialDate, other: PartialDate) -> bool | None:
    """Compare at the lower precision (DOMAIN §5)."""
    if not one.year or not other.year:
        return None
    if one == other:
        return True
    pairs = ((one.year, other.year), (one.month, other.month), (one.day, other.day))
    return all(left == right for left, right in pairs if left and right)
