"""The named transforms a mapping may use: small pure functions from a source's notation to the dossier's.

Each takes the value found by ``from`` (one, or a list where ``from`` is a list) and the code table named beside it
(empty when none is). It returns the dossier's value, or ``None`` for "the source says nothing"; it raises
``Refused`` (``base``) for a value it cannot read. None of them guesses, and none turns nothing into zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.kit.transforms.amounts import decimal, integer, latest_resources, money, protected_resources
from connectors.kit.transforms.base import Transform, as_is, joined, text, texts
from connectors.kit.transforms.codes import boolean, code, codes, first_code
from connectors.kit.transforms.dates import (
    birth_date,
    birth_date_or_parts,
    birth_date_parts,
    birth_date_typed,
    calendar_date,
    first_of_month,
    instant,
    month,
)
from connectors.kit.transforms.persons import civil_key, given_of_two, matricule_caf, nir, phone, sex, surname_of_two
from connectors.kit.transforms.places import (
    address_lines,
    birth_commune,
    birth_country,
    birthplace_code,
    insee_code,
    postal_code,
)

BUILT_IN: Final[Mapping[str, Transform]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            *(text, as_is, texts, joined),
            *(calendar_date, month, first_of_month, instant),
            *(birth_date, birth_date_parts, birth_date_or_parts, birth_date_typed),
            *(boolean, code, codes, first_code),
            *(integer, decimal, money, latest_resources, protected_resources),
            *(insee_code, birthplace_code, birth_commune, birth_country, address_lines, postal_code),
            *(sex, surname_of_two, given_of_two, nir, matricule_caf, phone, civil_key),
        )
    }
)
"""Each under the name a ``mapping.toml`` gives it."""
