"""The mapping as it runs against a naive reading of the same TOML: over every sample, and over samples altered."""

from __future__ import annotations

import copy
import gc
import random
import weakref
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.mapping import stream as mapping_stream
from connectors.kit.mapping.columns import KEPT, LONGEST
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import Format, PartnerFolder, bundled_directory, discover
from connectors.kit.port import Quarantined, RawRecord
from connectors.kit.readers.table import TableReader
from schemas import registry
from tests.kit.naive_mapping import Naive
from tests.partners.published import all_cases

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
STRANGE = [
    *(None, "", "  ", "NULL", "MaÃ«lle", "x" * 101, "12", "O", "N", "true", "1990-02-30", "2031-01-01", "0999-12-31"),
    *("14/03/1987", " 2 ", "é", "\x07", "\ud800", "2870329232001", 0, 1, -1, 7.25, 1e9, True, False, [], {}, ["x"]),
    *("0", "non_beneficiaire", "99100", "2A004"),
]


@cache
def partners() -> dict[str, PartnerFolder]:
    return discover([bundled_directory()])


@cache
def samples() -> dict[tuple[str, str], list[RawRecord]]:
    """Every record of every sample file that the reader gives, by partner and format."""
    found: dict[tuple[str, str], list[RawRecord]] = {}
    for slug, partner in partners().items():
        for file in partner.samples():
            reader = partner.formats[file.format].reader
            records = [item for item in reader.read(BytesIO(file.path.read_bytes())) if isinstance(item, RawRecord)]
            found.setdefault((slug, file.format), []).extend(records)
    return {key: records for key, records in found.items() if records}


@cache
def naive(slug: str, name: str) -> Naive:
    return Naive(partners()[slug], name)


class Given:
    """A reader that has read already."""

    def __init__(self, records: list[RawRecord]) -> None:
        self.records = records

    def read(self, stream: Any) -> Iterator[RawRecord | Quarantined]:
        yield from self.records


def ours(slug: str, name: str, records: list[RawRecord]) -> list[Any]:
    native = partners()[slug].formats[name]
    given = Format(name, "", (), Given(records), native.schema, native.mapping)
    found = list(map_stream(BytesIO(b""), given, AT))
    return [tuple(item[:5]) if isinstance(item, SubjectFragment) else item for item in found]


def expected(slug: str, name: str, records: list[RawRecord]) -> list[Any]:
    schema, found = partners()[slug].formats[name].schema, []
    for record in records:
        refused = schema.check(record)
        found += [refused] if refused is not None else naive(slug, name).map(record, AT)
    return found


@pytest.mark.parametrize("key", samples(), ids="/".join)
def test_every_sample(key: tuple[str, str]) -> None:
    records = samples()[key]
    found = ours(*key, records)
    assert repr(found) == repr(expected(*key, records))  # the order of members too: it is what is sealed
    assert found == ours(*key, records)


def test_every_published_case(shared_data: Path) -> None:
    compared = 0
    for case in all_cases(shared_data):
        reader = partners()[case.slug].formats[case.format].reader
        records = [each for each in reader.read(BytesIO(case.file.read_bytes())) if isinstance(each, RawRecord)]
        key = case.slug, case.format
        assert repr(ours(*key, records)) == repr(expected(*key, records)), case.name
        compared += len(records)
    assert compared > 300


def test_the_whole_schema_is_asked_only_where_something_was_set_aside() -> None:
    proven = 0
    for (slug, name), records in samples().items():
        native = partners()[slug].formats[name]
        run = Run(native.mapping, AT)
        for record in records:
            found = run.apply(record) if native.schema.check(record) is None else []
            aside = {item.position for item in found if isinstance(item, Quarantined)}
            for item in found:
                if isinstance(item, SubjectFragment) and registry.validator("fragment").fits(item.fragment):
                    assert item.proven or item.position in aside
                    proven += item.proven
    assert proven > 100


@pytest.mark.parametrize("skip", [0, 1, 3, 100])
def test_reading_ahead_changes_nothing_that_is_told(skip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for slug, partner in partners().items():
        for file in partner.samples():
            native, data = partner.formats[file.format], file.path.read_bytes()

            def told(at_once: int, native: Format = native, data: bytes = data) -> list[Any]:
                monkeypatch.setattr(native.reader, "at_once", at_once, raising=False)
                counted: Counter[str] = Counter()
                found = map_stream(BytesIO(data), native, AT, counted, skip)
                return [(repr(item), counted["read"], counted["records"]) for item in found]

            assert told(1) == told(2) == told(64), (slug, file.path.name)


def test_what_columns_remember_goes_with_their_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []

    class Watched(Run):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(weakref.ref(self))
            made.extend(map(weakref.ref, self.columns))

    monkeypatch.setattr(mapping_stream, "Run", Watched)
    gc.disable()  # it goes at once, not when the collector comes round
    try:
        for key, records in samples().items():
            ours(*key, records)
        assert len(made) > 10 * len(samples())
        assert not [each for each in made if each() is not None]
    finally:
        gc.enable()


def test_what_columns_remember_is_bounded() -> None:
    run = Run(partners()["departement"].formats["accompagnement"].mapping, AT)
    record = next(iter(samples()["departement", "accompagnement"]))
    for number in range(KEPT + 10):
        run.apply(RawRecord("line 1", record.data | {"referent": f"N{number:05}", "organisme_referent": "x" * 90}))
    run.apply(RawRecord("line 1", record.data | {"referent": "y" * (LONGEST + 1)}))
    assert max(map(len, run.columns)) == KEPT
    assert max(len(text) for column in run.columns for text in column) <= LONGEST


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(child, dict | list):
            yield from leaves(child)


def altered(key: tuple[str, str], chance: random.Random) -> RawRecord:
    record = chance.choice(samples()[key])
    # Every line of a table has all of its columns, whatever stands in them.
    in_columns = isinstance(partners()[key[0]].formats[key[1]].reader, TableReader)
    data = copy.deepcopy(record.data)
    for _ in range(chance.randint(1, 4)):
        holder, name = chance.choice(list(leaves(data)))
        if chance.random() < 0.2 and isinstance(holder, dict) and not in_columns:
            del holder[name]
        elif chance.random() < 0.3:
            other, theirs = chance.choice(list(leaves(data)))
            holder[name] = copy.deepcopy(other[theirs])
        else:
            holder[name] = copy.deepcopy(chance.choice(STRANGE))
        if not data:
            break
    return RawRecord(record.position, data)


def compared(key: tuple[str, str], seed: int) -> list[str]:
    """What became of the records ``seed`` alters, once it is what the naive reading says."""
    chance = random.Random(seed)  # noqa: S311
    # A stream of several, so that what a column remembers of one is there for the next.
    records = [altered(key, chance) for _ in range(8)]
    found = ours(*key, records)
    assert repr(found) == repr(expected(*key, records))
    return [item.reason if isinstance(item, Quarantined) else "fragment" for item in found]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(samples())), st.integers(0, 2**32))
def test_samples_altered(key: tuple[str, str], seed: int) -> None:
    compared(key, seed)


def test_the_altered_samples_went_every_way() -> None:
    """Of seeds that are always the same: whether each way is gone must not hang on a draw."""
    seen = Counter(way for key in sorted(samples()) for seed in range(8) for way in compared(key, seed))
    assert {"fragment", "schema", "bad_date", "bad_value", "encoding"} <= seen.keys(), seen


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(samples())), st.integers(0, 2**32))
def test_what_is_proven_is_valid(key: tuple[str, str], seed: int) -> None:
    """Also of records their own schema would have refused: the proof leans on nothing before it."""
    chance = random.Random(seed)  # noqa: S311
    run = Run(partners()[key[0]].formats[key[1]].mapping, AT)
    for _ in range(8):
        try:
            found = run.apply(altered(key, chance))
        except (TypeError, AttributeError, KeyError, ValueError):  # a transform given what the schema keeps from it
            continue
        for item in found:
            if isinstance(item, SubjectFragment) and item.proven:
                registry.validator("fragment").check(item.fragment)
