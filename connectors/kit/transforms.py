"""The named transforms a mapping may use: small pure functions from a source's notation to the dossier's.

Each takes the value found by ``from`` (one, or a list where ``from`` is a list) and the code table named beside it
(empty when none is). It returns the dossier's value, or ``None`` for "the source says nothing"; it raises
:class:`Refused` for a value it cannot read. None of them guesses, and none turns nothing into zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

from connectors.kit.dates import FIRST_DAY, day_of, is_day, parse_birth_date
from connectors.kit.names import glue, normalise, surname_first
from connectors.kit.nir import parse_nir
from connectors.kit.port import Reason
from connectors.kit.visible import visible

Table = Mapping[str, Any]
Transform = Callable[[Any, Table], Any]

_TIME = r"(?:[T ][0-9:.,]+(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
_FRENCH_DATE = re.compile(r"([0-3]?[0-9])([-/.])([01]?[0-9])\2([0-9]{4})" + _TIME)
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})" + _TIME)
_ISO_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_COMMUNE = re.compile("(?!99)[0-9][0-9AB][0-9]{3}")
_EUROS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,2})?")
_LARGEST = Decimal(10) ** 9


class Refused(ValueError):  # noqa: N818 (it names what happened, as ``OrderRefused`` does)
    """A value that cannot be read: why, without the value."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def is_blank(value: object) -> bool:
    """Say whether a source's value says nothing: null, blank text, an empty list, or a list of such."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if not isinstance(value, list):
        return False
    for item in value:  # noqa: SIM110 (``all`` of a generator takes twice as long)
        if item is not None and not is_blank(item):
            return False
    return True


def shown(text: str) -> str:
    """Return free text trimmed and as it is seen; raises ``Refused`` for what makes it read otherwise."""
    seen = text.strip() if text.isprintable() else visible(text)  # the former is what ``visible`` does, without a call
    if seen is None:
        raise Refused(Reason.CONTROL_CHARACTER)
    return seen


def text(value: Any, _: Table) -> str | None:
    """Text, trimmed; numbers as they are written."""
    if isinstance(value, str):
        return shown(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(Reason.BAD_VALUE)
    return str(value)


def as_is(value: Any, _: Table) -> Any:
    """The value as the source's own schema lets it through; text trimmed."""
    return shown(value) or None if isinstance(value, str) else value


def calendar_date(value: Any, _: Table) -> str:
    """A full date, ISO or French; a time beside it is dropped, never converted (DOMAIN §5)."""
    written = str(value).strip()
    if is_day(written):
        return written
    if found := _FRENCH_DATE.fullmatch(written):
        written = f"{found[4]}-{found[3]:>02}-{found[1]:>02}"
    elif found := _ISO_DATE.fullmatch(written):
        written = found[1]
    try:
        return date.fromisoformat(written).isoformat()
    except ValueError:
        raise Refused(Reason.BAD_DATE) from None


def month(value: Any, _: Table) -> str:
    """The month of a date, or a month alone: ``2021-08``."""
    written = str(value).strip()
    return written if _ISO_MONTH.fullmatch(written) else calendar_date(written, {})[:7]


def first_of_month(value: Any, _: Table) -> str | None:
    """``[year, month]`` as the first day of that month; nothing when either is unknown."""
    if not isinstance(value, list) or len(value) != 2 or None in value:
        return None
    try:
        return date(int(value[0]), int(value[1]), 1).isoformat()
    except (TypeError, ValueError, OverflowError):
        raise Refused(Reason.BAD_DATE) from None


def instant(value: Any, _: Table) -> str:
    """An aware instant as RFC 3339 UTC with ``Z``, to the second."""
    try:
        at = datetime.fromisoformat(str(value))
        utc = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(Reason.BAD_DATE) from None
    if at.tzinfo is None:
        raise Refused(Reason.BAD_DATE, "fuseau")
    if utc.year < 1900:  # nothing was collected then; and before the year 1000 ``strftime`` leaves zeros out
        raise Refused(Reason.BAD_DATE)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def birth_date(value: Any, _: Table) -> str:
    """A birth date, whole or partial, as far as it is known: ``1990-05-17``, ``1990-05``, ``1990``."""
    written = str(value)
    day = day_of(written)
    if day is not None and day >= FIRST_DAY:  # almost all
        return day
    known, why = parse_birth_date(written)
    if not known.value:
        raise Refused(Reason.BAD_DATE, why.value if why else "")
    return known.value


def birth_date_parts(value: Any, _: Table) -> str | None:
    """A birth date from ``[year, month, day]``, each of which may be unknown."""
    if not isinstance(value, list) or len(value) != 3:
        raise Refused(Reason.BAD_VALUE)
    try:
        year, month_, day = int(value[0] or 0), int(value[1] or 0), int(value[2] or 0)
    except (TypeError, ValueError):
        raise Refused(Reason.BAD_DATE, "date_naissance") from None
    return birth_date(f"{year:04}-{month_:02}-{day:02}", {}) if year else None


def birth_date_or_parts(value: Any, _: Table) -> str | None:
    """A birth date from ``[date, year, month, day]``: the date where it is written whole, else its parts."""
    if not isinstance(value, list) or len(value) != 4:
        raise Refused(Reason.BAD_VALUE)
    whole, *parts = value
    return birth_date_parts(parts, {}) if is_blank(whole) else birth_date(whole, {})


def birth_date_typed(value: Any, table: Table) -> str:
    """A birth date from ``[date, type]``: parts the type (CNAF TYPEDTNAI) says are unknown are dropped.

    The table gives the precision: ``jour``, ``mois`` or ``annee``. No type means that the date is whole.
    """
    written, kind = value
    precision = "jour" if is_blank(kind) else code(kind, table)
    return birth_date(written, {})[: {"jour": 10, "mois": 7, "annee": 4}[precision]]


_TRUE: Final = frozenset({"1", "true", "oui", "o", "vrai", "x"})
_FALSE: Final = frozenset({"0", "false", "non", "n", "faux"})


def boolean(value: Any, _: Table) -> bool:
    """True or false, as JSON, XML Schema or a French table writes it."""
    if isinstance(value, bool):
        return value
    written = str(value).strip().lower()
    if written not in _TRUE and written not in _FALSE:
        raise Refused(Reason.BAD_VALUE, "booleen")
    return written in _TRUE


def integer(value: Any, _: Table) -> int:
    """A whole number; leading zeros are only how it is written."""
    number = _decimal(value)
    if number != number.to_integral_value():
        raise Refused(Reason.BAD_NUMBER)
    return int(number)


def money(value: Any, _: Table) -> int | float:
    """Euros, to the cent: ``0001675.00`` and ``1 675,00 €`` are 1675."""
    if isinstance(value, str) and _EUROS.fullmatch(value):  # almost all of a stream's
        return float(value) if value.partition(".")[2].strip("0") else int(value.partition(".")[0])
    number = _decimal(value.rstrip().removesuffix("€") if isinstance(value, str) else value)
    if -number.as_tuple().exponent > 2 and number != round(number, 2):  # type: ignore[operator]
        raise Refused(Reason.BAD_NUMBER, "centimes")
    return int(number) if number == number.to_integral_value() else float(round(number, 2))


def code(value: Any, table: Table) -> Any:
    """The table's meaning of a code; a code it does not know is refused, not passed on."""
    found = table.get(str(value).strip())
    if found is None:
        raise Refused(Reason.UNKNOWN_CODE)
    return found


def codes(value: Any, table: Table) -> list[Any]:
    """The meanings of several codes, in order, each once; one text may hold them separated by commas."""
    given = value.split(",") if isinstance(value, str) else value
    return list(dict.fromkeys(code(item, table) for item in given if not is_blank(item)))


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


def first_code(value: Any, table: Table) -> Any:
    """The table's meaning of the first of several codes that it knows: the most telling first, the vaguest last."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str | int) and (found := table.get(str(item).strip())) is not None:
            return found
    raise Refused(Reason.UNKNOWN_CODE)


def insee_code(value: Any, _: Table) -> str | None:
    """A commune or country code; a file that made a number of ``08480`` gets the zero back."""
    if isinstance(value, str) and len(value) == 5 and value.isascii() and value.isalnum():  # almost all
        return value
    written = text(value, {})
    # Its length first: almost all have the five characters, and a pattern is slower to say no than that.
    return written.zfill(5) if written and len(written) in (3, 4) and re.fullmatch("[0-9]+", written) else written


def birthplace_code(value: Any, _: Table) -> str | None:
    """The code of a commune; a place in words (``Sainte-Marie``) has none."""
    written = insee_code(value, {})
    return written if written and (written.isdecimal() or written.startswith(("2A", "2B"))) else None


def birth_commune(value: Any, _: Table) -> str | None:
    """The code of the commune of birth; a country's (``99…``), which many write in its place, is none."""
    written = insee_code(value, {})
    return None if written and written.startswith("99") else written


def birth_country(value: Any, _: Table) -> str | None:
    """The code of the country of birth, ``99…``; a commune's, which may stand in the same place, is none."""
    written = insee_code(value, {})
    return None if written and _COMMUNE.fullmatch(written) else written


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


def texts(value: Any, _: Table) -> list[str]:
    """The texts of a list that say something, in order; a text alone is a list of one."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            if not is_blank(item):
                raise Refused(Reason.BAD_VALUE)
        elif seen := shown(item):
            found.append(seen)
    return found


def joined(value: Any, _: Table) -> str | None:
    """The texts of a list that say something, separated by one space."""
    return " ".join(texts(value, {})) or None


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


def latest_resources(value: Any, table: Table) -> list[dict[str, Any]] | None:
    """``RessourcesMensuelles`` of the CAF and MSA stream: the latest month's ``[{nature, montant}]``.

    The table lists the NATRESS whose very label would tell of health or protection: they are left to
    :func:`protected_resources`.
    """
    return [line for line in _latest(value) if line["nature"] not in table] or None


def protected_resources(value: Any, table: Table) -> int | float | None:
    """The sum of the latest month's resources whose label is protected (the table lists them); ``None`` without any."""
    amounts = [line["montant"] for line in _latest(value) if line["nature"] in table]
    return money(sum(Decimal(str(amount)) for amount in amounts), {}) if amounts else None


def decimal(value: Any, _: Table) -> int | float:
    """A number with or without decimals, French or English point."""
    number = _decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)


def address_lines(value: Any, _: Table) -> list[str] | None:
    """The lines of an address that say something, each squeezed to single spaces."""
    return [" ".join(line.split()) for line in texts(value, {})] or None


def _latest(blocks: Any) -> list[dict[str, Any]]:
    block = max(blocks, key=lambda block: str(block["GeneraliteRessourcesMensuelles"]["MOISRESS"]))
    return [
        {"nature": line["NATRESS"], "montant": money(line["MTNATRESSMEN"], {})}
        for line in block["DetailRessourcesMensuelles"]
    ]


def phone(value: Any, _: Table) -> str:
    """A telephone number: digits alone, ``+`` before a country code; nine digits lost their zero to a spreadsheet."""
    written = re.sub(r"[\s.()\u00a0\u202f-]", "", str(value))
    written = f"0{written}" if re.fullmatch("[1-9][0-9]{8}", written) else written
    written = f"+{written[2:]}" if written.startswith("00") else written
    if not re.fullmatch(r"\+?[0-9]{6,15}", written):
        raise Refused(Reason.BAD_VALUE, "telephone")
    return written


def postal_code(value: Any, _: Table) -> str | None:
    """The five digits an address line begins with (``51000 CHÂLONS-EN-CHAMPAGNE``); nothing when it has none.

    A number that was typed lost its leading zero and gets it back; a text of four digits is a foreign code.
    """
    found = re.match(r"\s*([0-9]{5})\b", f"{value:05}" if type(value) is int else str(value))
    return found[1] if found else None


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


BUILT_IN: Final[Mapping[str, Transform]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            *(text, as_is, calendar_date, month, first_of_month, instant, birth_date, birth_date_parts),
            *(birth_date_or_parts, birth_date_typed, boolean, integer, decimal, money, address_lines, code, codes, sex),
            *(
                texts,
                joined,
                first_code,
                insee_code,
                birthplace_code,
                birth_commune,
                birth_country,
                surname_of_two,
                given_of_two,
                nir,
                matricule_caf,
            ),
            *(latest_resources, protected_resources, phone, postal_code, civil_key),
        )
    }
)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise Refused(Reason.BAD_NUMBER)
    written = re.sub(r"[\s\u00a0\u202f]", "", str(value)).replace(",", ".")
    try:
        number = Decimal(written)
    except InvalidOperation:
        raise Refused(Reason.BAD_NUMBER) from None
    if not number.is_finite() or abs(number) > _LARGEST:
        raise Refused(Reason.BAD_NUMBER)
    return number
