"""Two sides' masked traits beside one another, in words a reviewer can decide by. Pure; knows no key and no letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

LABELS: Final = {
    "identite.nom_naissance": "nom de naissance",
    "identite.nom_usage": "nom d’usage",
    "identite.prenoms": "prénoms",
    "identite.sexe": "sexe",
    "identite.date_naissance": "date de naissance",
    "identite.code_cog_insee_commune_naissance": "lieu de naissance",
    "identifiants.nir": "NIR",
}
SAME, OTHER = "·", "▮"
"""A letter both sides begin or end a word with, and one where they part. Which letter it is, nobody is told."""
_LONG: Final = 6
"""Letters from which two may differ in a slip."""
_SEGMENTS: Final = (
    ("le sexe", 0, 1),
    ("l’année", 1, 3),
    ("le mois", 3, 5),
    ("le département", 5, 7),
    ("la commune", 7, 10),
    ("le rang à l’état civil", 10, 13),
)
_PARTS: Final = (("jour", "le jour"), ("mois", "le mois"), ("annee", "l’année"))

Json = Mapping[str, Any]


class Verdict(StrEnum):
    """What a trait says of the two sides."""

    SAME = "identique"
    CLOSE = "proche"
    DIFFERENT = "different"
    MISSING = "manquant"
    WITHHELD = "non_communique"


@dataclass(frozen=True, slots=True)
class Line:
    """One trait of both sides: how it is drawn on each, and what that means."""

    field: str
    verdict: Verdict
    one: str
    other: str
    says: str


def compare(one: Json, other: Json) -> list[Line]:
    """Return a line for each field that either side was asked for, in their order.

    ``one``, ``other``: masked traits (schema ``masked_traits``), field → mask, ``None`` where the record lacks it; a
    field a side's own policy keeps is not there.
    """
    return [_line(field, one, other) for field in LABELS if field in one or field in other]


def _line(field: str, one: Json, other: Json) -> Line:
    if field not in one or field not in other:
        return Line(field, Verdict.WITHHELD, *_ends(one, other, field, "–"), "gardé par un organisme")
    left, right = one[field], other[field]
    if left is None or right is None:
        return Line(field, Verdict.MISSING, *_ends(one, other, field, "absent"), "absent de l’un des deux")
    if field == "identite.sexe":
        verdict = Verdict.SAME if left == right else Verdict.DIFFERENT
        return Line(field, verdict, left, right, "le même" if left == right else "différent")
    if field == "identite.date_naissance":
        return _dates(field, left, right)
    if field.endswith("commune_naissance"):
        return _places(field, left, right)
    if field == "identifiants.nir":
        return _numbers(field, left, right)
    line = _names(field, left, right)
    swapped = {"identite.nom_naissance": "identite.prenoms", "identite.prenoms": "identite.nom_naissance"}.get(field)
    crossed = other.get(swapped or "")
    if line.verdict is not Verdict.SAME and crossed and crossed["entier"] == left["entier"]:
        return Line(field, Verdict.CLOSE, line.one, line.other, "nom et prénom sont intervertis")
    return line


def _ends(one: Json, other: Json, field: str, absent: str) -> tuple[str, str]:
    left, right = ("présent" if side.get(field) is not None else absent for side in (one, other))
    return left, right


def _names(field: str, one: Json, other: Json) -> Line:
    known = _known(one, other)
    pairs, left, right = _paired(one["mots"], other["mots"])
    drawn = _drawn(one["mots"], pairs, 0), _drawn(other["mots"], pairs, 1)
    if [word["debuts"] for word in one["mots"]] == [word["debuts"] for word in other["mots"]]:
        return Line(field, Verdict.SAME, *drawn, f"identiques{known}")
    if one["entier"] == other["entier"]:
        return Line(field, Verdict.CLOSE, *drawn, f"identiques, espaces à part{known}")
    apart = [pair for pair in pairs if pair.apart]
    if not apart:
        missing = "à gauche" if right and not left else "à droite" if left and not right else ""
        how = f"{missing}, une partie seulement" if missing else "les mêmes mots, dans un autre ordre"
        return Line(field, Verdict.CLOSE if pairs else Verdict.DIFFERENT, *drawn, f"{how}{known}")
    if all(pair.is_close for pair in apart) and not (left or right):
        return Line(field, Verdict.CLOSE, *drawn, f"{' ; '.join(pair.says for pair in apart)}{known}")
    return Line(field, Verdict.DIFFERENT, *drawn, f"différents{known}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two words set side by side: their places, lengths, and how many letters they begin and end alike with."""

    places: tuple[int, int]
    lengths: tuple[int, int]
    begins: int
    ends: int

    @property
    def apart(self) -> int:
        """The longer of the two stretches in which they differ."""
        return max(self.lengths) - self.begins - self.ends

    @property
    def is_close(self) -> bool:
        """One letter more, less or other; or two of a word that is long enough."""
        return self.apart <= (1 if max(self.lengths) < _LONG else 2)

    @property
    def says(self) -> str:
        """In words, seen from the left."""
        left, right = (length - self.begins - self.ends for length in self.lengths)
        letters = f"{self.apart} lettre{'s' if self.apart > 1 else ''}"
        how = "en plus à droite" if not left else "en moins à droite" if not right else "de différence"
        where = "au début" if not self.begins else "à la fin" if not self.ends else "dans le mot"
        return f"{letters} {how}, {where}"


def _paired(one: Sequence[Json], other: Sequence[Json]) -> tuple[list[_Pair], list[int], list[int]]:
    """Pair equal words wherever they stand, then the rest in order; return the pairs and who stays alone."""
    left, right = list(range(len(one))), list(range(len(other)))
    pairs = []
    for i in list(left):
        same = next((j for j in right if one[i]["debuts"] == other[j]["debuts"]), None)
        if same is not None:
            pairs.append(_side_by_side(one, other, i, same))
            left.remove(i)
            right.remove(same)
    if len(left) == len(right):
        pairs += [_side_by_side(one, other, i, j) for i, j in zip(left, right, strict=True)]
        left, right = [], []
    return pairs, left, right


def _side_by_side(one: Sequence[Json], other: Sequence[Json], i: int, j: int) -> _Pair:
    lengths = len(one[i]["debuts"]), len(other[j]["debuts"])
    begins = _alike(one[i]["debuts"], other[j]["debuts"])
    # ANNA beside ANA begins and ends alike with more letters than it has: what began is not counted twice.
    ends = min(_alike(one[i]["fins"], other[j]["fins"]), min(lengths) - begins)
    return _Pair((i, j), lengths, begins, ends)


def _alike(left: Sequence[str], right: Sequence[str]) -> int:
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _drawn(words: Sequence[Json], pairs: Sequence[_Pair], side: int) -> str:
    found = {pair.places[side]: pair for pair in pairs}
    drawn = []
    for place, word in enumerate(words):
        pair, length = found.get(place), len(word["debuts"])
        begins, ends = (pair.begins, pair.ends) if pair else (0, 0)
        drawn.append(SAME * begins + OTHER * (length - begins - ends) + SAME * ends)
    return " ".join(drawn)


def _known(one: Json, other: Json) -> str:
    if "connu" not in one or "connu" not in other:
        return ""
    told = {
        (True, True): "les deux sont des prénoms portés",
        (True, False): "celui de droite n’est pas un prénom connu",
        (False, True): "celui de gauche n’est pas un prénom connu",
        (False, False): "aucun n’est un prénom connu",
    }
    return f" ; {told[bool(one['connu']), bool(other['connu'])]}"


def _dates(field: str, one: Json, other: Json) -> Line:
    drawn = (
        " ".join(_part(one[name], other[name]) for name, _ in _PARTS),
        " ".join(_part(other[name], one[name]) for name, _ in _PARTS),
    )
    both = [(name, label) for name, label in _PARTS if one[name] and other[name]]
    apart = [(name, label) for name, label in both if one[name] != other[name]]
    partial = "" if len(both) == len(_PARTS) else " ; l’une est partielle"
    if not apart:
        return Line(field, Verdict.SAME, *drawn, f"identiques{partial}")
    if (
        {name for name, _ in apart} == {"jour", "mois"}
        and one["jour"] == other["mois"]
        and one["mois"] == other["jour"]
    ):
        return Line(field, Verdict.CLOSE, *drawn, "jour et mois intervertis")
    if len(apart) == 1:
        name, label = apart[0]
        digits = sum(a != b for a, b in zip(one[name], other[name], strict=True))
        turned = name == "annee" and sorted(one[name]) == sorted(other[name])
        how = "deux chiffres intervertis" if turned else f"{digits} chiffre{'s' if digits > 1 else ''}"
        return Line(
            field, Verdict.CLOSE, *drawn, f"seul{'e' if name == 'annee' else ''} {label} diffère ({how}){partial}"
        )
    said = " et ".join(label for _, label in apart)
    return Line(field, Verdict.DIFFERENT, *drawn, f"{said} diffèrent{partial}")


def _part(mine: Sequence[str] | None, theirs: Sequence[str] | None) -> str:
    if mine is None:
        return "?"
    return "".join(SAME if theirs and theirs[i] == mark else OTHER for i, mark in enumerate(mine))


def _places(field: str, one: Json, other: Json) -> Line:
    def drawn(side: Json) -> str:
        return "à l’étranger" if side["etranger"] else "en France"

    if one["commune"] == other["commune"]:
        return Line(
            field, Verdict.SAME, drawn(one), drawn(other), "le même pays" if one["etranger"] else "la même commune"
        )
    if one["departement"] == other["departement"]:
        near = "deux pays" if one["etranger"] else "deux communes d’un même département"
        return Line(field, Verdict.DIFFERENT if one["etranger"] else Verdict.CLOSE, drawn(one), drawn(other), near)
    return Line(field, Verdict.DIFFERENT, drawn(one), drawn(other), "différents")


def _numbers(field: str, one: Json, other: Json) -> Line:
    left, right = one["marques"], other["marques"]
    drawn = ("".join(SAME if a == b else OTHER for a, b in zip(left, right, strict=True)),) * 2
    doubt = "" if one["coherent"] and other["coherent"] else " ; l’un contredit l’état civil à côté de lui"
    apart = [label for label, begin, end in _SEGMENTS if left[begin:end] != right[begin:end]]
    if not apart:
        return Line(field, Verdict.SAME, *drawn, f"identiques{doubt}")
    digits = sum(a != b for a, b in zip(left, right, strict=True))
    if apart == ["le rang à l’état civil"]:
        return Line(field, Verdict.DIFFERENT, *drawn, f"seul le rang diffère : jumeaux, ou voisins de registre{doubt}")
    verdict = Verdict.CLOSE if digits <= 2 and len(apart) == 1 else Verdict.DIFFERENT
    return Line(
        field, verdict, *drawn, f"diffèrent par {', '.join(apart)} ({digits} chiffre{'s' if digits > 1 else ''}){doubt}"
    )
