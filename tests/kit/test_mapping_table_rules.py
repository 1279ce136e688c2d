"""A mapping made to say everything a mapping can, by column and one by one: whatever a partner's folder may bring."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.mapping.file import load_mapping
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.mapping.table import TableRun
from connectors.kit.partner import Format, RecordSchema
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Refused
from schemas import registry

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
COLUMNS = ("cle", "role", "nom", "prenom", "ne", "tel", "etat", "date", "autre", "vue", "mel", "second")
MAPPING = """
[tables.etats]
A = "accueil"
E = "evaluation"
[tables.parcours]
T = "social"
X = "professionnel"
[tables.chiffres]
T = "1"
X = "2"

[formats.suivi]
base_legale = "CASF L121-6-2"
as_of = "record.vue"
date_effet = "record.vue"
[formats.suivi.subjects.usager]
local_id = LOCAL_ID
[formats.suivi.subjects.usager.identity]
nom_naissance = "record.nom"
prenoms = ["record.prenom", "record.autre"]
date_naissance = "record.ne"
[formats.suivi.subjects.usager.fields]
"contact.telephone" = { from = "record.tel", with = "phone", optional = true, base_legale = "CASF L262-27" }
"accompagnement.phase" = { from = "record.etat", table = "etats", when = "record.role != 'X'", absent = "sans_droit" }
"accompagnement.parcours" = { from = "record.role", table = "parcours" }
"accompagnement.referent" = { from = ["record.prenom", "record.autre"], with = "joined", date_effet = "record.date" }
"accompagnement.organisme_referent" = { from = "record.cle", when = "record.role == 'T'" }
"identifiants.id_si_departement" = { from = "record.cle", with = "unzeroed" }
"contact.email" = { from = "record.mel || record.second", absent = "non_renseigne" }
"accompagnement.contrat_engagement.date" = { from = "record.date", with = "calendar_date" }
"""
LOCAL_IDS = (
    '["record.cle"]',
    '["record.cle", "record.role"]',
    '[{ from = "record.cle", with = "unzeroed" }, { from = "identite", with = "initial" }]',
    '[{ from = "identite", with = "initial" }]',
    '["record.vue", "record.absent"]',
    '["record.cle", { from = "record.role", table = "chiffres" }]',
    '["record.vue || record.cle"]',
)
SCHEMA = {
    "type": "object",
    "required": ["cle", "nom"],
    "properties": {
        "nom": {"type": ["string", "null"], "pattern": "^[^0-9]*$"},
        "prenom": {"type": ["string", "null"], "maxLength": 6},
        "role": {"enum": ["T", "X", None]},
        "autre": {"type": ["string", "null"], "minLength": 2},
        "vue": {"type": ["string", "null"]},
        "mel": {"type": ["string", "null"], "pattern": "@"},
        "second": {"type": ["string", "null"], "maxLength": 12},
    },
}
CELLS: Mapping[str, tuple[str, ...]] = {
    "cle": ("", "007", "7", "8", "9" * 9, "né"),
    "role": ("", "T", "X", "Z"),
    "nom": ("", "GAC", "LE BRAS", "G4C", "MaÃ«lle"),
    "prenom": ("", "Zoé", "Yann", "Maximilien", " Anne "),
    "ne": ("", "1990-05-17", "1990-05", "17/05/1990", "2026-01-16", "1700-01-01", "x"),
    "tel": ("", "06 12 34 56 78", "zéro", "NULL"),
    "etat": ("", "A", "E", "?"),
    "date": ("", "2025-06-10", "10/06/2025", "2025-02-30"),
    "autre": ("", "Bis", "b", "\x07x"),
    "vue": ("", "2026-01-09", "2026-01-10", "2027-01-01", "hier"),
    "mel": ("", "a@exemple.fr", "a@@", "a"),
    "second": ("", "b@exemple.fr", "b", "longue@exemple.fr"),
}


def unzeroed(value: Any, _: Mapping[str, Any]) -> str | None:
    """A partner's own transform."""
    return str(value).lstrip("0") or None


def initial(value: Any, _: Mapping[str, Any]) -> str | None:
    """A partner's own transform of the traits, which refuses some."""
    name = value.get("nom_naissance")
    if name == "LE BRAS":
        raise Refused(Reason.BAD_VALUE)
    return name[:1] if name else None


def the_format(local_id: str, columns: tuple[str, ...] = COLUMNS) -> Format:
    text = MAPPING.replace("LOCAL_ID", local_id).encode()
    mapping = load_mapping(text, "essai", {**BUILT_IN, "unzeroed": unzeroed, "initial": initial})["suivi"]
    reader = CsvReader({"columns": list(columns), "optional": [name for name in COLUMNS if name not in columns]})
    return Format("suivi", "", (), reader, RecordSchema("ligne", {"ligne": SCHEMA}), mapping)


FORMATS = {local_id: the_format(local_id, ("cle", "nom")) for local_id in LOCAL_IDS}


def both(native: Format, data: bytes) -> tuple[list[str], list[str]]:
    """What is told by column, and what one by one; a fragment its schema refuses is one as such."""
    ordinary, run = list[Any](), Run(native.mapping, AT)
    for record in native.reader.read(BytesIO(data)):
        entry = native.schema.check(record) if isinstance(record, RawRecord) else record
        ordinary += [entry] if entry is not None else run.apply(record)  # type: ignore[arg-type]
    found = [item for item in map_stream(BytesIO(data), native, AT) if getattr(item, "reason", "") is not Reason.EMPTY]
    return [_shown(item) for item in found], [_shown(item) for item in ordinary]


def _shown(item: Any) -> str:
    if isinstance(item, SubjectFragment) and registry.validator("fragment").fits(item.fragment):
        return repr(tuple(item[:5]))
    return "no fragment" if isinstance(item, SubjectFragment) or item.reason is Reason.FRAGMENT else repr(item)


def text_of(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    return "\n".join(";".join(row) for row in (columns, *rows)).encode() + b"\n"


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(LOCAL_IDS), st.data())
def test_a_mapping_that_says_everything(local_id: str, data: st.DataObject) -> None:
    present = data.draw(st.permutations(COLUMNS))[: data.draw(st.integers(4, len(COLUMNS)))]
    columns = tuple(dict.fromkeys(("nom", *present, "cle")))
    rows = data.draw(st.lists(st.tuples(*(st.sampled_from(CELLS[name]) for name in columns)), min_size=1, max_size=12))
    by_column, one_by_one = both(FORMATS[local_id], text_of(columns, rows))
    assert by_column == one_by_one


def test_it_goes_by_column() -> None:
    for native in FORMATS.values():
        assert isinstance(native.reader, CsvReader)
        assert TableRun.of(native, native.reader, Run(native.mapping, AT), COLUMNS) is not None


def test_every_line_of_few_cells() -> None:
    """Not by chance: each role with each state, each key and each day it was seen."""
    columns = ("cle", "nom", "role", "etat", "vue")
    several = itertools.product(*(CELLS[name] for name in columns))
    for native in FORMATS.values():
        rows = [line for line in several if any(line)]
        by_column, one_by_one = both(native, text_of(columns, rows))
        assert by_column == one_by_one
        several = iter(rows)


@pytest.mark.parametrize(
    "changed",
    [
        ('absent = "sans_droit"', 'absences = [{ when = "record.role == \'T\'", code = "sans_dossier" }]'),
        ('with = "phone"', 'with = "phone", when = "identite.nom_naissance"'),
        ('nom_naissance = "record.nom"', 'nom_naissance = "record.nom || role"'),
        ('as_of = "record.vue"', 'as_of = "record.vue"\ncollected = "record.recue"'),
        ("[formats.suivi.subjects.usager]\n", "[formats.suivi.subjects.usager]\nwhen = \"record.role == 'T'\"\n"),
        ("[formats.suivi.subjects.usager]\n", '[formats.suivi.subjects.usager]\neach = "record.lignes"\n'),
        ("[formats.suivi.subjects.usager]\n", '[formats.suivi.subjects.usager]\nsame = [["record.a", "record.b"]]\n'),
    ],
)
def test_what_looks_at_more_than_cells_is_left_to_the_run(changed: tuple[str, str]) -> None:
    text = MAPPING.replace("LOCAL_ID", LOCAL_IDS[0]).replace(*changed)
    mapping = load_mapping(text.encode(), "essai", {**BUILT_IN, "unzeroed": unzeroed})["suivi"]
    native = FORMATS[LOCAL_IDS[0]]
    assert isinstance(native.reader, CsvReader)
    other = Format("suivi", "", (), native.reader, native.schema, mapping)
    assert TableRun.of(other, native.reader, Run(mapping, AT), COLUMNS) is None
    columns = ("cle", "nom", "role", "etat", "vue")
    rows = [line for line in itertools.product(*(CELLS[name][:3] for name in columns)) if any(line)]
    by_column, one_by_one = both(other, text_of(columns, rows))
    assert by_column == one_by_one


def test_where_members_could_not_be_judged_alone_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_separable", lambda: False)
    native = FORMATS[LOCAL_IDS[0]]
    assert isinstance(native.reader, CsvReader)
    assert TableRun.of(native, native.reader, Run(native.mapping, AT), COLUMNS) is None
    assert TableRun.of(native, native.reader, Run(native.mapping, AT), ("nom", "nom")) is None


def test_a_transform_that_breaks_breaks_at_its_line() -> None:
    """The lines before it are told first, as they are one by one."""

    def broken(value: Any, _: Mapping[str, Any]) -> str:
        return {"7": "sept"}[value]  # a KeyError for any other: a fault of the folder's

    text = MAPPING.replace("LOCAL_ID", LOCAL_IDS[0])
    mapping = load_mapping(text.encode(), "essai", {**BUILT_IN, "unzeroed": broken})["suivi"]
    native = FORMATS[LOCAL_IDS[0]]
    other = Format("suivi", "", (), native.reader, native.schema, mapping)
    found = map_stream(BytesIO(text_of(("cle", "nom"), [("7", "GAC"), ("8", "GAC")])), other, AT)
    assert not isinstance(next(found), Quarantined)
    with pytest.raises(KeyError):
        next(found)
