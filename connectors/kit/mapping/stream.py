"""A stream of a partner's into fragments: read, check, map, check again, by the record or by a table's lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice, repeat
from typing import BinaryIO, TypeVar

from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.table import TableRun
from connectors.kit.partner import Format
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.table import TableLine, TableReader
from schemas import registry

T = TypeVar("T")


def map_stream(
    stream: BinaryIO, native: Format, collected_at: datetime, records: Counter[str] | None = None, skip: int = 0
) -> Iterator[SubjectFragment | Quarantined]:
    """Yield what a file holds, one person at a time: checked fragments, and an entry for all that is not one.

    ``collected_at`` is when the file was fetched, for records that do not say. ``records`` counts them under
    ``"records"``, and under ``"read"`` with the reader's own entries. The first ``skip`` of those are read and not
    looked at. Raises nothing for bad content.
    """
    counted = Counter() if records is None else records
    run, reader = Run(native.mapping, collected_at), native.reader
    if isinstance(reader, TableReader) and reader.by_line:
        yield from _of_lines(reader, native, run, _skipped(reader.lines(stream), skip, counted), counted)
    else:
        yield from _of_records(native, run, _skipped(reader.read(stream), skip, counted), counted)
    if not counted["read"]:
        yield Quarantined("document", "", Reason.EMPTY)


def _skipped(read: Iterator[T], skip: int, counted: Counter[str]) -> Iterator[T]:
    for _ in islice(read, skip):
        counted["read"] += 1
    return read


def _of_records(
    native: Format, run: Run, read: Iterator[RawRecord | Quarantined], counted: Counter[str]
) -> Iterator[SubjectFragment | Quarantined]:
    # Several small records are read, then checked, then mapped: a quarter faster than one after the other, for the
    # processor's caches hold one thing at a time.
    while batch := list(islice(read, getattr(native.reader, "at_once", 1))):
        refused = [_refused(each, native) for each in batch]
        for record, entry in zip(batch, refused, strict=True):
            counted["read"] += 1
            counted["records"] += isinstance(record, RawRecord)
            yield from _found(record, entry, run)


def _of_lines(
    reader: TableReader,
    native: Format,
    run: Run,
    read: Iterator[TableLine | Quarantined],
    counted: Counter[str],
) -> Iterator[SubjectFragment | Quarantined]:
    names, table = None, None
    while batch := list(islice(read, reader.at_once)):
        lines = [each for each in batch if isinstance(each, TableLine)]
        if lines and lines[0].names is not names:
            names = lines[0].names
            table = TableRun.of(native, reader, run, names)
        told = iter(repeat(None) if table is None else table.told(lines))
        for each in batch:
            counted["read"] += 1
            found = next(told) if isinstance(each, TableLine) else None
            if found is not None:
                counted["records"] += 1
                yield found
                continue
            record = reader.record(each) if isinstance(each, TableLine) else each
            counted["records"] += isinstance(record, RawRecord)
            yield from _found(record, _refused(record, native), run)


def _refused(record: RawRecord | Quarantined, native: Format) -> Quarantined | None:
    return native.schema.check(record) if isinstance(record, RawRecord) else record


def _found(
    record: RawRecord | Quarantined, entry: Quarantined | None, run: Run
) -> Sequence[SubjectFragment | Quarantined]:
    """Return what a record says, or the ``entry`` of what could not be read or checked."""
    if not isinstance(record, RawRecord):
        return (record,)
    if entry is not None:
        return (entry,)
    return [
        _checked(found) if isinstance(found, SubjectFragment) and not found.proven else found
        for found in run.apply(record)
    ]


def _checked(found: SubjectFragment) -> SubjectFragment | Quarantined:
    try:
        registry.validator("fragment").check(found.fragment)
    except registry.SchemaViolation as violation:
        return Quarantined(found.position, violation.pointer, Reason.FRAGMENT, violation.reason)
    return found
