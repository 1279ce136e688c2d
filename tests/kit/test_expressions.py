"""Expressions written as Python, against the jmespath library itself: whatever it answers, they answer."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from connectors.kit.mapping.expressions import ExpressionError, parse_expression

NAMES = ("a", "b", "c")
SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 1.0, 2.5, "", "x", "RSA", " "])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
SCOPES = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))
LITERALS = ("'x'", "'RSA'", "`null`", "`0`", "`1`", "`true`", "`[]`", "`{}`", '`[1, "x"]`')


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from(NAMES)
    one = [f"({{0}}){suffix}" for suffix in ("[0]", "[-1]", "[]", "[*]", "[1:]", ".[a, b]", ".{{n: a}}", "[] | [0]")]
    one += [f"{function}({{0}})" for function in ("length", "min", "max", "to_string", "type")]
    two = [f"{{0}} {sign} {{1}}" for sign in ("<", ">=")]
    one += ["({0}).[a, b, c][?@] | [0]", "a.b.[c, a][?@] | [0]", "({0}) == 'RSA'", "({0}) != 'x'", "to_number({0})"]
    one += ["!({0})", "join(' ', {0})", "({0})[?@]", "({0}).*", "map(&a, {0})"]
    two += ["{0} || {1}", "{0} && {1}", "{0} == {1}", "{0} != {1}", "[{0}, {1}]", "({0})[?{1}]", "{0} | {1}"]
    two += [
        "({0})[?{1}].a",
        "({0})[?a == 'RSA' && {1}] | [0]",
        "starts_with({0}, {1})",
        "not_null({0}, {1})",
        "contains({0}, {1})",
        "max_by({0}, &{1})",
        "min_by({0}, &({1})).b",
        "max_by(({0})[?@ != `null`], &a.b)",
        "max_by([{0}, {1}], &@)",
        "min_by([{0}, {1}], &(@ == 'RSA' && b || `2`))",
    ]
    return (
        st.tuples(inner, name).map(lambda pair: f"({pair[0]}).{pair[1]}")
        | st.tuples(st.sampled_from(one), inner).map(lambda pair: pair[0].format(pair[1]))
        | st.tuples(st.sampled_from(two), inner, inner).map(lambda found: found[0].format(*found[1:]))
    )


EXPRESSIONS = st.recursive(
    st.sampled_from([*NAMES, "a.b", "a.b.c", "a[0].b", "a.[b, c][?@] | [0]", "a.b[0].c", "@", *LITERALS]),
    _wider,
    max_leaves=6,
)


def _outcome(evaluate: Any, scope: dict[str, Any]) -> Any:
    try:
        return evaluate(scope)
    except JMESPathError as error:
        return type(error)


@settings(max_examples=1500, deadline=None)
@given(EXPRESSIONS, SCOPES)
def test_what_the_library_answers(text: str, scope: dict[str, Any]) -> None:
    compiled = _outcome(parse_expression(text, NAMES).get, scope)
    try:
        expected = _outcome(jmespath.compile(text).search, scope)
    except TypeError:  # a text against a number, a number looked for in a text: the library's own slip
        return
    assert repr(compiled) == repr(expected)  # repr: 1, 1.0 and True are three values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b.c", 1),
        ("b[?n == 'RSA'].r | [0]", "DEM"),
        ("length(b[?n != 'RSA' && t])", 1),
        ("min(b[?starts_with(n, 'R')].d)", "2020"),
        ("max(c[].d)", 5),
        ("join(' ', a.[x, y][?@])", "12 RUE"),
        ("a.[z, none, empty, list, no, y, x][?@] | [0]", "RUE"),
        ("a.[z, none, no][?@] | [0]", None),
        ("a.b.[z, zero, c][?@] | [0]", 0),
        ("a.x.[y][?@] | [0]", None),
        ("c[-1].d || a.b.c", 5),
        ("c[1:].d", [5]),
        ("d[?n > `1`].n", [2]),
        ("a.b.c || `1e999`", 1),
        ("d[?n < `1e999`].n", [1, 2]),
        ("a.{n: x, m: b.c, o: q.r}", {"n": "12", "m": 1, "o": None}),
        ("a.x.{n: y}", {"n": None}),
        ("a.q.{n: y}", None),
        ("a.q.[y]", None),
        ("max_by(b, &d || '2019').d", "2022"),
        ("max_by(b[?n == 'RSA'], &d).r", "DEM"),
        ("min_by(b[?n == 'RSA'], &d).d", "2020"),
        ("min_by(c, &d).d", 4),
        ("max_by(d[?n > `9`], &n).n", None),
        ("max_by([b[0], b[1]], &n).r", "DEM"),
    ],
)
def test_the_shapes_mappings_use(text: str, found: object) -> None:
    scope = {
        "a": {"b": {"c": 1, "zero": 0}, "x": "12", "y": "RUE", "none": None, "empty": "", "list": [], "no": False},
        "b": [{"n": "RSA", "r": "DEM", "d": "2022"}, {"n": "RSA", "d": "2020"}, {"n": "PFA", "t": "1"}],
        "c": [{"d": 4}, {"d": 5}],
        "d": [{"n": 1}, {"n": 2}],
    }
    assert parse_expression(text, scope).get(scope) == found == jmespath.search(text, scope)


@pytest.mark.parametrize("text", ["d.b", "a || d", "length(d)", "d[?a]", "a.[", "[a, d]"])
def test_refused_when_compiled(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text, NAMES)


@pytest.mark.parametrize(("text", "found"), [("a > b", None), ("b <= a", None), ("c[?@ > `1`]", [7])])
def test_an_ordering_of_two_kinds_says_nothing(text: str, found: object) -> None:
    assert parse_expression(text, NAMES).get({"a": "x", "b": 1, "c": ["y", 7]}) == found


@pytest.mark.parametrize(
    "text", ["contains(a, b)", "max_by([a, b], &@)", "min_by(a, &@)", "max_by([a, c], &@)", "max_by([b, `true`], &@)"]
)
def test_a_wrong_type_never_escapes_as_a_type_error(text: str) -> None:
    with pytest.raises(JMESPathError) as met:
        parse_expression(text, NAMES).get({"a": "DURAND", "b": 1, "c": ["DURAND"]})
    assert "DURAND" not in str(met.value)


@pytest.mark.parametrize("name", ["x'] or exit() or ['", 'a"b', "new\nline", "\\", "é", "{0}", "lambda", "scope", "%s"])
def test_a_name_is_only_ever_a_name(name: str) -> None:
    quoted = json.dumps(name)
    scope = {"a": {name: {"b": 1}, "t": name}, name: "root"}
    for text in (f"a.{quoted}.b", f"a.[{quoted}][?@] | [0].b", f"a.{{{quoted}: t}}", f"{quoted}", f"a.t == `{quoted}`"):
        assert parse_expression(text, scope).get(scope) == jmespath.search(text, scope)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    JSON_VALUES,
    st.sampled_from(
        ["a", "a.b", "a.b.c", "a[0]", "a[-1].b", "a[1]", "a || b", "a.b || a[0] || c", "a[0] || b.c", "a && b",
         "a[].b", "a[?b == 'x'].c | [0]", "length(a || `[]`)", "a.{b: b, c: c}", "[a, b]"],
    ),
)  # fmt: skip
def test_compiled_expressions_are_jmespath(value: Any, text: str) -> None:
    scope = value if isinstance(value, dict) else {"a": value}
    compiled = parse_expression(text, {"a", "b", "c"}).get
    try:
        expected = jmespath.search(text, scope)
    except JMESPathError:
        with pytest.raises(JMESPathError):
            compiled(scope)
        return
    assert compiled(scope) == expected


@pytest.mark.parametrize("text", ["", "a.", "z", "a || z", "length(z)", "[a, z]", "{x: z}", "z[?a == 'x']"])
def test_bad_expressions_are_refused_at_once(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text, {"a"})
