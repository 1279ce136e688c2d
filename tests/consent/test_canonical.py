"""The canonical form against the reference implementation of RFC 8785, value by value."""

from __future__ import annotations

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consent.canonical import digest, jcs

TEXTS = st.text(max_size=8) | st.sampled_from(
    ["\x00", "\x1f", "\x7f", "\\", '"', "/", "\u2028", "é", "😀", "\ue000", "\ud800"]
)
NUMBERS = st.integers(-(2**54), 2**54) | st.sampled_from(
    [2**53 - 1, 2**53, -(2**53), 0.0, -0.0, 1e21, 1e-7, 0.1, math.nan]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4))
@example({"\ue000": 1, "😀": 2})
@example({"b": [1, "x", None, True, {"é": "a", "a": "\x0b"}], "a": -(2**53) + 1})
def test_the_bytes_of_rfc_8785(value: dict[str, Any]) -> None:
    try:
        expected = rfc8785.dumps(value)
    except ValueError:
        with pytest.raises(ValueError):
            jcs(value)
    else:
        assert jcs(value) == expected


@pytest.mark.parametrize(
    "value", [{"n": 2**53}, {"n": math.inf}, {1: "a"}, {"d": {1, 2}}, {"s": "\ud800"}, {"\ud800": 1}]
)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        jcs(value)


def test_a_payload_and_its_bytes_have_one_digest() -> None:
    assert digest({"b": 1, "a": ["é"]}) == digest('{"a":["é"],"b":1}'.encode())
