"""A person's identity traits, from dossier names to the forms the index compares (DOMAIN §5).

Nothing here guesses: what cannot be used gives a warning with a reason and no token. Traits never leave the edge;
neither ``repr`` nor any error shows one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from connectors.kit.dates import UNKNOWN, PartialDate, parse_birth_date
from connectors.kit.names import GivenNames, given_names, normalise, surname_forms, surname_parts
from connectors.kit.nir import mismatches, parse_nir
from connectors.kit.reasons import Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError

TRAITS = (
    "nom_naissance",
    "nom_usage",
    "prenoms",
    "sexe",
    "date_naissance",
    "code_cog_insee_commune_naissance",
    "code_cog_insee_pays_naissance",
    "nir",
)
MAX_LENGTH = 200
"""Characters in one trait, ten times that in all given names together; more is a broken file."""

_SEX_CODES = {
    "M": ("M", "1", "H", "MALE", "MASCULIN", "HOMME", "MONSIEUR", "MR"),
    "F": ("F", "2", "FEMALE", "FEMININ", "FEMME", "MADAME", "MME", "MLLE"),
    "": ("0", "9"),  # ISO/IEC 5218: not known, not applicable
}
_SEX = {code: sex for sex, codes in _SEX_CODES.items() for code in codes}
_COMMUNE = r"(?:0[1-9]|[1-8][0-9]|9[0-578]|2[AB])[0-9]{3}"
_COUNTRY = r"99[0-9]{3}"
_FRANCE = "99100"
_NO_PLACE = frozenset({"00000", "99000", "99999"})


class IdentityRefused(MaillonError):  # noqa: N818 - a refusal, as the kit names them
    """A trait is not even of the right type, or not a trait at all: the mapping is at fault, not the person."""

    def __init__(self, reason: str, trait: str) -> None:
        super().__init__(ErrorKind.SCHEMA, f"identity trait refused: {reason}", pointer=f"/{trait}")
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """One person's traits, canonical, with the forms that are compared. ``repr`` shows warnings only.

    ``nom_naissance``, ``nom_usage``, ``prenoms``: as received, stripped. ``sexe``: ``M``, ``F`` or ``""``.
    ``code_cog_insee_commune_naissance``: five characters or ``""``; ``code_cog_insee_pays_naissance``: ``99xxx`` or
    ``""``. ``nir``: 13 characters or ``None``. ``surnames``, ``surname_parts``, ``givens``: what is
    tokenised. ``nir_coherent``: whether
    the NIR contradicts nothing beside it. ``warnings``: ``<trait>:<reason>``, in the order of ``TRAITS``.
    """

    nom_naissance: str = ""
    nom_usage: str = ""
    prenoms: tuple[str, ...] = ()
    sexe: str = ""
    date_naissance: PartialDate = UNKNOWN
    code_cog_insee_commune_naissance: str = ""
    code_cog_insee_pays_naissance: str = ""
    nir: str | None = None
    surnames: tuple[str, ...] = ()
    surname_parts: tuple[str, ...] = ()
    givens: GivenNames = field(default=GivenNames((), (), 0))
    nir_coherent: bool = False
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Identity(<not shown>, warnings={self.warnings!r})"

    @property
    def birthplace(self) -> str:
        """The COG commune, else the foreign country ``99xxx``, else ``""`` (France alone is no birthplace)."""
        return _place(self.code_cog_insee_commune_naissance, self.code_cog_insee_pays_naissance)

    @property
    def born_abroad(self) -> bool:
        """Whether the birthplace is *known* to be abroad."""
        return self.birthplace.startswith("99")


def parse_identity(traits: Mapping[str, object], today: date | None = None) -> Identity:
    """Return the identity in ``traits``: dossier names (``TRAITS``) to text, ``prenoms`` to text or a list of text.

    Whole numbers and dates are taken where a file reader typed them (a COG code that lost its leading zero gets it
    back); ``None`` and blank mean absent. ``today`` refuses births in the future. A trait that cannot be used is left
    out with a warning. Raises ``IdentityRefused`` for an unknown trait, a wrong type or an absurd length.
    """
    for name in traits:
        if name not in TRAITS:
            raise IdentityRefused("unknown trait", name if re.fullmatch(r"[a-z_.]{1,60}", name) else "")
    text = {name: _text(name, traits.get(name)) for name in TRAITS if name != "prenoms"}
    prenoms = _texts("prenoms", traits.get("prenoms"))
    found: list[tuple[str, Reason | None]] = [("nom_naissance", normalise(text["nom_naissance"])[1])]
    if text["nom_usage"]:
        found.append(("nom_usage", normalise(text["nom_usage"])[1]))
    givens, reason = given_names(prenoms)
    found.append(("prenoms", reason))
    sex, reason = _sex(text["sexe"])
    found.append(("sexe", reason))
    born, reason = parse_birth_date(text["date_naissance"], today)
    found.append(("date_naissance", reason))
    commune, country, reason = _birthplace(
        text["code_cog_insee_commune_naissance"].upper(), text["code_cog_insee_pays_naissance"]
    )
    found.append(("code_cog_insee_commune_naissance", reason))
    number, coherent = None, False
    if text["nir"]:
        number, reason = parse_nir(text["nir"])
        differing = mismatches(number, sex, born, _place(commune, country)) if number else ()
        coherent = number is not None and reason is None and not differing
        found += [("nir", each) for each in (reason, *differing)]
    return Identity(
        nom_naissance=text["nom_naissance"],
        nom_usage=text["nom_usage"],
        prenoms=prenoms,
        sexe=sex,
        date_naissance=born,
        code_cog_insee_commune_naissance=commune,
        code_cog_insee_pays_naissance=country,
        nir=number,
        surnames=surname_forms(text["nom_naissance"], text["nom_usage"]),
        surname_parts=surname_parts(text["nom_naissance"], text["nom_usage"]),
        givens=givens,
        nir_coherent=coherent,
        warnings=tuple(f"{trait}:{why.value}" for trait, why in found if why is not None),
    )


def differing(one: Identity, other: Identity) -> tuple[str, ...]:
    """Return the traits of ``TRAITS`` in which two identities differ where both say something, spelling apart.

    Names meet when one form of each does; dates are compared at the lower precision (DOMAIN §5); a waiting number
    differs from no NIR.
    """
    born = zip(*((each.year, each.month, each.day) for each in (one.date_naissance, other.date_naissance)), strict=True)
    numbers = [each.nir for each in (one, other) if each.nir and "nir:provisoire" not in each.warnings]
    found = {
        "nom_naissance": _apart(one.surnames, other.surnames),
        "prenoms": _apart(one.givens.first, other.givens.first),
        "sexe": _apart(tuple(one.sexe), tuple(other.sexe)),
        "date_naissance": any(left != right for left, right in born if left and right),
        "nir": len(set(numbers)) == 2,
    }
    return tuple(trait for trait, differs in found.items() if differs)


def _apart(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return bool(one) and bool(other) and set(one).isdisjoint(other)


def _place(commune: str, country: str) -> str:
    return commune or ("" if country == _FRANCE else country)


def _sex(text: str) -> tuple[str, Reason | None]:
    if not text:
        return "", Reason.ABSENT
    code = text.upper().rstrip(".").replace("É", "E")
    return (_SEX[code], None) if code in _SEX else ("", Reason.FORMAT)


def _birthplace(commune: str, country: str) -> tuple[str, str, Reason | None]:
    """Return (commune, country), each canonical or ``""``; a country code in the commune's place is read as one.

    A country that is not one, or one against the commune, leaves no birthplace: half a truth would link strangers.
    """
    if re.fullmatch("[0-9]{4}", commune):  # a spreadsheet or YAML read 08480 as a number
        commune = "0" + commune
    commune, country = ("" if code in _NO_PLACE else code for code in (commune, country))
    if not re.fullmatch(rf"(?:{_COMMUNE}|{_COUNTRY})?", commune) or not re.fullmatch(rf"(?:{_COUNTRY})?", country):
        return "", "", Reason.FORMAT
    abroad = re.fullmatch(_COUNTRY, commune) is not None
    if commune and country not in ("", commune if abroad else _FRANCE):
        return "", "", Reason.CONTRADICTORY
    return ("", commune, None) if abroad else (commune, country, None)


def _text(trait: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        value = value.isoformat()
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise IdentityRefused("wrong type", trait)
    if len(value) > MAX_LENGTH:
        raise IdentityRefused("too long", trait)
    return value.strip()


def _texts(trait: str, value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    texts = tuple(text for item in items if (text := _text(trait, item)))
    if sum(map(len, texts)) > 10 * MAX_LENGTH:
        raise IdentityRefused("too long", trait)
    return texts
