"""Tables mapped a column at a time against the same lines mapped one by one: what is told must be the same."""

from __future__ import annotations

import csv
import gc
import io
import random
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.mapping import stream as mapping_stream
from connectors.kit.mapping.columns import KEPT, LONGEST
from connectors.kit.mapping.expression_reach import members_read, members_said_first
from connectors.kit.mapping.expressions import parse_expression
from connectors.kit.mapping.rules import SCOPE
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.mapping.table import TableRun
from connectors.kit.partner import Format, PartnerFolder, RecordSchema, bundled_directory, discover
from connectors.kit.port import Quarantined, RawRecord
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.table import TableLine, TableReader
from schemas import registry

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
STRANGE = [
    *("", "  ", "NULL", "MaÃ«lle", "x" * 101, "x" * 5000, "12", "O", "NON", "1990-02-30", "2031-01-01", "2026-02-01"),
    *("0999-12-31", "14/03/1987", "1990", "1990-05", " Zoé ", "é", "\x07", "=1+1", "-2", "@a", "2870329232001", "0"),
    *("D29", "29019", "2A004", "99100", "99", "4,5", "8.25", "1e9", "FAKE", "M", "H", "2", "Enfant", "2026-01-09"),
    *("1990-05-17 00:00:00.0", "2025-12-09 10:00 honoré @ Brest | 2026-02-03 prévu", "Accueil", "Éloïse, Jeanne"),
    *("zoe@exemple.fr", "06 12 34 56 78", "\ud800"),
]


@cache
def by_column() -> dict[tuple[str, str], Format]:
    """Every shipped format whose lines are mapped a column at a time."""
    found = {}
    for slug, partner in discover([bundled_directory()]).items():
        for name, native in partner.formats.items():
            reader = native.reader
            if isinstance(reader, TableReader) and reader.by_line:
                names = [*reader.columns.required, *reader.columns.optional]
                if TableRun.of(native, reader, Run(native.mapping, AT), names) is not None:
                    found[slug, name] = native
    return found


@cache
def sample_rows(slug: str, name: str) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """The columns, and the cells of every sample line that is told."""
    partner = PartnerFolder.load(bundled_directory() / slug)
    rows, native = [], partner.formats[name]
    assert isinstance(native.reader, TableReader)
    names = (*native.reader.columns.required, *native.reader.columns.optional)
    for file in partner.samples("sample", "demo"):
        if file.format == name:
            records = native.reader.read(BytesIO(file.path.read_bytes()))
            rows += [tuple(map(each.data.get, names)) for each in records if isinstance(each, RawRecord)]
    return names, rows


def one_by_one(native: Format, data: bytes) -> list[Any]:
    """What the ordinary way says: each line read, checked against the record's schema whole, mapped alone."""
    run, found = Run(native.mapping, AT), list[Any]()
    for record in native.reader.read(BytesIO(data)):
        entry = native.schema.check(record) if isinstance(record, RawRecord) else record
        if entry is not None:
            found.append(entry)
            continue
        assert isinstance(record, RawRecord)
        for item in run.apply(record):
            if isinstance(item, SubjectFragment) and not registry.validator("fragment").fits(item.fragment):
                found.append(Quarantined)
            else:
                found.append(item)
    return found


def shown(found: list[Any]) -> list[str]:
    """With the order of members, which is what is sealed; why a fragment does not fit is another test's."""
    return [
        repr(tuple(item[:5]))
        if isinstance(item, SubjectFragment)
        else "fragment refused"
        if item is Quarantined or item.reason == "fragment"
        else repr(item)
        for item in found
    ]


def table(names: tuple[str, ...], rows: list[list[str]], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([names, *rows])
    return out.getvalue().encode("utf-8", "surrogatepass")


def test_the_shipped_tables_go_by_column() -> None:
    assert sorted(by_column()) == [
        ("ccas", "domiciliations"),
        ("ccas", "suivi_rsa"),
        ("departement", "accompagnement"),
        ("france_travail", "demandeurs"),
    ]


def compared(key: tuple[str, str], seed: int) -> list[str]:
    """What became of the table ``seed`` makes of the samples, once both ways say the same of it."""
    chance, native = random.Random(seed), by_column()[key]  # noqa: S311 (the seed is the example)
    names, good = sample_rows(*key)
    kept = [place for place, name in enumerate(names) if name in required(native) or chance.random() < 0.7]
    chance.shuffle(kept)
    changes = chance.choice((0.0, 0.02, 0.1, 0.5))
    rows = []
    for _ in range(chance.randint(1, 30)):
        row = list(chance.choice(good))
        for place in range(len(row)):
            if chance.random() < changes:
                row[place] = chance.choice((chance.choice(STRANGE), chance.choice(good)[place], chance.choice(row)))
        cells = [row[place] or chance.choice(("", "NULL", " ")) for place in kept]
        rows.append([*cells, "of too many"] if chance.random() < changes / 10 else cells)
    reader = native.reader
    assert isinstance(reader, TableReader)
    delimiter = getattr(getattr(reader, "_csv", reader), "_delimiter")  # noqa: B009 (another reader's own)
    data = table(tuple(names[place] for place in kept), rows, delimiter)
    found = list(map_stream(BytesIO(data), native, AT))
    assert shown(found) == shown(one_by_one(native, data))
    return [item.reason if isinstance(item, Quarantined) else "fragment" for item in found]


def required(native: Format) -> tuple[str, ...]:
    assert isinstance(native.reader, TableReader)
    return native.reader.columns.required


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(by_column())), st.integers(0, 2**32))
def test_what_is_told_is_what_the_run_says(key: tuple[str, str], seed: int) -> None:
    compared(key, seed)


def test_the_tables_went_every_way() -> None:
    """Of seeds that are always the same: whether each way is gone must not hang on a draw."""
    seen = Counter(way for key in sorted(by_column()) for seed in range(40) for way in compared(key, seed))
    wanted = {"fragment", "schema", "bad_date", "bad_value", "encoding", "formula", "too_large", "column_shift"}
    assert wanted <= seen.keys(), seen
    assert seen["fragment"] > 500, seen


def test_plain_lines_are_not_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[RawRecord] = []

    class Watched(Run):
        def apply(self, record: RawRecord) -> list[SubjectFragment | Quarantined]:
            left.append(record)
            return super().apply(record)

    monkeypatch.setattr(mapping_stream, "Run", Watched)
    for (slug, name), native in by_column().items():
        names, good = sample_rows(slug, name)
        reader = native.reader
        delimiter = getattr(getattr(reader, "_csv", reader), "_delimiter")  # noqa: B009
        plain = [[cell or "" for cell in row] for row in good] * 3
        found = list(map_stream(BytesIO(table(names, plain, delimiter)), native, AT))
        told = [item for item in found if isinstance(item, SubjectFragment)]
        assert len(told) == len(plain)
    assert len(left) <= 3, [record.position for record in left]


def test_of_a_file_of_refusals_one_batch_in_eight_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    native, (names, good) = by_column()["departement", "accompagnement"], sample_rows("departement", "accompagnement")
    plain = [cell or "" for cell in good[0]]
    wrong = [cell if name != "date_naissance" else "31/02/1984" for name, cell in zip(names, plain, strict=True)]
    assert isinstance(native.reader, TableReader)
    batch, looked, told = native.reader.at_once, list[int](), TableRun._told

    def counted(self: TableRun, lines: Sequence[TableLine]) -> list[SubjectFragment | None]:
        found = told(self, lines)
        looked.append(found.count(None))
        return found

    monkeypatch.setattr(TableRun, "_told", counted)
    found = list(map_stream(BytesIO(table(names, [wrong] * 20 * batch, ";")), native, AT))
    assert (looked, len(found)) == ([batch] * 3, 20 * batch)
    looked.clear()
    # Refused lines are no excuse for long: after seven batches the plain ones are told again.
    found = list(map_stream(BytesIO(table(names, [wrong] * batch + [plain] * 12 * batch, ";")), native, AT))
    assert looked == [batch] + [0] * 5
    assert sum(isinstance(item, SubjectFragment) for item in found) == 12 * batch


def test_what_is_remembered_goes_with_its_stream_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Any]] = []
    most: list[int] = []

    class Watched(TableRun):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(weakref.ref(self))

        def told(self, lines: Any) -> Any:
            found = super().told(lines)
            readings = [each.reading for each in (*self._rules.traits, *self._rules.fields)]
            memories = [
                one.memory for each in readings for one in (each.readings if hasattr(each, "readings") else [each])
            ]
            most.append(max(map(len, memories)))
            assert all(len(text) <= LONGEST for memory in memories for text in memory if isinstance(text, str))
            return found

    monkeypatch.setattr(mapping_stream, "TableRun", Watched)
    native = by_column()["departement", "accompagnement"]
    names, good = sample_rows("departement", "accompagnement")
    place, other = names.index("referent"), names.index("organisme_referent")
    rows = [[cell or "" for cell in good[0]] for _ in range(KEPT + 300)]
    for number, row in enumerate(rows):
        row[place] = f"N{number}"
        if number % 4 == 0:  # too long for the record's schema: of more such lines, whole batches would be left
            row[other] = "x" * (LONGEST + 1 - number // 4 % 2)
    gc.disable()  # it goes at once, not when the collector comes round
    try:
        found = sum(1 for _ in map_stream(BytesIO(table(names, rows, ";")), native, AT))
        assert found == len(rows)
        assert max(most) == KEPT
        assert made
        assert not [each for each in made if each() is not None]
    finally:
        gc.enable()


def test_a_schema_that_ties_members_is_asked_whole() -> None:
    shape = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"minLength": 2}}}
    by_member = RecordSchema("r", {"r": shape}).by_member(["a", "b"])
    assert by_member is not None
    assert [by_member["a"]("x"), by_member["a"](None), by_member["b"]("x"), by_member["b"](None)] == [1, 0, 0, 1]
    refused = [
        shape | {"dependentRequired": {"a": ["b"]}},
        shape | {"if": {"required": ["b"]}, "then": False},
        shape | {"$ref": "#/$defs/other"},
        shape | {"additionalProperties": {"type": "string"}},
        shape | {"minProperties": 3},
        shape | {"required": ["a", "c"]},
        {key: value for key, value in shape.items() if key != "type"},
    ]
    for each in refused:
        assert RecordSchema("r", {"r": each, "other": {}}).by_member(["a", "b"]) is None, each
    closed = RecordSchema("r", {"r": shape | {"additionalProperties": False}})
    assert closed.by_member(["a", "b"]) is not None
    assert closed.by_member(["a", "c"]) is None


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("record.a", {"a"}),
        ("it.a", {"a"}),
        ("record.a.b[0]", {"a"}),
        ("'x'", set()),
        ("[record.a, record.b][?@ != 'x'] | [0]", {"a", "b"}),
        ("record.a != 'N' && !starts_with(record.b || '', 'x')", {"a", "b"}),
        ("{x: record.a, y: it.b}", {"a", "b"}),
        ("record.a[?code == 'record']", {"a"}),
        ("sort_by(record.a, &b)", {"a"}),
        ("record", None),
        ("keys(record)", None),
        ("identite", None),
        ("record.[a, b]", None),
        ("record.*", None),
        ("demande.nir || record.a", None),
        ("liens", None),
    ],
)
def test_the_members_an_expression_reads(text: str, members: set[str] | None) -> None:
    assert members_read(parse_expression(text, SCOPE)) == members


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("record.a", ["a"]),
        ("it.b || record.a", ["b", "a"]),
        ("record.a || record.b || record.c", ["a", "b", "c"]),
        ("record.a || 'x'", []),
        ("record.a && record.b", []),
        ("record.a.b || record.c", []),
        ("record.a | @", []),
        ("record", []),
        ("identite.a || record.b", []),
    ],
)
def test_the_members_of_which_an_expression_says_the_first(text: str, members: list[str]) -> None:
    assert members_said_first(parse_expression(text, SCOPE)) == members


class Shouting(CsvReader):
    """A partner's own reader, which does more than cut lines."""

    def read(self, stream: Any) -> Iterator[RawRecord | Quarantined]:
        for item in super().read(stream):
            if isinstance(item, RawRecord):
                item.data["nom_naissance"] = item.data["nom_naissance"].upper()
            yield item


def test_a_reader_with_a_read_of_its_own_is_read_by_it() -> None:
    native = by_column()["departement", "accompagnement"]
    names, good = sample_rows("departement", "accompagnement")
    reader = Shouting({"columns": list(required(native)), "optional": list(names[len(required(native)) :])})
    assert not reader.by_line
    own = Format(native.name, "", (), reader, native.schema, native.mapping)
    row = [cell or "" for cell in good[0]]
    row[names.index("nom_naissance")] = "le goff"
    (found,) = map_stream(BytesIO(table(names, [row], ";")), own, AT)
    assert isinstance(found, SubjectFragment)
    assert found.identity_traits["nom_naissance"] == "LE GOFF"


def test_a_memory_keeps_no_refusal() -> None:
    native = by_column()["departement", "accompagnement"]
    assert isinstance(native.reader, TableReader)
    names, good = sample_rows("departement", "accompagnement")
    table_run = TableRun.of(native, native.reader, Run(native.mapping, AT), names)
    assert table_run is not None
    row = dict(zip(names, good[0], strict=True))
    for _ in range(2):  # the second time as the first
        for column, cell in (("phase", "Inconnue"), ("date_naissance", "1990-02-30"), ("date_maj", "2031-01-01")):
            cells = [(row | {column: cell})[name] for name in names]
            good_line, bad_line = TableLine("line 2", names, good[0]), TableLine("line 3", names, cells)
            first, second, third = table_run.told([good_line, bad_line, good_line])
            assert first is not None
            assert second is None
            assert third == first
