"""One unreadable detail hides nothing else of somebody, and no list of dates is ordered by how they are written."""

from __future__ import annotations

import json
import re

import pytest

from connectors.kit.partner import bundled_directory
from connectors.kit.port import Reason
from tests.partners.test_every_case import Map, entries, fragments, said

STREAM = bundled_directory() / "caf" / "samples" / "sample.rsa_mensuel.xml"


@pytest.mark.parametrize(
    ("slug", "element", "field"),
    [
        ("caf", "DDSITFAM", "foyer.situation_familiale"),
        ("msa", "DDSITFAM", "foyer.situation_familiale"),
        ("caf", "DDNATDRO", "droits.rsa.date_debut_droit"),
        ("msa", "DDNATDRO", "droits.rsa.date_debut_droit"),
        ("caf", "DTCLORSA", "droits.rsa.date_fin_droit"),  # msa’s sample has none
    ],
)
def test_an_unreadable_date_of_the_stream_sets_itself_aside(mapped: Map, slug: str, element: str, field: str) -> None:
    stream = STREAM if slug == "caf" else next((bundled_directory() / slug / "samples").glob("sample.rsa_mensuel.*"))
    written = stream.read_text("windows-1252")
    broken, count = re.subn(rf"<{element}>[^<]*</{element}>", f"<{element}>2020-00-00</{element}>", written)
    assert count
    before, after = (mapped(slug, "rsa_mensuel", text.encode("windows-1252")) for text in (written, broken))
    assert entries(before) == []
    assert {(e.path, e.reason) for e in entries(after)} == {(field, Reason.BAD_DATE)}
    assert [item.local_id for item in fragments(after)] == [item.local_id for item in fragments(before)]
    for one, other in zip(fragments(before), fragments(after), strict=True):
        lost = {path: each for path, each in said(one).items() if said(other).get(path) != each}
        assert lost.keys() <= {field}


@pytest.mark.parametrize(
    ("column", "cell", "field", "reason"),
    [
        ("inscription", "00/00/0000", "emploi.inscription.date_debut", Reason.BAD_DATE),
        ("categorie_inscription", "Z9", "emploi.inscription.categorie", Reason.BAD_VALUE),
        ("dif_sante", "P", "emploi.freins.sante", Reason.UNKNOWN_CODE),
        ("dif_transport", "oui", "emploi.freins.mobilite", Reason.UNKNOWN_CODE),
    ],
)
def test_an_unreadable_cell_of_the_bulk_file_sets_itself_aside(
    mapped: Map, column: str, cell: str, field: str, reason: Reason
) -> None:
    head, *lines = (
        (bundled_directory() / "france_travail" / "samples" / "sample.demandeurs.csv").read_text().split("\n")
    )
    place = head.split(";").index(column)
    broken = [";".join([*cells[:place], cell, *cells[place + 1 :]]) for line in lines if (cells := line.split(";"))[1:]]
    found = mapped("france_travail", "demandeurs", "\n".join([head, *broken]).encode())
    assert [(e.path, e.reason) for e in entries(found)] == [(field, reason)] * len(broken)
    assert len(fragments(found)) == len(broken) > 1
    assert not [item for item in fragments(found) if field in said(item)]


BY_NUMBER_AND_DATE = [
    ("2000-01-01", "2000-01-01T00:00:00+01:00", True),
    ("2000-01-01T00:00:00+01:00", "2000-01-01", True),
    ("01/01/2000", "2000-01-01", True),
    ("2000-01-01", "2000-01-00", True),
    ("2000-01-01", "1999-12-31T23:00:00Z", False),
    ("2000-01-01", "2000-01-02T00:00:00+01:00", False),
    ("2000-01-01", "2001-00-00", False),
]


@pytest.mark.parametrize(("asked", "answered", "is_same"), BY_NUMBER_AND_DATE)
def test_a_jobseeker_asked_by_birth_date_is_not_another_for_how_it_is_written(
    mapped: Map, asked: str, answered: str, is_same: bool
) -> None:
    question = {"nir": "1000129232001", "dateNaissance": asked}
    who = {"nom": "AUBEPIN", "prenom": "PAUL", "sexe": "M", "dateNaissance": answered, "identifiant": "1234567A"}
    answer = {"params": question, "status": 200, "payload": who | {"codeCategorieInscription": 1}}
    found = mapped("france_travail", "api_particulier_statut_v2", json.dumps(answer).encode())
    assert [item.identity_traits["date_naissance"] for item in fragments(found)] == (
        [answered[:10].removesuffix("-00")] if is_same else []
    )
    assert [e.reason for e in entries(found)] == ([] if is_same else [Reason.ANSWER_ABOUT_ANOTHER])


def test_numbers_are_compared_to_the_letter(mapped: Map) -> None:
    """Whatever day their digits would be in another order."""
    told = {"identifiant": "03051990", "dateInscription": "2026-01-05"}
    answer = {"params": {"identifiant": "19900503"}, "status": 200, "payload": told}
    found = mapped("france_travail", "api_particulier_statut_v2", json.dumps(answer).encode())
    assert [e.reason for e in entries(found)] == [Reason.ANSWER_ABOUT_ANOTHER]


ENROLMENT = {"est_inscrit": True, "regime_formation": {"code": "RF1"}}
SCHOOLS = {"20/09/2019": "0750001A", "01/10/2023": "0290002B"}


def test_the_latest_enrolment_is_not_the_one_with_the_latest_day_of_a_month(mapped: Map) -> None:
    admissions = [ENROLMENT | {"date_debut": day, "etablissement_etudes": {"uai": u}} for day, u in SCHOOLS.items()]
    who = {"nom_naissance": "AUBEPIN", "prenom": "MAELLE", "date_naissance": "2001-03-12"}
    answer = {
        "params": {"ine": "0123456789A"},
        "status": 200,
        "payload": {"data": {"identite": who, "admissions": admissions}},
    }
    found = mapped("mesri", "api_particulier_etudiant_v3", json.dumps(answer).encode())
    assert [(e.path, e.reason, e.detail) for e in entries(found)] == [
        ("/payload/data/admissions/0/date_debut", Reason.SCHEMA, "pattern")
    ]
    assert fragments(found) == []
