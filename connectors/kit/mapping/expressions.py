"""JMESPath, written out as Python.

Walking an expression's tree again for each of some million values would cost more than everything else, and so would a
call for each of its nodes. So an expression becomes a piece of Python text that gives exactly what the ``jmespath``
library gives, and a mapping's rules are written around it (``code``). Of an expression only names and constants
enter the text, each as a Python literal. One with a node that stands in no mapping so far (a slice, an ``&``
expression but that of ``max_by`` and ``min_by``) is evaluated by the library itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from connectors.kit.mapping import expression_values as values
from connectors.kit.mapping.expression_values import Getter


class ExpressionError(ValueError):
    """The text is no JMESPath, or starts from a name that does not exist."""


@dataclass(frozen=True, eq=False)
class Expression:
    """A JMESPath expression over a scope: a JSON object of named roots."""

    text: str
    parsed: ParsedResult = field(repr=False)

    @property
    def constant(self) -> str | None:
        """The text it says whatever the scope, ``None`` when it is no such thing."""
        node = self.parsed.parsed
        return node["value"] if node["type"] == "literal" and isinstance(node["value"], str) else None

    @cached_property
    def get(self) -> Getter:
        """What evaluates it on a scope. Raises ``JMESPathError`` when a function of it is given the wrong type."""
        writer = ExpressionWriter()
        written = writer.write(self)
        lines = ["def get(scope):", *indented([*writer.shared(), f"return {written}"])]
        get: Getter = run_text(lines, "get", writer.given)
        return get


def parse_expression(text: str, roots: Collection[str]) -> Expression:
    """Return the expression ``text`` on scopes whose names are ``roots``.

    Raises :class:`ExpressionError` for a syntax error or a leading name outside ``roots``.
    """
    try:
        parsed = jmespath.compile(text)
    except JMESPathError:
        raise ExpressionError(f"not JMESPath: {text}") from None
    for name in _leading(parsed.parsed):
        if name not in roots:
            raise ExpressionError(f"{text}: starts from {name!r}, expected one of {', '.join(sorted(roots))}")
    return Expression(text, parsed)


def run_text(lines: Iterable[str], name: str, given: Mapping[str, Any]) -> Any:
    """Return what ``lines`` of Python define as ``name``, where ``given`` is all they may use."""
    scope = dict(given)
    exec(compile("\n".join(lines), f"<mapping: {name}>", "exec"), scope)  # noqa: S102 (see the module's text)
    return scope[name]


def indented(lines: Iterable[str]) -> list[str]:
    """Return ``lines`` one step to the right."""
    return [f"    {line}" for line in lines]


class ExpressionWriter:
    """Writes the expressions of one function; ``given``: what its text may name.

    ``roots``: the Python of each name of the scope, where they are the function's own; else it has them in ``scope``.
    ``objects``: those of them that are JSON objects whatever is read.
    """

    def __init__(
        self,
        given: Mapping[str, Any] | None = None,
        roots: Mapping[str, str] | None = None,
        objects: Collection[str] = (),
    ) -> None:
        self.given: dict[str, Any] = {**_GIVEN, **(given or {})}
        self._roots = roots or {}
        self._scope = f"{{{', '.join(f'{name!r}: {text}' for name, text in roots.items())}}}" if roots else _SCOPE
        self._objects = {_SCOPE, *objects}
        self._holders: dict[tuple[str, ...], str] = {}
        self._locals = 0

    def shared(self) -> list[str]:
        """Return the lines to stand before everything written: the objects that several expressions look into."""
        return [line for path, name in self._holders.items() for line in self._holder(path, name)]

    def name(self, kind: str, thing: Any) -> str:
        """Return a name for ``thing``, which the text may use from now on."""
        name = f"{kind}{len(self.given)}"
        self.given[name] = thing
        return name

    def write(self, expression: Expression) -> str:
        """Return the Python of what ``expression`` says in ``scope``."""
        try:
            return self._node(expression.parsed.parsed, _SCOPE)
        except _NotWritten:
            return f"{self.name('search', _library(expression.parsed.search))}({self._scope})"

    def condition(self, expression: Expression, holds: str) -> str:
        """Return the Python of whether ``expression`` holds, which the function named ``holds`` says of a value."""
        try:
            return self._condition(expression.parsed.parsed, holds)
        except _NotWritten:
            return f"{holds}({self.write(expression)})"

    def _condition(self, node: Any, holds: str) -> str:
        if node["type"] in _TRUE_OR_FALSE:
            return self._node(node, _SCOPE)
        if node["type"] == "and_expression":
            one, other = node["children"]
            return f"({self._truth(one, _SCOPE)} and {self._condition(other, holds)})"
        if node["type"] == "or_expression" and node["children"][0]["type"] in _TRUE_OR_FALSE:
            one, other = node["children"]
            return f"({self._node(one, _SCOPE)} or {self._condition(other, holds)})"
        return f"{holds}({self._node(node, _SCOPE)})"

    def _truth(self, node: Any, at: str) -> str:
        written = self._node(node, at)
        return written if node["type"] in _TRUE_OR_FALSE else f"is_true({written})"

    def _node(self, node: Any, at: str) -> str:
        """Return the Python of what ``node`` says of the value named ``at``."""
        write = _WRITERS.get(node["type"])
        if write is None:
            raise _NotWritten
        return write(self, node, at)

    def _on(self, node: Any, value: str) -> str:
        """Return the Python of what ``node`` says of ``value``, any piece of Python."""
        if value.isidentifier():
            return self._node(node, value)
        if node["type"] == "index":
            return f"index({value}, {node['value']!r})"
        name = self._local()
        if node["type"] == "field":
            return f"({name}.get({node['value']!r}) if isinstance({name} := {value}, dict) else None)"
        return f"(lambda {name}: {self._node(node, name)})({value})"

    def _field(self, node: Any, at: str) -> str:
        if at == _SCOPE and node["value"] in self._roots:
            return self._roots[node["value"]]
        got = f"{self._text(at)}.get({node['value']!r})"
        return got if self._is_object(at) else f"({got} if isinstance({at}, dict) else None)"

    def _index(self, node: Any, at: str) -> str:
        return f"index({self._text(at)}, {node['value']!r})"

    def _current(self, _: Any, at: str) -> str:
        return self._text(at)

    def _text(self, at: str) -> str:
        return self._scope if at == _SCOPE else at

    def _literal(self, node: Any, _: str) -> str:
        value = node["value"]
        return repr(value) if _is_constant(value) else self.name("literal", value)

    def _chain(self, node: Any, at: str) -> str:
        if at == _SCOPE and (first := self._first_said(node)) is not None:
            return first
        children = [child for child in node["children"] if child["type"] != "identity"] or node["children"][:1]
        names = [child["value"] for child in takewhile(lambda child: child["type"] == "field", children)]
        value = at
        if at == _SCOPE and len(names) > 1:
            value = f"{self._held(tuple(names[:-1]))}.get({names[-1]!r})"
            children = children[len(names) :]
            if children and children[0]["type"] in _SELECTIONS:
                made = self._node(children.pop(0), self._held(tuple(names)))
                value = f"(None if {value} is None else {made})"
        for child in children:
            value = self._on(child, value)
        return value

    def _first_said(self, node: Any) -> str | None:
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
                holder = self._held(tuple(_names(base)))
                # What is true to Python is true to JMESPath; the call is for the names behind, and for a zero.
                return f"({holder}.get({_names(names)[0]!r}) or first({holder}, {tuple(_names(names))!r}))"
        return None

    def _or(self, node: Any, at: str) -> str:
        one, other = (self._node(child, at) for child in node["children"])
        name = self._local()
        return f"({name} if is_true({name} := {one}) else {other})"

    def _and(self, node: Any, at: str) -> str:
        one, other = (self._node(child, at) for child in node["children"])
        name = self._local()
        return f"({other} if is_true({name} := {one}) else {name})"

    def _not(self, node: Any, at: str) -> str:
        return f"(not {self._truth(node['children'][0], at)})"

    def _comparator(self, node: Any, at: str) -> str:
        one, other = node["children"]
        sign, left = node["value"], self._node(one, at)
        if sign not in ("eq", "ne"):
            return f"{self.name('compare', values.ordering(values.ORDERINGS[sign]))}({left}, {self._node(other, at)})"
        constant = other["value"] if other["type"] == "literal" != one["type"] else _NO_CONSTANT
        if constant is None or isinstance(constant, bool):
            return f"({left} {'is' if sign == 'eq' else 'is not'} {constant!r})"
        # Unlike Python's, a JMESPath 1 is not true: a number is told from true and false, where one could equal them.
        if isinstance(constant, str) or (_is_constant(constant) and constant not in (0, 1)):
            return f"({left} {'==' if sign == 'eq' else '!='} {constant!r})"
        return f"({'' if sign == 'eq' else 'not '}same({left}, {self._node(other, at)}))"

    def _projection(self, node: Any, at: str) -> str:
        base, each = node["children"]
        name = self._local()
        return f"projected({self._node(base, at)}, lambda {name}: {self._node(each, name)})"

    def _filter(self, node: Any, at: str) -> str:
        base, each, wanted = node["children"]
        name = self._local()
        tests = f"lambda {name}: {self._truth(wanted, name)}, lambda {name}: {self._node(each, name)}"
        return f"filtered({self._node(base, at)}, {tests})"

    def _flatten(self, node: Any, at: str) -> str:
        return f"flattened({self._node(node['children'][0], at)})"

    def _select_list(self, node: Any, at: str) -> str:
        made = f"[{', '.join(self._node(child, at) for child in node['children'])}]"
        return made if self._is_object(at) else f"(None if {at} is None else {made})"

    def _select_dict(self, node: Any, at: str) -> str:
        pairs = (f"{child['value']!r}: {self._node(child['children'][0], at)}" for child in node["children"])
        made = f"{{{', '.join(pairs)}}}"
        return made if self._is_object(at) else f"(None if {at} is None else {made})"

    def _function(self, node: Any, at: str) -> str:
        match node:
            case {"value": "max_by" | "min_by" as best, "children": [items, {"type": "expref", "children": [each]}]}:
                name = self._local()
                return f"{best}({self._node(items, at)}, lambda {name}: {self._node(each, name)})"
        given = [self._node(child, at) for child in node["children"]]
        return f"{self.name('call', values.function(node['value'], len(given)))}({', '.join(given)})"

    def _is_object(self, at: str) -> bool:
        return at in self._objects or at in self._holders.values()

    def _local(self) -> str:
        self._locals += 1
        return f"v{self._locals}"

    def _held(self, path: tuple[str, ...]) -> str:
        if len(path) == 1 and self._roots.get(path[0]) in self._objects:
            return self._roots[path[0]]
        if path not in self._holders:
            if len(path) > 1:
                self._held(path[:-1])
            self._holders[path] = f"h{len(self._holders)}"
        return self._holders[path]

    def _holder(self, path: tuple[str, ...], name: str) -> list[str]:
        root = self._roots.get(path[0], f"{_SCOPE}.get({path[0]!r})")
        held = f"{self._held(path[:-1])}.get({path[-1]!r})" if len(path) > 1 else root
        return [f"{name} = {held}", f"if not isinstance({name}, dict):", f"    {name} = NOTHING"]


class _NotWritten(Exception):  # noqa: N818 (never leaves this module)
    """A node that stands in no mapping so far."""


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


def _names(nodes: Sequence[Any]) -> list[str]:
    """The names that nodes are, if they are nothing else."""
    return [node["value"] for node in nodes] if all(node["type"] == "field" for node in nodes) else []


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _library(search: Getter) -> Getter:
    """What is not written; a ``TypeError`` that the library's own check of types lets through is given its name."""

    def get(value: Any) -> Any:
        try:
            return search(value)
        except TypeError:
            raise JMESPathError("types") from None

    return get


_SCOPE: Final = "scope"
_NO_CONSTANT: Final = object()
_TRUE_OR_FALSE: Final = frozenset({"comparator", "not_expression"})
"""Nodes that say true or false, or (an ordering of two kinds) nothing."""
_SELECTIONS: Final = frozenset({"multi_select_list", "multi_select_dict"})
_GIVEN: Final[Mapping[str, Any]] = {
    "NOTHING": {},
    "filtered": values.filtered,
    "first": values.first,
    "flattened": values.flattened,
    "index": values.index,
    "is_true": values.is_true,
    "max_by": values.by(max),
    "min_by": values.by(min),
    "projected": values.projected,
    "same": values.same,
}
_WRITERS: Final[Mapping[str, Callable[[ExpressionWriter, Any, str], str]]] = {
    "field": ExpressionWriter._field,
    "index": ExpressionWriter._index,
    "current": ExpressionWriter._current,
    "identity": ExpressionWriter._current,
    "literal": ExpressionWriter._literal,
    "subexpression": ExpressionWriter._chain,
    "index_expression": ExpressionWriter._chain,
    "pipe": ExpressionWriter._chain,
    "or_expression": ExpressionWriter._or,
    "and_expression": ExpressionWriter._and,
    "not_expression": ExpressionWriter._not,
    "comparator": ExpressionWriter._comparator,
    "projection": ExpressionWriter._projection,
    "filter_projection": ExpressionWriter._filter,
    "flatten": ExpressionWriter._flatten,
    "multi_select_list": ExpressionWriter._select_list,
    "multi_select_dict": ExpressionWriter._select_dict,
    "function_expression": ExpressionWriter._function,
}
