"""``xml``: a long XML file of many records of one element, read with constant memory.

Made for the CAF and MSA monthly stream (schema vrsb0801): a header, one element a household, a trailer that counts
them. No DTD, no entity beyond XML's own five, no network; libxml2's own limits stay on, and a record that grows
beyond ``max_record`` bytes stops the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from lxml import etree

from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.readers.bounds import MEBIBYTE, options
from connectors.kit.readers.xml_events import DtdRefused, TooLarge, cause, elements


class XmlReader:
    """Options: ``record`` (element), ``header`` (element read first, given to every record under its own name),
    ``trailer`` and ``count`` (element and its child that counts the records), ``lists`` (elements that may repeat, and
    so are lists even when alone), ``max_record`` (4 MiB).

    A record comes out as ``{<header>: {…}, <record>: {…}}``: elements as objects, text trimmed, empty elements left
    out, attributes ignored.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        found = options(given, record=str, header="", trailer="", count="", lists=[], max_record=4 * MEBIBYTE)
        self._record: str = found["record"]
        self._header: str = found["header"]
        self._trailer: str = found["trailer"]
        self._count: str = found["count"]
        self._lists = frozenset(found["lists"])
        self._max: int = found["max_record"]

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield one record per element. See ``port.Reader``."""
        header: Json = {}
        number, announced = 0, None
        tags = [tag for tag in (self._record, self._header, self._trailer) if tag]
        try:
            for element in elements(stream, tags, self._max):
                if element.tag == self._header:
                    header = self._object(element)
                elif element.tag == self._trailer:
                    announced = element.findtext(self._count) if self._count else None
                else:
                    number += 1
                    yield RawRecord(f"record {number}", {self._header: header, self._record: self._object(element)})
        except DtdRefused:
            yield Quarantined("document", "", Reason.DTD_REFUSED)
            return
        except TooLarge:
            yield Quarantined(f"record {number + 1}", "", Reason.TOO_LARGE)
            return
        except etree.XMLSyntaxError as error:
            place = f"line {error.lineno}, after" if error.lineno else "after"
            yield Quarantined(f"{place} record {number}", "", cause(error))
            return
        if self._count and (announced is None or not announced.strip().isdigit() or int(announced) != number):
            yield Quarantined("document", f"/{self._trailer}/{self._count}", Reason.COUNT_MISMATCH)

    def _object(self, element: Any) -> Json:
        found: Json = {}
        for child in element:
            tag = child.tag
            value = self._object(child) if len(child) else (child.text or "").strip() or None
            if value is None or value == {}:
                continue
            if tag in self._lists:
                found.setdefault(tag, []).append(value)
            elif tag in found:  # an element that may not repeat, repeated: all, for the schema to refuse
                kept = found[tag]
                found[tag] = kept if isinstance(kept, list) else [kept]
                found[tag].append(value)
            else:
                found[tag] = value
        return found
