"""The dossier of DOMAIN §3, whole: its fields, their order, classes, labels and codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas import registry
from tests.schemas.sampling import places

FIELDS = registry.fields()
GOLDEN = (Path(__file__).parent / "fields.txt").read_text("utf-8").splitlines()


def of(path: str) -> registry.Field:
    """Return one field."""
    return next(field for field in FIELDS if field.path == path)


def test_the_order_of_the_bits_has_not_moved() -> None:
    """A reordering silently changes the meaning of every mask: change fields.txt knowingly or not at all."""
    assert [f"{field.path} {field.classe}" for field in FIELDS] == GOLDEN


def test_no_path_stands_twice() -> None:
    assert len({field.path for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_every_field_says_what_it_is(field: registry.Field) -> None:
    assert field.classe in ("C0", "C1", "C2", "C3", "C4", "C5", "C6")
    assert field.path.startswith(f"{field.section}.")
    assert field.path.count(".") in (1, 2)
    assert field.libelle.strip()
    assert field.note_legale.strip()
    assert field.fournisseurs


SECTIONS = [
    "identite",
    "identifiants",
    "contact",
    "foyer",
    "droits",
    "ressources",
    "emploi",
    "scolarite",
    "formation",
    "activite_independante",
    "logement",
    "retraite",
    "handicap_autonomie",
    "protection_juridique",
    "enfance",
    "accompagnement",
    "aides",
    "budget_dettes",
    "pension_alimentaire",
    "domiciliation",
    "pieces",
    "offre",
]
SECTION_FIELDS = {
    "identite": "nom_naissance nom_usage prenoms sexe date_naissance code_cog_insee_commune_naissance"
    " code_cog_insee_pays_naissance",
    "identifiants": "nir matricule_caf identifiant_msa identifiant_france_travail ine numero_fiscal"
    " numero_unique_logement id_dossier_mission_locale id_si_departement",
    "contact": "email telephone adresse code_postal code_cog_insee_commune est_sans_domicile_fixe",
    "foyer": "situation_familiale nombre_enfants_a_charge membres",
    "ressources": "quotient_familial ressources_mensuelles autre_ressource revenu_fiscal_reference nombre_parts",
    "scolarite": "est_scolarise est_boursier echelon code_uai regime_formation",
    "formation": "intitule organisme date_debut date_fin financeur",
    "activite_independante": "siren code_naf date_immatriculation accompagnement",
    "logement": "type statut loyer est_en_impaye demande_logement_social",
    "retraite": "caisse date_effet montant_mensuel plan_aide",
    "handicap_autonomie": "demandes decisions gir",
    "protection_juridique": "nature champ mandataire",
    "budget_dettes": "charges dettes plan",
    "pension_alimentaire": "est_due montant est_impayee intermediation",
    "domiciliation": "organisme date_debut date_fin",
    "offre": "structure service thematiques",
}


def test_every_section_of_the_domain_is_there_in_its_order() -> None:
    assert list(dict.fromkeys(field.section for field in FIELDS)) == SECTIONS


@pytest.mark.parametrize(("section", "names"), SECTION_FIELDS.items())
def test_every_field_of_the_domain_is_there(section: str, names: str) -> None:
    assert [field.path.removeprefix(f"{section}.") for field in FIELDS if field.section == section] == names.split()


RIGHTS = [
    "rsa",
    "prime_activite",
    "aah",
    "aeeh",
    "asf",
    "c2s",
    "pch",
    "apa",
    "ass",
    "are",
    "aide_logement",
    "pension_invalidite",
    "indemnites_journalieres",
    "aspa",
]
HEALTH_RIGHTS = {"aah", "aeeh", "pch", "apa", "pension_invalidite", "indemnites_journalieres"}


@pytest.mark.parametrize("code", RIGHTS)
def test_each_right_has_one_class_and_every_field(code: str) -> None:
    fields = [field for field in FIELDS if field.path.startswith(f"droits.{code}.")]
    assert {field.classe for field in fields} == {"C5" if code in HEALTH_RIGHTS else "C2"}
    assert {field.path.rpartition(".")[2] for field in fields} == {
        "etat",
        "date_debut_droit",
        "date_fin_droit",
        "avec_majoration",
        "avec_participation",
        "motif_suspension",
        "est_soumis_droits_devoirs",
    }


@pytest.mark.parametrize(
    ("path", "classe"),
    [
        ("identifiants.nir", "C3"),
        ("identifiants.identifiant_msa", "C3"),
        ("identifiants.matricule_caf", "C2"),
        ("contact.adresse", "C1"),
        ("emploi.freins.sante", "C5"),
        ("emploi.freins.juridique", "C6"),
        ("emploi.freins.familial", "C4"),
        ("emploi.freins.mobilite", "C2"),
        ("enfance.mesure", "C6"),
        ("enfance.suivi_medical_pmi", "C5"),
        ("accompagnement.synthese", "C4"),
        ("accompagnement.phase", "C2"),
        ("pieces.sante", "C5"),
        ("pieces.securite_sociale", "C3"),
        ("offre.structure", "C0"),
    ],
)
def test_the_class_that_matters(path: str, classe: str) -> None:
    assert of(path).classe == classe


def test_every_frein_but_three_is_social() -> None:
    classes = {field.path.rpartition(".")[2]: field.classe for field in FIELDS if ".freins." in field.path}
    assert {name for name, classe in classes.items() if classe != "C2"} == {"sante", "juridique", "familial"}


def test_private_notes_have_no_bit_yet_stand_in_the_dossier() -> None:
    private = [field.path for field, node in registry.field_nodes() if not node.get("x-bit", True)]
    assert private == ["accompagnement.synthese_privee"]
    assert private[0] not in {field.path for field in FIELDS}
    with pytest.raises(KeyError):
        registry.statement_validator(private[0])


def test_absences_are_those_of_the_domain_and_one_more() -> None:
    assert set(registry.absences()) == {
        "non_renseigne",  # ADR 0008
        "personne_inconnue",
        "sans_dossier",
        "sans_droit",
        "non_calculable",
        "suspendu",
        "non_autorise",
        "indisponible",
        "maintenance",
    }


def test_codes_and_their_labels_agree() -> None:
    lists: list[Any] = [node for _, node in places(registry.schema("dossier")) if isinstance(node, dict)]
    labelled = [node for node in lists if "x-libelles" in node and isinstance(node["x-libelles"], dict)]
    assert len(labelled) > 15
    for node in labelled:
        assert node["enum"] == list(node["x-libelles"]), node["title"]
        assert all(node["x-libelles"].values())
        assert node["x-codes"]


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("foyer.situation_familiale", "CNAF SITFAM"),
        ("foyer.membres", "CNAF ROLEPERS"),
        ("droits.rsa.etat", "CNAF ETATDOSRSA"),
        ("ressources.ressources_mensuelles", "CNAF NATRESS"),
        ("contact.code_cog_insee_commune", "COG"),
        ("enfance.mesure", "OLINPE"),
        ("contact.telephone", None),
    ],
)
def test_a_field_names_its_nomenclature(path: str, codes: str | None) -> None:
    assert of(path).codes == codes


def test_labels_name_the_right_they_belong_to() -> None:
    assert of("droits.rsa.etat").libelle == "Revenu de solidarité active : État du droit"
    assert of("identite.nom_naissance").libelle == "Nom de naissance"
