"""What must hold of whatever bytes a partner's format is given: everything ends as a fragment or a named entry."""

from __future__ import annotations

import copy
import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import orjson

from connectors.kit.birthplace import with_birthplace
from connectors.kit.checks import foreign_words
from connectors.kit.identity import IdentityRefused, parse_identity
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined
from connectors.kit.readers.table import TableReader
from connectors.kit.tokens import HmacTokeniser, tokens_of

AT: Final = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
SLOWEST: Final = 5.0
"""Seconds of processor an input of at most ``LONGEST`` bytes may take; a hundred times what an honest one takes."""
LONGEST: Final = 65_536
_PARTS: Final = ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml")
_TOKENISER: Final = HmacTokeniser(b"f" * 32, 1)


class Broken(AssertionError):  # noqa: N818 (it names what was found)
    """A property that does not hold. Its text never holds the input."""


def check(partner: PartnerFolder, format_name: str, data: bytes) -> None:
    """Raise :class:`Broken`, or whatever the connector itself lets out, when ``data`` breaks a property."""
    start, native = time.thread_time(), partner.formats[format_name]
    found = list(map_stream(io.BytesIO(data), native, AT))
    for item in found:
        if isinstance(item, Quarantined):
            if foreign_words(partner, item):
                raise Broken(f"{item.reason.value}: an entry quotes a word that is not ours")
        elif isinstance(item, SubjectFragment):
            _fragment(item)
        else:
            raise Broken(f"{type(item).__name__} is neither a fragment nor an entry")
    if time.thread_time() - start > SLOWEST:
        raise Broken("too slow")
    if isinstance(native.reader, TableReader) and native.reader.by_line:
        one_by_one = copy.copy(native.reader)
        one_by_one.by_line = False
        if list(map(repr, found)) != list(
            map(repr, map_stream(io.BytesIO(data), replace(native, reader=one_by_one), AT))
        ):
            raise Broken("a line says something else in a batch than alone")


def _fragment(item: SubjectFragment) -> None:
    if not item.local_id:
        raise Broken("a fragment without a local id")
    orjson.dumps([item.local_id, item.fragment, item.identity_traits])  # the store and the wire are JSON
    try:
        tokens_of(with_birthplace(parse_identity(item.identity_traits, AT.date())), _TOKENISER)
    except IdentityRefused:
        return


def as_file(data: bytes, template: bytes) -> bytes:
    """Return the file that ``data`` stands for: itself, or ``template`` with one XML part replaced by it.

    A mutated ZIP is refused for its checksum and nothing behind that is ever tried; so where ``template`` is a
    workbook, an input's first byte says which part the rest of it replaces.
    """
    if not template or not data or data[0] >= len(_PARTS):
        return data
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(template)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, data[1:] if name == _PARTS[data[0]] else old.read(name))
    return out.getvalue()


def seeds(partner: PartnerFolder, format_name: str) -> tuple[list[bytes], bytes]:
    """Return the inputs to start from (the format's samples) and the workbook to replace parts of (or nothing)."""
    files = [f.path.read_bytes() for f in partner.samples() if f.format == format_name]
    template = next((data for data in files if data.startswith(b"PK")), b"")
    found = [data[:LONGEST] for data in files]
    return found + list(_parts(template)) if template else found, template


def _parts(workbook: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        for place, name in enumerate(_PARTS):
            if name in archive.namelist():
                yield bytes([place]) + archive.read(name)
