"""Elements of a long XML stream, one at a time: no DTD, no entity beyond XML's own five, no network, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

from lxml import etree

from connectors.kit.port import Reason

SAFE: Final[dict[str, Any]] = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""What every parser of a received document is given; libxml2's own limits of depth and amplification stay on."""
_NO_XML: Final = frozenset({etree.ErrorTypes.ERR_DOCUMENT_EMPTY, etree.ErrorTypes.ERR_INTERNAL_ERROR})
"""Nothing at all, or something else than XML: not a part of it."""


class TooLarge(Exception):  # noqa: N818 (it names what was found; it never leaves the readers)
    """More bytes than one element may take."""


class DtdRefused(Exception):  # noqa: N818
    """The document has a DTD."""


def elements(stream: IO[bytes], tags: Sequence[str], limit: int) -> Iterator[Any]:
    """Yield each element named in ``tags`` (lxml's notation) when it ends, and forget it when the next is asked for.

    Raises :class:`TooLarge` when one, with what stands before it, is above ``limit`` bytes, :class:`DtdRefused` at
    the first element of a document that has one, and ``etree.XMLSyntaxError``.
    """
    bounded, first = _Bounded(stream, limit), True
    try:
        for _, element in etree.iterparse(bounded, events=("end",), tag=list(tags), **SAFE):
            if first and element.getroottree().docinfo.doctype:
                raise DtdRefused
            first = False
            yield element
            bounded.mark()
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        if not bounded.ended or _code(error) in _NO_XML:
            raise
        # Cut inside a tag, a name or a text, libxml2 names what it was waiting for: the cause is that nothing came.
        unfinished = ("truncated", etree.ErrorTypes.ERR_TAG_NOT_FINISHED, error.lineno or 0, 0)
        raise etree.XMLSyntaxError(*unfinished) from None  # type: ignore[call-arg]


def cause(error: etree.XMLSyntaxError) -> Reason:
    """Return the quarantine reason of a document that is not well-formed."""
    kinds, code = etree.ErrorTypes, _code(error)
    if code in {kinds.ERR_INVALID_ENCODING, kinds.ERR_UNSUPPORTED_ENCODING, kinds.ERR_INVALID_CHAR}:
        return Reason.ENCODING
    return Reason.TRUNCATED if code == kinds.ERR_TAG_NOT_FINISHED else Reason.MALFORMED


def _code(error: etree.XMLSyntaxError) -> int | None:
    return getattr(error, "code", None)  # the published stubs leave it out


class _Bounded:
    """A stream that refuses to give more than ``limit`` bytes between two marks."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._since = 0
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._since += len(chunk)
        self.ended = not chunk
        if self._since > self._limit:
            raise TooLarge
        return chunk

    def mark(self) -> None:
        self._since = 0
