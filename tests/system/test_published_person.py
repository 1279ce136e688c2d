"""DUBOIS Angela, whom a dozen published endpoints know: one person at the hub, one dossier at the desk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hub.cli.demo.deployment import HUB, Deployment, must
from hub.cli.pull import statements

CASES = {
    "caf": {
        "api_particulier_qf_v3": [
            "v3_cnav_quotient_familial_with_civility/200-usager-base-france_connect.yaml",
        ],
        "api_particulier_rsa_v3": ["v3_cnav_revenu_solidarite_active_with_france_connect/france_connect_cnaf.yaml"],
        "api_particulier_prime_activite_v3": ["v3_cnav_prime_activite_with_france_connect/france_connect_cnaf.yaml"],
        "api_particulier_aah_v3": ["v3_cnav_allocation_adulte_handicape_with_france_connect/france_connect_cnaf.yaml"],
        "api_particulier_asf_v3": ["v3_cnav_allocation_soutien_familial_with_france_connect/france_connect_cnaf.yaml"],
        "api_particulier_aeeh_v3": ["v3_cnav_allocation_enfant_handicape_with_france_connect/france_connect_cnaf.yaml"],
    },
    "cpam": {
        "api_particulier_c2s_v3": [
            "v3_cnav_complementaire_sante_solidaire_with_france_connect/france_connect_cnaf.yml"
        ],
    },
}
SUIVI = (
    "id_si_departement;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;code_pays_naissance;"
    "phase;parcours;orientation;organisme_referent;referent;date_contrat;heures_contrat;rendez_vous;date_maj\n"
    "D75-1;Dubois;;Angela;F;24/08/1962;75107;99100;Accompagnement;Social;Département;MDS;;;;;2026-01-09\n"
)


def test_the_published_cases_become_one_person_and_one_dossier(shared_data: Path, tmp_path: Path) -> None:
    suivi = tmp_path / "suivi.csv"
    suivi.write_text(SUIVI, "utf-8")
    proof = tmp_path / "proof"
    proof.write_bytes(b"a code was sent")
    deployment = Deployment.create(tmp_path / "run", {slug: slug for slug in (*CASES, "departement")})
    with deployment.fleet:
        deployment.start()
        deployment.ingest("departement", [suivi])
        for slug, formats in CASES.items():
            for name, files in formats.items():
                paths = [str(shared_data / "api_particulier" / f"api_particulier_{file}") for file in files]
                answer = must("ingest", *paths, "--source", name, "--home", str(deployment.home(slug)))
                assert answer["quarantined"] == {}, (slug, name)
        with sqlite3.connect(f"file:{deployment.home(HUB) / 'hub.db'}?mode=ro", uri=True) as db:
            assert db.execute("SELECT count(*) FROM person").fetchone() == (1,)
        desk = ("--home", str(deployment.home("departement")), "--person", "D75-1")
        must(
            *("consent", "grant", *desk, "--notice", "accompagnement_global", "--source", "caf", "--source", "cpam"),
            *("--evidence", "E2", "--evidence-file", str(proof), "--agent", "a"),
        )
        got = must(
            *("pull", *desk, "--purpose", "accompagnement_global", "--role", "referent_parcours"),
            *("--agent", "a", "--case", "c"),
        )
    said = {path: statement for path, statement in statements(got["dossier"]) if "valeur" in statement}
    assert {statement["source"] for statement in said.values()} == {"caf", "cpam"}
    expected = {"ressources.quotient_familial"} | {
        f"droits.{right}.etat" for right in ("rsa", "prime_activite", "aah", "asf", "c2s")
    }
    assert expected <= said.keys()
    assert said["ressources.quotient_familial"]["valeur"]["valeur"] == 4270
    assert said["droits.rsa.date_debut_droit"]["valeur"] == "1992-11-20"
