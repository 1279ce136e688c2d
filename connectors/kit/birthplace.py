"""The birthplace a NIR tells, for sources that give the number and not the place (the monthly RSA stream).

Characters 6 to 10 of a NIR are the COG code of the commune, or of the country (99xxx), of birth. Without them a
record of the stream and one that has a birthplace but no NIR would share no strong token, and a human would have to
look at every such pair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from connectors.kit.identity import Identity

# Numbered otherwise than today's COG: Corsica before 1976; Seine, Seine-et-Oise, and Algeria before 1968.
_ALWAYS_MOVED: Final = frozenset({"20"})
_MOVED_BEFORE_1968: Final = frozenset({"75", "78", "91", "92", "93", "94", "95", "96"})


def with_birthplace(identity: Identity) -> Identity:
    """Return ``identity`` with the birthplace its NIR tells, or as it is.

    Only when it has none, and only from a NIR that contradicts nothing beside it, with a birth month to check it
    against, and a place whose number has not changed since.
    """
    number, born = identity.nir, identity.date_naissance
    if number is None or not identity.nir_coherent or identity.birthplace or not born.month:
        return identity
    place = number[5:10]
    moved = place[:2] in _ALWAYS_MOVED or (born.year < 1968 and place[:2] in _MOVED_BEFORE_1968)
    if number[0] not in "12" or not 1 <= int(number[3:5]) <= 12 or moved:
        return identity
    if not place.startswith("99"):
        return replace(identity, code_cog_insee_commune_naissance=place)
    # Born abroad, says the number; a source that wrote "France" without a commune says otherwise.
    known = identity.code_cog_insee_pays_naissance
    return identity if known else replace(identity, code_cog_insee_pays_naissance=place)
