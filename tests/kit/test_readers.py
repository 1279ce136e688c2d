"""Readers: what is good comes out as it stands, what is bad is named with its place, memory stays bounded."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers import BUILT_IN
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from tests.kit.reading import CSV, Endless, peak, read, reasons, records

TWO_GIGABYTES = 2 * 1024**3
XML = {
    "record": "Foyer",
    "header": "Flux",
    "trailer": "Fin",
    "count": "NB",
    "lists": ["Personne"],
    "max_record": 200_000,
}


@pytest.mark.parametrize(
    ("name", "head", "filler", "options"),
    [
        ("json", b'{"a": "', b"A", {"max_bytes": 100_000}),
        ("exchange", b'{"params": {"a": "', b"A", {"max_bytes": 100_000}),
        ("exchange", b'---\nparams:\n  a: "', b"A", {"max_bytes": 100_000}),
        ("xml", b"<R><Foyer><NOM>", b"A", XML),
        ("xml", b"<R><Foyer>", b"<a/>", XML),
        ("xml", b"<R>", b"<!-- A -->", XML),
    ],
)
def test_a_value_of_two_gigabytes_is_not_read(
    name: str, head: bytes, filler: bytes, options: Mapping[str, Any]
) -> None:
    # The line-based reader goes through an oversized line to find the next one: a part of it is test enough.
    stream = Endless(head, filler, TWO_GIGABYTES // (16 if name == "exchange" else 1))
    found, memory = peak(name, stream, options)
    assert [reason for _, reason in reasons(found)] == [Reason.TOO_LARGE]
    assert memory < 8 * 1024**2
    if "exchange" not in name:
        assert stream.given < 4 * 1024**2


def test_a_line_of_many_megabytes_is_skipped_and_the_next_one_read() -> None:
    stream = Endless(b"id;nom\n1;", b"A", 64 * 1024**2, b"\n2;B\n")
    found, memory = peak("csv", stream, CSV)
    assert reasons(found) == [("line 2", Reason.TOO_LARGE)]
    assert records(found) == [{"id": "2", "nom": "B"}]
    assert memory < 8 * 1024**2


# --- json -----------------------------------------------------------------------------------------------------------


def test_json_object_and_array() -> None:
    assert records(read("json", b'\xef\xbb\xbf{"a": 1}')) == [{"a": 1}]
    found = read("json", b'[{"a": 1}, 2, {"a": 3}]')
    assert records(found) == [{"a": 1}, {"a": 3}]
    assert reasons(found) == [("record 2", Reason.SCHEMA)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1', Reason.MALFORMED),
        (b"", Reason.MALFORMED),
        (b'{"a": 1, "a": 2}', Reason.DUPLICATE_KEY),
        (b'{"a": NaN}', Reason.MALFORMED),
        (b"[" * 100_000, Reason.MALFORMED),
        ('{"nom": "Éloïse"}'.encode("windows-1252"), Reason.ENCODING),
        ('{"a": 1}'.encode("utf-16"), Reason.ENCODING),
    ],
)
def test_bad_json_is_named(data: bytes, reason: Reason) -> None:
    assert [why for _, why in reasons(read("json", data))] == [reason]
    if not data.startswith(b"["):
        assert [why for _, why in reasons(read("exchange", data or b"{"))] == [reason]


# --- exchange -------------------------------------------------------------------------------------------------------

GOOD = {"params": {"nomNaissance": "TANGUY"}, "status": 200, "payload": {"data": {}}}


def test_exchange_notations_agree() -> None:
    yaml = b"""---
description: |-
  ## Un cas
params:
  nomNaissance: 'TANGUY'
status: 200
payload: |-
  {"data": {}}
"""
    for data in (json.dumps(GOOD).encode(), json.dumps(GOOD, indent=2).encode(), yaml):
        assert records(read("exchange", data)) == [GOOD]
    lines = b"\n\n".join([json.dumps(GOOD).encode()] * 3)
    assert records(read("exchange", lines)) == [GOOD] * 3


def test_yaml_loses_no_zero_and_types_nothing() -> None:
    lines = ["commune: 08480", "octal: 01004", "oui: yes", "jour: 2002-12-05", "rien: null"]
    data = "\n".join(["params:", *(f"  {line}" for line in lines), "status: 404", "payload: null"]).encode()
    params = {"commune": "08480", "octal": "01004", "oui": "yes", "jour": "2002-12-05", "rien": None}
    assert records(read("exchange", data)) == [{"params": params, "status": 404, "payload": None}]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a: &a [x]\nparams: *a\n", Reason.MALFORMED),
        (b"params: {a: 1, a: 2}\n", Reason.DUPLICATE_KEY),
        (b"status: 200\nstatus: 404\n", Reason.DUPLICATE_KEY),
        (b"params: !!python/object/apply:os.system ['true']\n", Reason.MALFORMED),
        (b"? [a, b]\n: 1\n", Reason.MALFORMED),
        (b"a: b\n---\nc: d\n", Reason.MALFORMED),
        (b"- 1\n- 2\n", Reason.SCHEMA),
        (b"a: [" * 5000, Reason.MALFORMED),
        ("params: Éloïse\n".encode("windows-1252"), Reason.ENCODING),
    ],
)
def test_bad_yaml_is_named(data: bytes, reason: Reason) -> None:
    assert [why for _, why in reasons(read("exchange", data))] == [reason]


def test_a_payload_that_is_no_json_matters_only_where_an_answer_is_due() -> None:
    html = {"params": {}, "payload": "<html>502</html>"}
    assert reasons(read("exchange", json.dumps(html | {"status": 200}).encode())) == [("line 1", Reason.MALFORMED)]
    assert records(read("exchange", json.dumps(html | {"status": 502}).encode()))[0]["payload"] is None


def test_a_bad_line_costs_one_line() -> None:
    good = json.dumps(GOOD).encode()
    data = b"\n".join([good, b'{"params": {"nom": "TAN', b'{"a": 1, "a": 2}', b"\xff\xfe", b"7", good])
    found = read("exchange", data)
    assert len(records(found)) == 2
    assert reasons(found) == [
        ("line 2", Reason.MALFORMED),
        ("line 3", Reason.DUPLICATE_KEY),
        ("line 4", Reason.ENCODING),
        ("line 5", Reason.SCHEMA),
    ]


@pytest.mark.parametrize("first", [b"export of 3 May", b"[1, 2]", b'{"params": {"nom": "TAN', b"\xff\xfe", b"7"])
def test_a_bad_first_line_costs_one_line_too(first: bytes) -> None:
    found = read("exchange", b"\n".join([first, json.dumps(GOOD).encode(), json.dumps(GOOD).encode()]))
    assert len(records(found)) == 2
    assert [position for position, _ in reasons(found)] == ["line 1"]


@pytest.mark.parametrize("filler", [b"- 1\n", b"- [1]\n", b"'a': {b: c}\n"])
def test_yaml_takes_no_more_memory_than_anything_else(filler: bytes) -> None:
    # A parser of YAML makes 200 bytes out of each it reads: 4 MiB of it took 770 MB and half a minute.
    found, memory = peak("exchange", Endless(b"---\n", filler, 4 * 1024**2))
    assert reasons(found) == [("document", Reason.TOO_LARGE)]
    assert memory < 16 * 1024**2
    read("exchange", b"---\n" + filler * (200_000 // len(filler)))


# --- xml ------------------------------------------------------------------------------------------------------------


def stream(*foyers: str, count: int | None = None, encoding: str = "windows-1252") -> bytes:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><R><Flux><D>2026-01-01</D></Flux>{"".join(foyers)}'
        f"<Fin><NB>{len(foyers) if count is None else count:08}</NB></Fin></R>"
    )
    return text.encode(encoding)


def test_xml_records_with_their_header() -> None:
    found = read(
        "xml",
        stream("<Foyer><Personne><NOM> PÉRON </NOM><VIDE/></Personne><X>1</X></Foyer>", "<Foyer><X>2</X></Foyer>"),
        XML,
    )
    header = {"D": "2026-01-01"}
    assert records(found) == [
        {"Flux": header, "Foyer": {"Personne": [{"NOM": "PÉRON"}], "X": "1"}},
        {"Flux": header, "Foyer": {"X": "2"}},
    ]
    assert reasons(found) == []


def test_a_file_cut_anywhere_is_called_truncated_and_keeps_what_came_whole() -> None:
    whole = stream("<Foyer><X>1</X></Foyer>", "<Foyer><X>é</X></Foyer>")
    for length in range(whole.index(b"<R>") + 1, len(whole)):
        found = read("xml", whole[:length], XML)
        assert [why for _, why in reasons(found)] == [Reason.TRUNCATED], length
        assert len(records(found)) == whole[:length].count(b"</Foyer>")
    assert reasons(read("xml", b"", XML)) == [("after record 0", Reason.MALFORMED)]
    for tail in (b"x", whole):
        assert [why for _, why in reasons(read("xml", whole + tail, XML))] == [Reason.MALFORMED]


def test_xml_element_twice_where_one_is_due_reaches_the_schema_as_two() -> None:
    assert records(read("xml", stream("<Foyer><X>1</X><X>2</X></Foyer>"), XML))[0]["Foyer"] == {"X": ["1", "2"]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (stream("<Foyer/>", count=2), Reason.COUNT_MISMATCH),
        (stream("<Foyer/>").replace(b"<NB>00000001</NB>", b""), Reason.COUNT_MISMATCH),
        (stream("<Foyer>"), Reason.MALFORMED),
        (stream("<Foyer><X>1</X></Foyer>").partition(b"1</X>")[0], Reason.TRUNCATED),
        (stream("<Foyer>&lt;&nom;</Foyer>"), Reason.MALFORMED),
        (stream("<Foyer>\x81</Foyer>", encoding="latin-1").replace(b"latin-1", b"windows-1252"), Reason.ENCODING),
        (stream("<Foyer>é</Foyer>").replace(b"windows-1252", b"utf-8"), Reason.ENCODING),
        (stream("<Foyer/>").replace(b"windows-1252", b"klingon-9"), Reason.ENCODING),
        (b"", Reason.MALFORMED),
        (b"%PDF-1.7", Reason.MALFORMED),
        (b"<R>" + b"<a>" * 5000, Reason.MALFORMED),
    ],
)
def test_bad_xml_is_named(data: bytes, reason: Reason) -> None:
    assert [why for _, why in reasons(read("xml", data, XML))] == [reason]


def test_what_stands_before_the_break_is_kept() -> None:
    found = read("xml", stream("<Foyer><X>1</X></Foyer>", "<Foyer><X>2</X></Foyer>", "<Foyer><X>3</Y></Foyer>"), XML)
    assert [record["Foyer"] for record in records(found)] == [{"X": "1"}, {"X": "2"}]
    assert len(reasons(found)) == 1


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE R [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE R [<!ENTITY c SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE R SYSTEM "http://127.0.0.1:9/r.dtd">',
    ],
)
def test_no_dtd_no_entity_no_file_no_network(doctype: str) -> None:
    data = stream("<Foyer><X>&c;</X></Foyer>").decode("windows-1252").replace("<R>", f"{doctype}<R>", 1)
    found = read("xml", data.encode("windows-1252"), XML)
    assert records(found) == []
    assert len(reasons(found)) == 1


def test_a_billion_laughs_costs_nothing() -> None:
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    data = f'<?xml version="1.0"?><!DOCTYPE R [<!ENTITY l0 "ha">{levels}]><R><Foyer a="&l11;"><X>&l11;</X></Foyer></R>'
    tracemalloc.start()
    found = read("xml", data.encode(), XML)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert records(found) == []
    assert len(reasons(found)) == 1
    assert memory < 4 * 1024**2


def test_memory_is_flat_over_many_records() -> None:
    foyer = b"<Foyer><Personne><NOM>PERON</NOM></Personne></Foyer>"
    sizes = []
    for count in (2_000, 20_000):
        source: Any = io.BufferedReader(Endless(b"<R>", foyer, count * len(foyer), b"</R>"))
        tracemalloc.start()
        seen = sum(1 for _ in BUILT_IN["xml"]({"record": "Foyer"}).read(source))
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert seen == count
    assert sizes[1] < sizes[0] * 1.5


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(BUILT_IN)), st.binary(max_size=400))
def test_no_reader_raises_whatever_it_reads(name: str, data: bytes) -> None:
    options = {"xml": XML, "csv": CSV, "xlsx": CSV, "table": CSV}.get(name, {})
    for prefix in (b"", b"id;nom\n", b"<R><Foyer>", b'{"params": ', b"---\n"):
        for item in read(name, prefix + data, options):
            assert isinstance(item, RawRecord | Quarantined)


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("csv", {}, "columns"),
        ("csv", {"columns": ["a"], "delimiter": "::"}, "delimiter"),
        ("csv", {"columns": ["a"], "encodings": ["ebcdic"]}, "encodings"),
        ("csv", {"columns": "a"}, "columns"),
        ("xml", {"record": "F", "recordd": "F"}, "recordd"),
        ("xml", {}, "record"),
        ("json", {"max_bytes": "many"}, "max_bytes"),
        ("exchange", {"max_bytes": True}, "max_bytes"),
    ],
)
def test_options_are_checked(name: str, options: Mapping[str, Any], named: str) -> None:
    with pytest.raises(MaillonError, match=named) as refused:
        BUILT_IN[name](options)
    assert refused.value.kind is ErrorKind.CONFIGURATION
