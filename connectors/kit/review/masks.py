"""A person's traits, masked: two sides can be compared, and neither can be read (ADR 0021).

A *mark* is a keyed digest, the same at every edge during one look and another in the next. The key is the connectors'
(``Tokeniser``): neither the hub nor the reviewer can try a name. Of each word of a name every beginning and every end
is marked, never a letter by itself: two words show where they part and where they meet again, and none shows which of
its letters are the same. Digits of a NIR and of a date are marked with their place. In clear stand the lengths of the
words, the sex, and flags.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from connectors.kit.communes import compared_place
from connectors.kit.identity import Identity
from connectors.kit.names import normalise
from connectors.kit.runtime import b64url
from connectors.kit.tokens import Tokeniser

FIELDS: Final = (
    "identite.nom_naissance",
    "identite.nom_usage",
    "identite.prenoms",
    "identite.sexe",
    "identite.date_naissance",
    "identite.code_cog_insee_commune_naissance",
    "identifiants.nir",
)
"""What can be asked for, by dossier path. The commune stands for the whole birthplace, a country among them."""
PURPOSE: Final = "revue_identite"
"""The one purpose: keeping data exact (RGPD, art. 5(1)(d); to be confirmed by the DPO)."""
MOST_WORDS: Final = 8
MOST_LETTERS: Final = 24
"""Of one word; a longer one is compared so far, and as a whole."""
_MARK_BYTES: Final = 6
_KIND: Final = "mask"  # no kind of token: a mark never compares with what the hub holds

Json = dict[str, Any]
Mark = Callable[[str, str], str]


def marks_of(tokeniser: Tokeniser, request_digest: str) -> Mark:
    """Return what marks a value of an alphabet (``debut``, ``nir/3``, …) for the look of one request."""
    known: dict[tuple[str, str], str] = {}
    # Under the oldest epoch, which every edge has, however far it has come: two sides of a look must always compare.
    keyed = tokeniser.former[0] if tokeniser.former else tokeniser

    def mark(alphabet: str, value: str) -> str:
        if (alphabet, value) not in known:
            whole = "\x1f".join((request_digest, alphabet, value))
            known[alphabet, value] = b64url.encode(keyed.token(_KIND, whole)[:_MARK_BYTES])
        return known[alphabet, value]

    return mark


def masked(identity: Identity, fields: Collection[str], mark: Mark, *, prenom_connu: bool) -> Json:
    """Return the masked traits of ``fields`` (schema ``masked_traits``), by path; ``None`` for one that is missing.

    ``prenom_connu`` says whether the first given name is one that people bear (``rarity``).
    """
    made: dict[str, Callable[[], Json | str | None]] = {
        "identite.nom_naissance": lambda: _name(identity.nom_naissance, mark),
        "identite.nom_usage": lambda: _name(identity.nom_usage, mark),
        "identite.prenoms": lambda: _givens(identity, mark, prenom_connu),
        "identite.sexe": lambda: identity.sexe or None,
        "identite.date_naissance": lambda: _date(identity, mark),
        "identite.code_cog_insee_commune_naissance": lambda: _place(identity, mark),
        "identifiants.nir": lambda: _nir(identity, mark),
    }
    return {field: made[field]() for field in FIELDS if field in fields}


def _name(text: str, mark: Mark) -> Json | None:
    words = normalise(text)[0].split()[:MOST_WORDS]
    if not words:
        return None
    return {"entier": mark("nom", "".join(words)), "mots": [_word(word[:MOST_LETTERS], mark) for word in words]}


def _word(word: str, mark: Mark) -> Json:
    places = range(1, len(word) + 1)
    return {
        "debuts": [mark("debut", word[:place]) for place in places],
        "fins": [mark("fin", word[-place:]) for place in places],
    }


def _givens(identity: Identity, mark: Mark, known: bool) -> Json | None:
    said = _name(" ".join(identity.prenoms), mark)
    return None if said is None else {**said, "connu": known}


def _date(identity: Identity, mark: Mark) -> Json | None:
    born = identity.date_naissance
    if not born.year:
        return None

    # Day and month have their digits in common places, and so have the last two of a year: swapped, they show it.
    def digits(number: int, places: str) -> list[str] | None:
        told = zip(places, str(number).zfill(len(places)), strict=True)
        return [mark(f"date/{place}", digit) for place, digit in told] if number else None

    return {"annee": digits(born.year, "mcaa"), "mois": digits(born.month, "du"), "jour": digits(born.day, "du")}


def _place(identity: Identity, mark: Mark) -> Json | None:
    place = compared_place(identity.birthplace)
    if not place:
        return None
    area = mark("lieu", "99" if identity.born_abroad else place[: 3 if place[:2] == "97" else 2])
    return {"etranger": identity.born_abroad, "departement": area, "commune": mark("lieu", place)}


def _nir(identity: Identity, mark: Mark) -> Json | None:
    if identity.nir is None:
        return None
    marks = [mark(f"nir/{place}", digit) for place, digit in enumerate(identity.nir)]
    return {"coherent": identity.nir_coherent, "marques": marks}
