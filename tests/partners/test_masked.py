"""What an habilitation masks, and answers that say in other words that somebody is not known. Invented persons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.port import Quarantined, Reason
from schemas import registry
from tests.partners.test_every_case import Map

ASKED = {
    "nomNaissance": "Aubépin",
    "prenoms[]": ["Maëlle"],
    "anneeDateNaissance": "1984",
    "moisDateNaissance": "3",
    "jourDateNaissance": "12",
    "sexeEtatCivil": "F",
    "codeCogInseeCommuneNaissance": "08480",
}
MAELLE = {"nom_naissance": "AUBEPIN", "prenoms": "MAELLE", "date_naissance": "1984-03-12", "sexe": "F"}
LOU = {"nom_naissance": "AUBEPIN", "prenoms": "LOU", "date_naissance": "2015-09-01", "sexe": "F"}
QUOTIENT = {"fournisseur": "CNAF", "valeur": 0, "annee": 2026, "mois": 2}
ADDRESS = {"numero_libelle_voie": "3 RUE DES HALLES", "code_postal_ville": "08300 RETHEL", "pays": "FRANCE"}


def answer(
    mapped: Map, slug: str, name: str, payload: Any, params: Any = None, status: int = 200
) -> tuple[list[SubjectFragment], list[tuple[str, Reason]]]:
    exchange = {"params": ASKED if params is None else params, "status": status, "payload": payload}
    found = mapped(slug, name, json.dumps(exchange).encode())
    people = [item for item in found if isinstance(item, SubjectFragment)]
    for person in people:
        registry.validator("fragment").check(person.fragment)
    return people, [(item.path, item.reason) for item in found if isinstance(item, Quarantined)]


def said(person: SubjectFragment) -> dict[str, Any]:
    """Path → value, or ``(absence,)``."""
    statements = person.fragment["statements"]
    return {path: each["valeur"] if "valeur" in each else (each["absence"],) for path, each in statements.items()}


def test_a_quotient_without_its_household_is_the_person_asked_s(mapped: Map) -> None:
    payload = {"data": {"quotient_familial": QUOTIENT, "adresse": ADDRESS}}
    (person,), aside = answer(mapped, "caf", "api_particulier_qf_v3", payload)
    assert aside == []
    # Her traits are those of the question: the source states none of them.
    assert said(person) == {
        "ressources.quotient_familial": QUOTIENT,
        "contact.adresse": ["3 RUE DES HALLES", "08300 RETHEL"],
        "contact.code_postal": "08300",
    }
    assert person.identity_traits["date_naissance"] == "1984-03-12"
    assert person.local_id == "AUBEPIN/MAELLE/1984-03-12/F/08480"


def test_a_household_without_its_quotient_says_that_it_is_masked(mapped: Map) -> None:
    people, aside = answer(
        mapped, "caf", "api_particulier_qf_v3", {"data": {"allocataires": [MAELLE], "enfants": [LOU]}}
    )
    assert aside == []
    maelle, lou = people
    assert said(maelle)["ressources.quotient_familial"] == ("non_autorise",)
    assert said(maelle)["foyer.nombre_enfants_a_charge"] == 1
    assert not [path for path in said(lou) if not path.startswith("identite.")]
    # Null is something else: the caisse was asked, and could not calculate one.
    whole = {"data": {"allocataires": [MAELLE], "enfants": [], "quotient_familial": None}}
    (maelle,), _ = answer(mapped, "caf", "api_particulier_qf_v3", whole)
    assert said(maelle)["ressources.quotient_familial"] == ("non_calculable",)


def test_v2_masks_its_household_and_its_quotient_too(mapped: Map) -> None:
    quotient = {"regime": "CNAF", "quotientFamilial": 650, "annee": 2026, "mois": 2}
    (person,), aside = answer(mapped, "caf", "api_particulier_qf_v2", quotient)
    assert (said(person), aside) == (
        {"ressources.quotient_familial": {"fournisseur": "CNAF", "valeur": 650, "annee": 2026, "mois": 2}},
        [],
    )
    maelle = {"nomNaissance": "AUBEPIN", "prenoms": "MAELLE", "sexe": "F"}
    born = {"anneeDateDeNaissance": "1984", "moisDateDeNaissance": "03", "jourDateDeNaissance": "12"}
    (person,), aside = answer(mapped, "caf", "api_particulier_qf_v2", {"allocataires": [maelle | born]})
    assert aside == []
    assert said(person)["ressources.quotient_familial"] == ("non_autorise",)
    assert "foyer.nombre_enfants_a_charge" not in said(person)


def test_the_day_care_scale_keeps_what_is_not_masked(mapped: Map) -> None:
    scale = {"parametres_calcul_participation_familiale": {"nombre_enfants_a_charge": 2}}
    for payload in (scale, scale | {"allocataires": [MAELLE]}):
        (person,), aside = answer(mapped, "caf", "api_particulier_eaje_v3", {"data": payload})
        assert aside == []
        assert said(person)["foyer.nombre_enfants_a_charge"] == 2
    (person,), _ = answer(mapped, "caf", "api_particulier_eaje_v3", {"data": {"allocataires": [MAELLE]}})
    assert said(person)["foyer.nombre_enfants_a_charge"] == ("non_autorise",)


JOBSEEKER = {
    "identite": {"nom_naissance": "LE GOFF", "prenom": "YANN", "sexe": "Masculin", "date_naissance": "1990-02-03"},
    "contact": {"email": "yann@example.fr"},
    "inscription": {"date_debut": "2026-01-05", "date_fin": None, "categorie": {"code": 1}},
}


@pytest.mark.parametrize("block", JOBSEEKER)
def test_no_block_of_a_jobseeker_s_status_takes_the_others_with_it(mapped: Map, block: str) -> None:
    for identifier in ({}, {"identifiant": "12345Y"}):
        payload = {"data": {**identifier, block: JOBSEEKER[block]}}
        (person,), aside = answer(
            mapped, "france_travail", "api_particulier_statut_v3", payload, {"identifiant": "12345Y"}
        )
        assert (aside, person.local_id) == ([], "12345Y")
        registered = said(person).get("emploi.inscription.date_debut")
        assert registered == ("2026-01-05" if block == "inscription" else ("non_autorise",))
        assert ("identite.nom_naissance" in said(person)) == (block == "identite")
    flat = {"dateInscription": "2026-01-05", "codeCategorieInscription": 2}
    (person,), aside = answer(mapped, "france_travail", "api_particulier_statut_v2", flat, {"identifiant": "12345Y"})
    assert (aside, said(person)["emploi.inscription.categorie"]) == ([], "2")


def test_half_of_a_civic_service_does_not_say_that_there_was_none(mapped: Map) -> None:
    none = {"contrat_trouve": False, "organisme_accueil": None, "date_debut_contrat": None, "date_fin_contrat": None}
    one = none | {"contrat_trouve": True, "date_debut_contrat": "2025-01-06", "date_fin_contrat": "2025-07-05"}
    outcomes = {
        "actuel": ({"statut_actuel": none}, ("non_autorise",)),
        "passe": ({"statut_passe": none}, ("non_autorise",)),
        "both": ({"statut_actuel": none, "statut_passe": none}, ("sans_dossier",)),
        "found": ({"statut_passe": one}, "2025-01-06"),
    }
    for name, (data, expected) in outcomes.items():
        (person,), aside = answer(mapped, "service_civique", "api_particulier_service_civique_v3", {"data": data})
        assert (aside, said(person)["formation.date_debut"]) == ([], expected), name


def test_a_student_s_masked_enrolment_is_not_a_missing_one(mapped: Map) -> None:
    who = {"nom_naissance": "AUBEPIN", "prenom": "MAELLE", "date_naissance": "1984-03-12"}
    admission = {"date_debut": "2025-09-01", "etablissement_etudes": {"uai": "0331023W"}}
    cases: list[tuple[dict[str, Any], Any]] = [
        ({}, ("non_autorise",)),
        ({"admissions": [admission]}, ("non_autorise",)),  # enrolled or only admitted: masked
        ({"admissions": [admission | {"est_inscrit": False}]}, ("sans_dossier",)),
        ({"admissions": []}, ("sans_dossier",)),
        ({"admissions": [admission | {"est_inscrit": True}]}, "0331023W"),
    ]
    for data, expected in cases:
        (person,), aside = answer(mapped, "mesri", "api_particulier_etudiant_v3", {"data": {"identite": who} | data})
        assert (aside, said(person)["scolarite.code_uai"]) == ([], expected), data
    (person,), aside = answer(mapped, "mesri", "api_particulier_etudiant_v2", {"ine": "1234567890A"})
    assert (aside, said(person)["scolarite.code_uai"]) == ([], ("non_autorise",))


def test_a_scholarship_level_is_said_of_nobody_whose_status_is_masked(mapped: Map) -> None:
    who = {"nom": "AUBEPIN", "prenoms": ["MAELLE"], "date_naissance": "1984-03-12", "sexe": "F"}
    for name in ("api_particulier_boursier_v3", "api_particulier_boursier_v4"):
        data = {"identite": who, "echelon_bourse": {"echelon": "0bis"}}
        (person,), aside = answer(mapped, "cnous", name, {"data": data})
        assert aside == []
        assert said(person)["scolarite.est_boursier"] == ("non_autorise",)
        assert said(person)["scolarite.echelon"] == ("non_autorise",)
    flat = {"nom": "AUBEPIN", "prenom": "MAELLE", "dateNaissance": "1984-03-12", "sexe": "F", "echelonBourse": "3"}
    (person,), aside = answer(mapped, "cnous", "api_particulier_boursier_v2", flat)
    assert (aside, said(person)["scolarite.echelon"]) == ([], ("non_autorise",))


def test_a_pupil_s_masked_schooling(mapped: Map) -> None:
    data = {"est_boursier": True, "echelon_bourse": 3, "etablissement": {"code_uai": "0750001A"}}
    (person,), aside = answer(mapped, "men", "api_particulier_scolarite_v3", {"data": data})
    assert aside == []
    assert said(person) == {
        "scolarite.est_scolarise": ("non_autorise",),
        "scolarite.est_boursier": True,
        "scolarite.echelon": "3",
        "scolarite.code_uai": ("non_autorise",),
    }


def test_v5_says_the_student_s_number_again_and_v2_a_pupil_s_level(mapped: Map) -> None:
    data = {"statut_boursier": {"est_boursier": True}, "echelon_bourse": {"echelon": "2"}, "ine": "0987654321A"}
    (person,), _ = answer(mapped, "cnous", "api_particulier_boursier_v4", {"data": data})
    assert said(person)["identifiants.ine"] == "0987654321A"
    assert person.local_id.startswith("0987654321A|")
    pupil = {"est_scolarise": True, "est_boursier": True, "niveau_bourse": 1}
    (person,), _ = answer(mapped, "men", "api_particulier_scolarite_v2", pupil)
    assert said(person)["scolarite.echelon"] == "1"


@pytest.mark.parametrize("data", [{}, {"adresse": ADDRESS}])
def test_an_answer_masked_to_nothing_is_set_aside(mapped: Map, data: dict[str, Any]) -> None:
    assert answer(mapped, "caf", "api_particulier_qf_v3", {"data": data}) == ([], [("/payload/data", Reason.SCHEMA)])


@pytest.mark.parametrize("change", [{"fournisseur": "CCMSA"}, {"annee": None}, {"mois": 13}])
def test_a_part_of_a_quotient_that_cannot_be_read_is_named(mapped: Map, change: dict[str, Any]) -> None:
    quotient = QUOTIENT | change
    data = {"allocataires": [MAELLE], "enfants": [LOU], "quotient_familial": quotient}
    people, aside = answer(mapped, "caf", "api_particulier_qf_v3", {"data": data})
    assert (len(people), len(aside)) == (2, 1)
    assert aside[0][0] == "ressources.quotient_familial"
    assert "ressources.quotient_familial" not in said(people[0])
    # Where it was all there was to tell of her.
    people, aside = answer(mapped, "caf", "api_particulier_qf_v3", {"data": {"quotient_familial": quotient}})
    assert (people, len(aside)) == ([], 1)
    assert "ressources.quotient_familial" in aside[0][0]


@pytest.mark.parametrize(("slug", "caisse"), [("caf", "CNAF"), ("msa", "MSA")])
def test_a_quotient_without_its_month_takes_nothing_of_the_person_asked_with_it(
    mapped: Map, slug: str, caisse: str
) -> None:
    v3 = {
        "data": {
            "quotient_familial": QUOTIENT | {"fournisseur": caisse, "mois": None},
            "enfants": [],
            "adresse": ADDRESS,
        }
    }
    address = {"numeroLibelleVoie": "3 RUE DES HALLES", "codePostalVille": "08300 RETHEL", "pays": "FRANCE"}
    v2 = {"regime": caisse, "quotientFamilial": 650, "annee": 2026, "mois": None, "adresse": address, "enfants": []}
    for name, payload in (("api_particulier_qf_v3", v3), ("api_particulier_qf_v2", v2)):
        people, aside = answer(mapped, slug, name, payload)
        (asked,) = people
        assert said(asked) == {"foyer.nombre_enfants_a_charge": 0} | (
            {"contact.adresse": ["3 RUE DES HALLES", "08300 RETHEL"], "contact.code_postal": "08300"}
            if slug == "caf"
            else {}
        )
        assert aside == [("ressources.quotient_familial", Reason.BAD_VALUE)]


def test_a_quotient_without_its_value_is_not_incalculable(mapped: Map) -> None:
    data = {"allocataires": [MAELLE], "quotient_familial": {"fournisseur": "CNAF", "annee": 2026, "mois": 2}}
    entry = ("/payload/data/quotient_familial", Reason.SCHEMA)
    assert answer(mapped, "caf", "api_particulier_qf_v3", {"data": data}) == ([], [entry])


def test_an_unreadable_date_does_not_hide_the_right(mapped: Map) -> None:
    v3 = {"data": {"est_beneficiaire": True, "date_debut_droit": "2021-06-31"}}
    v2 = {"status": "beneficiaire", "dateDebut": "2021-06-31"}
    for name, payload in (("api_particulier_rsa_v3", v3), ("api_particulier_rsa_v2", v2)):
        (person,), aside = answer(mapped, "caf", name, payload)
        assert said(person)["droits.rsa.etat"] == "ouvert"
        assert aside == [("droits.rsa.date_debut_droit", Reason.BAD_DATE)]


def errors(code: str, title: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": title, "detail": "…", "source": None, "meta": {}}]}


def reason(error: str, text: str) -> dict[str, str]:
    return {"error": error, "reason": text, "message": text}


@pytest.mark.parametrize(
    ("status", "payload", "absence"),
    [
        (422, errors("35560", "Identité non reconnue par le fournisseur de données"), "personne_inconnue"),
        (422, errors("00366", "Entité non traitable"), None),
        (422, errors("31563", "Identité ambiguë pour le fournisseur de données"), None),
        (400, reason("not_found", "L'allocataire cherché n'a pas été reconnu"), "personne_inconnue"),
        (400, reason("wrong_parameter", "Le sexe n'est pas correctement formaté (m ou f)"), None),
        (404, reason("not_found", "L'allocataire n'est pas référencé auprès de la CNAF"), "personne_inconnue"),
        (404, reason("not_found", "Dossier absent"), "sans_dossier"),
        (502, errors("37020", "Maintenance du fournisseur"), "maintenance"),
        (502, errors("37999", "Erreur inconnue du fournisseur de données"), "indisponible"),
        (503, reason("provider_unknown_error", "La réponse du fournisseur est invalide"), "indisponible"),
        (503, reason("data_provider_error", "Unknown error code 134"), "indisponible"),
        (503, {}, "maintenance"),
    ],
)
def test_what_an_error_says_of_the_person(mapped: Map, status: int, payload: Any, absence: str | None) -> None:
    for name in ("api_particulier_rsa_v3", "api_particulier_rsa_v2"):
        people, aside = answer(mapped, "caf", name, payload, status=status)
        if absence is None:
            assert (people, aside) == ([], [("issue", Reason.UNKNOWN_CODE)])
        else:
            assert aside == []
            assert {value for person in people for value in said(person).values()} == {(absence,)}


@pytest.mark.parametrize(
    ("written", "code"),
    [("Rethel", None), ("Sainte-Marie", None), ("08362", "08362"), (8362, "08362"), ("2A004", "2A004"), ("", None)],
)
def test_a_birthplace_written_out_is_no_code(mapped: Map, written: Any, code: str | None) -> None:
    asked = {"nom": "Aubépin", "prenom": "Maëlle", "dateDeNaissance": "1984-03-12", "lieuDeNaissance": written}
    (person,), aside = answer(mapped, "cnous", "api_particulier_boursier_v2", {"boursier": True}, asked)
    assert aside == []
    assert person.identity_traits.get("code_cog_insee_commune_naissance") == code


@pytest.mark.parametrize(
    ("text", "absence"),
    [
        ("Dossier suspendu. Le document ne peut être édité.", "suspendu"),
        ("Non droit. Le document ne peut être édité.", "sans_droit"),
        ("Absence ressources ou QF à 0 sur la période de référence. Le document ne peut être édité.", "non_calculable"),
        ("Dossier radié. Le document ne peut être édité.", "sans_dossier"),
    ],
)
def test_a_file_that_gives_nothing_is_not_a_missing_one(mapped: Map, text: str, absence: str) -> None:
    asked = {"numeroAllocataire": "1234567", "codePostal": "08300"}
    name = "api_particulier_qf_matricule_v2"
    (person,), aside = answer(mapped, "caf", name, reason("not_found", text), asked, status=404)
    assert (aside, said(person)) == ([], {"ressources.quotient_familial": (absence,)})


def test_two_words_are_read_only_where_the_household_or_its_capitals_tell_their_order(mapped: Map) -> None:
    def household(*names: str) -> dict[str, Any]:
        people = [{"nomPrenom": name, "dateDeNaissance": "12031984", "sexe": "F"} for name in names]
        return {
            "quotientFamilial": "650",
            "annee": "2022",
            "mois": "7",
            "allocataires": people[:1],
            "enfants": people[1:],
        }

    asked = {"numeroAllocataire": 1234567, "codePostal": 8300}
    told = (("AUBEPIN MAELLE", "AUBEPIN LOU"), ("AUBEPIN Maelle", "QUEMENER Lou"), ("AUBEPIN Maelle",))
    for names in told:
        people, aside = answer(mapped, "caf", "api_particulier_qf_matricule_v2", household(*names), asked)
        assert (len(people), aside) == (len(names), []), names
        assert said(people[0])["identite.nom_naissance"] == "AUBEPIN"
        assert said(people[0])["ressources.quotient_familial"]["valeur"] == 650
    untold = (("MAELLE AUBEPIN", "LOU AUBEPIN"), ("MAELLE AUBEPIN",), ("AUBEPIN MAELLE",), ("Maelle AUBEPIN",))
    for names in untold:
        people, aside = answer(mapped, "caf", "api_particulier_qf_matricule_v2", household(*names), asked)
        assert (people, aside) == ([], [("identite.nom_naissance", Reason.NAMES_NOT_SEPARATED)] * len(names)), names


def household_of(*children: dict[str, str], **change: Any) -> dict[str, Any]:
    parent = {"nomPrenom": "AUBEPIN MAELLE", "dateDeNaissance": "12031984", "sexe": "F"}
    said = {
        "quotientFamilial": 650,
        "annee": 2022,
        "mois": 7,
        "allocataires": [parent],
        "enfants": list(children),
    } | change
    return {key: value for key, value in said.items() if value is not None}


LOU_BY_NUMBER = {"nomPrenom": "AUBEPIN LOU", "dateDeNaissance": "01092015", "sexe": "F"}


@pytest.mark.parametrize(
    ("other", "children", "set_aside"),
    [
        ({"Nom": "", "Prenom": "", "Sexe": "", "dateDeNaissance": ""}, 1, []),
        ({"nomPrenom": "", "dateDeNaissance": "", "sexe": ""}, 1, []),
        ({"Nom": "AUBEPIN", "Prenom": "ZOE", "Sexe": "F", "dateDeNaissance": "09/01/2018"}, 2, ["names_not_separated"]),
        ({"nomPrenom": "AUBEPIN ZOE", "dateDeNaissance": "31022018", "sexe": "F"}, 2, ["bad_date"]),
    ],
)
def test_a_child_nobody_can_be_told_from_takes_no_one_else_along(
    mapped: Map, other: dict[str, str], children: int, set_aside: list[str]
) -> None:
    asked = {"numeroAllocataire": "1234567", "codePostal": "08300"}
    people, aside = answer(mapped, "caf", "api_particulier_qf_matricule_v2", household_of(LOU_BY_NUMBER, other), asked)
    assert [person.identity_traits["prenoms"] for person in people] == [["MAELLE"], ["LOU"]]
    assert said(people[0])["foyer.nombre_enfants_a_charge"] == children
    assert [why.value for _, why in aside] == set_aside


@pytest.mark.parametrize("missing", ["annee", "mois"])
def test_a_quotient_of_no_month_is_set_aside_alone(mapped: Map, missing: str) -> None:
    asked = {"numeroAllocataire": "1234567", "codePostal": "08300"}
    payload = household_of(LOU_BY_NUMBER, **{missing: None})
    people, aside = answer(mapped, "caf", "api_particulier_qf_matricule_v2", payload, asked)
    assert len(people) == 2
    assert "ressources.quotient_familial" not in said(people[0])
    assert [path for path, _ in aside] == ["ressources.quotient_familial"]
