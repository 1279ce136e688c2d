"""``exchange``: what was asked of an API and what it answered, ``{params, status, payload}``.

API Particulier v3 answers often lack the identity they were asked for, so the question must travel with the answer.
Three notations: one JSON object, one per line (NDJSON), or YAML as its publisher's own test cases are written.
``payload`` is JSON, as text or in place. Each record comes out as ``{params, status, payload, collecte_le}``: what
YAML would type (``08480`` → a number) stays text, and a payload that is not JSON is ``null`` where the status already
says that there is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO, Final, NoReturn

import yaml

from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.readers.bounds import MEBIBYTE, lines, options, reason_of, utf8
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError

Parse = Callable[[bytes, int], object]

_BOM: Final = b"\xef\xbb\xbf"
_MAX_YAML: Final = 256 * 1024
"""A YAML parser takes some 200 bytes and 4 µs for each byte it reads; the published cases have a few thousand."""

MEMBERS = frozenset({"params", "status", "payload", "collecte_le"})


class ExchangeReader:
    """Options: ``max_bytes`` of one exchange (1 MiB; a YAML one is 256 KiB at most)."""

    at_once = 16

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._max = int(options(given, max_bytes=MEBIBYTE)["max_bytes"])

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield every exchange. See ``port.Reader``."""
        numbered = lines(stream, self._max)
        number, first = next(((n, text) for n, text in numbered if text is None or text.strip()), (0, b""))
        if first is None:
            yield Quarantined(f"line {number}", "", Reason.TOO_LARGE)
            yield from self._ndjson(numbered)
        elif not number:
            return
        elif _is_json(first, self._max):
            yield from self._ndjson(chain([(number, first)], numbered))
        else:
            yield from self._document_or_lines(number, first, numbered)

    def _document_or_lines(
        self, number: int, first: bytes, rest: Iterator[tuple[int, bytes | None]]
    ) -> Iterator[RawRecord | Quarantined]:
        """A first line that is no JSON by itself: an indented document, unless a later line starts another object."""
        following = next(((n, text) for n, text in rest if text is None or text.strip()), None)
        numbered = rest if following is None else chain([following], rest)
        if following is not None and (following[1] is None or following[1].startswith(b"{")):
            yield from self._ndjson(chain([(number, first)], numbered))
        elif first.removeprefix(_BOM).lstrip().startswith((b"{", b"[")):
            yield from self._document(first, numbered, _json, self._max)
        else:
            yield from self._document(first, numbered, _yaml, min(self._max, _MAX_YAML))

    def _ndjson(self, numbered: Iterator[tuple[int, bytes | None]]) -> Iterator[RawRecord | Quarantined]:
        for number, text in numbered:
            position = f"line {number}"
            if text is None:
                yield Quarantined(position, "", Reason.TOO_LARGE)
            elif text.strip():
                yield self._exchange(position, text, _json)

    def _document(
        self, first: bytes, rest: Iterator[tuple[int, bytes | None]], parse: Parse, limit: int
    ) -> Iterator[RawRecord | Quarantined]:
        parts, size = [], 0
        for _, text in chain([(0, first)], rest):
            size += 1 + (limit if text is None else len(text))
            if size > limit:
                yield Quarantined("document", "", Reason.TOO_LARGE)
                return
            parts.append(text or b"")
        yield self._exchange("document", b"\n".join(parts), parse)

    def _exchange(self, position: str, data: bytes, parse: Parse) -> RawRecord | Quarantined:
        try:
            value = parse(data.removeprefix(_BOM), self._max)
        except MaillonError as error:
            return Quarantined(position, "", Reason.ENCODING if utf8(data) is None else reason_of(error))
        if not isinstance(value, dict):
            return Quarantined(position, "", Reason.SCHEMA, "type")
        status = _status(value.get("status"))
        payload = value.get("payload")
        if isinstance(payload, str):
            try:
                payload = strict_json.loads(payload, max_bytes=self._max)
            except MaillonError as error:
                if status is None or status < 300:
                    return Quarantined(position, "/payload", reason_of(error))
                payload = None
        record: Json = value if value.keys() <= MEMBERS else {name: value[name] for name in value if name in MEMBERS}
        record["status"], record["payload"] = status, payload
        return RawRecord(position, record)


def _status(value: object) -> int | None:
    written = str(value)
    return int(written) if written.isascii() and written.isdigit() and len(written) == 3 else None


def _is_json(text: bytes, limit: int) -> bool:
    try:
        strict_json.loads(text.removeprefix(_BOM), max_bytes=limit)
    except MaillonError as error:
        return error.detail == "duplicate key"
    return True


def _json(data: bytes, limit: int) -> object:
    return strict_json.loads(data, max_bytes=limit)


def _yaml(data: bytes, _: int) -> object:
    text = utf8(data)
    if text is None:
        raise MaillonError(ErrorKind.MALFORMED, "not UTF-8")
    try:
        return yaml.load(text, Loader=TextLoader)  # noqa: S506 (a SafeLoader with less, below)
    except (yaml.YAMLError, RecursionError):
        raise MaillonError(ErrorKind.MALFORMED, "not YAML") from None


class TextLoader(yaml.SafeLoader):
    """YAML with every plain scalar as text but ``null``; no tag, alias or duplicate key.

    An alias is how a few bytes become gigabytes, and a typed scalar how ``08480`` loses its zero.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (the base class's own form)
        start: [(tag, pattern) for tag, pattern in found if tag == "tag:yaml.org,2002:null"]
        for start, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            _refuse("alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(node.value):
            _refuse("key")
        if len(set(keys)) != len(keys):
            _refuse("duplicate key")
        return super().construct_mapping(node, deep=deep)


def _refuse(what: str) -> NoReturn:
    raise MaillonError(ErrorKind.MALFORMED, what)
