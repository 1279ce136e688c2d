"""Fragments a second of each reader with its mapping and both validations, beside the bare parser of the same bytes."""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
import time
import zipfile
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
from lxml import etree

from bench import answers, rsa_stream
from bench.harness import Figure, Result, Say, Scale, compare
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import Format, PartnerFolder, bundled_directory
from connectors.kit.readers.table import TableReader
from connectors.kit.runtime.clock import SystemClock
from schemas import registry

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


def anew(cells: list[str], chance: random.Random) -> list[str]:
    """Return the line with nothing in it that the lines before had: no column repeats."""
    word = "".join(chance.choices("abdegilmnorstuv", k=9)).title()
    days = [f"{chance.randint(2020, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}" for _ in range(4)]
    own = dict(zip(HEADINGS, cells, strict=True))
    own |= {"prenoms": word, "organisme_referent": f"Maison {word}", "referent": f"{word} Caradec"}
    own |= {"date_contrat": days[0], "heures_contrat": f"{chance.randint(1, 30)},{chance.choice('05')}"}
    own |= {"rendez_vous": f"{days[1]} 10:00 honoré @ {word} | {days[2]} prévu", "date_maj": days[3]}
    return list(own.values())


def jobseeker(number: int, columns: list[str], chance: random.Random) -> list[str]:
    """Return one line of France Travail's forty-four columns, as sparse as theirs, about someone who does not exist."""
    born = f"{chance.randint(1950, 2005)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    said = {
        "identifiant_unique_de": f"{number:08x}-6d57-4c39-9a2e-5e0d6f3b8a11",
        "civilite": chance.choice(("MME", "M.")),
        "nom": "".join(chance.choices("ABDEGILMNORSTUV", k=8)),
        "prenom": chance.choice(("ELOISE", "YANN", "ZOE", "MARIE ANNE")),
        "code_lieu_naissance": f"{chance.randint(10, 95)}{chance.randint(1, 400):03}",
        "date_naissance": f"{born} 00:00:00.0",
        "adresse_ligne4": f"{chance.randint(1, 99)} RUE DES AJONCS",
        "adresse_ligne6": "29000 QUIMPER",
        "rome_1": chance.choice(("A1101", "K1303", "N4101")),
        "inscription": f"2025-{chance.randint(1, 12):02}-15 00:00:00.0",
        "categorie_inscription": chance.choice("1234"),
        "struct_principale": "QUIMPER FICTIF",
        "referent_nom": "LUCAS",
        "referent_prenom": "Anne",
        **{f"dif_{name}": chance.choice(("OUI", "N", "NULL")) for name in ("sante", "logement", "transport")},
    }
    return [said.get(name, "NULL") for name in columns]


def fragments(native: Format, data: bytes) -> int:
    """Read, check, map and check again; return how many persons came out, none set aside."""
    count = Counter(map(type, map_stream(io.BytesIO(data), native, SystemClock().now())))
    assert set(count) == {SubjectFragment}
    return count[SubjectFragment]


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


def cases(persons: int, lines: int) -> list[Case]:
    """Return each reader with a file of about ``persons`` persons, of ``lines`` where it is a CSV: those are long."""
    slugs = ("departement", "caf", "france_travail")
    folders = {slug: PartnerFolder.load(bundled_directory() / slug) for slug in slugs}
    seekers = folders["france_travail"].formats["demandeurs"]
    assert isinstance(seekers.reader, TableReader)
    columns = [*seekers.reader.columns.required, *seekers.reader.columns.optional]
    table, flux = folders["departement"].formats["accompagnement"], folders["caf"].formats["rsa_mensuel"]
    quotient = folders["caf"].formats["api_particulier_qf_v3"]
    chance = random.Random(7)  # noqa: S311 (the same file every time)
    rows = [row(number, chance) for number in range(lines)]
    text, other, wide = (
        "\n".join(";".join(each) for each in given) + "\n"
        for given in (
            (HEADINGS, *rows),
            (HEADINGS, *(anew(cells, chance) for cells in rows)),
            (columns, *(jobseeker(number, columns, chance) for number in range(lines))),
        )
    )
    book, out = openpyxl.Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    for each in (HEADINGS, *rows[:persons]):
        sheet.append([cell or None for cell in each])
    book.save(out)
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "flux.xml"
        people = rsa_stream.write(stream, persons)
        xml = stream.read_bytes()
    return [
        Case("csv", table, text.encode(), lines, bare_csv),
        Case("csv, 44 columns", seekers, wide.encode(), lines, bare_csv),
        Case("csv, no column repeats", table, other.encode(), lines, bare_csv),
        Case("xlsx", table, out.getvalue(), persons, bare_xlsx),
        Case("xml", flux, xml, people, bare_xml),
        Case(
            "exchange",
            quotient,
            b"".join(answers.family_quotient(chance) for _ in range(persons)),
            persons,
            bare_ndjson,
        ),
    ]


def shares(case: Case) -> str:
    """Return what the time of one fragment goes to, and what no way of making it in Python could do without."""

    def cost(work: Callable[[], Any]) -> float:
        """Microseconds of CPU a person, the least of three."""
        taken = []
        for _ in range(3):
            start = time.process_time()
            work()
            taken.append(time.process_time() - start)
        return min(taken) / case.persons * 1e6

    def read() -> None:
        deque(reader.lines(io.BytesIO(case.data)) if by_line else reader.read(io.BytesIO(case.data)), 0)

    reader = case.native.reader
    by_line = isinstance(reader, TableReader) and reader.by_line
    stream, at = io.BytesIO(case.data), SystemClock().now()
    told_of = (item for item in map_stream(stream, case.native, at) if isinstance(item, SubjectFragment))
    made, whole = [item.fragment["statements"] for item in told_of], registry.validator("fragment")
    reading = cost(read)
    ours = {"reading": reading, "checking, mapping, judging": cost(lambda: fragments(case.native, case.data)) - reading}
    least = {
        "bare parser": cost(lambda: case.bare(case.data)),
        "the dictionaries of the fragment": cost(lambda: [{k: v.copy() for k, v in each.items()} for each in made]),
        "its schema, were it asked whole": cost(lambda: [whole.check({"v": 1, "statements": each}) for each in made]),
    }
    told = ("; ".join(f"{name} {each:.1f}" for name, each in parts.items()) for parts in (ours, least))
    return f"{case.name}, µs a fragment: {next(told)}. By themselves: {next(told)}"


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    figures: list[Figure] = []
    told = []
    every = answers.published(200)
    for case in cases(min(2_000, scale.persons[0]), scale.persons[-1] // 10):
        size = f"{case.persons:,} persons, {len(case.data) / 1e6:.1f} MB"
        ours, bare = partial(fragments, case.native, case.data), partial(counted, case.bare, case.data, case.persons)
        figures.append(compare(f"reader {case.name}", ours, bare, scale, size))
        say(figures[-1].line())
        told.append(shares(case))
    size = f"answers of {len(every)} formats, {sum(len(data) for _, data in every) / 1e6:.1f} MB"
    ours, bare = partial(answers.mapped, every), partial(answers.parsed, every)
    figures.append(compare("reader exchange, every shipped shape", ours, bare, scale, size))
    say(figures[-1].line())
    return Result(
        figures=tuple(figures),
        wanted="≥ 0.1× of the bare parser",
        measured=(
            "reader, the partner's record schema, mapping, the fragment schema: shipped folders over generated files. "
            "Bare: `csv.reader`, `zipfile` + lxml, lxml, `json.loads` over the same bytes, looking at every text."
        ),
        dominates=(
            "calls of Python: a fragment has some fifteen statements, each read, judged and put in its place. Of a "
            "table (ADR 0025): making the dictionaries, and the cells met for the first time."
        ),
        information=tuple(told),
    )
