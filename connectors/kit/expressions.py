"""JMESPath, compiled once into plain Python.

Walking the expression tree again for each of some million values would cost more than everything else, so each node
becomes a closure that gives exactly what the ``jmespath`` library gives. An expression with a node that stands in no
mapping so far (a slice, an ``&`` expression) is evaluated by the library itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

Getter = Callable[[Any], Any]
_Builder = Callable[[Any, Sequence[Getter]], Getter]


class ExpressionError(ValueError):
    """The text is no JMESPath, or starts from a name that does not exist."""


def compile_expression(text: str, roots: Collection[str]) -> Getter:
    """Return the function that evaluates ``text`` on a scope whose top-level names are ``roots``.

    Raises :class:`ExpressionError` for a syntax error or a leading name outside ``roots``. The function itself raises
    ``jmespath.exceptions.JMESPathError`` when a JMESPath function is given the wrong type.
    """
    try:
        compiled = jmespath.compile(text)
    except JMESPathError:
        raise ExpressionError(f"not JMESPath: {text}") from None
    for name in _leading(compiled.parsed):
        if name not in roots:
            raise ExpressionError(f"{text}: starts from {name!r}, expected one of {', '.join(sorted(roots))}")
    return _closure(compiled.parsed) or _library(compiled.search)


def member_of(text: str, root: str) -> str | None:
    """Return the member of ``root`` that ``text`` reads, when it reads nothing else: ``nom`` for ``record.nom``."""
    node = jmespath.compile(text).parsed
    children = node["children"]
    if node["type"] == "subexpression" and [child["type"] for child in children] == ["field", "field"]:
        return str(children[1]["value"]) if children[0]["value"] == root else None
    return None


def _leading(node: Any) -> list[str]:
    """The names an expression reads from the scope itself, where that can be told from the tree's left edge."""
    kind, children = node["type"], node.get("children", [])
    if kind == "field":
        return [str(node["value"])]
    if kind == "expref":  # it is read on each item of a list, not on the scope
        return []
    if kind in {"or_expression", "and_expression", "comparator", "multi_select_list", "function_expression"}:
        return [name for child in children for name in _leading(child)]
    if kind == "multi_select_dict":
        return [name for child in children for name in _leading(child["children"][0])]
    return _leading(children[0]) if children and isinstance(children[0], dict) else []


def _closure(node: Any) -> Getter | None:
    build = _BUILDERS.get(node["type"])
    if build is None:
        return None
    for form in (_first_said, _field_names, _against_text):
        if (found := form(node)) is not None:
            return found
    parts = [_closure(child) for child in _joined(node)]
    steps = [part for part in parts if part is not None]
    if len(steps) < len(parts):
        return None
    named = [child["value"] for child in node["children"]] if build is _select_dict else node.get("value")
    return build(named, steps)


def _joined(node: Any) -> list[Any]:
    """A node's children; of a chain, the names that lead it are one, and what leaves the value as it is is none."""
    children = node["children"]
    if node["type"] not in _CHAINS:
        return list(children)
    children = [child for child in children if child["type"] != "identity"] or children[:1]
    names = list(takewhile(lambda child: child["type"] == "field", children))
    path = {"type": "subexpression", "children": names}
    return [path, *children[len(names) :]] if 1 < len(names) < len(children) else children


def _field_names(node: Any) -> Getter | None:
    """What most of a mapping is: ``it.Identification.NOM``, without a call per name."""
    names = _names(node["children"])
    return _path(names) if names and node["type"] == "subexpression" else None


def _first_said(node: Any) -> Getter | None:
    """``record.params.[nom, name, …][?@] | [0]``: of several names the first that says something, no list made."""
    match node:
        case {
            "type": "pipe",
            "children": [
                {
                    "type": "filter_projection",
                    "children": [
                        {
                            "type": "subexpression",
                            "children": [*base, {"type": "multi_select_list", "children": names}],
                        },
                        {"type": "identity"},
                        {"type": "current"},
                    ],
                },
                {"type": "index_expression", "children": [{"type": "identity"}, {"type": "index", "value": 0}]},
            ],
        } if _names(base) and _names(names):
            return _first(_path(_names(base)), _names(names))
    return None


def _against_text(node: Any) -> Getter | None:
    """``… == 'RSA'``: of a text, nothing but Python's own comparison is to be told."""
    match node:
        case {
            "type": "comparator",
            "value": "eq" | "ne" as sign,
            "children": [one, {"type": "literal", "value": str(text)}],
        }:
            read = _closure(one)
            if read is not None:
                return _equals(read, text) if sign == "eq" else _differs(read, text)
    return None


def _names(nodes: Sequence[Any]) -> list[str]:
    """The names that nodes are, if they are nothing else."""
    return [node["value"] for node in nodes] if all(node["type"] == "field" for node in nodes) else []


def _library(search: Getter) -> Getter:
    """What has no closure; a ``TypeError`` that the library's own check of types lets through is given its name."""

    def get(value: Any) -> Any:
        try:
            return search(value)
        except TypeError:
            raise JMESPathError("types") from None

    return get


def _is_true(value: Any) -> bool:
    # JMESPath's own idea of it: 0 is true.
    return bool(value) or not (value is None or value is False or value in ("", [], {}))


def _field(name: str, _: Sequence[Getter]) -> Getter:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _path(names: Sequence[str]) -> Getter:
    *heads, last = names

    def get(value: Any) -> Any:
        try:
            for name in heads:
                value = value[name]
            return value.get(last)
        except (KeyError, TypeError, AttributeError):  # what has no such member, or none at all
            return None

    return get


def _first(base: Getter, names: Sequence[str]) -> Getter:
    def get(value: Any) -> Any:
        holder = base(value)
        if isinstance(holder, dict):
            for name in names:
                if (found := holder.get(name)) is not None and _is_true(found):
                    return found
        return None

    return get


def _equals(read: Getter, text: str) -> Getter:
    return lambda value: read(value) == text


def _differs(read: Getter, text: str) -> Getter:
    return lambda value: read(value) != text


def _index(index: int, _: Sequence[Getter]) -> Getter:
    return lambda value: value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def _current(_: None, __: Sequence[Getter]) -> Getter:
    return lambda value: value


def _literal(constant: Any, _: Sequence[Getter]) -> Getter:
    return lambda _: constant


def _chain(_: None, steps: Sequence[Getter]) -> Getter:
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def get(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return get


def _or(_: None, steps: Sequence[Getter]) -> Getter:
    one, other = steps
    return lambda value: found if _is_true(found := one(value)) else other(value)


def _and(_: None, steps: Sequence[Getter]) -> Getter:
    one, other = steps
    return lambda value: other(value) if _is_true(found := one(value)) else found


def _not(_: None, steps: Sequence[Getter]) -> Getter:
    (step,) = steps
    return lambda value: not _is_true(step(value))


def _comparator(name: str, steps: Sequence[Getter]) -> Getter:
    one, other = steps
    if name not in ("eq", "ne"):
        return _ordering(_ORDERINGS[name], one, other)
    wanted = name == "eq"

    def get(value: Any) -> bool:
        left, right = one(value), other(value)
        # Unlike Python's, a JMESPath 1 is not true.
        return (left == right and isinstance(left, bool) == isinstance(right, bool)) is wanted

    return get


def _ordering(compare: Callable[[Any, Any], bool], one: Getter, other: Getter) -> Getter:
    def get(value: Any) -> bool | None:
        left, right = one(value), other(value)  # both, always: what either raises is not to depend on the other
        try:
            return compare(_sortable(left), _sortable(right))
        except TypeError:
            # Nothing, as the specification has it; the library lets the error of a text against a number out.
            return None

    return get


def _sortable(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return value


def _projection(_: None, steps: Sequence[Getter]) -> Getter:
    base, each = steps

    def get(value: Any) -> Any:
        items = base(value)
        return [found for item in items if (found := each(item)) is not None] if isinstance(items, list) else None

    return get


def _filter(_: None, steps: Sequence[Getter]) -> Getter:
    base, each, holds = steps

    def get(value: Any) -> Any:
        items = base(value)
        if not isinstance(items, list):
            return None
        return [found for item in items if _is_true(holds(item)) and (found := each(item)) is not None]

    return get


def _flatten(_: None, steps: Sequence[Getter]) -> Getter:
    (base,) = steps

    def get(value: Any) -> Any:
        items = base(value)
        if not isinstance(items, list):
            return None
        return [inner for item in items for inner in (item if isinstance(item, list) else [item])]

    return get


def _select_list(_: None, steps: Sequence[Getter]) -> Getter:
    return lambda value: None if value is None else [step(value) for step in steps]


def _select_dict(names: Sequence[str], steps: Sequence[Getter]) -> Getter:
    pairs = tuple(zip(names, steps, strict=True))
    return lambda value: None if value is None else {name: step(value) for name, step in pairs}


def _function(name: str, steps: Sequence[Getter]) -> Getter:
    library, accepted = Functions(), set[tuple[type, ...]]()
    known = library.FUNCTION_TABLE.get(name)
    by_type_alone = (
        known is not None
        and len(known["signature"]) == len(steps)
        and _SIMPLE.issuperset(
            kind for argument in known["signature"] for kind in (*argument["types"], *argument.keys() - {"types"})
        )
    )

    def get(value: Any) -> Any:
        given = [step(value) for step in steps]
        types = tuple(map(type, given))
        if types in accepted:  # the library takes longer over its check of types than over the call
            return known["function"](library, *given)
        try:
            found = library.call_function(name, given)
        except TypeError:  # what the library's own check of types lets through
            raise JMESPathError(name) from None
        if by_type_alone:
            accepted.add(types)
        return found

    return get


_SIMPLE: Final = frozenset({"string", "number", "boolean", "array", "object", "null"})
"""Kinds of argument that a Python type alone is; of ``array-string`` each item must be looked at."""
_CHAINS: Final = frozenset({"subexpression", "index_expression", "pipe"})
_ORDERINGS: Final = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
_BUILDERS: Final[Mapping[str, _Builder]] = {
    "field": _field,
    "index": _index,
    "current": _current,
    "identity": _current,
    "literal": _literal,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "comparator": _comparator,
    "projection": _projection,
    "filter_projection": _filter,
    "flatten": _flatten,
    "multi_select_list": _select_list,
    "multi_select_dict": _select_dict,
    "key_val_pair": _chain,
    "function_expression": _function,
}
