"""Answers of API Particulier, for the bench of their reader: nobody in them exists."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import Format, PartnerFolder, bundled_directory
from connectors.kit.readers.exchange import ExchangeReader
from connectors.kit.runtime.clock import SystemClock

LETTERS = "ABDEGILMNORSTUV"
NAMES = frozenset(("nom", "nomFamille", "nomNaissance", "nomPrenom", "nomUsage", "nom_naissance", "nom_usage"))


def family_quotient(chance: random.Random) -> bytes:
    """Return one line: what was asked of the quotient familial and what it answered, of someone who does not exist."""
    surname = "".join(chance.choices(LETTERS, k=8))
    given = chance.choice(("Maëlle-Anne", "Marie", "Yann", "Éloïse", "Jean Noël", "Zoé"))
    born = f"{chance.randint(1950, 2005)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    sex, commune = chance.choice("MF"), f"29{chance.randint(1, 280):03}"
    year, month, day = (int(part) for part in born.split("-"))
    asked = {"nomNaissance": surname, "prenoms": given.split(), "sexeEtatCivil": sex}
    asked |= {"anneeDateNaissance": year, "moisDateNaissance": month, "jourDateNaissance": day}
    asked |= {"codeCogInseeCommuneNaissance": commune, "codeCogInseePaysNaissance": "99100"}
    person = {
        "nom_naissance": surname,
        "nom_usage": None,
        "prenoms": given.upper(),
        "date_naissance": born,
        "sexe": sex,
    }
    road, town = f"{chance.randint(1, 99)} RUE DES AJONCS", f"29{chance.randint(0, 99):02}0 QUIMPER"
    address = {"destinataire": f"{surname} {given.upper()}", "complement_information": "APPARTEMENT 6"}
    address |= {"complement_information_geographique": None, "numero_libelle_voie": road, "lieu_dit": None}
    address |= {"code_postal_ville": town, "pays": "FRANCE"}
    share = {"fournisseur": "CNAF", "valeur": chance.randint(0, 2000), "annee": 2025, "mois": 12}
    share |= {"annee_calcul": 2026, "mois_calcul": 1}
    data = {"allocataires": [person], "enfants": [], "adresse": address, "quotient_familial": share}
    payload = {"data": data, "links": {}, "meta": {}}
    whole = {"params": asked, "status": 200, "payload": payload, "collecte_le": "2026-01-12T08:30:00+01:00"}
    return json.dumps(whole, ensure_ascii=False).encode() + b"\n"


def published(answers: int) -> list[tuple[Format, bytes]]:
    """Return each shipped format of an API with so many answers: its samples, over and over under other surnames.

    Of the samples those that give persons and nothing set aside.
    """
    chance = random.Random(11)  # noqa: S311 (the same files every time)
    return [
        (native, b"".join(_under_another_name(sample, chance) for sample in islice(cycle(samples), answers)))
        for folder in sorted(bundled_directory().iterdir())
        if (folder / "manifest.toml").is_file()
        for name, native in PartnerFolder.load(folder).formats.items()
        if isinstance(native.reader, ExchangeReader)
        and (
            samples := [
                line for path in folder.glob(f"samples/*.{name}.ndjson") for line in _told(native, path.read_bytes())
            ]
        )
    ]


def _told(native: Format, data: bytes) -> Iterator[Any]:
    for line in data.splitlines():
        found = list(map_stream(io.BytesIO(line), native, SystemClock().now()))
        if found and all(isinstance(each, SubjectFragment) for each in found):
            yield json.loads(line)


def _under_another_name(sample: Any, chance: random.Random) -> bytes:
    written = json.dumps(sample, ensure_ascii=False)
    for name in sorted(_surnames(sample)):
        written = written.replace(json.dumps(name, ensure_ascii=False)[1:-1], "".join(chance.choices(LETTERS, k=8)))
    return written.encode() + b"\n"


def _surnames(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {each.split()[0] for name, each in value.items() if name in NAMES and isinstance(each, str) and each}
        return own.union(*map(_surnames, value.values()))
    return set[str]().union(*map(_surnames, value)) if isinstance(value, list) else set()


def mapped(files: Sequence[tuple[Format, bytes]]) -> int:
    """Read, check, map and check again; return how many answers that was. Nothing may be set aside."""
    for native, data in files:
        for each in map_stream(io.BytesIO(data), native, SystemClock().now()):
            assert isinstance(each, SubjectFragment)
    return sum(data.count(b"\n") for _, data in files)


def parsed(files: Sequence[tuple[Format, bytes]]) -> int:
    """The standard library's parser, line by line."""
    return sum(1 for _, data in files for line in data.splitlines() if json.loads(line))
