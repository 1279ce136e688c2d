"""Birthplaces as the index compares them: one code where sources write a commune in several ways (DOMAIN §5).

COG codes are those of the birth date, and sources differ on what that is: a city or its arrondissement, Corsica in one
département (before 1976) or in two. Communes kept their three figures when Corsica was divided. Those of Seine and
Seine-et-Oise (before 1968) are left as written: 75 and 78 alike were spread over 91 to 95, and cannot be told back.
"""

from __future__ import annotations

_CITIES = {
    **{f"751{n:02}": "75056" for n in range(1, 21)},  # Paris
    **{f"6938{n}": "69123" for n in range(1, 10)},  # Lyon
    **{f"132{n:02}": "13055" for n in range(1, 17)},  # Marseille
}


def compared_place(code: str) -> str:
    """Return the form in which a COG code, of a commune or a country, is compared; ``""`` for ``""``."""
    if code[:2] in ("2A", "2B"):
        return f"20{code[2:]}"
    return _CITIES.get(code, code)
