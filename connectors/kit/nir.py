"""The NIR (numéro d'inscription au répertoire): read, checked and compared with the civil status it encodes.

Structure after INSEE: sex (1), year (2), month (2), département (2), commune or country (3), rank (3), key (2).
Length, letters, Corsica and key are ``stdnum.fr.nir``'s; the readings of month and first digit are DOMAIN §5's.
"""

from __future__ import annotations

from stdnum import exceptions
from stdnum.fr import nir as standard
from stdnum.util import clean

from connectors.kit.dates import PartialDate
from connectors.kit.reasons import Reason

_SEX = {"1": "M", "2": "F", "3": "M", "4": "F", "7": "M", "8": "F"}
_PROVISIONAL = frozenset("3478")
# Départements whose communes were once numbered in another: Corsica before 1976, Seine and Seine-et-Oise before 1968.
_ONCE = {"20": {"2A", "2B"}, "75": {"92", "93", "94"}, "78": {"91", "92", "93", "94", "95"}}
# Born abroad: 99, and the former départements of Algeria, protectorates of Morocco and of Tunisia.
_ABROAD = frozenset({"99", "91", "92", "93", "94", "95", "96"})


def parse_nir(text: str) -> tuple[str | None, Reason | None]:
    """Return the canonical NIR written in ``text``, 13 characters without key, or ``None`` and why.

    13 or 15 characters, spaces, dots and hyphens ignored; a key that is given must be right. ``PROVISIONAL`` comes
    *with* a number; every other reason without.
    """
    number = (text if text.isascii() and text.isalnum() else clean(text, " .-").strip()).upper()
    if not number:
        return None, Reason.ABSENT
    if len(number) not in (13, 15):
        return None, Reason.LENGTH
    try:
        # A missing key is computed, so that one call checks the rest; int() of letters is the standard's ValueError.
        standard.validate(number if len(number) == 15 else number + standard.calc_check_digits(number))
    except exceptions.InvalidChecksum:
        return None, Reason.KEY
    except (exceptions.ValidationError, ValueError):
        return None, Reason.LETTERS
    number, month = number[:13], int(number[3:5])
    known_month = 1 <= month <= 12 or 20 <= month <= 42 or month >= 50
    if number[0] not in _SEX or not known_month or number[10:] == "000" or len(set(number)) == 1:
        return None, Reason.FICTITIOUS
    return number, Reason.PROVISIONAL if number[0] in _PROVISIONAL else None


def mismatches(number: str, sex: str, born: PartialDate, birthplace: str) -> tuple[Reason, ...]:
    """Return where a canonical NIR contradicts the civil status beside it; what is unknown contradicts nothing.

    ``sex`` is ``M``, ``F`` or ``""``; ``birthplace`` a COG commune, a country ``99xxx`` or ``""``. Months over 12 mean
    an incomplete civil status and are not compared. Places are compared by département (communes merge), with the
    départements of before 1968 and 1976.
    """
    month = int(number[3:5])
    found = {
        Reason.SEX_MISMATCH: bool(sex) and _SEX[number[0]] != sex,
        Reason.YEAR_MISMATCH: bool(born.year) and int(number[1:3]) != born.year % 100,
        Reason.MONTH_MISMATCH: bool(born.month) and month <= 12 and month != born.month,
        Reason.PLACE_MISMATCH: bool(birthplace) and not _same_place(number[5:10], birthplace),
    }
    return tuple(reason for reason, differs in found.items() if differs)


def _same_place(place: str, birthplace: str) -> bool:
    if birthplace.startswith("99"):
        return place[:2] in _ABROAD
    size = 3 if birthplace[:2] in ("97", "98") else 2
    one, other = place[:size], birthplace[:size]
    return one == other or other in _ONCE.get(one, ()) or one in _ONCE.get(other, ())
