"""Tables as agents keep them: what the CCAS's connector makes of their habits. Invented persons."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import openpyxl
import pytest

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.matching import matched, propose, to_toml
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined, Reason
from tests.partners.conftest import AT
from tests.partners.test_every_case import entries, fragments, said

HEADINGS = ("N° dossier", "Nom", "Nom d'usage", "Prénom", "Civilité", "Né(e) le", "Commune de naissance (code INSEE)")
MORE = ("Tél", "Mail", "Début", "Fin")
USUAL = {
    "N° dossier": "D1",
    "Nom": "Aubépin",
    "Prénom": "Maëlle",
    "Né(e) le": "12/03/1984",
    "Début": "01/02/2026",
}


def csv(*rows: dict[str, str]) -> bytes:
    lines = [(*HEADINGS, *MORE), *([(USUAL | row).get(name, "") for name in (*HEADINGS, *MORE)] for row in rows)]
    return "\n".join(";".join(line) for line in lines).encode()


def taken(partner: PartnerFolder, data: bytes, source: str = "domiciliations") -> list[SubjectFragment | Quarantined]:
    """Read as an edge reads it once a person has confirmed what was proposed."""
    draft = propose(partner.formats[source], io.BytesIO(data))
    assert draft.missing() == ()
    reading = matched(partner, to_toml(partner, draft).encode()).formats[source]
    return list(map_stream(io.BytesIO(data), reading, AT))


def told(item: SubjectFragment) -> dict[str, Any]:
    return {path: each.get("valeur", each.get("absence")) for path, each in said(item).items()}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Mme", "F"),
        ("M.", "M"),
        ("Mr", "M"),
        ("Mlle", "F"),
        ("MADAME", "F"),
        ("monsieur", "M"),
        ("Homme", "M"),
        ("2", "F"),
    ],
)
def test_a_title_tells_the_sex_as_matching_proposed(
    partners: dict[str, PartnerFolder], written: str, read: str
) -> None:
    found = taken(partners["ccas"], csv({"Civilité": written}))
    assert entries(found) == []
    assert told(fragments(found)[0])["identite.sexe"] == read


@pytest.mark.parametrize("nothing", ["-", "NR", "néant", "N/A", "Non renseigné"])
def test_a_word_for_nothing_is_nobody_s_name_number_or_date(partners: dict[str, PartnerFolder], nothing: str) -> None:
    unknown = dict.fromkeys(("Nom d'usage", "Civilité", "Tél", "Mail", "Fin"), nothing)
    found = taken(partners["ccas"], csv(unknown))
    assert entries(found) == []
    assert told(fragments(found)[0]) == {
        "identite.nom_naissance": "Aubépin",
        "identite.prenoms": ["Maëlle"],
        "identite.date_naissance": {"date": "1984-03-12", "precision": "jour"},
        "domiciliation.organisme": "CCAS",
        "domiciliation.date_debut": "2026-02-01",
        "domiciliation.date_fin": "non_renseigne",
    }


def test_a_contact_badly_typed_does_not_hide_the_rest(partners: dict[str, PartnerFolder]) -> None:
    found = taken(partners["ccas"], csv({"Tél": "6,39981E+08", "Mail": "à demander"}))
    assert [(e.path, e.reason) for e in entries(found)] == [
        ("contact.telephone", Reason.BAD_VALUE),
        ("contact.email", Reason.BAD_VALUE),
    ]
    assert told(fragments(found)[0])["domiciliation.date_debut"] == "2026-02-01"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12/3/1984", "1984-03-12"),
        ("12-03-1984", "1984-03-12"),
        ("12.03.1984", "1984-03-12"),
        ("12/03/1984 00:00:00", "1984-03-12"),
        ("1984-03-12", "1984-03-12"),
        ("1984", "1984-00-00"),
        ("1984-03", "1984-03-00"),
    ],
)
def test_days_as_spreadsheets_write_them(partners: dict[str, PartnerFolder], written: str, read: str) -> None:
    (item,) = fragments(taken(partners["ccas"], csv({"Né(e) le": written})))
    assert told(item)["identite.date_naissance"]["date"] == read
    if len(written) > 7:
        (item,) = fragments(taken(partners["ccas"], csv({"Début": written})))
        assert told(item)["domiciliation.date_debut"] == read


@pytest.mark.parametrize("written", ["12/03/84", "30773", "31/02/1984", "mars 1984"])
def test_no_day_is_guessed(partners: dict[str, PartnerFolder], written: str) -> None:
    found = taken(partners["ccas"], csv({"Né(e) le": written}, {"N° dossier": "D2"}))
    assert [item.local_id for item in fragments(found)] == ["D2"]
    assert [e.path.rpartition("/")[2].rpartition(".")[2] for e in entries(found)] == ["date_naissance"]


def test_a_place_abroad_is_a_country(partners: dict[str, PartnerFolder]) -> None:
    place = "Commune de naissance (code INSEE)"
    abroad, ain = fragments(taken(partners["ccas"], csv({place: "99352"}, {"N° dossier": "D2", place: "1004"})))
    assert told(abroad)["identite.code_cog_insee_pays_naissance"] == "99352"
    assert "identite.code_cog_insee_commune_naissance" not in told(abroad)
    assert told(ain)["identite.code_cog_insee_commune_naissance"] == "01004"


def test_a_register_with_a_title_groups_numbers_and_a_total(partners: dict[str, PartnerFolder]) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(["Registre des domiciliations"])
    sheet.append(["Identité", *[None] * 6, "Contact", None, "Domiciliation", None])
    sheet.append([*HEADINGS, *MORE])
    sheet.append(
        ["D1", "Aubépin", None, "Maëlle", "Mme", dt.date(1984, 3, 12), 1004, 639981247, None, dt.date(2026, 2, 1), None]
    )
    sheet.append(
        [1002, "Le Goff", None, "Yann", "M.", dt.date(1990, 2, 3), None, None, None, dt.date(2026, 2, 1), None]
    )
    sheet.append([None, "Total", *[None] * 7, "=COUNTA(A4:A5)", None])
    for cells in ("A1:K1", "A2:G2", "H2:I2", "J2:K2"):
        sheet.merge_cells(cells)
    out = io.BytesIO()
    workbook.save(out)
    found = taken(partners["ccas"], out.getvalue())
    (maelle,) = fragments(found)
    assert told(maelle)["contact.telephone"] == "0639981247"
    assert told(maelle)["identite.code_cog_insee_commune_naissance"] == "01004"
    # A file's own number may have lost zeros nobody knows of; a total is nobody. Merged headings hide nobody.
    assert [(e.position, e.path, e.reason) for e in entries(found)] == [
        ("line 5", "/numero", Reason.NUMBER_IN_CODE),
        ("line 6", "/date_debut", Reason.FORMULA),
    ]


def test_an_amount_as_a_spreadsheet_shows_it(partners: dict[str, PartnerFolder]) -> None:
    lines = ["Numéro;Nom;Prénom;Date de naissance;Type d'aide;Montant (€);Avis;Date"]
    shown = {"A1": "1\u202f675,00 €", "A2": "0,00 €", "A3": "-", "A4": ""}
    lines += [f"{n};Aubépin;Maëlle;12/03/1984;Secours;{amount};Accordé;4/11/2025" for n, amount in shown.items()]
    found = taken(partners["ccas"], "\n".join([*lines, "TOTAL;;;;;1 675,00 €;;"]).encode(), "aides")
    aids = {item.local_id: told(item)["aides.secours"] for item in fragments(found)}
    decided = {"decision": "accordee", "date": "2025-11-04"}
    assert aids == {
        "A1": [decided | {"montant": 1675}],
        "A2": [decided | {"montant": 0}],
        "A3": [decided],
        "A4": [decided],
    }
    assert [e.path for e in entries(found)] == ["/nom_naissance"]
