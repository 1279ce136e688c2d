"""Look for personal values where none may be: in files, and in a live process's memory."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_BLOCK = 1 << 24


def spellings(value: str) -> set[bytes]:
    """Return the byte forms under which ``value`` could stand: case, accents, separators, UTF-8 and UTF-16."""
    plain = "".join(c for c in unicodedata.normalize("NFD", value) if not unicodedata.combining(c))
    forms = {value, value.upper(), plain, plain.upper(), re.sub(r"[\s'’-]+", " ", plain).upper()}
    glued = re.sub(r"[\s'’-]+", "", plain).upper()
    if len(glued) >= 6:
        forms.add(glued)
    return {form.encode(encoding) for form in forms for encoding in ("utf-8", "utf-16-le")} | {
        value.encode("cp1252", "ignore"),
        value.encode("unicode_escape"),
    }


class Needles:
    """The values to look for. Those shorter than ``shortest`` characters would match by chance and are left out."""

    def __init__(self, values: Iterable[str], shortest: int = 6) -> None:
        self.values: Sequence[str] = sorted({value for value in values if len(value.strip()) >= shortest})
        self._forms = [(number, form) for number, value in enumerate(self.values) for form in sorted(spellings(value))]
        self._overlap = max((len(form) for _, form in self._forms), default=1)

    def in_bytes(self, blocks: Iterable[bytes]) -> set[int]:
        """Return the numbers of the values found in a sequence of contiguous ``blocks``."""
        found: set[int] = set()
        tail = b""
        for block in blocks:
            window = tail + block
            found |= {number for number, form in self._forms if number not in found and form in window}
            tail = window[-self._overlap :]
        return found

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
        found: set[int] = set()
        for region in _writable_regions(pid):
            found |= self.in_bytes(_read_memory(pid, *region))
        return found


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
