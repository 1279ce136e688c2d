"""What the rules of a mapping read in one stream, each text once: columns repeat (codes, dates, communes, given names).

A column is kept as long as its stream is read and no longer, for it holds what the stream says of people.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Judge = Callable[[Any], bool]
"""Says whether a meaning fits what the dossier's schema wants of it."""

KEPT: Final = 1024
LONGEST: Final = 128
"""Bounds of what one column remembers: texts, and characters in one of them."""


class Doubt:
    """Whether anything that did not fit the dossier's schema has been read since ``raised`` was last set."""

    __slots__ = ("raised",)

    def __init__(self) -> None:
        self.raised = False


class Column(dict[str, Any]):
    """A source's text → what it means, ``None`` when that is nothing. A text not met yet is read, judged and kept.

    ``column[text]`` and ``column.of(anything)`` raise what ``read`` raises. A meaning that ``judge`` refuses, be it by
    ``ValueError`` or ``TypeError``, is returned too, and raises the doubt: who asked has the whole fragment judged.
    """

    __slots__ = ("__weakref__", "_doubt", "_judge", "_read")

    def __init__(self, read: Callable[[Any], Any], doubt: Doubt, judge: Judge | None = None) -> None:
        self._read = read
        self._judge = judge
        self._doubt = doubt

    def __missing__(self, raw: Any) -> Any:
        meaning = self._read(raw)
        if meaning is not None and self._judge is not None:
            try:
                fits = self._judge(meaning)
            except (ValueError, TypeError):
                fits = False
            if not fits:
                self._doubt.raised = True
                return meaning
        if type(raw) is str and len(self) < KEPT and len(raw) <= LONGEST:
            self[raw] = meaning
        return meaning

    def of(self, raw: Any) -> Any:
        """Return what any JSON value means. Only a text is kept: of numbers, 1 and true would be one key."""
        return self[raw] if type(raw) is str else self.__missing__(raw)
