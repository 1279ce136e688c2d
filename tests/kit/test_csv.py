"""CSV: encodings, headings, quoted cells and lines that are not what the others are."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.matching import propose
from connectors.kit.partner import bundled_directory, discover
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.table import Layout, is_formula
from tests.kit.reading import CSV, read, reasons, records


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_encodings(encoding: str, end: str) -> None:
    data = end.join(["nom;id", " Éloïse ;1", '"D""Arc; fille";2', "NULL;3", "", "Zoé;4"]).encode(encoding)
    assert records(read("csv", data, CSV)) == [
        {"nom": "Éloïse", "id": "1"},
        {"nom": 'D"Arc; fille', "id": "2"},
        {"nom": None, "id": "3"},
        {"nom": "Zoé", "id": "4"},
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,nom", [(Reason.WRONG_DELIMITER, "")]),
        ("1;TANGUY", [(Reason.MISSING_COLUMN, "en-tête")]),
        ("id", [(Reason.MISSING_COLUMN, "nom")]),
        ("id;nom;age", [(Reason.UNKNOWN_COLUMN, "column 3")]),
        ("id;nom;id", [(Reason.DUPLICATE_COLUMN, "id")]),
        ("id;TANGUY", [(Reason.MISSING_COLUMN, "nom"), (Reason.UNKNOWN_COLUMN, "column 2")]),
    ],
)
def test_a_wrong_header_is_named_and_no_row_read(header: str, expected: list[tuple[Reason, str]]) -> None:
    found = read("csv", f"{header}\n1;TANGUY\n".encode(), CSV)
    assert [(item.reason, item.detail) for item in found if isinstance(item, Quarantined)] == expected
    assert records(found) == []


def test_a_bad_row_costs_one_row() -> None:
    rows = [b"1;A", b"2", b"3;B;x", b'4;"ouvert', b"5;B\x00C", b"6;\x81", b"7;" + b"A" * 5000, b"8;H"]
    found = read("csv", b"id;nom\n" + b"\n".join(rows), CSV)
    assert [record["id"] for record in records(found)] == ["1", "8"]
    assert reasons(found) == [
        ("line 3", Reason.COLUMN_SHIFT),
        ("line 4", Reason.COLUMN_SHIFT),
        ("line 5", Reason.MALFORMED),
        ("line 6", Reason.MALFORMED),
        ("line 7", Reason.ENCODING),
        ("line 8", Reason.TOO_LARGE),
    ]


def test_a_quoted_line_break_stays_in_its_cell() -> None:
    rows = ['1;"Bât. ""B""\n12 rue des Ajoncs\n\n29000 Quimper"', "2;B", '3;"a;b\nc"', '"4";"D\n"', "5;E"]
    for end in ("\n", "\r\n"):
        found = read("csv", "\n".join(["id;nom", *rows]).replace("\n", end).encode(), CSV)
        assert records(found) == [
            {"id": "1", "nom": 'Bât. "B"\n12 rue des Ajoncs\n\n29000 Quimper'},
            {"id": "2", "nom": "B"},
            {"id": "3", "nom": "a;b\nc"},
            {"id": "4", "nom": "D"},
            {"id": "5", "nom": "E"},
        ]
        assert [item.position for item in found if isinstance(item, RawRecord)] == [
            *("line 2", "line 6", "line 7", "line 9", "line 11")
        ]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (['1;"a', "2;b", '3;c"'], ["2", "3"]),  # closed two lines on: those between are persons of their own
        (['1;"a', '2;b";c'], []),  # together of the right width, and still two persons
        (['1;"a', "b", "2;c"], ["2"]),  # never closed
        (['1;"a', *["x"] * 30, 'b"', "2;c"], ["2"]),  # closed too far away
        (['1;"a', "\0", 'b"', "2;c"], ["2"]),
        (['1;"a', 'b"c', 'd"', "2;c"], ["2"]),  # text behind the quotation mark
        (['1;"a', 'b";c;d', "2;c"], ["2"]),  # cells too many
    ],
)
def test_a_stray_quotation_mark_never_joins_two_persons(rows: list[str], kept: list[str]) -> None:
    found = read("csv", "\n".join(["id;nom", *rows]).encode(), CSV)
    assert [record["id"] for record in records(found)] == kept
    assert len(found) == len([row for row in rows if row])  # every line ends somewhere


def test_lines_looked_at_ahead_are_bounded_and_read_in_their_turn() -> None:
    rows = ['1;"a', "x" * 70_000, "2;b", '3;"c', "é".encode("windows-1252"), 'd"', "4;e"]
    data = b"id;nom\n" + b"\n".join(row.encode() if isinstance(row, str) else row for row in rows)
    found = read("csv", data, CSV | {"encodings": ["utf-8"]})
    assert [record["id"] for record in records(found)] == ["2", "4"]
    assert (reasons(found)[1], reasons(found)[3]) == (("line 3", Reason.TOO_LARGE), ("line 6", Reason.ENCODING))


def test_an_encoding_once_seen_is_kept() -> None:
    data = "id;nom\n1;Éloïse\n".encode() + "2;Zoé\n".encode("windows-1252") + "3;Zoé\n".encode()
    found = read("csv", data, CSV)
    assert [record["nom"] for record in records(found)] == ["Éloïse", "Zoé"]
    assert reasons(found) == [("line 3", Reason.ENCODING)]


SAYS_NOTHING = (
    "NULL",
    "-",
    "–",
    "?",
    "/",
    "NR",
    "n.r.",
    "NC",
    "N/A",
    "NSP",
    "Néant",
    "NÉANT",
    "non renseigné",
)


@pytest.mark.parametrize("cell", SAYS_NOTHING)
def test_what_people_write_instead_of_nothing_says_nothing(cell: str) -> None:
    assert records(read("csv", f"id;nom\n1; {cell} \n".encode(), CSV)) == [{"id": "1", "nom": None}]


@pytest.mark.parametrize(
    "cell", ["0", "0,00", "N", "Null", "NON", "Sans", "Nr 4", "-5", "X", "Narcisse", "Inconnue de tous"]
)
def test_what_says_something_is_kept(cell: str) -> None:
    assert records(read("csv", f"id;nom\n1;{cell}\n".encode(), CSV)) == [{"id": "1", "nom": cell}]


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#VALEUR!", "#NOM?", "#DIV/0!"])
def test_a_failed_calculation_is_refused_and_is_no_value(cell: str) -> None:
    found = read("csv", f"id;nom\n1;{cell}\n2;#4 rue X\n".encode(), CSV)
    assert [(item.path, item.reason) for item in found if isinstance(item, Quarantined)] == [("/nom", Reason.CELL_TYPE)]
    assert records(found) == [{"id": "2", "nom": "#4 rue X"}]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)),
        max_size=8,
    )
)
def test_csv_round_trip(rows: list[tuple[int, str]]) -> None:
    lines = ["id;nom", *(f'{number};"{name.replace(chr(34), chr(34) * 2)}"' for number, name in rows)]
    found = read("csv", "\n".join(lines).encode(), CSV)
    said = [None if name.strip() in ("", "--", "—", *SAYS_NOTHING) else name.strip() for _, name in rows]
    said = [name for name in said if name is None or not is_formula(name)]
    assert [record["nom"] for record in records(found)] == said


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('ab;,"\r\0 é=NUL'), max_size=12), st.sampled_from(";,"))
def test_a_line_has_the_cells_the_standard_parser_finds(text: str, delimiter: str) -> None:
    found = CsvReader({"columns": ["a"], "delimiter": delimiter})._cells(text)
    try:
        expected: object = (
            Reason.MALFORMED if "\0" in text else next(csv.reader([text], delimiter=delimiter, strict=True))
        )
    except (csv.Error, StopIteration):
        expected = Reason.MALFORMED
    assert found == expected or (text == "" and found == [""])  # a line that is blank is never asked


def test_a_line_beyond_what_the_standard_parser_takes_is_malformed() -> None:
    reader = CsvReader({"columns": ["a"], "max_line": 1_000_000})
    assert reader._cells("x" * (csv.field_size_limit() + 1)) is Reason.MALFORMED


WRAPPED = '"N°\ndossier";Nom;"Né(e)\nle"\n'


def test_headings_wrapped_in_a_spreadsheet_are_read() -> None:
    partners = discover([bundled_directory()])
    lines = '"Registre 2026\n' + WRAPPED.replace("Nom;", "Nom;Prénom;") + 'D1;Aubépin;Maëlle;12/03/1984\n"D2;x\n'
    draft = propose(partners["ccas"].formats["domiciliations"], io.BytesIO(lines.encode()))
    assert (draft.layout.line, draft.layout.columns["numero"]) == (2, "N°\ndossier")
    rows = list(CsvReader({"columns": ["a"]}).laid_out(draft.layout).rows(io.BytesIO(lines.encode())))
    assert rows == [
        (1, Reason.MALFORMED),
        (2, ["N°\ndossier", "Nom", "Prénom", "Né(e)\nle"]),
        (5, ["D1", "Aubépin", "Maëlle", "12/03/1984"]),
        (6, Reason.MALFORMED),
    ]


@pytest.mark.parametrize("first", ['"N°;Nom;Né', '"N°;Nom', '"Titre', '"Titre;x'])
def test_a_quotation_mark_lost_above_takes_no_line_below_with_it(first: str) -> None:
    """Neither the headings nor a person are taken for the rest of what stands over them."""
    below = ["D1;Aubépin;1984", 'D2;Goff";1985', 'D3;"Petit";1986']
    rows = list(CsvReader({"columns": ["a"]}).rows(io.BytesIO("\n".join([first, *below]).encode())))
    assert rows == [
        (1, Reason.MALFORMED),
        (2, ["D1", "Aubépin", "1984"]),
        (3, ["D2", 'Goff"', "1985"]),
        (4, ["D3", "Petit", "1986"]),
    ]


@pytest.mark.parametrize(("confirmed", "sent"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_heading_is_the_same_however_its_accent_is_written(confirmed: str, sent: str) -> None:
    """A Mac writes an accent as a second character; the file is no other for it."""
    heading, other = (unicodedata.normalize(form, "Prénom(s)") for form in (confirmed, sent))
    layout = Layout(1, (heading,), {"a": heading}, ";")
    (record,) = CsvReader({"columns": ["a"]}).laid_out(layout).read(io.BytesIO(f"{other}\nZoé\n".encode()))
    assert isinstance(record, RawRecord)
    assert record.data == {"a": "Zoé"}
