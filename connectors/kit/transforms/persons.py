"""Who somebody is: sex, names, numbers, and where they can be called."""

from __future__ import annotations

import re
from typing import Any, Final

from connectors.kit.names import glue, normalise, surname_first
from connectors.kit.nir import parse_nir
from connectors.kit.port import Reason
from connectors.kit.transforms.base import Refused, Table

_SEX: Final = dict.fromkeys(("m", "1", "h", "male", "masculin", "homme", "monsieur", "mr"), "M") | dict.fromkeys(
    ("f", "2", "female", "feminin", "féminin", "femme", "madame", "mme", "mlle"), "F"
)


def sex(value: Any, _: Table) -> str | None:
    """``M`` or ``F`` from the notations of DOMAIN §5; ``0`` and ``9`` mean unknown (ISO/IEC 5218)."""
    written = str(value).strip().lower().rstrip(".")
    if written in {"0", "9", "i", "unknown"}:
        return None
    if written not in _SEX:
        raise Refused(Reason.UNKNOWN_CODE, "sexe")
    return _SEX[written]


def surname_of_two(value: Any, _: Table) -> str:
    """The surname of ``NOM PRÉNOM``; of ``[text, every text of the household]`` unless that says ``PRÉNOM NOM``."""
    return _two_words(value)[0]


def given_of_two(value: Any, _: Table) -> list[str]:
    """The given name of ``NOM PRÉNOM``, as :func:`surname_of_two`."""
    return _two_words(value)[1:]


def _two_words(value: Any) -> list[str]:
    own, household = value if isinstance(value, list) and len(value) == 2 else (value, [])
    words = surname_first(str(own), map(str, household or ()))
    if words is None:
        raise Refused(Reason.NAMES_NOT_SEPARATED)
    return words


def nir(value: Any, _: Table) -> str:
    """A NIR in its canonical form; a wrong key or structure is refused with the reason ``connectors.kit.nir`` gives."""
    number, why = parse_nir(str(value))
    if number is None:
        raise Refused(Reason.BAD_NIR, why.value if why else "")
    return number


def matricule_caf(value: Any, _: Table) -> str:
    """A CAF MATRICULE: right-padded to 15 with zeros on the wire, 7 when all after the 7th are zeros (DOMAIN §5).

    Fewer than 7 digits have lost leading zeros, never those on the right.
    """
    written = str(value).strip()
    if not re.fullmatch("[0-9]{1,15}", written):
        raise Refused(Reason.BAD_VALUE, "matricule")
    padded = written.zfill(7).ljust(15, "0")
    return padded[:7] if padded[7:] == "0" * 8 else padded


def phone(value: Any, _: Table) -> str:
    """A telephone number: digits alone, ``+`` before a country code; nine digits lost their zero to a spreadsheet."""
    written = re.sub(r"[\s.()\u00a0\u202f-]", "", str(value))
    written = f"0{written}" if re.fullmatch("[1-9][0-9]{8}", written) else written
    written = f"+{written[2:]}" if written.startswith("00") else written
    if not re.fullmatch(r"\+?[0-9]{6,15}", written):
        raise Refused(Reason.BAD_VALUE, "telephone")
    return written


def civil_key(value: Any, _: Table) -> str | None:
    """A local id made of the traits themselves, for a source that has no number: all of them, so homonyms stay two.

    Nothing when there is no name at all: strangers would share it.
    """
    given = value.get("prenoms") or []
    if not given and not value.get("nom_naissance"):
        return None
    names = [value.get("nom_naissance") or "", *(given if isinstance(given, list) else [given])]
    place = value.get("code_cog_insee_commune_naissance") or value.get("code_cog_insee_pays_naissance")
    parts = [glue(normalise(names[0])[0]), glue(normalise(" ".join(names[1:]))[0])]
    return "/".join([*parts, str(value.get("date_naissance") or ""), str(value.get("sexe") or ""), str(place or "")])
