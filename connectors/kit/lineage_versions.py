"""Formats that are versions of one another (``qf_v2``, ``qf_v3``): the lineage page says once what they do alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.kit.lineage_cells import lines, link
from connectors.kit.partner import Format, PartnerFolder

_VERSION: Final = re.compile(r"(.+)_(v\d+)")


@dataclass(frozen=True, slots=True)
class Family:
    """A format, or several of one partner whose names differ by the version they end with."""

    slug: str
    name: str
    """Of the format; of several, what their names begin with."""
    formats: Mapping[str, Format]
    """By version, in the partner's order; a format that stands alone is its own version."""

    @property
    def heading(self) -> str:
        """Return the heading under which the page says it."""
        versions = "" if len(self.formats) == 1 else f" {', '.join(self.formats)}"
        return f"Format `{self.slug}.{self.name}`{versions}"

    def linked(self, versions: Iterable[str]) -> str:
        """Return the link to it, with the ``versions`` it is about."""
        told = f" {', '.join(versions)}" if len(self.formats) > 1 else ""
        return link(f"`{self.name}`", self.heading) + told


def families(partner: PartnerFolder) -> Iterator[Family]:
    """Yield the families of ``partner``'s formats, in the order of the first of each."""
    found: dict[str, dict[str, str]] = {}
    for name in partner.formats:
        parted = _VERSION.fullmatch(name)
        stem, version = parted.groups() if parted else (name, name)
        found.setdefault(stem, {})[version] = name
    for stem, versions in found.items():
        names = list(versions.values())
        called = names[0] if len(names) == 1 else stem
        yield Family(partner.slug, called, {version: partner.formats[each] for version, each in versions.items()})


def by_version(cells: Mapping[str, str], versions: Collection[str]) -> str:
    """Return what ``cells`` says, by version: once when all of ``versions`` say the same, else beside who says it."""
    said = _alike(cells)
    if len(said) == 1 and len(cells) == len(versions):
        return next(iter(said))
    return lines(*(f"*{', '.join(own)}* : {cell}" for cell, own in said.items()))


def source_by_version(sources: Mapping[str, tuple[str, str]], versions: Collection[str]) -> str:
    """Return from where a field is read, by version: words that all have alike, then the expressions."""
    words = {said for said, _ in sources.values()}
    if len(words) > 1:
        return by_version({version: lines(*own) for version, own in sources.items()}, versions)
    return lines(words.pop(), by_version({version: read for version, (_, read) in sources.items()}, versions))


def absences_by_version(absences: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return what is answered when the source says nothing, by version: words, and the expression they depend on.

    Where the versions have the same words, these are said once and the expressions beside who has them.
    """
    words = {tuple(said for said, _ in own) for own in absences.values()}
    if len(words) > 1:
        cells = {version: lines(*(said + on for said, on in own)) for version, own in absences.items()}
        return by_version(cells, absences)
    told = []
    for at, said in enumerate(words.pop()):
        alike = _alike({version: own[at][1] for version, own in absences.items()})
        one = len(alike) == 1
        told += [said + next(iter(alike))] if one else [said, *(f"*{', '.join(v)}* {on}" for on, v in alike.items())]
    return lines(*told)


def _alike(cells: Mapping[str, str]) -> Mapping[str, list[str]]:
    said: dict[str, list[str]] = {}
    for version, cell in cells.items():
        said.setdefault(cell, []).append(version)
    return said
