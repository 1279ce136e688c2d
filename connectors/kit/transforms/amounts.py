"""Numbers, euros, and the resources of the monthly RSA stream."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.kit.port import Reason
from connectors.kit.transforms.base import Refused, Table

_EUROS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,2})?")
_LARGEST = Decimal(10) ** 9


def integer(value: Any, _: Table) -> int:
    """A whole number; leading zeros are only how it is written."""
    number = _decimal(value)
    if number != number.to_integral_value():
        raise Refused(Reason.BAD_NUMBER)
    return int(number)


def decimal(value: Any, _: Table) -> int | float:
    """A number with or without decimals, French or English point."""
    number = _decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)


def money(value: Any, _: Table) -> int | float:
    """Euros, to the cent: ``0001675.00`` and ``1 675,00 €`` are 1675."""
    if isinstance(value, str) and _EUROS.fullmatch(value):  # almost all of a stream's
        return float(value) if value.partition(".")[2].strip("0") else int(value.partition(".")[0])
    number = _decimal(value.rstrip().removesuffix("€") if isinstance(value, str) else value)
    if -number.as_tuple().exponent > 2 and number != round(number, 2):  # type: ignore[operator]
        raise Refused(Reason.BAD_NUMBER, "centimes")
    return int(number) if number == number.to_integral_value() else float(round(number, 2))


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


def _latest(blocks: Any) -> list[dict[str, Any]]:
    block = max(blocks, key=lambda block: str(block["GeneraliteRessourcesMensuelles"]["MOISRESS"]))
    return [
        {"nature": line["NATRESS"], "montant": money(line["MTNATRESSMEN"], {})}
        for line in block["DetailRessourcesMensuelles"]
    ]


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
