"""The XLSX reader: dates without a zone, codes with their zeros, nothing evaluated, and no bomb goes off."""

from __future__ import annotations

import datetime as dt
import io
import struct
import tracemalloc
import zipfile
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.table import Layout, TableLine, Typed
from connectors.kit.readers.xlsx import XlsxReader, calendar, plain

OPTIONS = {"columns": ["code", "nom"], "optional": ["montant", "jour"], "numbers": ["montant"], "dates": ["jour"]}
HEADINGS = ["code", "nom", "montant", "jour"]


def book(*rows: list[Any], styled: dict[str, str] | None = None) -> bytes:
    """A workbook as openpyxl writes it; ``styled`` gives number formats by cell."""
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    for place, code in (styled or {}).items():
        workbook.active[place].number_format = code
    return saved(workbook)


def saved(workbook: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def read(data: bytes, options: dict[str, Any] | None = None) -> list[RawRecord | Quarantined]:
    return list(XlsxReader(options or OPTIONS).read(io.BytesIO(data)))


def records(found: list[RawRecord | Quarantined]) -> list[dict[str, Any]]:
    return [item.data for item in found if isinstance(item, RawRecord)]


def refusals(found: list[RawRecord | Quarantined]) -> list[tuple[str, str, Reason, str]]:
    return [(i.position, i.path, i.reason, i.detail) for i in found if isinstance(i, Quarantined)]


def with_part(data: bytes, name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The workbook ``data`` with one part replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for known in old.namelist():
            if known != name:
                new.writestr(known, old.read(known))
        new.writestr(name, content)
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
NAMESPACE = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
HEAD = (
    b'<row r="1"><c r="A1" t="inlineStr"><is><t>code</t></is></c><c r="B1" t="inlineStr"><is><t>nom</t></is></c></row>'
)
TAIL = b"</sheetData></worksheet>"


def sheet(rows: bytes) -> bytes:
    """A workbook whose one sheet has the headings ``code`` and ``nom``, then ``rows`` as XML."""
    return with_part(book(HEADINGS), SHEET, NAMESPACE + HEAD + rows + TAIL)


def test_text_numbers_and_days_come_out_as_they_are_held() -> None:
    day, moment = dt.date(1984, 3, 12), dt.datetime(2026, 1, 31, 23, 59, 30)  # noqa: DTZ001 (a workbook has no zone)
    data = book(
        HEADINGS, ["007", " Aubépin ", 12.5, day], ["B2", "Le Goff", 1e3, moment], ["3", "Zoé", None, "12/03/1984"]
    )
    assert records(read(data)) == [
        {"code": "007", "nom": "Aubépin", "montant": "12.5", "jour": "1984-03-12"},
        {"code": "B2", "nom": "Le Goff", "montant": "1000", "jour": "2026-01-31T23:59:30"},
        {"code": "3", "nom": "Zoé", "montant": None, "jour": "12/03/1984"},
    ]


def test_a_number_where_a_code_stands_is_refused_for_its_lost_zeros() -> None:
    found = read(book(HEADINGS, [7, "Aubépin"], [190056912345678, "B"], ["007", 12], ["008", "C", 3]))
    assert refusals(found) == [
        ("line 2", "/code", Reason.NUMBER_IN_CODE, ""),
        ("line 3", "/code", Reason.NUMBER_IN_CODE, ""),
        ("line 4", "/nom", Reason.NUMBER_IN_CODE, ""),
    ]
    assert [record["code"] for record in records(found)] == ["008"]


def test_a_code_turned_into_a_date_a_time_or_an_error_is_refused() -> None:
    data = book(
        HEADINGS, ["1", dt.date(2026, 12, 3)], ["2", dt.time(8, 30)], ["#N/A", "x"], ["4", "y", dt.date(2026, 1, 1)]
    )
    workbook = openpyxl.load_workbook(io.BytesIO(data))
    workbook.active["A4"].data_type = "e"
    assert refusals(read(saved(workbook))) == [
        ("line 2", "/nom", Reason.CELL_TYPE, "date"),
        ("line 3", "/nom", Reason.CELL_TYPE, "time"),
        ("line 4", "/code", Reason.CELL_TYPE, "error"),
        ("line 5", "/montant", Reason.CELL_TYPE, "date"),
    ]


def test_a_serial_number_that_is_no_day_is_refused() -> None:
    data = book(
        HEADINGS,
        *[["1", "x", None, n] for n in (60, -1, 0.5, 2_958_466, 2_958_465)],
        styled={f"D{n}": "dd/mm/yyyy" for n in range(2, 7)},
    )
    found = read(data)
    assert [why for *_, why, _ in refusals(found)] == [Reason.CELL_TYPE] * 4
    assert [record["jour"] for record in records(found)] == ["9999-12-31"]
    # The number of a day in a cell that is not shown as one cannot be told from any other number.
    assert refusals(read(book(HEADINGS, ["1", "x", None, 30_753]))) == [("line 2", "/jour", Reason.NUMBER_IN_CODE, "")]


def test_formulas_are_refused_whatever_their_last_result() -> None:
    found = read(book(HEADINGS, ["1", "=HYPERLINK(A1)"], ["2", "x", "=1+1"], ["3", "y"]))
    assert refusals(found) == [("line 2", "/nom", Reason.FORMULA, ""), ("line 3", "/montant", Reason.FORMULA, "")]
    cached = sheet(b'<row r="2"><c r="B2" t="str"><f>A1</f><v>Martin</v></c></row>')
    assert refusals(read(cached)) == [("line 2", "/nom", Reason.FORMULA, "")]


def test_a_text_a_spreadsheet_would_run_is_refused() -> None:
    texts = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+HYPERLINK(1)"]
    harmless = ["-12,50", "+33 (0)6 12 34 56 78", "- néant -", "a=b", "=", "@"]
    rows = b"".join(
        f'<row><c t="inlineStr"><is><t>{n}</t></is></c><c t="inlineStr"><is><t>{text}</t></is></c></row>'.encode()
        for n, text in enumerate(texts + harmless)
    )
    found = read(sheet(rows))
    assert [(path, why) for _, path, why, _ in refusals(found)] == [("/nom", Reason.FORMULA)] * len(texts)
    assert [record["nom"] for record in records(found)] == harmless


def test_a_cell_longer_than_any_is_refused_and_not_held() -> None:
    """Lines are held many at a time: what is refused of them must not be what fills the memory."""
    kinds = ('<c t="inlineStr"><is><t>{}</t></is></c>', '<c t="str"><v>{}</v></c>', '<c t="d"><v>{}</v></c>')
    texts = ("x" * 4096, f" {'x' * 4096}\n", "x" * 4097, f"x{' ' * 4096}x", " " * 9000, "x" * 500_000)
    rows = "".join(f"<row>{kinds[0].format(1)}{kind.format(text)}</row>" for kind in kinds for text in texts)
    data, reader = sheet(rows.encode()), XlsxReader({"columns": ["code", "nom"], "dates": ["nom"]})
    found = list(reader.read(io.BytesIO(data)))
    assert [(path, why) for _, path, why, _ in refusals(found)] == [("/nom", Reason.TOO_LARGE)] * 9
    assert [len(record["nom"] or "") for record in records(found)] == [4096, 4096, 0] * 3
    held = [cell for line in reader.lines(io.BytesIO(data)) if isinstance(line, TableLine) for cell in line.cells]
    assert max(len(cell.text if isinstance(cell, Typed) else cell or "") for cell in held) == 4096


def test_rich_text_escapes_and_phonetic_runs() -> None:
    rich = b"<is><r><t>Le </t></r><r><t>Go_x0066_f_xD800_</t></r><rPh><t>x</t></rPh></is>"
    assert records(read(sheet(b'<row><c t="inlineStr">' + rich + b"</c></row>"))) == [
        {"code": "Le Goff_xD800_", "nom": None}
    ]


def test_gaps_blank_lines_and_lines_too_long() -> None:
    found = read(
        sheet(
            b'<row r="3"/><row r="5"><c r="B5" t="inlineStr"><is><t>x</t></is></c></row>'
            b'<row r="6"><c r="A6" t="inlineStr"><is><t> </t></is></c></row>'
            b'<row r="7"><c r="C7" t="inlineStr"><is><t>x</t></is></c></row>'
            b'<row r="8"><c r="B8"/><c r="A8"/></row>'
            b'<row r="9"><c r="XFE9" t="b"><v>1</v></c></row>'
        )
    )
    assert records(found) == [{"code": None, "nom": "x"}]
    assert refusals(found) == [
        ("line 7", "", Reason.COLUMN_SHIFT, ""),
        ("line 8", "", Reason.MALFORMED, ""),
        ("line 9", "", Reason.MALFORMED, ""),
    ]


def test_merged_cells_below_the_headings_are_told() -> None:
    workbook = openpyxl.load_workbook(io.BytesIO(book(HEADINGS, ["1", "x"], ["2", "y"])))
    workbook.active.merge_cells("B2:B3")
    assert refusals(read(saved(workbook))) == [("document", "", Reason.MERGED_CELLS, "")]


@pytest.mark.parametrize(("merged", "told"), [("A1:D1", 0), ("A2:B2", 0), ("A3:B3", 0), ("A4:B4", 1), ("B3:B4", 1)])
def test_cells_merged_above_confirmed_headings_hide_nothing(merged: str, told: int) -> None:
    """A title over the table, headings of groups over headings: where the headings stand is what was confirmed."""
    workbook = openpyxl.load_workbook(io.BytesIO(book(["Registre"], ["Qui", None, "Quoi"], HEADINGS, ["1", "x", 2])))
    workbook.active.merge_cells(merged)
    layout = Layout(3, tuple(HEADINGS), {name: name for name in HEADINGS})
    if merged == "A3:B3":  # of the headings themselves, the second is gone
        layout = Layout(3, ("code", "", *HEADINGS[2:]), {name: name for name in HEADINGS if name != "nom"})
    found = list(XlsxReader(OPTIONS).laid_out(layout).read(io.BytesIO(saved(workbook))))
    assert [why for _, _, why, _ in refusals(found)] == [Reason.MERGED_CELLS] * told
    assert len(records(found)) == 1


def test_the_sheet_read_and_those_left_unread() -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(HEADINGS)
    workbook.active.append(["1", "x"])
    workbook.create_sheet("Vide")
    workbook.create_sheet("Suite").append(["2", "y"])
    workbook.create_sheet("Listes").append(["z"])
    workbook["Listes"].sheet_state = "hidden"
    found = read(saved(workbook))
    assert len(records(found)) == 1
    assert refusals(found) == [("document", "", Reason.UNREAD_SHEET, "sheet 3")]
    assert refusals(read(saved(workbook), OPTIONS | {"sheet": "Sheet"})) == []
    assert refusals(read(saved(workbook), OPTIONS | {"sheet": "Absente"})) == [
        ("document", "", Reason.MISSING_COLUMN, "sheet")
    ]


@given(st.dates(dt.date(1900, 3, 1), dt.date(9999, 12, 31)))
def test_a_day_is_the_day_openpyxl_writes(day: dt.date) -> None:
    from openpyxl.utils.datetime import MAC_EPOCH, to_excel

    assert calendar(Decimal(str(to_excel(day)))) == day.isoformat()
    if day > dt.date(1904, 1, 1):
        assert calendar(Decimal(str(to_excel(day, MAC_EPOCH))), from_1904=True) == day.isoformat()


def test_the_first_days_of_1900() -> None:
    assert [calendar(Decimal(n)) for n in (1, 59, 60, 61)] == ["1900-01-01", "1900-02-28", None, "1900-03-01"]
    assert calendar(Decimal(0), from_1904=True) == "1904-01-01"
    assert calendar(Decimal("45000.9999999")) == "2023-03-16"


def test_numbers_to_fifteen_digits() -> None:
    written = ["0.30000000000000004", "1E3", "-12.50", "0", "-0", "123456789012345", "1.0"]
    assert [plain(Decimal(n)) for n in written] == ["0.3", "1000", "-12.5", "0", "0", "123456789012345", "1"]


def test_the_calendar_of_1904_is_read_from_the_workbook() -> None:
    from openpyxl.utils.datetime import MAC_EPOCH

    workbook = openpyxl.load_workbook(io.BytesIO(book(HEADINGS)))
    workbook.epoch = MAC_EPOCH
    workbook.active.append(["1", "x", None, dt.date(1984, 3, 12)])
    assert records(read(saved(workbook)))[0]["jour"] == "1984-03-12"


# --- hostile --------------------------------------------------------------------------------------------------------


def why(data: bytes) -> list[Reason]:
    return [reason for _, _, reason, _ in refusals(read(data))]


def test_what_is_no_workbook() -> None:
    good = book(HEADINGS, ["1", "x"])
    assert why(b"") == [Reason.MALFORMED]
    assert why(b"code;nom\n1;x\n") == [Reason.MALFORMED]
    assert why(good[: len(good) // 2]) == [Reason.TRUNCATED]
    assert why(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600) == [Reason.MALFORMED]
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "x")
    assert why(other.getvalue()) == [Reason.MALFORMED]


def test_a_flipped_byte_is_found_by_the_checksum() -> None:
    good = bytearray(with_part(book(HEADINGS), SHEET, NAMESPACE + HEAD + TAIL, zipfile.ZIP_STORED))
    good[good.index(b"<t>nom") + 3] ^= 1
    assert why(bytes(good)) == [Reason.MALFORMED]


@pytest.mark.parametrize("part", [SHEET, "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"])
def test_a_dtd_is_refused_in_every_part(part: str) -> None:
    bomb = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    bodies = {
        SHEET: NAMESPACE + HEAD + b'<row r="2"><c t="inlineStr"><is><t>&b;</t></is></c></row>' + TAIL,
        "xl/sharedStrings.xml": b'<sst xmlns="x"><si><t>&b;</t></si></sst>',
    }
    assert why(with_part(book(HEADINGS), part, bomb + bodies.get(part, b"<r>&b;</r>"))) == [Reason.DTD_REFUSED]


def test_an_external_entity_is_never_opened(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    dtd = f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'.encode()
    row = b'<row r="2"><c t="inlineStr"><is><t>&x;</t></is></c></row>'
    found = read(with_part(book(HEADINGS), SHEET, dtd + NAMESPACE + HEAD + row + TAIL))
    assert "SECRET" not in repr(found)
    assert [item[2] for item in refusals(found)] == [Reason.DTD_REFUSED]


@pytest.mark.parametrize("part", [SHEET, "xl/sharedStrings.xml", "xl/styles.xml"])
def test_a_bomb_is_refused_before_it_is_inflated(part: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book(HEADINGS))) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for known in old.namelist():
            if known != part:
                new.writestr(known, old.read(known))
        with new.open(part, "w", force_zip64=True) as stream:
            for _ in range(80):
                stream.write(b" " * 1024**2)
    tracemalloc.start()
    assert why(out.getvalue()) == [Reason.TOO_LARGE]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(out.getvalue()) < 200_000
    assert peak < 8 * 1024**2


def test_a_directory_that_would_fill_the_memory_is_refused() -> None:
    data = bytearray(book(HEADINGS))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, 2**31)
    assert why(bytes(data)) == [Reason.TOO_LARGE]
    assert why(bytes(data[:end]) + b"PK\x06\x07" + b"\0" * 16 + bytes(data[end:])) == [Reason.TOO_LARGE]


def test_a_row_of_a_million_cells_and_a_hundred_thousand_levels() -> None:
    assert why(sheet(b"<row>" + b'<c t="b"><v>1</v></c>' * 1_000_000 + b"</row>")) == [Reason.TOO_LARGE]
    assert why(sheet(b"<row>" + b"<c>" * 100_000)) == [Reason.MALFORMED]


def test_a_line_number_of_a_billion_costs_nothing() -> None:
    rows = b'<row r="1048576"><c r="A1048576" t="inlineStr"><is><t>x</t></is></c></row><row r="99999999999999"/>'
    assert records(read(sheet(rows))) == [{"code": "x", "nom": None}]


def test_compression_other_than_deflate_is_refused() -> None:
    assert why(with_part(book(HEADINGS), SHEET, NAMESPACE + HEAD + TAIL, zipfile.ZIP_LZMA)) == [Reason.MALFORMED]


# Made once: a workbook holds the time it was made, and Hypothesis must draw from the same bytes when it replays.
SOUND = book(HEADINGS, ["1", "x", 2, dt.date(2026, 1, 1)])


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 20), st.randoms(use_true_random=False))
def test_no_altered_workbook_raises(count: int, chance: Any) -> None:
    data = bytearray(SOUND)
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    for item in read(bytes(data)):
        assert isinstance(item, RawRecord | Quarantined)
