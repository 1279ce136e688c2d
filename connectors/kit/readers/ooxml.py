"""The package of an XLSX workbook (ECMA-376): a ZIP of XML parts, opened with every size known before it is read.

No part is inflated beyond what its directory entry announces, nor opened when that is above a limit or a hundred times
what is stored; an entry of the directory is never trusted for a path on disk. No DTD, entity, link or macro is read.
"""

from __future__ import annotations

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Final

from lxml import etree

from connectors.kit.port import Reason
from connectors.kit.readers.bounds import MEBIBYTE
from connectors.kit.readers.xml_events import SAFE, DtdRefused, TooLarge, cause

_OLE: Final = b"\xd0\xcf\x11\xe0"
_END: Final = b"PK\x05\x06"
_END_64: Final = b"PK\x06\x07"
_MAX_DIRECTORY: Final = MEBIBYTE
_MAX_PART: Final = 4 * MEBIBYTE
_MAX_RATIO: Final = 100
_RATIO_MATTERS: Final = 16 * MEBIBYTE
_RELATION: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_RELATION_STRICT: Final = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
_QUOTED: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^]]*\]')
_DATES: Final = frozenset({*range(14, 18), 22, *range(27, 37), *range(50, 59)})
_TIMES: Final = frozenset({18, 19, 20, 21, 45, 46, 47})
"""Built-in number formats (ECMA-376 part 1, 18.8.30)."""
_BAD_ZIP: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError)
"""What ``zipfile`` raises for an archive that is none, is cut, is encrypted, or lies."""


class Unreadable(Exception):  # noqa: N818 (it names what was found; it never leaves the readers)
    """The workbook, or a part of it, cannot be read: why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sheet:
    """One visible sheet of a workbook: its name and its part."""

    name: str
    part: str


class Package:
    """An open workbook. Raises :class:`Unreadable` from everywhere, and nothing else for bad content."""

    def __init__(self, stream: BinaryIO) -> None:
        _check_directory(stream)
        with reading(ValueError, struct.error):
            self._zip = zipfile.ZipFile(stream)
        self._names = {name.lower(): name for name in self._zip.namelist()}
        workbook = self.tree("xl/workbook.xml")
        if workbook is None:
            raise Unreadable(Reason.MALFORMED, "classeur")
        dated = workbook.find("{*}workbookPr")
        self.from_1904 = dated is not None and dated.get("date1904", "0") in {"1", "true"}
        self.sheets = tuple(self._sheets(workbook))

    def tree(self, part: str) -> Any:
        """Return the root of a small part, ``None`` when the workbook has no such part."""
        with self.part(part, _MAX_PART) as stream, reading():
            if stream is None:
                return None
            root: Any = etree.fromstring(stream.read(), etree.XMLParser(**SAFE))
        if root.getroottree().docinfo.doctype:
            raise Unreadable(Reason.DTD_REFUSED)
        return root

    @contextmanager
    def part(self, name: str, limit: int) -> Iterator[IO[bytes] | None]:
        """Open a part of at most ``limit`` bytes once inflated; ``None`` when the workbook has no such part."""
        known = self._names.get(name.lower())
        if known is None:
            yield None
            return
        info = self._zip.getinfo(known)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Unreadable(Reason.MALFORMED, "compression")
        bomb = info.file_size > _RATIO_MATTERS and info.file_size > _MAX_RATIO * max(info.compress_size, 1)
        if info.file_size > limit or bomb:
            raise Unreadable(Reason.TOO_LARGE)
        with reading(ValueError, struct.error):
            opened = self._zip.open(info)
        with opened:
            yield opened

    def date_formats(self) -> tuple[str, ...]:
        """Return, for each cell style, ``date``, ``time`` or ``""``: how its number is shown."""
        styles = self.tree("xl/styles.xml")
        if styles is None:
            return ()
        written = {each.get("numFmtId"): each.get("formatCode", "") for each in styles.iterfind("{*}numFmts/{*}numFmt")}
        formats = (each.get("numFmtId", "0") for each in styles.iterfind("{*}cellXfs/{*}xf"))
        return tuple(_shown(found, written.get(found)) for found in formats)

    def _sheets(self, workbook: Any) -> Iterator[Sheet]:
        relations = self.tree("xl/_rels/workbook.xml.rels")
        targets = {} if relations is None else {each.get("Id"): each.get("Target", "") for each in relations}
        for each in workbook.iterfind("{*}sheets/{*}sheet"):
            target = targets.get(each.get(_RELATION) or each.get(_RELATION_STRICT))
            if target and each.get("state", "visible") == "visible":
                part = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
                yield Sheet(each.get("name", ""), part)


def is_workbook(start: bytes) -> bool:
    """Say whether a file that starts so is a workbook, or one of the old format or under a password."""
    return start.startswith((b"PK", _OLE))


def _check_directory(stream: BinaryIO) -> None:
    """Refuse what is no ZIP, and a ZIP whose directory alone would fill the memory (``zipfile`` reads it whole)."""
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(4)
    if start == _OLE:  # the format before 2007, or a workbook with a password
        raise Unreadable(Reason.MALFORMED, "classeur .xls ou protégé")
    stream.seek(max(0, size - 65_557))
    tail = stream.read()
    at = len(tail) - 22 if tail[-22:-18] == _END and tail[-2:] == b"\0\0" else tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise Unreadable(Reason.TRUNCATED if start.startswith(b"PK") else Reason.MALFORMED, "classeur")
    if tail[max(0, at - 20) : at].startswith(_END_64):
        raise Unreadable(Reason.TOO_LARGE)
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    if directory > _MAX_DIRECTORY:
        raise Unreadable(Reason.TOO_LARGE)
    stream.seek(0)


def _shown(number: str, written: str | None) -> str:
    if written is None:
        code = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
        return "date" if code in _DATES else "time" if code in _TIMES else ""
    letters = set(_QUOTED.sub("", written).lower()) & set("ymdhs")
    if not letters:
        return ""
    return "date" if letters & {"y", "d"} or letters == {"m"} else "time"


@contextmanager
def reading(*others: type[Exception]) -> Iterator[None]:
    """Turn what the archive or its XML is refused for, and ``others``, into :class:`Unreadable`."""
    refused: tuple[type[Exception], ...] = (*_BAD_ZIP, *others)
    try:
        yield
    except refused:
        raise Unreadable(Reason.MALFORMED, "classeur") from None
    except etree.XMLSyntaxError as error:
        raise Unreadable(cause(error), "classeur") from None
    except TooLarge:
        raise Unreadable(Reason.TOO_LARGE) from None
    except DtdRefused:
        raise Unreadable(Reason.DTD_REFUSED) from None
