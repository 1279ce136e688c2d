"""JMESPath, compiled once, with the common shapes turned into plain Python.

A mapping is mostly ``it.Identification.NOM``: walking the expression tree again for each of some million values would
cost more than everything else. Member access, indexes and ``||`` become closures that give exactly what the
``jmespath`` library gives; every other expression is evaluated by the library itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

Getter = Callable[[Any], Any]


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
    return _closure(compiled.parsed) or compiled.search


def _leading(node: Any) -> list[str]:
    """The names an expression reads from the scope itself, where that can be told from the tree's left edge."""
    kind, children = node["type"], node.get("children", [])
    if kind == "field":
        return [str(node["value"])]
    if kind in {"or_expression", "and_expression", "comparator", "multi_select_list", "function_expression"}:
        return [name for child in children for name in _leading(child)]
    if kind == "multi_select_dict":
        return [name for child in children for name in _leading(child["children"][0])]
    return _leading(children[0]) if children and isinstance(children[0], dict) else []


def _closure(node: Any) -> Getter | None:
    kind = node["type"]
    if kind == "field":
        return _member(node["value"])
    if kind == "index":
        return _item(node["value"])
    if kind in {"subexpression", "index_expression", "or_expression"}:
        parts = [_closure(child) for child in node["children"]]
        steps = [part for part in parts if part is not None]
        if len(steps) == len(parts):
            return _first_true(steps) if kind == "or_expression" else _chain(steps)
    return None


def _member(name: str) -> Getter:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _item(index: int) -> Getter:
    def get(value: Any) -> Any:
        return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None

    return get


def _chain(steps: list[Getter]) -> Getter:
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def get(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return get


def _first_true(steps: list[Getter]) -> Getter:
    *others, last = steps

    def get(value: Any) -> Any:
        for step in others:
            found = step(value)
            # JMESPath's own idea of false: 0 is true.
            if found is not None and found is not False and found not in ("", [], {}):
                return found
        return last(value)

    return get
