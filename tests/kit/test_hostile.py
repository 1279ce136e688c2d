"""Hostile files, reader by reader: bounded memory and time, a reason code, and the rest of the file goes on."""

from __future__ import annotations

import io
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers import BUILT_IN
from connectors.kit.readers.grouping import grouped
from connectors.kit.transforms.base import Refused
from connectors.kit.transforms.dates import instant

XML: Mapping[str, Any] = {"record": "P", "header": "H", "lists": ["L"]}
CSV: Mapping[str, Any] = {"columns": ["id", "nom"]}
MEMORY = 64 * 1024**2
SECONDS = 20


def read(name: str, data: bytes, options: Mapping[str, Any]) -> list[RawRecord | Quarantined]:
    """Read ``data`` within the memory and time that any one file's worst record may take."""
    tracemalloc.start()
    began = time.thread_time()  # the work of this thread: a busy machine makes no file hostile
    try:
        found = list(BUILT_IN[name](options).read(io.BytesIO(data)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    assert time.thread_time() - began < SECONDS
    return found


def told(found: list[RawRecord | Quarantined]) -> list[tuple[str, str]]:
    return [(i.position, i.reason.value if isinstance(i, Quarantined) else "read") for i in found]


# --- csv ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csv", "table"])
def test_a_million_columns(name: str) -> None:
    assert told(read(name, b";".join([b"c"] * 1_000_000) + b"\n1;2\n", CSV)) == [("line 1", "too_large")]
    data = b"id;nom\n1;A\n" + b"1;" * 1_000_000 + b"\n2;B\n"
    assert told(read(name, data, CSV)) == [("line 2", "read"), ("line 3", "too_large"), ("line 4", "read")]
    wide = b"id;nom\n1;A\n" + b"1;" * 30_000 + b"\n2;B\n"
    assert told(read(name, wide, CSV)) == [("line 2", "read"), ("line 3", "column_shift"), ("line 4", "read")]
    header = b"id;nom;" + b"c;" * 30_000 + b"\n1;A\n"
    assert {reason for _, reason in told(read(name, header, CSV))} == {"unknown_column"}


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\xef\xbb\xbf", "read"),
        (b"\xff\xfe", "encoding"),
        (b"\xfe\xff", "encoding"),
        (b"\xef\xbb\xbf\xef\xbb\xbf", "missing_column"),
        (b"\x00", "malformed"),
    ],
)
def test_byte_order_marks(start: bytes, expected: str) -> None:
    found = told(read("csv", start + b"id;nom\n1;A\n", CSV))
    assert expected in {reason for _, reason in found}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_an_encoding_nobody_asked_for_gives_no_record(encoding: str) -> None:
    found = read("csv", "id;nom\n1;Éloïse\n".encode(encoding), CSV)
    assert found
    assert not [item for item in found if isinstance(item, RawRecord) and item.data.get("nom") not in (None, "Éloïse")]


def test_formulas_are_named_and_the_rest_proceeds() -> None:
    data = (
        b"id;nom\n1;=1+1\n2;\"=cmd|' /C calc'!A0\"\n3;@SUM(A1:A9)\n4;-1+HYPERLINK(1)\n5;-12,5\n6;+33 (0)6 12\n7;A=B\n"
    )
    assert told(read("csv", data, CSV)) == [
        *((f"line {n}", "formula") for n in (2, 3, 4, 5)),
        *((f"line {n}", "read") for n in (6, 7, 8)),
    ]


def test_lines_of_separators_alone_say_nothing() -> None:
    assert told(read("csv", b"id;nom\n1;A\n;\n ; \n2;B\n;;;;\n", CSV)) == [("line 2", "read"), ("line 5", "read")]


# --- xml ------------------------------------------------------------------------------------------------------------


def test_xml_nested_a_hundred_thousand_deep_ends_the_file_and_keeps_what_came_before() -> None:
    data = b"<R><P><A>1</A></P><P>" + b"<d>" * 100_000 + b"</R>"
    found = told(read("xml", data, XML))
    assert found[0] == ("record 1", "read")
    assert [reason for _, reason in found[1:]] == ["malformed"]


def test_xml_with_a_million_children_or_attributes() -> None:
    assert told(read("xml", b"<R><P>" + b"<A>1</A>" * 1_000_000 + b"</P></R>", XML)) == [("record 1", "too_large")]
    attributes = b"".join(b' a%d="1"' % n for n in range(200_000))
    found = told(read("xml", b"<R><P" + attributes + b"><A>1</A></P></R>", XML))
    assert len(found) == 1


def test_one_element_repeated_where_it_may_not_is_not_a_tower() -> None:
    (found,) = read("xml", b"<R><P>" + b"<A>1</A>" * 100_000 + b"</P></R>", XML)
    assert isinstance(found, RawRecord)
    assert set(found.data["P"]["A"]) == {"1"}


@pytest.mark.parametrize(
    "dtd",
    [
        b'<!DOCTYPE R [<!ENTITY x SYSTEM "%s">]>',
        b'<!DOCTYPE R [<!ENTITY %% p SYSTEM "%s"> %%p;]>',
        b'<!DOCTYPE R SYSTEM "%s">',
        b'<!DOCTYPE R PUBLIC "-//X" "%s">',
    ],
)
def test_no_external_entity_is_opened(dtd: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    data = dtd % secret.as_uri().encode() + b"<R><P><A>&x;</A></P></R>"
    found = read("xml", data, XML)
    assert "SECRET" not in repr(found)
    assert not [item for item in found if isinstance(item, RawRecord)]


@pytest.mark.parametrize("place", [b"<A>&f;</A>", b'<A a="&f;">1</A>'])
def test_a_billion_laughs(place: bytes) -> None:
    names = b"abcdef"
    entities = b'<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (names[n], b"&%c;" % names[n - 1] * 10) for n in range(1, 6)
    )
    found = read("xml", b"<!DOCTYPE R [" + entities + b"]><R><P>" + place + b"</P></R>", XML)
    assert not [item for item in found if isinstance(item, RawRecord)]


def test_an_xinclude_and_a_stylesheet_are_only_elements(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{secret.as_uri()}"/>'
    data = f'<?xml-stylesheet href="{secret.as_uri()}"?><R><P><A>1</A>{include}</P></R>'.encode()
    assert "SECRET" not in repr(read("xml", data, XML))


# --- json, exchange ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["json", "exchange"])
def test_nested_a_hundred_thousand_deep(name: str) -> None:
    for data in (b'{"a":' * 100_000, b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        assert {reason for _, reason in told(read(name, data, {}))} == {"malformed"}
    if name == "exchange":
        for yaml in (b"- " * 100_000, b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 400))):
            assert {reason for _, reason in told(read(name, b"---\n" + yaml, {}))} <= {"malformed", "schema", "read"}


def test_a_payload_in_a_payload_is_bounded_too() -> None:
    line = b'{"status": 200, "payload": "' + b"[" * 100_000 + b'"}\n'
    good = b'{"status": 200, "payload": {"data": {}}}\n'
    assert told(read("exchange", good + line + good, {})) == [
        ("line 1", "read"),
        ("line 2", "malformed"),
        ("line 3", "read"),
    ]


def test_a_million_members() -> None:
    data = b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}"
    assert told(list(BUILT_IN["json"]({"max_bytes": 4 * 1024**2}).read(io.BytesIO(data)))) == [
        ("document", "too_large")
    ]


@pytest.mark.parametrize(
    "written", ["0522-01-12T07:30:00Z", "0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "2026-01-12T07:30:00"]
)
def test_instants_no_calendar_of_ours_holds_are_refused(written: str) -> None:
    with pytest.raises(Refused) as caught:
        instant(written, {})
    assert caught.value.reason is Reason.BAD_DATE


# --- lines brought together -------------------------------------------------------------------------------------------


def test_a_crowd_under_one_number_is_bounded() -> None:
    rows = [RawRecord(f"line {n}", {"k": "1", "v": str(n)}) for n in range(1500)]
    found = list(grouped(rows, ["k"], ["v"]))
    assert [i.reason for i in found if isinstance(i, Quarantined)] == [Reason.TOO_LARGE] * 500
    (kept,) = [i for i in found if isinstance(i, RawRecord)]
    assert len(kept.data["lignes"]) == 1000


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 3)), max_size=12))
def test_every_line_ends_in_one_group_or_one_entry(rows: list[tuple[str, str, int]]) -> None:
    records = [RawRecord(f"line {n}", {"k": k, "who": w, "v": v}) for n, (k, w, v) in enumerate(rows)]
    found = list(grouped(records, ["k"], ["v"]))
    groups = [item for item in found if isinstance(item, RawRecord)]
    entries = [item for item in found if isinstance(item, Quarantined)]
    assert sum(len(group.data["lignes"]) for group in groups) + len(entries) == len(rows)
    assert len({group.data["k"] for group in groups}) == len(groups)
    places = [int(item.position.split()[1]) for item in groups]
    assert places == sorted(places)
