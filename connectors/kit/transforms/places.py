"""Communes, countries and addresses."""

from __future__ import annotations

import re
from typing import Any

from connectors.kit.transforms.base import Table, text, texts

_COMMUNE = re.compile("(?!99)[0-9][0-9AB][0-9]{3}")


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


def address_lines(value: Any, _: Table) -> list[str] | None:
    """The lines of an address that say something, each squeezed to single spaces."""
    return [" ".join(line.split()) for line in texts(value, {})] or None


def postal_code(value: Any, _: Table) -> str | None:
    """The five digits an address line begins with (``51000 CHÂLONS-EN-CHAMPAGNE``); nothing when it has none.

    A number that was typed lost its leading zero and gets it back; a text of four digits is a foreign code.
    """
    found = re.match(r"\s*([0-9]{5})\b", f"{value:05}" if type(value) is int else str(value))
    return found[1] if found else None
