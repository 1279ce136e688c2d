"""What an expression looks at: the members of the record that it names."""

from __future__ import annotations

from typing import Any, Final

from connectors.kit.mapping.expressions import Expression


def members_read(expression: Expression) -> frozenset[str] | None:
    """Return the members of the record that decide all ``expression`` says, ``None`` where it may look at more.

    ``record`` and ``it`` are the record here, as they are where it is one person.
    """
    try:
        return frozenset(_read(expression.parsed.parsed))
    except _MoreError:
        return None


def members_said_first(expression: Expression) -> list[str]:
    """Return the members of which ``expression`` (``record.a || record.b``) says the first that says something.

    One for ``record.a``; none for an expression that says anything else.
    """
    try:
        return _said_first(expression.parsed.parsed)
    except _MoreError:
        return []


class _MoreError(Exception):
    """It looks at more than members of the record."""


def _read(node: Any) -> set[str]:
    kind, children = node["type"], node["children"]
    if kind in _OF_EACH:
        return set().union(*map(_read, children))
    if kind == "multi_select_dict":
        return set().union(*(_read(pair["children"][0]) for pair in children))
    if kind == "subexpression" and children[0]["type"] == "field":
        root, member = children[:2]
        if root["value"] in _RECORD and member["type"] == "field":
            return {member["value"]}
    elif kind in _OF_THE_FIRST:  # the others look at what the first gives
        return _read(children[0])
    elif kind in ("literal", "expref"):  # an ``&`` expression is read on each item of a list
        return set()
    raise _MoreError


def _said_first(node: Any) -> list[str]:
    kind, children = node["type"], node["children"]
    if kind == "or_expression":
        return [member for child in children for member in _said_first(child)]
    if kind == "subexpression" and [child["type"] for child in children] == ["field", "field"]:
        return sorted(_read(node))
    raise _MoreError


_RECORD: Final = frozenset({"record", "it"})
_OF_EACH: Final = frozenset(
    {"or_expression", "and_expression", "not_expression", "comparator", "function_expression", "multi_select_list"}
)
_OF_THE_FIRST: Final = frozenset(
    {"subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection", "flatten"}
)
