"""What a careless folder or file may bring, by column and one by one: cells of any kind, rules of any shape."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.mapping.columns import KEPT, LONGEST
from connectors.kit.mapping.file import load_mapping
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.mapping.table import TableRun
from connectors.kit.mapping.table_rules import Aside, Memory
from connectors.kit.partner import Format, RecordSchema
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.spreadsheet import SpreadsheetReader
from connectors.kit.readers.table import Cell, Columns, Layout, Row, TableLine, TableReader, Typed
from connectors.kit.transforms import BUILT_IN, Refused

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
EXPRESSIONS = (
    *(
        "record.cle",
        "record.nom",
        "record.a",
        "record.b",
        "record.vu",
        'record.\\"nom naissance\\"',
        "it.a",
        "record.z",
    ),
    *("record.a.b", "record.a == 'x'", "record.a != `null`", "length(record.a)", "join('-', [record.a, record.b])"),
    *("to_number(record.a)", "sort([record.a, record.b])", "not_null(record.z, record.a)", "[record.a, record.b]"),
    *("{x: record.a}", "[record.a, record.b][?@] | [0]", "'fixe'", "`3`", "`true`", "`[1, 2]`", "`null`"),
    *("record.a && record.b", "record.a || record.b", "!record.a", "to_array(record.a)[0]", "[record.a][]"),
    *("type(record.a)", "to_string(record.b)", "max([record.a, record.b])", "starts_with(record.a, 'x')"),
    *(
        "[record.a, record.b][0:1]",
        "map(&@, [record.a])",
        "record.a[0]",
        "[record.a, record.b][*]",
        "record.a < record.b",
    ),
    *("sum([to_number(record.a)])", "contains([record.a], record.b)", "reverse(record.a)", "' '"),
)
DATES = ("record.b", "record.vu", "record.vu", "record.vu")
BEYOND = ("record", "keys(record)", "values(record)", "identite", "record.*", "record.[a, b]", "role", "liens[0].role")
TRANSFORMS = ("", "text", "as_is", "texts", "joined", "first_two", "emptied", "choosy", "integer", "boolean", "codes")
FIELDS = (
    *("accompagnement.phase", "accompagnement.organisme_referent", "contact.telephone"),
    *("accompagnement.contrat_engagement.date", "identifiants.id_si_departement", "contact.code_postal"),
    *("identite.nom_usage", "foyer.nombre_enfants_a_charge", "contact.est_sans_domicile_fixe"),
)
CELLS: tuple[Cell, ...] = (
    *(None, "", " ", "NULL", "1", "x", "T", "zz", "007", "MaÃ«lle", "Zoé", "\x07", "=1+1", "2026-01-09", "2027-01-01"),
    *("10/06/2025", "x" * 12, "x" * 128, "x" * 129, "x" * 4096, "x" * 4097, " x ", "a;b"),
    *(Typed("1", "number"), Typed("", "number"), Typed("2026-01-09", "date"), Typed("", "date"), Typed(" ", "date")),
    *(Typed("", "formula"), Typed("", "error"), Typed("10:00", "time"), Typed("2026-01-09T10:00:00", "date")),
)
PLAIN: Mapping[str, tuple[Cell, ...]] = {
    "cle": ("7", "8", "", "1"),
    "nom": ("GAC", "LE BRAS"),
    "a": ("1", "x", "T", None),
    "b": ("1", "zz", Typed("2026-01-09", "date"), Typed("", "date")),
    "nom naissance": ("GAC", "GAC", "GAC", ""),
    "vu": ("2001-01-09", "2001-01-10", "", "2027-01-01"),
}


@st.composite
def mappings(draw: st.DrawFn) -> str:
    def value(more: str = "", also: Sequence[str] = ()) -> str:
        expression = st.sampled_from((*EXPRESSIONS, *EXPRESSIONS[:5] * 6, *also))
        several = draw(st.integers(0, 4)) == 0
        source = f"[{', '.join(_quoted(draw(expression)) for _ in range(2))}]" if several else _quoted(draw(expression))
        transform = draw(st.sampled_from((*TRANSFORMS[:1] * 12, *TRANSFORMS)))
        way = f', with = "{transform}"' if transform else draw(st.sampled_from(("", "", "", ', table = "t"')))
        return f"{{ from = {source}{way}{more} }}"

    def sometimes(text: str) -> str:
        return text if draw(st.integers(0, 3)) == 0 else ""

    rules = sometimes(f"as_of = {_quoted(draw(st.sampled_from(DATES)))}\n")
    rules += sometimes(f"date_effet = {_quoted(draw(st.sampled_from(DATES)))}\n")
    keys = [
        '"record.cle"',
        value(),
        '{ from = "identite", with = "civil_key" }',
        '{ from = "identite", with = "strict" }',
    ]
    parts = draw(st.lists(st.sampled_from([*keys[:1] * 6, *keys]), min_size=1, max_size=3))
    rules += f"[formats.f.subjects.p]\nlocal_id = [{', '.join(parts)}]\n[formats.f.subjects.p.identity]\n"
    rules += 'nom_naissance = "record.nom"\n'
    rules += sometimes('nom_usage = "record.b"\n') + sometimes(f"prenoms = {value()}\n") + sometimes("sexe = \"'F'\"\n")
    rules += sometimes('date_naissance = "record.vu"\n') + sometimes(f"code_cog_insee_pays_naissance = {value()}\n")
    rules += '[formats.f.subjects.p.fields]\n"accompagnement.referent" = "record.cle"\n'
    for path in draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True)):
        more = ", optional = true" if draw(st.integers(0, 3)) else ""
        more += sometimes(', absent = "sans_droit"')
        more += sometimes(f", when = {_quoted(draw(st.sampled_from(EXPRESSIONS)))}")
        more += sometimes(f", date_effet = {_quoted(draw(st.sampled_from(DATES)))}")
        rules += f'"{path}" = {value(more, BEYOND[:1])}\n'
    return rules


def _quoted(expression: str) -> str:
    return f'"{expression}"'


def compared(data: st.DataObject, rules: str) -> tuple[bool, int]:
    """Whether lines drawn for ``rules`` go by column, and how many of them are told, once both ways say the same."""
    columns = ("cle", *data.draw(st.permutations(COLUMNS[1:]))[: data.draw(st.integers(1, 5))])
    line = st.lists(st.sampled_from(CELLS), max_size=len(columns) + 1)
    usual = st.tuples(*(st.sampled_from((*PLAIN[name] * 120, *CELLS)) for name in columns))
    faults = st.sampled_from([Reason.MALFORMED, Quarantined("document", "", Reason.TRUNCATED)])
    lines = data.draw(st.lists(st.one_of(usual, usual, usual, line, faults), max_size=10))
    native = the_format(Given([columns, *lines]), rules)
    native.reader.at_once = data.draw(st.sampled_from((1, 2, 3, 64)))  # type: ignore[attr-defined]
    skip = data.draw(st.integers(0, len(lines) + 1)) if data.draw(st.booleans()) else 0
    by_column, one_by_one = both(native, skip=skip)
    assert by_column == one_by_one
    told_of = sum(shown.startswith("('line") and "'statements'" in shown for shown, *_ in by_column)
    return goes_by_column(native, columns), told_of


@settings(max_examples=500, deadline=None)
@given(st.data(), mappings())
def test_any_rules_of_any_cells(data: st.DataObject, rules: str) -> None:
    compared(data, rules)


def test_the_rules_went_both_ways() -> None:
    """Of draws that are always the same: whether each way is gone must not hang on chance."""
    seen: list[tuple[bool, int]] = []

    @settings(max_examples=150, derandomize=True, database=None)
    @given(st.data(), mappings())
    def draw(data: st.DataObject, rules: str) -> None:
        seen.append(compared(data, rules))

    draw()
    assert sum(by_column for by_column, _ in seen) > 90, seen
    assert sum(told_of for _, told_of in seen) > 5, seen


PERSON = """[formats.f.subjects.p]
local_id = ["record.cle"]
[formats.f.subjects.p.identity]
nom_naissance = "record.nom"
[formats.f.subjects.p.fields]
"accompagnement.referent" = "record.a"
"""
CSV = {"columns": ["cle"], "optional": list(COLUMNS[1:])}


def csv_of(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> bytes:
    return "".join(f"{';'.join(line)}\n" for line in (columns, *lines)).encode()


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 128, 129])
def test_the_edges_of_batches_with_lines_set_aside(count: int) -> None:
    """And what each record counts for, at each place a stream may be taken up again."""
    native = the_format(CsvReader(CSV), PERSON)
    lines = [[str(number), "GAC", "x" if number % 2 else "1"] for number in range(count)]
    for faulty in {0, 1, 62, 63, 64, 65, count - 1}:
        for fault in (["7", "G4C", "1"], ["7", "=1+1", "1"], ["7", "GAC"], ["", "GAC", "1"], ["7", '"GAC', "1"]):
            changed = [fault if place == faulty else line for place, line in enumerate(lines)]
            by_column, one_by_one = both(native, csv_of(("cle", "nom", "a"), changed))
            assert by_column == one_by_one
    data = csv_of(("cle", "nom", "a"), [["7", '"GA\nC"', "1"] if n % 9 == 0 else each for n, each in enumerate(lines)])
    whole = told(native, data)
    for skip in range(count):
        before = whole[skip - 1][2] if skip else 0
        expected = [(shown, read, records - before) for shown, read, records in whole[skip:]]
        assert told(native, data, skip) == expected
    assert told(native, data, count + 1) == [("", count, 0)]


def test_a_cell_over_two_lines_and_accents_of_windows_at_a_batch_edge() -> None:
    native = the_format(CsvReader(CSV), PERSON)
    for edge in (62, 63, 64):
        lines = [f"{number};GAC;x" for number in range(130)]
        lines[edge], lines[edge + 1] = '7;"LE\nGAC";x', "8;MAËLLE;1"
        data = "\n".join(["cle;nom;a", *lines]).encode("windows-1252")
        by_column, one_by_one = both(native, data)
        assert by_column == one_by_one
        assert "MAËLLE" in str(by_column)


def test_a_layout_that_leaves_columns_unread_and_headings_that_stand_twice() -> None:
    headings = ("N°", "Nom", "Remarques", "Remarques", "A")
    layout = Layout(2, headings, {"cle": "N°", "nom": "Nom", "a": "A"}, ";")
    lines = [*[("7", "GAC", "x" * 5000, "=1", "1")] * 70, ("8", "GAC", "", "", "x", "y"), ("9", "GAC")]
    native = the_format(Given([("liste",), headings, *lines], layout), PERSON)
    by_column, one_by_one = both(native)
    assert by_column == one_by_one
    assert goes_by_column(native, ("cle", "nom", "a"))
    twice = the_format(Given([headings, *lines], Layout(1, headings, {"cle": "N°", "a": "Remarques"})), PERSON)
    by_column, one_by_one = both(twice)
    assert by_column == one_by_one


def test_a_date_without_anything_says_nothing() -> None:
    native = the_format(Given([("cle", "vu", "nom"), ("7", Typed("", "date"), "GAC")]), PERSON.replace(".a", ".vu"))
    keyed = the_format(Given([("cle", "vu", "nom"), ("7", Typed("", "date"), "GAC")]), PERSON.replace(".cle", ".vu"))
    for each in (native, keyed):
        by_column, one_by_one = both(each)
        assert by_column == one_by_one
    assert "no_subject" in str(both(keyed)[0])


def test_a_fault_in_the_traits_of_one_line_leaves_the_lines_before_it() -> None:
    """And none where the line is set aside before anybody asks for its traits."""
    local_id = '[{ from = "identite", with = "strict" }]'
    native = the_format(CsvReader(CSV), PERSON.replace('["record.cle"]', local_id))
    refused = csv_of(("cle", "nom", "a"), [["7", "GAC", "1"], ["8", "MaÃ«lle", "1"], ["9", "GAC", "1"]])
    by_column, one_by_one = both(native, refused)
    assert by_column == one_by_one
    assert len(by_column) == 4
    by_column, one_by_one = both(native, csv_of(("cle", "nom", "a"), [["7", "GAC", "1"], ["8", "", "1"]]))
    assert by_column == one_by_one
    assert [shown for shown, *_ in by_column][1] == "KeyError"


def test_a_field_that_is_a_trait_too() -> None:
    rules = PERSON + '"identite.nom_naissance" = "record.b"\n'
    native = the_format(CsvReader(CSV), rules)
    by_column, one_by_one = both(
        native, csv_of(("cle", "nom", "a", "b"), [["7", "GAC", "x", ""], ["8", "GAC", "x", "LE BRAS"]])
    )
    assert by_column == one_by_one


def test_a_local_id_that_refuses_what_a_field_takes() -> None:
    """A truth is a value of the dossier's, and no local id."""
    rules = PERSON.replace('["record.cle"]', '["record.b == \'x\'", "record.cle"]')
    rules += '"contact.est_sans_domicile_fixe" = "record.b == \'x\'"\n'
    by_column, one_by_one = both(
        the_format(CsvReader(CSV), rules), csv_of(("cle", "nom", "b"), [["7", "GAC", "x"], ["8", "GAC", "y"]])
    )
    assert by_column == one_by_one
    assert "local_id" in str(by_column)


@pytest.mark.parametrize(
    "member",
    [
        {"$id": "https://exemple.fr/membre", "$ref": "#/$defs/long", "$defs": {"long": {"minLength": 3}}},
        {"$ref": "#"},
        {"$ref": "#/$defs/autour"},
        {"$dynamicRef": "#court"},
        {"properties": {"$ref": {"minLength": 3}}},
    ],
)
def test_a_schema_that_looks_elsewhere_is_asked_whole(member: dict[str, Any]) -> None:
    shapes = {
        "ligne": {"type": "object", "properties": {"a": member}},
        "autour": {"$ref": "#"},
        "long": {"maxLength": 1},
        "court": {"$dynamicAnchor": "court", "maxLength": 1},
    }
    native = the_format(CsvReader(CSV), PERSON, shapes)
    by_column, one_by_one = both(native, csv_of(("cle", "nom", "a"), [["7", "GAC", ""], ["8", "GAC", "xx"]]))
    assert by_column == one_by_one
    assert not goes_by_column(native)


@pytest.mark.parametrize("whole", [True, False])
def test_a_schema_that_takes_everything_or_nothing(whole: bool) -> None:
    native = the_format(CsvReader(CSV), PERSON, {"ligne": whole})
    by_column, one_by_one = both(native, csv_of(("cle", "nom", "a"), [["7", "GAC", "x"]]))
    assert by_column == one_by_one


class Raised:
    """What a partner's own reader may mix in."""

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        for item in super().read(stream):  # type: ignore[misc]
            yield item._replace(data=item.data | {"nom": "LE BRAS"}) if isinstance(item, RawRecord) else item


class Mixed(Raised, CsvReader):
    pass


class Recording(CsvReader):
    def record(self, line: TableLine) -> RawRecord | Quarantined:
        found = super().record(line)
        return found._replace(data=found.data | {"nom": "LE BRAS"}) if isinstance(found, RawRecord) else found


class Saying(SpreadsheetReader):
    def said(self, column: str, cell: Cell) -> Any:
        return "LE BRAS"


class SeveralTables(CsvReader):
    def lines(self, stream: BinaryIO) -> Iterator[TableLine | Quarantined]:
        for line in super().lines(stream):
            yield line
            yield TableLine("line 0", ("nom", "cle"), ("GAC", "9"))


@pytest.mark.parametrize("kind", [Mixed, Recording, Saying, SeveralTables])
def test_a_reader_that_reads_otherwise_is_read_its_own_way(kind: type[CsvReader]) -> None:
    assert not kind.by_line
    by_column, one_by_one = both(
        the_format(kind(CSV), PERSON), csv_of(("cle", "nom", "a"), [["7", "GAC", "x"], ["8", "GAC", "x"]])
    )
    assert by_column == one_by_one


def test_the_readers_of_tables_are_read_by_the_line() -> None:
    assert CsvReader.by_line
    assert SpreadsheetReader.by_line
    assert type("Plain", (SpreadsheetReader,), {"rows": CsvReader.rows}).by_line  # type: ignore[attr-defined]


def test_lines_most_of_which_are_left_are_not_looked_at_twice_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of refusals costs little more than one by one, where each column was looked at; a good one after all."""
    batches: list[tuple[int, int]] = []
    asked: list[str] = []
    said, found = CsvReader.said, TableRun.told

    class Counting(CsvReader):
        by_line = True

        def said(self, column: str, cell: Cell) -> Any:
            asked.append(column)
            return said(self, column, cell)

    def watched(self: TableRun, lines: Sequence[TableLine]) -> list[SubjectFragment | None]:
        told_of = found(self, lines)
        batches.append((len(lines), len(lines) - told_of.count(None)))
        return told_of

    monkeypatch.setattr(TableRun, "told", watched)
    native = the_format(Counting(CSV), PERSON)
    bad, good = ["=1+1", *["x"] * 5], ["7", "GAC", "x", "1", "GAC", ""]
    lines = [*[bad] * 64 * 16, *[good] * 64 * 9]
    by_column, one_by_one = both(native, csv_of(COLUMNS, lines))
    assert by_column == one_by_one
    assert [count for _, count in batches] == [*[0] * 16, *[64] * 9]
    del asked[:], batches[:]
    told(native, csv_of(COLUMNS, lines[: 64 * 16]))
    assert len(asked) < 64 * 16 * 2
    del batches[:]
    told(native, csv_of(COLUMNS, [bad, good] * 64 * 2))
    assert [count for _, count in batches] == [32] * 4


def test_a_memory_keeps_few_and_short_cells() -> None:
    short, long = "x" * LONGEST, "x" * (LONGEST + 1)
    kept = [short, None, Typed(short, "date"), (short, None, Typed(short, "date")), ()]
    memory = Memory(lambda cells: (cells,), Aside())
    for cells in (*kept, long, Typed(long, "date"), (short, long), (None, Typed(long, "date"))):
        assert memory[cells] == (cells,)
    assert list(memory) == kept
    for number in range(2 * KEPT):
        assert memory[str(number)] == (str(number),)
    assert len(memory) == KEPT


def test_a_line_that_says_nothing_of_anybody_is_nobody() -> None:
    native = the_format(CsvReader(CSV), PERSON)
    by_column, one_by_one = both(native, csv_of(("cle", "nom", "a"), [["7", "", ""], ["8", "GAC", ""]]))
    assert by_column == one_by_one
    assert "no_subject" in by_column[0][0]
