"""What every reader needs: checked options, lines and documents of bounded size, causes turned into reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from connectors.kit.port import Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError

MEBIBYTE: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024


def options(given: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return ``given`` over ``defaults``; a default that is a type has none and must be given.

    Raises ``MaillonError(CONFIGURATION)`` for an unknown option, a missing one or one of another type.
    """
    if unknown := sorted(set(given) - set(defaults)):
        raise MaillonError(ErrorKind.CONFIGURATION, f"unknown option {unknown[0]}")
    found = {}
    for name, default in defaults.items():
        required = isinstance(default, type)
        if required and name not in given:
            raise MaillonError(ErrorKind.CONFIGURATION, f"missing option {name}")
        value = given.get(name, default)
        if type(value) is not (default if required else type(default)):
            raise MaillonError(ErrorKind.CONFIGURATION, f"option {name} is of another type")
        found[name] = value
    return found


def lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, line without its end); ``None`` for a line above ``limit`` bytes, skipped unread."""
    number, readline = 0, stream.readline
    while line := readline(limit + 2):
        number += 1
        if line.endswith(b"\n"):
            line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        elif len(line) > limit:
            while (rest := readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield number, None
            continue
        yield number, line if len(line) <= limit else None


def whole(stream: BinaryIO, limit: int, start: bytes = b"") -> bytes | None:
    """Return all of ``start`` and ``stream``, or ``None`` when that is above ``limit`` bytes. Reads no further."""
    parts, size = [start], len(start)
    while size <= limit and (chunk := stream.read(min(_CHUNK, limit + 1 - size))):
        parts.append(chunk)
        size += len(chunk)
    return None if size > limit else b"".join(parts)


def utf8(data: bytes) -> str | None:
    """Return ``data`` as text, without a byte order mark; ``None`` when it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def reason_of(error: MaillonError) -> Reason:
    """Return the quarantine reason of a refusal by ``strict_json``."""
    if error.kind is ErrorKind.TOO_LARGE:
        return Reason.TOO_LARGE
    return Reason.DUPLICATE_KEY if error.detail == "duplicate key" else Reason.MALFORMED
