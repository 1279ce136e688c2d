"""What the strict reader refuses, and that it agrees with ``json`` on everything else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text("abé\"\\"), children, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
@settings(max_examples=100)
def test_reads_back_what_json_writes(value: object) -> None:
    assert strict_json.loads(json.dumps(value)) == value
    assert strict_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"nir":"SECRET","nir":"x"}',
        b'{"a":{"b":[{"c":"SECRET","c":2}]}}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e400",
        b'"\\ud800SECRET"',
        b'"\xff\xfeSECRET"',
        b"\xef\xbb\xbf{}",
        b'{"a":1}SECRET',
        b"{'a':'SECRET'}",
        b"[1,]",
        b"01",
        b"",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5000,
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_refuses_without_quoting(text: bytes) -> None:
    with pytest.raises(MaillonError) as caught:
        strict_json.loads(text)
    assert caught.value.kind is ErrorKind.MALFORMED
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_lone_surrogate_given_as_text_is_refused() -> None:
    with pytest.raises(MaillonError):
        strict_json.loads('"\ud800"')


def test_limits_are_exact() -> None:
    assert strict_json.loads("[" * 32 + "]" * 32) is not None
    assert strict_json.loads('["abc"]', max_bytes=7) == ["abc"]
    with pytest.raises(MaillonError) as caught:
        strict_json.loads('["abc"]', max_bytes=6)
    assert caught.value.kind is ErrorKind.TOO_LARGE
    assert strict_json.loads("9007199254740991") == 2**53 - 1


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null"])
def test_an_object_is_an_object(text: str) -> None:
    with pytest.raises(MaillonError):
        strict_json.loads_object(text)
