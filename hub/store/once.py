"""A value computed when it is first asked for, and kept with its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class once(Generic[V]):  # noqa: N801 (used as a decorator)
    """``functools.cached_property`` without the lock that Python 3.11 takes in it: the owner belongs to one thread."""

    def __init__(self, compute: Callable[..., V]) -> None:
        """``compute`` is the method it decorates."""
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, owner: object, _type: type) -> V:
        """Compute the value and keep it under the method's own name: the next look-up finds it there."""
        value = owner.__dict__[self._name] = self._compute(owner)
        return value
