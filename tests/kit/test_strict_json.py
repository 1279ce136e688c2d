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


numbers = st.integers(-(2**70), 2**70).map(str) | st.sampled_from(
    ["0", "-0", "1.0", "-0.0", "1e2", "1E400", "1e-400", "0.1e+3", "9007199254740993.0", "1" * 20, "1" * 21 + ".5"]
)
names = st.sampled_from(["a", "b", "e+", "é", "\\u0061", "{", "["])
documents = st.recursive(
    numbers | names.map(lambda text: f'"{text}"') | st.sampled_from(["null", "true", "NaN", '"\\""']),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
        | st.lists(st.tuples(names, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


def careful(text: str) -> object:
    """The same rules by Python's parser alone."""

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def whole(digits: str) -> int:
        assert abs(int(digits)) < 2**53
        return int(digits)

    def real(digits: str) -> float:
        assert abs(float(digits)) != float("inf")
        return float(digits)

    return json.loads(text, object_pairs_hook=members, parse_int=whole, parse_float=real, parse_constant=whole)


@given(documents)
@settings(max_examples=1500, deadline=None)
def test_reads_what_python_reads_carefully_or_nothing(text: str) -> None:
    try:
        expected = careful(text)
    except (AssertionError, ValueError):
        with pytest.raises(MaillonError):
            strict_json.loads(text)
        return
    found = strict_json.loads(text)
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "text",
    [
        b'{"nir":"SECRET","nir":"x"}',
        b'{"a":{"b":[{"c":"SECRET","c":2}]}}',
        b'{"SECRET":1,"SECRET":"\\u0022\\u0022"}',  # as many quotation marks as its last member alone
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
