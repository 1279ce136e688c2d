"""``json``: one JSON object a file, or one JSON array of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.bounds import MEBIBYTE, options, reason_of, utf8, whole
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import MaillonError


class JsonReader:
    """Options: ``max_bytes`` (16 MiB)."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._max = int(options(given, max_bytes=16 * MEBIBYTE)["max_bytes"])

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield the object, or each of the array. See ``port.Reader``."""
        data = whole(stream, self._max)
        if data is None:
            yield Quarantined("document", "", Reason.TOO_LARGE)
            return
        text = utf8(data)
        if text is None:
            yield Quarantined("document", "", Reason.ENCODING)
            return
        try:
            value = strict_json.loads(text, max_bytes=self._max)
        except MaillonError as error:
            yield Quarantined("document", "", reason_of(error))
            return
        for number, item in enumerate(value if isinstance(value, list) else [value], 1):
            position = f"record {number}"
            if isinstance(item, dict):
                yield RawRecord(position, item)
            else:
                yield Quarantined(position, "", Reason.SCHEMA, "type")
