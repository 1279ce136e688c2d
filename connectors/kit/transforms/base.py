"""What every transform is made with: what a value that cannot be read raises, what says nothing, texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.kit.port import Reason
from connectors.kit.visible import visible

Table = Mapping[str, Any]
Transform = Callable[[Any, Table], Any]


class Refused(ValueError):  # noqa: N818 (it names what happened, as ``OrderRefused`` does)
    """A value that cannot be read: why, without the value."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def is_blank(value: object) -> bool:
    """Say whether a source's value says nothing: null, blank text, an empty list, or a list of such."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if not isinstance(value, list):
        return False
    for item in value:  # noqa: SIM110 (``all`` of a generator takes twice as long)
        if item is not None and not is_blank(item):
            return False
    return True


def shown(text: str) -> str:
    """Return free text trimmed and as it is seen; raises ``Refused`` for what makes it read otherwise."""
    seen = text.strip() if text.isprintable() else visible(text)  # the former is what ``visible`` does, without a call
    if seen is None:
        raise Refused(Reason.CONTROL_CHARACTER)
    return seen


def text(value: Any, _: Table) -> str | None:
    """Text, trimmed; numbers as they are written."""
    if isinstance(value, str):
        return shown(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(Reason.BAD_VALUE)
    return str(value)


def as_is(value: Any, _: Table) -> Any:
    """The value as the source's own schema lets it through; text trimmed."""
    return shown(value) or None if isinstance(value, str) else value


def texts(value: Any, _: Table) -> list[str]:
    """The texts of a list that say something, in order; a text alone is a list of one."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            if not is_blank(item):
                raise Refused(Reason.BAD_VALUE)
        elif seen := shown(item):
            found.append(seen)
    return found


def joined(value: Any, _: Table) -> str | None:
    """The texts of a list that say something, separated by one space."""
    return " ".join(texts(value, {})) or None
