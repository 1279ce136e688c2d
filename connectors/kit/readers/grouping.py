"""Several lines of a table about one person, brought together: what is held of someone is one record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from connectors.kit.port import Quarantined, RawRecord, Reason

LINES: Final = "lignes"
_MOST: Final = 1000


def grouped(
    found: Iterable[RawRecord | Quarantined], key: Sequence[str], lines: Sequence[str]
) -> Iterator[RawRecord | Quarantined]:
    """Yield one record for each run of records with the same ``key``: its own columns, and ``lignes``, a list of the
    columns ``lines`` of each. Entries pass through.

    A line whose other columns contradict the first of its run, or whose key stood in an earlier run, is set aside: two
    persons under one number, or a table to be sorted. One number is kept in memory for each run.
    """
    open_record: RawRecord | None = None
    seen: set[int] = set()
    for item in found:
        if isinstance(item, Quarantined):
            yield item
            continue
        own = {name: value for name, value in item.data.items() if name not in lines}
        line = {name: item.data.get(name) for name in lines}
        mark = hash(tuple(own.get(name) for name in key))
        if open_record is not None and all(open_record.data[name] == own.get(name) for name in key):
            yield from _joined(open_record, item, own, line)
        elif mark in seen:
            yield Quarantined(item.position, f"/{key[0]}", Reason.SCATTERED)
        else:
            if open_record is not None:
                yield open_record
            seen.add(mark)
            open_record = RawRecord(item.position, own | {LINES: [line]})
    if open_record is not None:
        yield open_record


def _joined(into: RawRecord, item: RawRecord, own: dict[str, object], line: dict[str, object]) -> Iterator[Quarantined]:
    differs = next((name for name, value in own.items() if into.data[name] != value), None)
    if differs is not None:
        yield Quarantined(item.position, f"/{differs}", Reason.CONTRADICTS)
    elif len(into.data[LINES]) >= _MOST:
        yield Quarantined(item.position, "", Reason.TOO_LARGE)
    else:
        into.data[LINES].append(line)
