"""What JMESPath does in more than a word of Python: what expressions written as Python call."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions

Getter = Callable[[Any], Any]

_SIMPLE: Final = frozenset({"string", "number", "boolean", "array", "object", "null"})
"""Kinds of argument that a Python type alone is; of ``array-string`` each item must be looked at."""
ORDERINGS: Final = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
"""JMESPath's names of them."""


def is_true(value: Any) -> bool:
    """Say whether JMESPath counts ``value`` as true: 0 it does."""
    return bool(value) or not (value is None or value is False or value in ("", [], {}))


def index(value: Any, index: int) -> Any:
    """Return the item of a list at ``index``, ``None`` where there is none."""
    return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def first(holder: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first of ``names`` of which ``holder`` says something true."""
    for name in names:
        if (found := holder.get(name)) is not None and is_true(found):
            return found
    return None


def same(left: Any, right: Any) -> bool:
    """Say whether two values are equal: unlike Python's, a JMESPath 1 is not true."""
    return bool(left == right and isinstance(left, bool) == isinstance(right, bool))


def ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    """Return ``<`` and its like as JMESPath has them."""

    def get(left: Any, right: Any) -> bool | None:
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


def projected(items: Any, each: Getter) -> Any:
    """Return what ``each`` says of the items of a list, without nulls; ``None`` of anything else."""
    return [found for item in items if (found := each(item)) is not None] if isinstance(items, list) else None


def filtered(items: Any, wanted: Getter, each: Getter) -> Any:
    """As :func:`projected`, of the items that are ``wanted``."""
    if not isinstance(items, list):
        return None
    return [found for item in items if wanted(item) and (found := each(item)) is not None]


def flattened(items: Any) -> Any:
    """Return the items of a list, those of lists in it for themselves; ``None`` of anything else."""
    if not isinstance(items, list):
        return None
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]


def by(best: Callable[[list[Any]], Any]) -> Callable[[Any, Getter], Any]:
    """Return ``max_by`` or ``min_by``: the first item of a list of which ``each`` says the ``best`` text or number.

    It raises ``JMESPathError`` for anything but a list, and where ``each`` says anything else, or texts and numbers.
    """

    def get(items: Any, each: Getter) -> Any:
        if not isinstance(items, list):
            raise JMESPathTypeError(best.__name__, None, type(items).__name__, ["array"])
        keys = [each(item) for item in items]
        for key in keys:
            if isinstance(key, bool) or not isinstance(key, str | int | float):
                raise JMESPathTypeError(best.__name__, None, type(key).__name__, ["number", "string"])
        try:
            return items[keys.index(best(keys))] if items else None
        except TypeError:  # a text against a number
            raise JMESPathError(best.__name__) from None

    return get


def function(name: str, arity: int) -> Callable[..., Any]:
    """Return the library's function ``name``, called with its arguments.

    It raises ``JMESPathError`` for an unknown name, or arguments it does not take.
    """
    library, accepted, alone = Functions(), set[tuple[type, ...]](), set[type]()
    known = library.FUNCTION_TABLE.get(name)
    by_type_alone = (
        known is not None
        and len(known["signature"]) == arity
        and _SIMPLE.issuperset(
            kind for argument in known["signature"] for kind in (*argument["types"], *argument.keys() - {"types"})
        )
    )

    def call_one(given: Any) -> Any:
        return known["function"](library, given) if type(given) in alone else call(given)

    def call(*given: Any) -> Any:
        types = tuple(map(type, given))
        if types in accepted:  # the library takes longer over its check of types than over the call
            return known["function"](library, *given)
        try:
            found = library.call_function(name, list(given))
        except TypeError:  # what the library's own check of types lets through
            raise JMESPathError(name) from None
        if by_type_alone:
            accepted.add(types)
            alone.update(types)
        return found

    return call_one if arity == 1 else call
