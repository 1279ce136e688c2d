"""The Markdown of the lineage page: code, links, anchors and tables. Nothing here knows of partners or fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

NOTHING: Final = "–"
_PERSON: Final = re.compile(r"(?<![\w.'])it\.")
_WHOLE: Final = re.compile(r"(?<![\w.'])record\.")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_WIDTH: Final = 36
"""Characters of a path that stand on one line."""
_LONG: Final = re.compile(rf"\S{{{_WIDTH + 1},}}")
BREAK: Final = "`<wbr>`"
"""Ends a piece of code and begins the next one, where a line may end and nothing stands between."""
_QUOTES: Final = frozenset("'\"`")


def bare(text: str) -> str:
    """Write an expression as the partner knows its files: no ``record`` nor ``it``, and no backquote to end the code.

    Backquotes are JMESPath's literals, where they only say that a number is one.
    """
    return _PERSON.sub("", _WHOLE.sub("", text)).replace("`", "")


def code(text: str) -> str:
    """Return the expression ``text`` as code, a dash when there is none.

    A long path may be broken after one of its dots: whole, it would push the columns beside it out of sight.
    """
    return f"`{_LONG.sub(_breakable, bare(text))}`" if text else NOTHING


def _breakable(path: re.Match[str]) -> str:
    found = [""]
    for step in re.findall(r"[^.]*\.|[^.]+", path[0]):
        if found[-1] and len(found[-1]) + len(step) > _WIDTH:
            found.append("")
        found[-1] += step
    return BREAK.join(found)


def pieces(sources: str) -> list[str]:
    """Return the expressions of the list ``sources``: a comma within brackets or quotes parts nothing."""
    found, closing, quote, start = [], [""], "", 0
    for at, character in enumerate(sources):
        if quote:
            quote = "" if character == quote and sources[at - 1] != "\\" else quote
        elif character in _QUOTES:
            quote = character
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
        elif character == closing[-1]:
            closing.pop()
        elif character == "," and len(closing) == 1:
            found.append(sources[start:at].strip())
            start = at + 1
    return [*found, sources[start:].strip()]


def lines(*parts: str) -> str:
    """Return a cell of several lines, without those that are empty."""
    return "<br>".join(part for part in parts if part) or NOTHING


def spelled(names: Iterable[str]) -> str:
    """Return the names as a person writes them."""
    return ", ".join(name.replace("_", " ") for name in names)


def anchor(heading: str) -> str:
    """Return where a heading is reached, as the usual renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(shown: str, heading: str) -> str:
    """Return a link to ``heading`` of the same page."""
    return f"[{shown}](#{anchor(heading)})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table's lines and an empty one, without the columns in which no row says anything."""
    told = list(rows)
    kept = [at for at in range(len(header)) if not told or any(row[at] != NOTHING for row in told)]
    yield "| " + " | ".join(header[at] for at in kept) + " |"
    yield "| " + " | ".join("---" for _ in kept) + " |"
    for row in told:
        yield "| " + " | ".join(row[at].replace("|", "\\|") for at in kept) + " |"
    yield ""
