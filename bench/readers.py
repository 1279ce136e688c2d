"""Fragments a second of each reader with its mapping and both validations, beside the bare parser of the same bytes."""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
from lxml import etree

from bench import rsa_stream
from bench.harness import Figure, Result, Say, Scale, compare
from connectors.kit.ingest import map_stream
from connectors.kit.mapping import SubjectFragment
from connectors.kit.partner import Format, PartnerFolder, bundled_directory
from connectors.kit.port import RawRecord
from connectors.kit.runtime.clock import SystemClock

HEADINGS = [
    *("id_si_departement", "nom_naissance", "nom_usage", "prenoms", "sexe", "date_naissance"),
    *("code_commune_naissance", "code_pays_naissance", "phase", "parcours", "orientation", "organisme_referent"),
    *("referent", "date_contrat", "heures_contrat", "rendez_vous", "date_maj"),
]


@dataclass(frozen=True)
class Case:
    """One reader at work: a format, its bytes, the persons in them, and the bare parser."""

    name: str
    native: Format
    data: bytes
    persons: int
    bare: Callable[[bytes], object]


def row(number: int, chance: random.Random) -> list[str]:
    """Return one line of the département's export, about someone who does not exist."""
    return [
        f"D29-{number:09}",
        *("".join(chance.choices("ABDEGILMNORSTUV", k=8)), "", chance.choice(("Éloïse, Jeanne", "Yann", "Zoé"))),
        *(chance.choice("MF"), f"{chance.randint(1950, 2005)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"),
        *(f"{chance.randint(1, 95):02}{chance.randint(1, 989):03}", "99100"),
        *(chance.choice(("Accueil", "Évaluation")), "Social", "Département", "Maison départementale de Quimper"),
        *("Nolwenn Caradec", "2025-06-10", "7,5", "2025-12-09 10:00 honoré @ Maison départementale | 2026-02-03 prévu"),
        "2026-01-09",
    ]


def fragments(native: Format, data: bytes) -> int:
    """Read, check, map and check again; return how many persons came out, none set aside."""
    count = 0
    for item in map_stream(io.BytesIO(data), native, SystemClock().now()):
        assert isinstance(item, SubjectFragment)
        count += 1
    return count


def counted(bare: Callable[[bytes], object], data: bytes, persons: int) -> int:
    """Parse the bytes and nothing else; return for how many persons that was."""
    bare(data)
    return persons


def bare_csv(data: bytes) -> int:
    """The standard library's parser over the decoded text."""
    return sum(1 for _ in csv.reader(io.StringIO(data.decode()), delimiter=";"))


def bare_xlsx(data: bytes) -> int:
    """``zipfile`` and lxml over the sheet, every text looked at, every row forgotten."""
    count = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for part in ("xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"):
            if part not in archive.namelist():
                continue
            with archive.open(part) as stream:
                for _, element in etree.iterparse(stream, tag=("{*}row", "{*}si")):
                    count += sum(1 for text in element.itertext() if text)
                    element.clear()
    return count


def bare_xml(data: bytes) -> int:
    """lxml over the households, every text looked at, every household forgotten."""
    count = 0
    for _, element in etree.iterparse(io.BytesIO(data), tag="InfosFoyerRSA"):
        count += sum(1 for text in element.itertext() if text)
        element.clear()
    return count


def bare_ndjson(data: bytes) -> int:
    """The standard library's parser, line by line."""
    return sum(1 for line in data.splitlines() if json.loads(line))


def cases(persons: int) -> list[Case]:
    """Return each reader with a file of about ``persons`` persons."""
    folders = {slug: PartnerFolder.load(bundled_directory() / slug) for slug in ("departement", "caf")}
    table, flux = folders["departement"].formats["accompagnement"], folders["caf"].formats["rsa_mensuel"]
    answers = folders["caf"].formats["api_particulier_qf_v3"]
    chance = random.Random(7)  # noqa: S311 (the same file every time)
    rows = [row(number, chance) for number in range(persons)]
    text = "\n".join(";".join(each) for each in (HEADINGS, *rows)) + "\n"
    book, out = openpyxl.Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    for each in (HEADINGS, *rows):
        sheet.append([cell or None for cell in each])
    book.save(out)
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "flux.xml"
        people = rsa_stream.write(stream, persons)
        xml = stream.read_bytes()
    sample = next(f.path for f in folders["caf"].samples("demo") if f.format == answers.name).read_bytes()
    once = fragments(answers, sample)
    times = persons // once
    return [
        Case("csv", table, text.encode(), persons, bare_csv),
        Case("xlsx", table, out.getvalue(), persons, bare_xlsx),
        Case("xml", flux, xml, people, bare_xml),
        Case("exchange", answers, (sample.rstrip(b"\n") + b"\n") * times, once * times, bare_ndjson),
    ]


def shares(case: Case) -> str:
    """Return what the time of one pass goes to."""

    def seconds(work: Callable[[], Any]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    records: list[RawRecord] = []
    reading = seconds(lambda: records.extend(r for r in case.native.reader.read(io.BytesIO(case.data)) if _is(r)))
    checking = seconds(lambda: [case.native.schema.check(record) for record in records])
    mapping = seconds(lambda: [case.native.mapping.apply(record, SystemClock().now()) for record in records])
    whole = seconds(partial(fragments, case.native, case.data))
    parts = {"reading": reading, "record schema": checking, "mapping": mapping}
    parts["fragment schema"] = max(whole - sum(parts.values()), 0.0)
    return f"{case.name}: " + ", ".join(f"{name} {part / whole:.0%}" for name, part in parts.items())


def _is(item: object) -> bool:
    return isinstance(item, RawRecord)


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    figures: list[Figure] = []
    told = []
    for case in cases(min(2_000, scale.persons[0])):
        size = f"{case.persons:,} persons, {len(case.data) / 1e6:.1f} MB"
        ours, bare = partial(fragments, case.native, case.data), partial(counted, case.bare, case.data, case.persons)
        figures.append(compare(f"reader {case.name}", ours, bare, scale, size))
        say(figures[-1].line())
        told.append(shares(case))
    return Result(
        figures=tuple(figures),
        wanted="≥ 0.1× of the bare parser",
        measured=(
            "reader, the partner's record schema, mapping, the fragment schema: shipped folders over generated files. "
            "Bare: `csv.reader`, `zipfile` + lxml, lxml, `json.loads` over the same bytes, looking at every text."
        ),
        dominates=". ".join(told) + ".",
    )
