"""Look for personal values where none may be: in files, and in a live process's memory."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

SHORTEST = 6
SURE = 8
"""From so many characters on a value is found anywhere; a shorter one only where a word begins or ends. Inside one it
is more often chance: a hub's memory is full of base64url, where any six letters turn up once in two thousand looks."""
_BLOCK = 1 << 24
_OVERLAP = 512
_SEPARATORS = re.compile(r"[\s'’-]+")
_TEXT = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")
_WIDE_TEXT = re.compile(rb"(?:[\x20-\x7e\xa0-\xff]\x00){6,}")


def spellings(value: str) -> set[str]:
    """Return the forms under which ``value`` could stand, ASCII case apart: with and without accents, glued, spaced."""
    plain = "".join(c for c in unicodedata.normalize("NFD", value) if not unicodedata.combining(c))
    forms = {value, value.upper(), plain, _SEPARATORS.sub(" ", plain)}
    glued = _SEPARATORS.sub("", plain)
    return forms | ({glued} if len(glued) >= SHORTEST else set())


class Needles:
    """The values to look for. Those shorter than :data:`SHORTEST` characters would match by chance and are left out,
    those shorter than :data:`SURE` looked for with care."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values: Sequence[str] = sorted({value for value in values if len(value.strip()) >= SHORTEST})
        forms = [(number, form) for number, value in enumerate(self.values) for form in sorted(spellings(value))]
        self._forms = sorted(
            {
                (number, text.lower())
                for number, form in forms
                for text in (form.encode(), form.encode("latin-1", "ignore"))
            }
        )

    def in_bytes(self, blocks: Iterable[bytes]) -> set[int]:
        """Return the numbers of the values found in a sequence of contiguous ``blocks``, in UTF-8, Latin-1 or UTF-16.

        Python keeps text in memory as Latin-1, UTF-16 or wider: a scan for UTF-8 alone would be blind to accents.
        """
        texts: set[bytes] = set()
        tail = b""
        for block in blocks:
            window = tail + block
            # Looking only at runs of text, each once, makes a gigabyte of heap a few megabytes.
            texts.update(_TEXT.findall(window))
            texts.update(run[::2] for run in _WIDE_TEXT.findall(window))
            tail = window[-_OVERLAP:]
        haystack = b"\0".join(texts).lower()
        return {number for number, form in self._forms if form in haystack and _stands_in(form, haystack)}

    def in_files(self, root: Path) -> dict[str, set[int]]:
        """Return, for each file under ``root`` that holds one, the numbers of the values found."""
        hits: dict[str, set[int]] = {}
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            with path.open("rb") as stream:
                found = self.in_bytes(iter(lambda: stream.read(_BLOCK), b""))
            if found:
                hits[str(path.relative_to(root))] = found
        return hits

    def in_memory(self, pid: int) -> set[int]:
        """Return the numbers of the values found in the writable memory of process ``pid`` (Linux ``/proc``)."""
        regions = (block for region in _writable_regions(pid) for block in (*_read_memory(pid, *region), b"\0"))
        return self.in_bytes(regions)


def _stands_in(form: bytes, haystack: bytes) -> bool:
    """Say whether ``form``, which is in ``haystack``, is there as more than a few letters of something else."""
    if len(form) >= SURE:
        return True
    literal = re.escape(form)
    return re.search(rb"(?<![0-9a-z_-])%b|%b(?![0-9a-z_-])" % (literal, literal), haystack) is not None


def _writable_regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, permissions, *_ = line.split()
        if permissions.startswith("rw"):
            start, end = (int(part, 16) for part in addresses.split("-"))
            yield start, end


def _read_memory(pid: int, start: int, end: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(start)
        while start < end:
            try:
                block = memory.read(min(_BLOCK, end - start))
            except OSError:  # a guard page or a mapping that went away
                return
            if not block:
                return
            start += len(block)
            yield block
