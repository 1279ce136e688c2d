"""What the tests of tables share: lines that are there already, a format of any rules, and both ways to map it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

from connectors.kit.mapping.file import load_mapping
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.mapping.table import TableRun
from connectors.kit.partner import Format, RecordSchema
from connectors.kit.port import Quarantined, Reason
from connectors.kit.readers.table import Cell, Columns, Layout, Row, TableReader
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Refused

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
COLUMNS = ("cle", "nom", "a", "b", "nom naissance", "vu")
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"$ref": "#/$defs/court"},
        "nom naissance": {"type": "string"},
        "nom": {"type": ["string", "null"], "pattern": "^[^0-9]*$"},
    },
}
SHAPES = {"ligne": SCHEMA, "court": {"anyOf": [{"type": "null"}, {"maxLength": 12}], "enum": [None, "", "1", "x", "T"]}}


class Given(TableReader):
    """Of lines that are there already, whatever a cell may be."""

    def __init__(self, lines: Sequence[Sequence[Cell] | Quarantined | Reason], layout: Layout | None = None) -> None:
        self.columns = Columns(("cle",), COLUMNS[1:], numbers=frozenset({"a", "cle"}), dates=frozenset({"b", "vu"}))
        self.layout, self.trimmed = layout, True
        self._lines = lines

    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        for number, line in enumerate(self._lines, 1):
            yield line if isinstance(line, Quarantined) else (number, line)

    def laid_out(self, layout: Layout) -> TableReader:
        return Given(self._lines, layout)


def the_format(reader: TableReader, rules: str, shapes: Mapping[str, Any] = SHAPES) -> Format:
    text = f'[tables.t]\nT = "accueil"\nx = "accueil"\n1 = "1"\n[formats.f]\nbase_legale = "CASF L121-6-2"\n{rules}'
    return Format("f", "", (), reader, RecordSchema("ligne", shapes), load_mapping(text.encode(), "essai", OWN)["f"])


def told(native: Format, data: bytes = b"", skip: int = 0) -> list[tuple[str, int, int]]:
    """Everything yielded, with the counts of that moment; what was yielded is the same once all is read."""
    counted, found, items = Counter[str](), [], []
    try:
        for item in map_stream(BytesIO(data), native, AT, counted, skip):
            items.append(item)
            found.append((_shown(item), counted["read"], counted["records"]))
    except Exception as error:  # a fault of the folder's own
        found.append((type(error).__name__, 0, 0))
    assert [_shown(item) for item in items] == [shown for shown, *_ in found][: len(items)]
    return [*found, ("", counted["read"], counted["records"])]


def _shown(item: SubjectFragment | Quarantined) -> str:
    return repr(tuple(item[:5])) if isinstance(item, SubjectFragment) else repr(item)


def both(native: Format, data: bytes = b"", skip: int = 0) -> tuple[list[tuple[str, int, int]], ...]:
    """What is told by column, and what by the ordinary way, a record at a time."""
    reader = copy.copy(native.reader)
    reader.by_line, reader.at_once = False, 1  # type: ignore[attr-defined]
    plain = Format("f", "", (), reader, native.schema, native.mapping)
    return told(native, data, skip), told(plain, data, skip)


def goes_by_column(native: Format, columns: Sequence[str] = COLUMNS) -> bool:
    assert isinstance(native.reader, TableReader)
    return TableRun.of(native, native.reader, Run(native.mapping, AT), columns) is not None


def first_two(value: Any, _: Mapping[str, Any]) -> list[str]:
    """A partner's own: a list, which the stream's lines share."""
    return [str(value)[:2]]


def strict(value: Any, _: Mapping[str, Any]) -> str:
    """A partner's own, which thinks that there always is a name: without one, a fault."""
    return str(value["nom_naissance"][:3])


def emptied(value: Any, _: Mapping[str, Any]) -> str:
    """A partner's own, which takes the list it is given apart."""
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "".join(value.pop() for _ in range(len(value))) if texts else str(value)


def choosy(value: Any, _: Mapping[str, Any]) -> str:
    """A partner's own, which refuses some and knows others not at all."""
    if value == "x":
        raise Refused(Reason.BAD_VALUE)
    return {"1": "un", "T": "deux"}[str(value)]


OWN = {**BUILT_IN, "first_two": first_two, "strict": strict, "emptied": emptied, "choosy": choosy}
