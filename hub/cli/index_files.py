"""The rows of a file to link, one by one: their identities, and the reason code of each that cannot be one."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from connectors.kit.identity import Identity, IdentityRefused, parse_identity
from connectors.kit.rarity import NameCount, NameShares
from connectors.kit.runtime.errors import ErrorKind, MaillonError

COLUMNS = {
    "nir": "nir",
    "birth_name": "nom_naissance",
    "usage_name": "nom_usage",
    "given_names": "prenoms",
    "birth_date": "date_naissance",
    "sex": "sexe",
    "birth_place": "code_cog_insee_commune_naissance",
}
"""Column → identity trait. ``birth_place`` is a commune, or a country ``99xxx``."""
ID = "rec_id"


@dataclass(frozen=True, slots=True)
class Refused:
    """A row nothing was made of, by file, line and reason code; it shows no value."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One usable row."""

    line: int
    rec_id: str
    identity: Identity


@dataclass(frozen=True)
class RecordFile:
    """A CSV file with a heading."""

    path: Path
    columns: tuple[str, ...]
    today: date
    """Bounds births in the future."""

    def size(self) -> int:
        """Return the number of lines: about that of the rows, for a progress bar."""
        with self.path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def rows(self) -> Iterator[Row | Refused]:
        """Yield every row, in order, as an identity or as refused. Raises ``MaillonError(MALFORMED)`` for no CSV."""
        seen: set[str] = set()
        for line, cells in _cells(self.path):
            if line == 1 or not cells:
                continue
            if len(cells) != len(self.columns):
                yield Refused(self.path.name, line, "colonnes")
                continue
            values = dict(zip(self.columns, cells, strict=True))
            rec_id = values[ID].strip()
            if not rec_id or rec_id in seen:
                yield Refused(self.path.name, line, "identifiant_en_double" if rec_id else "identifiant_absent")
                continue
            seen.add(rec_id)
            try:
                traits = {trait: values.get(column, "") for column, trait in COLUMNS.items()}
                yield Row(line, rec_id, parse_identity(traits, self.today))
            except IdentityRefused:
                yield Refused(self.path.name, line, "trop_long")

    def shares(self, listed: NameShares | None) -> NameShares:
        """Return how common the names are: by ``listed`` and the file's own given names, or by the file alone."""
        count = NameCount()
        count.add(row.identity for row in self.rows() if isinstance(row, Row))
        return count.shares() if listed is None else listed.beside(count.shares())


def open_file(path: Path, today: date) -> RecordFile:
    """Return the file at ``path``, read on ``today``.

    Raises ``MaillonError(CONFIGURATION)`` when it has no ``rec_id`` or a column twice.
    """
    first = next(_cells(path), (1, []))[1]
    columns = tuple(cell.strip() for cell in first)
    if ID not in columns or len(set(columns)) != len(columns):
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}: a heading with {ID}, each column once, is expected")
    return RecordFile(path, columns, today)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError):
        raise MaillonError(ErrorKind.MALFORMED, f"{path.name} is no CSV in UTF-8") from None
