"""A partner is added by one folder (DESIGN §1, promise 10): hub, kit and configuration stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

from hub.cli.demo.deployment import Deployment, must, run_command
from hub.cli.pull import statements

MANIFEST = """
slug = "habitat_29"
name = "Habitat 29"
kind = "bailleur"
operator = "habitat_29"
local_id = "numéro de contrat"
nir_autorise = false
can_collect = false
roles = ["conseiller_bailleur"]

[formats.locataires]
reader = "csv"
description = "Locataires en difficulté de paiement"
media = ["text/csv"]
record = "locataire"
[formats.locataires.options]
delimiter = ";"
columns = ["contrat", "nom", "prenom", "sexe", "naissance", "commune_naissance", "loyer", "impaye"]

[[release]]
recipient_kinds = ["departement"]
purposes = ["logement", "prevention_expulsion_fsl"]
fields = ["logement.*"]
"""
MAPPING = """
[formats.locataires]
base_legale = "Loi n° 90-449 du 31 mai 1990"

[formats.locataires.subjects.locataire]
local_id = ["record.contrat"]
[formats.locataires.subjects.locataire.identity]
nom_naissance = "record.nom"
prenoms = "record.prenom"
sexe = "record.sexe"
date_naissance = "record.naissance"
code_cog_insee_commune_naissance = "record.commune_naissance"
[formats.locataires.subjects.locataire.fields]
"logement.loyer" = { from = "record.loyer", with = "decimal" }
"logement.est_en_impaye" = { from = "record.impaye", with = "boolean" }
"""
COLUMNS = ("contrat", "nom", "prenom", "sexe", "naissance", "commune_naissance", "loyer", "impaye")
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "locataire": {
            "type": "object",
            "properties": {name: {"type": ["string", "null"], "maxLength": 100} for name in COLUMNS},
            "required": ["contrat", "nom", "prenom"],
            "additionalProperties": False,
        }
    },
}
TENANTS = ";".join(COLUMNS) + "\nL-77;PENNEC;Gwenola;F;1979-05-06;29019;512,30;oui\n"
SUIVI = (
    "id_si_departement;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;code_pays_naissance;"
    "phase;parcours;orientation;organisme_referent;referent;date_contrat;heures_contrat;rendez_vous;date_maj\n"
    "D29-9;Pennec;;Gwenola;F;06/05/1979;29019;99100;Accueil;;;;;;;;2026-01-09\n"
)


def write_folder(at: Path) -> Path:
    folder = at / "habitat_29"
    (folder / "samples").mkdir(parents=True)
    (folder / "manifest.toml").write_text(MANIFEST, "utf-8")
    (folder / "mapping.toml").write_text(MAPPING, "utf-8")
    (folder / "record.schema.json").write_text(json.dumps(SCHEMA), "utf-8")
    (folder / "samples" / "sample.locataires.csv").write_text(TENANTS, "utf-8")
    (folder / "samples" / "hostile.locataires.csv").write_text(TENANTS + "L-78;PENNEC\n", "utf-8")
    return folder


def test_one_folder_is_all_a_new_partner_takes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "partners")
    assert run_command("connector", "check", str(folder)).document["findings"] == []
    suivi = tmp_path / "suivi.csv"
    suivi.write_text(SUIVI, "utf-8")
    deployment = Deployment.create(tmp_path / "run", {"habitat_29": str(folder), "departement": "departement"})
    with deployment.fleet:
        deployment.start()
        deployment.ingest("departement", [suivi])
        answer = deployment.ingest("habitat_29", [folder / "samples" / "hostile.locataires.csv"])
        assert answer["registered"] == 1
        assert [entry["reason"] for entry in answer["quarantine"]] == ["column_shift"]
        desk = ("--home", str(deployment.home("departement")), "--person", "D29-9")
        must(
            *("consent", "grant", *desk, "--notice", "logement_fsl", "--source", "habitat_29"),
            *("--agent", "a", "--second-agent", "b"),
        )
        got = must(
            *("pull", *desk, "--purpose", "prevention_expulsion_fsl", "--role", "travailleur_social"),
            *("--agent", "a", "--case", "c"),
        )
    said = dict(statements(got["dossier"]))
    assert {path: said[path]["valeur"] for path in ("logement.loyer", "logement.est_en_impaye")} == {
        "logement.loyer": 512.3,
        "logement.est_en_impaye": True,
    }
    assert all(statement["source"] == "habitat_29" for statement in said.values())
