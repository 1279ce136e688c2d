"""The search for personal values finds them however they stand, and mistakes nothing random for one."""

from __future__ import annotations

import random

import pytest

from connectors.kit.runtime import b64url
from hub.cli.demo.scan import SURE, Needles

NAMES = ("BENALI", "Haddad", "Aminata", "2917046", "Maëlle-Anne")


@pytest.mark.parametrize(
    "around",
    ['{{"nom": "{}"}}', "{}", "nom={}&prenom=Anne", "{}Karim", "KARIM{}", "M. {}, 12 rue", "Anne-{}", "{}_2"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_value_is_found_however_it_stands(around: str, encoding: str) -> None:
    for number, name in enumerate(sorted(NAMES)):
        found = Needles(NAMES).in_bytes([b"\0" * 7 + around.format(name.upper()).encode(encoding) + b"\0\0"])
        assert found == {number}, name


def test_a_few_letters_of_a_token_are_no_name() -> None:
    """Every run of six letters of some tokens is looked for in these very tokens: as a thief's haystack has them."""
    tokens = [b64url.encode(random.Random(n).randbytes(64)) for n in range(40)]  # noqa: S311
    inside = [token[at : at + 6] for token in tokens for at in range(1, len(token) - 7)]
    text = "\n".join(tokens).encode()
    assert len(inside[0]) < SURE
    assert Needles(inside).in_bytes([text]) == set()
    # What begins or ends one is not told from a word; a longer part of one is found.
    assert Needles([tokens[0][:6]]).in_bytes([text]) == {0}
    assert Needles([tokens[0][3 : 3 + SURE]]).in_bytes([text]) == {0}
