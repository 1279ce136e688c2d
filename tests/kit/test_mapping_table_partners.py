"""What a careless folder or file may bring, by column and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pytest

from connectors.kit.mapping.columns import KEPT, LONGEST
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.table import TableRun
from connectors.kit.mapping.table_rules import Aside, Memory
from connectors.kit.port import Quarantined, RawRecord
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.spreadsheet import SpreadsheetReader
from connectors.kit.readers.table import Cell, Layout, TableLine, Typed
from tests.kit.tables import COLUMNS, Given, both, goes_by_column, the_format, told

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
