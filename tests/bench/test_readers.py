"""The readers' bench does what it says: every person of every file, the bare parsers over all of the bytes."""

from __future__ import annotations

from pathlib import Path

from bench import answers, long_files, readers
from bench.__main__ import BENCHES


def test_each_reader_gives_every_person_and_each_bare_parser_reads_it_all() -> None:
    found = readers.cases(12, 20)
    assert [case.name for case in found] == [
        "csv",
        "csv, 44 columns",
        "csv, no column repeats",
        "xlsx",
        "xml",
        "exchange",
    ]
    for case in found:
        assert readers.fragments(case.native, case.data) == case.persons >= 10
        assert case.bare(case.data)
    csv, wide, other, xlsx, xml, exchange = found
    assert [each.bare(each.data) for each in (wide, other)] == [21, 21]
    assert csv.bare(csv.data) == csv.persons + 1
    assert exchange.bare(exchange.data) == exchange.data.count(b"\n")
    assert all(int(str(case.bare(case.data))) > 10 * case.persons for case in (xlsx, xml))
    assert "its schema, were it asked whole" in readers.shares(csv)
    assert BENCHES["readers"] is readers.run


def test_every_shape_of_an_answer_is_read_and_none_set_aside() -> None:
    files = answers.published(12)
    assert len(files) > 25
    assert answers.mapped(files) == answers.parsed(files) == 12 * len(files)
    lines = [data.splitlines() for _, data in files]
    assert sum(len({*each}) > 6 for each in lines) > 20  # most answers name people, each time others


def test_a_long_file_killed_in_the_middle_is_finished(tmp_path: Path) -> None:
    rows = long_files.table(tmp_path / "a.csv", 1e6)
    told = long_files.measure("departement", "accompagnement", tmp_path / "a.csv", tmp_path, rows)
    assert f"{rows:,} persons" in told
