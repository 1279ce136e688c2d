"""How a French name sounds: one code for ``Philippe`` and ``Filipe``, for ``Leïla`` and ``Layla``.

A coarse code for names already normalised to ``A-Z``, after the usual rules of French spelling: several letters for one
sound, mute letters, nasal vowels. Strangers share codes; it is only ever compared together with a birth date.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NASAL = r"(?=[BCDFGHJKLPQRSTVWXZ]|$)"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), code)
    for pattern, code in (
        ("PH", "F"),
        ("Y", "I"),
        ("AUL[TDX]$", "O"),
        ("EAU|AU", "O"),
        ("OEU|OE|EU|AI|EI", "E"),
        ("QU", "K"),
        ("SCH|CH|SH", "2"),
        ("S?C(?=[EI])", "S"),
        ("CK|[CQ]", "K"),
        ("GE(?=[AO])|G(?=[EI])", "J"),
        ("GU(?=[EI])", "G"),
        ("H", ""),
        ("W", "V"),
        ("[ZX]", "S"),
        ("TION", "SION"),
        (f"[AEIU][NM]{_NASAL}", "1"),
        (f"O[NM]{_NASAL}", "3"),
        ("ILL?", "I"),
        ("OU", "U"),
        (r"(.)\1+", r"\1"),
        ("E[RS]$", "E"),
        ("(?<=.)[TDSPE]+$", ""),
    )
)


@lru_cache(maxsize=16384)
def phonetic(name: str) -> str:
    """Return the code of ``name`` (letters ``A-Z``, glued); ``""`` for ``""``."""
    code = name
    for pattern, sound in _RULES:
        code = pattern.sub(sound, code)
    return code or name
