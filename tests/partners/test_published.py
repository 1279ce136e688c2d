"""What particular published files must become; ``test_every_case`` holds what is true of them all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from connectors.kit.checks import _words
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined, Reason
from tests.partners.conftest import Mapped
from tests.partners.published import all_cases

Map = Callable[[str, str, bytes], Mapped]


def test_a_household_becomes_one_fragment_a_person(published: Path, mapped: Map) -> None:
    folder = published / "api_particulier" / "api_particulier_v3_cnav_quotient_familial_with_civility"
    data = (folder / "200-couple-2_enfants-qf_msa_150_sept2024.yaml").read_bytes()
    found = mapped("caf", "api_particulier_qf_v3", data)
    fragments = [item for item in found if isinstance(item, SubjectFragment)]
    names = [item.fragment["statements"]["identite.prenoms"]["valeur"] for item in fragments]
    assert names == [["PIERRE ALEXIS FRANÇOIS"], ["JUSTINE ÉLISE"], ["ALEXIS VINCENT"], ["FLEUR EDITH"]]
    for item in fragments:
        others = _words(*(n for each in names for n in each if each != item.identity_traits["prenoms"]))
        own = _words(*item.identity_traits["prenoms"])
        assert not (others - own) & _words(str(item.fragment))
    assert [i for i, item in enumerate(fragments) if "contact.adresse" in item.fragment["statements"]] == [0]
    quotients = [item.fragment["statements"].get("ressources.quotient_familial") for item in fragments]
    assert [q and q["valeur"]["valeur"] for q in quotients] == [200, 200, None, None]
    assert quotients[0] is not None
    assert quotients[0]["date_effet"] == "2024-09-01"


def test_partial_birth_dates_stay_partial(published: Path, mapped: Map) -> None:
    folder = published / "api_particulier" / "api_particulier_v3_cnav_quotient_familial_with_france_connect"
    file = folder / "france_connect_200_cnaf_2_parents_3_mineurs_dont_1_jour_et_mois_inconnus.yml"
    found = mapped("caf", "api_particulier_qf_v3", file.read_bytes())
    last = found[-1]
    assert isinstance(last, SubjectFragment)
    assert last.fragment["statements"]["identite.date_naissance"]["valeur"] == {
        "date": "2020-00-00",
        "precision": "annee",
    }
    assert last.identity_traits["date_naissance"] == "2020"


def test_what_was_asked_completes_who_answered_only_without_contradiction(published: Path, mapped: Map) -> None:
    folder = published / "api_particulier" / "api_particulier_v3_cnav_quotient_familial_with_civility"
    same = mapped("caf", "api_particulier_qf_v3", (folder / "200-usager-base-france_connect.yaml").read_bytes())[0]
    other_year = mapped(
        "caf", "api_particulier_qf_v3", (folder / "200-couple-2_enfants-qf_msa_150_sept2024.yaml").read_bytes()
    )[0]
    assert isinstance(same, SubjectFragment)
    assert isinstance(other_year, SubjectFragment)
    assert same.identity_traits["code_cog_insee_commune_naissance"] == "75107"
    assert "code_cog_insee_commune_naissance" not in other_year.identity_traits
    # The source never stated it: it must not stand in the dossier under the source's name.
    assert "identite.code_cog_insee_commune_naissance" not in same.fragment["statements"]


def test_angela_dubois_is_one_local_person_at_each_source(published: Path, mapped: Map) -> None:
    held: dict[str, set[str]] = {}
    for case in all_cases(published):
        if "angela" in json.dumps(case.params).lower() and "dubois" in json.dumps(case.params).lower():
            for item in mapped(case.slug, case.format, case.file.read_bytes()):
                assert isinstance(item, SubjectFragment), case.name
                if "ANGELA" in item.local_id:
                    held.setdefault(f"{case.slug}:{item.local_id}", set()).update(item.fragment["statements"])
    assert set(held) == {
        "caf:DUBOIS/ANGELACLAIRELOUISE/1962-08-24/F/75107",
        # The EAJE answer gives her another birth date: completed by nothing, she is somebody else until a human says.
        "caf:DUBOIS/ANGELACLAIRELOUISE/1988-01-20/F/75111",
        "cpam:DUBOIS/ANGELACLAIRELOUISE/1962-08-24/F/75107",
        "service_civique:DUBOIS/ANGELACLAIRELOUISE/1962-08-24//",
    }
    rights = {".".join(path.split(".")[:2]) for paths in held.values() for path in paths}
    assert {"droits.rsa", "droits.prime_activite", "droits.aah", "droits.asf", "droits.aeeh", "droits.c2s"} <= rights
    assert {"ressources.quotient_familial", "formation.intitule"} <= rights


def test_published_monthly_stream(published: Path, mapped: Map, partners: dict[str, PartnerFolder]) -> None:
    data = (published / "caf_rsa_flux" / "RSABEM-ouvert.xml").read_bytes()
    found = mapped("caf", "rsa_mensuel", data)
    assert len(found) == 1
    item = found[0]
    assert isinstance(item, SubjectFragment)
    values = {path: s.get("valeur") for path, s in item.fragment["statements"].items()}
    assert values["droits.rsa.etat"] == "ouvert"
    assert values["identifiants.matricule_caf"] == "2089564"
    assert values["foyer.situation_familiale"] == "CEL"
    assert values["droits.rsa.est_soumis_droits_devoirs"] is True
    assert values["ressources.ressources_mensuelles"] == [
        {"nature": "001", "montant": 1669}, {"nature": "010", "montant": 0}, {"nature": "044", "montant": 0},
    ]  # fmt: skip
    # The one person of this file is not the household's responsable: the address is not hers to give.
    assert not [path for path in values if path.startswith("contact.")]
    assert {s["date_effet"] for p, s in item.fragment["statements"].items() if p == "droits.rsa.etat"} == {"2022-02-28"}


def test_published_stream_that_is_invalid_by_design(published: Path, mapped: Map) -> None:
    found = mapped("caf", "rsa_mensuel", (published / "caf_rsa_flux" / "RSABEI_invalid.xml").read_bytes())
    assert [(item.reason, item.path, item.detail) for item in found if isinstance(item, Quarantined)] == [
        (Reason.SCHEMA, "/InfosFoyerRSA", "required: DonneesAdministratives")
    ]
    assert len(found) == 1
