"""Names as the index compares them (DOMAIN §5): upper case, no accent, œ→OE, punctuation to a space, squeezed.

Two spellings of one name must meet, two names must not: so surnames are compared *glued* (``DU PONT`` = ``DUPONT``,
``LA TOUR-BLANC`` = ``LATOUR BLANC``), and a first given name whose extent the source does not tell gives two forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.kit.reasons import Reason

# Letters that Unicode does not decompose into a base letter and an accent.
_LETTERS = str.maketrans(
    {"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss", "ẞ": "SS", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H"}
)
_NOT_A_LETTER = str.maketrans(dict.fromkeys((char for char in map(chr, range(128)) if not char.isalpha()), " "))
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_DIGIT = re.compile(r"[0-9]")
_PLACEHOLDER = re.compile(  # glued
    r"X+|(?:NOM|PRENOM)?INCONNUE?|SANS(?:NOM|PRENOM)|NON(?:RENSEIGNEE?|COMMUNIQUEE?|CONNUE?|PRECISEE?)"
    r"|ANONYME|NEANT|NULL|NR|SNP|SP"
)
_DASH = re.compile(" ?[-‐‑‒–—−] ?")
_SEPARATOR = re.compile(r"[,;/|]")
# Where a space was lost in mixed case: duFontaine, LaMarque, DosSantos, JeanPaul. McDonald is split too, which is
# harmless: the glued form stays what it was.
_LOST_SPACE = re.compile(r"(?<=[a-zà-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])")
_PARTICLES = frozenset(
    re.findall(
        "[A-Z]+",
        "DE DU DES D LE LA LES L DA DO DOS DAS DI DEL DELLA EL AL BEN AIT VAN VON DER DEN SAINT SAINTE ST STE MC O N",
    )
)
_GLUED_PARTICLE = re.compile(r"(?:DELA|DES|DE|DU|LES|LE|LA)(?P<name>[A-Z]{4,})")
_PARTICLE_BEHIND = re.compile(
    r"(?P<name>.*[^\W\d_]) *\( *(?P<particle>[A-Za-z]{1,2}['’]|[A-Za-z]{2,3}(?: [Ll][Aa])?) *\) *"
)
_COMPOUND_FIRST = frozenset(("JEAN", "MARIE", "ANNE", "PIERRE"))
"""First halves of most compound given names: alone, they may be half of one."""
_SHORTEST_PART = 3
_MOST_PARTS = 4
_MOST_GIVEN_WORDS = 6
_MOST_LATER = 4

MAX_GIVEN = 20
"""More given names than this is a column shift or an attack, not a person."""


def normalise(name: str) -> tuple[str, Reason | None]:
    """Return the compared form of ``name`` (words of ``A-Z`` separated by one space), or ``""`` and why there is none.

    Combining marks and invisible format characters vanish, any other non-letter becomes a space. Idempotent.
    """
    if name.isascii() and name.isalpha() and len(name) > 1:  # almost all: what follows, for one word of plain letters
        form = name.upper()
        return ("", Reason.PLACEHOLDER) if _PLACEHOLDER.fullmatch(form) else (form, None)
    text = name
    if not text.isascii():
        text = _FOREIGN.sub(_fold, unicodedata.normalize("NFKD", text).translate(_LETTERS))
    if not text.isalpha() and _DIGIT.search(text):
        return "", Reason.DIGITS
    if not text.isascii():
        return "", Reason.NOT_LATIN
    form = text.upper() if text.isalpha() else " ".join(text.upper().translate(_NOT_A_LETTER).split())
    if not form:
        return "", Reason.ABSENT
    if _PLACEHOLDER.fullmatch(glue(form)):
        return "", Reason.PLACEHOLDER
    if len(form) == 1:
        return "", Reason.ONE_LETTER
    return form, None


def glue(form: str) -> str:
    """Return a normalised form without its spaces: the form that is tokenised."""
    return form.replace(" ", "")


def surname_forms(*names: str) -> tuple[str, ...]:
    """Return the distinct glued forms of the usable ``names`` (birth name, usage name), in that order.

    A particle written behind, in brackets, is put in front: ``GARCIA (DES)`` → ``DESGARCIA``.
    """
    return _distinct(["".join(_surname_words(name)) for name in names if name])


def surname_parts(*names: str) -> tuple[str, ...]:
    """Return what else a surname is known by: halves of a compound name, the name without its particle; at most 4.

    ``BOIS-DELEUN`` → ``BOIS``, ``DELEUN``; ``LE ROUX``, ``LEROUX`` and ``ROUX (LE)`` → ``ROUX``. Weaker than the whole
    names of :func:`surname_forms`, which are never among them.
    """
    whole = surname_forms(*names)
    found = [part for name in names for part in _parts(_surname_words(_LOST_SPACE.sub(" ", name)))]
    return tuple(part for part in _distinct(found) if len(part) >= _SHORTEST_PART and part not in whole)[:_MOST_PARTS]


def _surname_words(name: str) -> list[str]:
    behind = _PARTICLE_BEHIND.fullmatch(name) if ")" in name else None
    return normalise(f"{behind['particle']} {behind['name']}" if behind else name)[0].split()


def _parts(words: Sequence[str]) -> list[str]:
    if len(words) == 1:
        glued = _GLUED_PARTICLE.fullmatch(words[0])
        return [glued["name"]] if glued else []
    halves, current = [], ""
    for word in words:
        current += word
        if word not in _PARTICLES:
            halves.append(current)
            current = ""
    if len(halves) > 1:
        return halves
    return ["".join(word for word in words if word not in _PARTICLES)]


@dataclass(frozen=True, slots=True, repr=False)
class GivenNames:
    """The forms of a person's given names that are compared. ``repr`` shows none of them.

    ``first``: forms of the first given name. ``second``: forms of what follows it. ``count``: how many the source
    gave, 0 when unusable. ``every``: any of them, halves of a compound included, at most 6. ``later``: those behind
    the first and the second half of a compound, at most 4.
    ``half``: the first may be half of a compound name (``MARIE``, ``JEAN PAUL``: where it ends is
    not told).
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    count: int
    every: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    half: bool = False


def given_names(names: str | Sequence[str]) -> tuple[GivenNames, Reason | None]:
    """Return the compared forms of given names, from one string or a list; no forms and a reason when unusable.

    Where the source marks the extent of the first given name (a list of several, commas, a hyphen inside it) it has
    one form, glued: ``["Jean-François"]``, ``Jean-François Marie`` → ``JEANFRANCOIS``. Where it does not
    (``JEAN FRANCOIS``: one compound name, or two names?) it has two: the first word, and the first two glued; the
    hub then wants the rest to agree, and a second given name not to differ.
    """
    elements = _elements(names)
    if len(elements) > MAX_GIVEN:
        return GivenNames((), (), 0), Reason.TOO_MANY
    words = elements[0].split() if elements else []
    unmarked = len(elements) == 1 and len(words) > 1 and "-" not in words[0]
    if len(elements) == 1:
        elements = words
    if len(elements) > MAX_GIVEN:
        return GivenNames((), (), 0), Reason.TOO_MANY
    form, reason = normalise(elements[0]) if elements else ("", Reason.ABSENT)
    if reason is not None:
        return GivenNames((), (), 0), reason
    others = [glue(normalise(element)[0]) for element in elements[1:3]]
    if unmarked:
        first = [form, glue(form) + others[0]]
        second = others
    else:
        first = [glue(form)]
        # The second half of a compound name is where an unmarked spelling of it has its second given name.
        second = [*others[:1], *form.split()[1:2]]
    words = [normalise(element)[0] for element in elements[:_MOST_GIVEN_WORDS]]
    every = _distinct(part for name in words for part in (glue(name), *name.split()) if len(part) > 1)
    forms = _distinct(map(glue, first))
    return (
        GivenNames(
            forms,
            _distinct(second),
            len(elements),
            every[:_MOST_GIVEN_WORDS],
            _distinct((*second, *map(glue, words[1:5])))[:_MOST_LATER],
            (unmarked or len(elements) == 1) and not _COMPOUND_FIRST.isdisjoint(forms),
        ),
        None,
    )


def _elements(names: str | Sequence[str]) -> list[str]:
    given = [names] if isinstance(names, str) else names
    if all(name.isalpha() for name in given):
        return list(given)
    spaced = (_DASH.sub("-", " ".join(name.split())) for name in given)
    parts = (part for name in spaced for part in _SEPARATOR.split(name))
    return [part for part in map(str.strip, parts) if part]


def _distinct(forms: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, forms)))


def _fold(found: re.Match[str]) -> str:
    """Fold one decomposed character: marks and invisible characters away, digits to one of ours, letters kept."""
    category = unicodedata.category(found[0])
    if category.startswith("N"):
        return "0"
    if category.startswith("M") or category == "Cf":
        return ""
    return found[0] if category.startswith("L") and category != "Lm" else " "


def surname_first(written: str, household: Iterable[str] = ()) -> list[str] | None:
    """Return ``[surname, given name]`` of a ``SURNAME GIVEN`` in exactly two words; ``None`` of any other.

    With the texts of the ``household`` it stands in (itself among them), ``None`` too unless they tell that the surname
    comes first: a family shares its surname, so their first words agree more than their second ones; or, where neither
    do, only the first word is in capitals (``LE Goff``). Sources that say "nom prénom" have been seen to write both.
    """
    words = written.split()
    pairs = [each for text in household if len(each := text.split()) == 2]
    if len(words) != 2:
        return None
    if pairs:
        first, second = (_most([pair[place] for pair in pairs]) for place in (0, 1))
        if first < second or (first == second and not (words[0].isupper() and not words[1].isupper())):
            return None
    return words


def _most(words: Sequence[str]) -> int:
    """Return how many of ``words`` at most are the same one."""
    if len(set(words)) == 1:  # a family's surname, mostly: what is written alike need not be compared
        return len(words)
    return max(Counter(map(normalise, words)).values())
