"""JSON as RFC 8259 and I-JSON (RFC 7493) mean it, and nothing wider.

Python's own parser takes duplicate keys (the last one wins, so two readers may see two documents), ``NaN``, lone
surrogates and numbers that no other reader holds exactly. Everything that comes from outside is read here.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from connectors.kit.runtime.errors import ErrorKind, MaillonError

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
_I_JSON_MAX = 2**53 - 1
_CONTAINERS = (dict, list)


class _RefusedError(ValueError):
    """Carries a reason out of the parser's hooks."""


def loads(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> object:
    """Return the value of the JSON text ``data`` (UTF-8, no byte order mark).

    Raises ``MaillonError(TOO_LARGE)`` above ``max_bytes`` and ``MaillonError(MALFORMED)`` for anything that is not
    JSON, bad UTF-8, a lone surrogate, a duplicate key, a number outside I-JSON's exact range, or more than
    ``max_depth`` nested containers. The detail gives the reason, never the text.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > max_bytes:
        raise MaillonError(ErrorKind.TOO_LARGE, f"JSON above {max_bytes} bytes")
    try:
        # orjson first: strict, and it bounds the nesting before Python's recursive parser sees the text.
        value = orjson.loads(raw)
        if raw.count(b"{") + raw.count(b"[") > max_depth and _deeper_than(value, max_depth):
            raise _RefusedError(f"nested deeper than {max_depth}")
        if _is_all(value, raw):
            return value
        return json.loads(
            raw.decode(), object_pairs_hook=_no_duplicates, parse_int=_exact_int, parse_constant=_no_constant
        )
    except orjson.JSONDecodeError as error:
        raise MaillonError(ErrorKind.MALFORMED, f"not JSON (byte {error.pos})") from None
    except _RefusedError as error:
        raise MaillonError(ErrorKind.MALFORMED, str(error)) from None
    except (ValueError, RecursionError):
        raise MaillonError(ErrorKind.MALFORMED, "not JSON") from None


def loads_object(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """Return :func:`loads` of ``data`` when it is a JSON object; anything else is ``MALFORMED``."""
    value = loads(data, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise MaillonError(ErrorKind.MALFORMED, "not a JSON object")
    return value


def _is_all(value: object, raw: bytes) -> bool:
    """Say whether ``value`` surely holds all that ``raw`` says, no member twice, no number inexact.

    A member that stood twice is there once, and the quotation marks of its name are missing when the value is written
    again (without a backslash, every one of them begins or ends a text). An integer that orjson could hold as a float
    only is written with an exponent. What is not sure is for Python's own parser to tell.
    """
    if b"\\" in raw:
        return False
    try:
        written = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        return False
    return written.count(b'"') == raw.count(b'"') and b"e+" not in written


def _deeper_than(value: object, allowed: int) -> bool:
    # Level by level, containers only: as fast as the parser, where a call per value took three times as long.
    level: list[Any] = [value] if isinstance(value, _CONTAINERS) else []
    while level and allowed:
        below = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for children in below for child in children if isinstance(child, _CONTAINERS)]
        allowed -= 1
    return bool(level)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("duplicate key")
    return found


def _exact_int(text: str) -> int:
    # The length test comes first: int() of thousands of digits is slow on purpose.
    if len(text) > 17 or abs(number := int(text)) > _I_JSON_MAX:
        raise _RefusedError("integer outside the exact range of I-JSON")
    return number


def _no_constant(_: str) -> NoReturn:
    raise _RefusedError("NaN or Infinity")
