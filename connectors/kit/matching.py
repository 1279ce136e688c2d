"""Which heading of a real file stands for which column of a format: proposed here, confirmed once by a person, saved.

A saved matching holds the headings as they were confirmed. A file headed otherwise (one column more, moved or renamed)
is refused as a whole, by place, until someone looks again: data in the wrong field is worse than no data.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from connectors.kit.mapping.file import read_toml
from connectors.kit.partner import Format, PartnerFolder
from connectors.kit.port import Quarantined, Reason
from connectors.kit.readers.csv_table import DELIMITERS
from connectors.kit.readers.ooxml import is_workbook
from connectors.kit.readers.table import Layout, Row, TableReader, Typed, headings, said
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_LOOKED_AT: Final = 30
"""Lines among which the headings are looked for: a title often stands above them."""
_SAMPLED: Final = 200
_SMALL_WORDS: Final = frozenset({"de", "du", "des", "d", "la", "le", "les", "l", "en", "au", "aux", "dans"})
_SHORT: Final = {"num": "numero", "no": "numero", "id": "identifiant", "tel": "telephone", "nb": "nombre"}
_NUMBER: Final = re.compile(r"\bn\s*(?:[°º]|o(?![a-z]))\s*")
_MEMBERS: Final = {
    "partner": str,
    "format": str,
    "line": int,
    "delimiter": str,
    "sheet": str,
    "headings": list,
    "columns": dict,
}
_CERTAIN: Final = 1.0
_LIKELY: Final = 0.95
_LEAST: Final = 0.6


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for one expected column."""

    column: str
    required: bool
    heading: str | None
    why: str
    """``name``, ``synonym``, ``close``, ``given``; ``several`` when two headings would do, ``twice`` when the one that
    would do stands twice, ``none``."""
    fits: float | None
    """The share of the file's values the format's schema accepts there; ``None`` when there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A matching to be confirmed."""

    format: str
    layout: Layout
    proposals: tuple[Proposal, ...]
    unused: tuple[str, ...]
    """Headings that feed nothing, and are not read."""

    def missing(self) -> tuple[str, ...]:
        """Return the columns the format must have and no heading feeds."""
        return tuple(each.column for each in self.proposals if each.required and each.heading is None)


def propose(native: Format, stream: BinaryIO, *, sheet: str = "", given: Mapping[str, str] | None = None) -> Draft:
    """Return what the headings of ``stream`` seem to stand for; ``given`` (column → heading) is taken as it is.

    Values are looked at for their shape only and leave no trace. Raises ``MaillonError(CONFIGURATION)`` for a format
    that is no table or a ``given`` that names nothing, ``MALFORMED`` when no line looks like headings.
    """
    reader = _table(native)
    rows, layout = _headed(reader, stream, sheet)
    found = headings(rows[0])
    single = [heading for heading in found if heading and found.count(heading) == 1]
    chosen = _given(reader, single, given or {})
    values = _values(found, rows[1:])
    scores = {
        (column, heading): score
        for column in (*reader.columns.required, *reader.columns.optional)
        for heading in single
        if column not in chosen and heading not in chosen.values() and (score := _score(column, heading)) >= _LEAST
    }
    several = _assign(native, scores, values, chosen)
    twice = {heading for heading in found if heading and heading not in single}
    proposals = tuple(
        Proposal(
            column=column,
            required=column in reader.columns.required,
            heading=chosen.get(column),
            why="given" if column in (given or {}) else _why(column, chosen.get(column), several, twice),
            fits=_fits(native, column, values.get(chosen.get(column, ""), ())),
        )
        for column in (*reader.columns.required, *reader.columns.optional)
    )
    unused = tuple(heading for heading in found if heading and heading not in chosen.values())
    named = {each.column: each.heading for each in proposals if each.heading is not None}
    return Draft(native.name, replace(layout, columns=named), proposals, unused)


def to_toml(partner: PartnerFolder, draft: Draft) -> str:
    """Return a confirmed ``draft`` as the file that keeps it (a JSON string is a TOML string)."""
    layout = draft.layout
    head: dict[str, Any] = {
        "partner": partner.slug,
        "format": draft.format,
        "line": layout.line,
        "delimiter": layout.delimiter,
        "sheet": layout.sheet,
        "headings": list(layout.headings),
    }
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    lines += ["", "[columns]", *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in layout.columns.items())]
    return "# Colonnes confirmées (maillon connector match). Un fichier aux titres différents sera refusé.\n" + (
        "\n".join(lines) + "\n"
    )


def matched(partner: PartnerFolder, saved: bytes) -> PartnerFolder:
    """Return ``partner`` reading one of its formats as the ``saved`` matching says; its ``version`` follows.

    Raises ``MaillonError(CONFIGURATION)`` naming what is wrong in the matching.
    """
    document = read_toml(saved, "matching")
    for name, kind in _MEMBERS.items():
        if type(document.get(name)) is not kind:
            raise _wrong(name, "missing, or not what it should be")
    if unknown := sorted(set(document) - set(_MEMBERS)):
        raise _wrong(unknown[0], "unknown")
    if document["partner"] != partner.slug or document["format"] not in partner.formats:
        raise _wrong("partner, format", "another partner's, or no format of this one")
    native = partner.formats[document["format"]]
    reader = _table(native)
    confirmed, columns = document["headings"], document["columns"]
    if missing := [name for name in reader.columns.required if name not in columns]:
        raise _wrong(f"columns.{missing[0]}", "missing")
    for column, heading in columns.items():
        if column not in reader.columns.known:
            raise _wrong("columns", "one is no column of the format")
        if confirmed.count(heading) != 1 or list(columns.values()).count(heading) != 1:
            raise _wrong(f"columns.{column}", "not exactly one of the headings")
    if document["delimiter"] not in ("", *DELIMITERS):
        raise _wrong("delimiter", "none of ; , | or tab")
    layout = Layout(document["line"], tuple(confirmed), columns, document["delimiter"], document["sheet"])
    formats = {**partner.formats, native.name: replace(native, reader=reader.laid_out(layout))}
    version = hashlib.sha256(partner.version.encode() + hashlib.sha256(saved).digest()).hexdigest()
    return replace(partner, formats=formats, version=version)


def kept_in(home: Path, format_name: str) -> Path:
    """Return where the confirmed matching of a format stands in an edge's home."""
    return home / f"matching.{format_name}.toml"


def as_confirmed(partner: PartnerFolder, home: Path, formats: Iterable[str]) -> PartnerFolder:
    """Return ``partner`` reading ``formats`` as was confirmed for the edge of ``home``; raises as :func:`matched`."""
    for file in (kept_in(home, name) for name in sorted(formats)):
        partner = matched(partner, file.read_bytes()) if file.exists() else partner
    return partner


def normalised(heading: str) -> str:
    """Return a heading as it is compared: no case, accent, punctuation or small word; ``n°`` and ``id`` in full."""
    # Composed first: of an é written as two characters, the accent would end a word.
    text = _NUMBER.sub("numero ", unicodedata.normalize("NFC", heading).lower().replace("№", "n°"))
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = re.findall(r"[a-z0-9]+", text.replace("œ", "oe").replace("(e)", "").replace("(s)", ""))
    kept = [_SHORT.get(word, word) for word in words if word not in _SMALL_WORDS]
    return " ".join(kept or words)


def _headed(reader: TableReader, stream: BinaryIO, sheet: str) -> tuple[list[Row], Layout]:
    """Return the line of headings with the sampled lines after it: the one line most of whose cells we know."""
    known = {normalised(name) for name in reader.columns.known}
    known |= {synonym for name in reader.columns.known for synonym in _synonyms().get(name, ())}
    workbook = is_workbook(stream.read(4))
    best: tuple[int, list[Row], Layout] | None = None
    unread: Quarantined | None = None
    for delimiter in ("",) if workbook else ("", *DELIMITERS):
        stream.seek(0)
        tried = reader.laid_out(Layout(1, (), {}, delimiter, sheet))
        rows = []
        for row in islice(tried.rows(stream), _LOOKED_AT + _SAMPLED):
            if isinstance(row, Quarantined):
                unread = unread or row
            else:
                rows.append(row)
        for place, row in enumerate(rows[:_LOOKED_AT]):
            found = headings(row)
            score = len(known & {normalised(heading) for heading in found})
            if score and (best is None or score > best[0]):
                best = score, rows[place:], Layout(row[0], tuple(found), {}, delimiter, sheet)
    if best is None:
        why = f" ({unread.reason.value}{unread.detail and f': {unread.detail}'})" if unread else ""
        which = "; another sheet is named with --sheet" if workbook else ""
        raise MaillonError(ErrorKind.MALFORMED, f"no line with headings we know{why}{which}")
    return best[1], best[2]


def _values(found: Sequence[str], rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    columns: dict[str, list[str]] = {heading: [] for heading in found}
    for row in rows:
        for heading, cell in zip(found, () if isinstance(row[1], Reason) else row[1], strict=False):
            if text := said(cell.text if isinstance(cell, Typed) else cell):
                columns[heading].append(text)
    return {heading: tuple(values) for heading, values in columns.items()}


def _fits(native: Format, column: str, values: Sequence[str]) -> float | None:
    """Return the share of ``values`` the format's schema accepts in ``column``."""
    if not values:
        return None
    return sum(column not in native.schema.refused({column: value}) for value in values) / len(values)


def _assign(
    native: Format,
    scores: Mapping[tuple[str, str], float],
    values: Mapping[str, Sequence[str]],
    chosen: dict[str, str],
) -> frozenset[str]:
    """Give each column its best heading, best first, into ``chosen``; return the columns two headings fit alike."""
    weighed = {
        (column, heading): score + 0.01 * (_fits(native, column, values[heading]) or 0.5)
        for (column, heading), score in scores.items()
    }
    several = set()
    for (column, heading), score in sorted(weighed.items(), key=lambda item: -item[1]):
        if column in chosen or column in several or heading in chosen.values():
            continue
        rivals = [h for (c, h), other in weighed.items() if c == column and h != heading and other == score]
        if any(rival not in chosen.values() for rival in rivals):
            several.add(column)
        else:
            chosen[column] = heading
    return frozenset(several)


def _why(column: str, heading: str | None, several: frozenset[str], twice: Collection[str]) -> str:
    if heading is None:
        if any(_score(column, each) >= _LIKELY for each in twice):
            return "twice"
        return "several" if column in several else "none"
    score = _score(column, heading)
    return "name" if score == _CERTAIN else "synonym" if score == _LIKELY else "close"


def _score(column: str, heading: str) -> float:
    """Return how surely ``heading`` names ``column``: 1 by its name, 0.95 by a synonym, less by likeness."""
    written, name = normalised(heading), normalised(column)
    if written == name:
        return _CERTAIN
    known = _synonyms().get(column, ())
    if written in known:
        return _LIKELY
    return 0.9 * max(_likeness(written, other) for other in (name, *known))


def _likeness(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return max(len(a & b) / len(a | b) if a | b else 0.0, _spelled_alike(one, other))


def _spelled_alike(one: str, other: str) -> float:
    ratio = difflib.SequenceMatcher(None, one, other).ratio()
    return ratio if ratio >= 0.85 and min(len(one), len(other)) > 4 else 0.0


@cache
def _synonyms() -> Mapping[str, tuple[str, ...]]:
    text = (resources.files("connectors.kit") / "synonyms.toml").read_text("utf-8")
    return {column: tuple(map(normalised, names)) for column, names in tomllib.loads(text)["columns"].items()}


def _given(reader: TableReader, single: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    for column, heading in given.items():
        # What was typed is told back, and no heading of the file: a cell that is none may hold a person.
        if column not in reader.columns.known:
            known = ", ".join((*reader.columns.required, *reader.columns.optional))
            raise MaillonError(ErrorKind.CONFIGURATION, f"{column}: not a column of the format; one of {known}")
        if single.count(heading) != 1:
            raise MaillonError(ErrorKind.CONFIGURATION, f"{column}: no heading of the file, once, reads {heading!r}")
    return dict(given)


def _table(native: Format) -> TableReader:
    if not isinstance(native.reader, TableReader):
        raise MaillonError(ErrorKind.CONFIGURATION, f"{native.name} is no table: its columns are not matched")
    return native.reader


def _wrong(where: str, what: str) -> MaillonError:
    return MaillonError(ErrorKind.CONFIGURATION, f"matching: {where}: {what}")
