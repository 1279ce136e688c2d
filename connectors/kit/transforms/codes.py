"""Codes of a source, and its ways to say yes and no."""

from __future__ import annotations

from typing import Any, Final

from connectors.kit.port import Reason
from connectors.kit.transforms.base import Refused, Table, is_blank


def boolean(value: Any, _: Table) -> bool:
    """True or false, as JSON, XML Schema or a French table writes it."""
    if isinstance(value, bool):
        return value
    written = str(value).strip().lower()
    if written not in _TRUE and written not in _FALSE:
        raise Refused(Reason.BAD_VALUE, "booleen")
    return written in _TRUE


_TRUE: Final = frozenset({"1", "true", "oui", "o", "vrai", "x"})
_FALSE: Final = frozenset({"0", "false", "non", "n", "faux"})


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


def first_code(value: Any, table: Table) -> Any:
    """The table's meaning of the first of several codes that it knows: the most telling first, the vaguest last."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str | int) and (found := table.get(str(item).strip())) is not None:
            return found
    raise Refused(Reason.UNKNOWN_CODE)
