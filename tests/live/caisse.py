"""A partner of the tests: one household endpoint, one of a single right, with an ``[api]``. Persons are invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connectors.kit.partner import PartnerFolder

PURPOSE = "instruction_aide"
QF, RSA = "foyer_api", "droit_api"
QUOTIENT = "ressources.quotient_familial"
STATE, START = "droits.rsa.etat", "droits.rsa.date_debut_droit"

MANIFEST = """
slug = "caisse"
name = "Caisse d'essai"
kind = "caisse"
operator = "departement"
local_id = "état civil"
nir_autorise = false
can_collect = false
roles = []

[formats.foyer_api]
reader = "exchange"
description = "Quotient familial"
media = ["application/json"]
record = "foyer"

[formats.droit_api]
reader = "exchange"
description = "RSA"
media = ["application/json"]
record = "droit"

[api]
base_url = "https://api.example.fr"
purpose = "instruction_aide"

[api.endpoints.foyer_api]
path = "/v3/foyer/identite"
required = ["nomNaissance", "prenoms[]"]
[api.endpoints.foyer_api.params]
nomNaissance = "nom_naissance"
"prenoms[]" = "prenoms"
anneeDateNaissance = "annee_naissance"
moisDateNaissance = "mois_naissance"
jourDateNaissance = "jour_naissance"
sexeEtatCivil = "sexe"
codeCogInseeCommuneNaissance = "code_cog_insee_commune_naissance"

[api.endpoints.droit_api]
path = "/v3/droit/identite"
cases = ["published_droit"]
required = ["nomNaissance", "prenoms[]", "anneeDateNaissance"]
[api.endpoints.droit_api.params]
recipient = "habilitation"
nomNaissance = "nom_naissance"
"prenoms[]" = "prenoms"
anneeDateNaissance = "annee_naissance"
moisDateNaissance = "mois_naissance"
jourDateNaissance = "jour_naissance"
sexeEtatCivil = "sexe"
codeCogInseeCommuneNaissance = "code_cog_insee_commune_naissance"

[[release]]
recipient_kinds = ["departement", "commune"]
purposes = ["*"]
fields = ["*"]
"""

MAPPING = """
[tables.issues]
"401" = "non_autorise"
"403" = "non_autorise"
"404" = "sans_dossier"
"429" = "indisponible"
"500" = "indisponible"
"502" = "indisponible"
"503" = "maintenance"

[tables.liens]
"adulte>adulte" = "CJT"

[identities.demande]
nom_naissance = "record.params.nomNaissance"
prenoms = "record.params.prenoms"
sexe = "record.params.sexeEtatCivil"
date_naissance = { with = "birth_date_parts", from = [
  "record.params.anneeDateNaissance", "record.params.moisDateNaissance", "record.params.jourDateNaissance",
] }
code_cog_insee_commune_naissance = "record.params.codeCogInseeCommuneNaissance"

[formats.foyer_api]
base_legale = "CRPA L114-8"
collected = "record.collecte_le"
[formats.foyer_api.household]
links = "liens"
[[formats.foyer_api.household.members]]
each = "record.payload.data.adultes"
role = "'adulte'"
[formats.foyer_api.subjects.adulte]
when = "record.status == `200`"
roles = ["adulte"]
local_id = [{ from = "identite", with = "civil_key" }]
[formats.foyer_api.subjects.adulte.identity]
nom_naissance = "it.nom"
prenoms = "it.prenoms"
date_naissance = "it.ne_le"
[formats.foyer_api.subjects.adulte.fields]
"ressources.quotient_familial" = { from = "record.payload.data.qf", date_effet = { with = "first_of_month", from = [
  "record.payload.data.qf.annee", "record.payload.data.qf.mois",
] } }
"foyer.membres" = "liens"
[formats.foyer_api.subjects.sans_reponse]
when = "record.status != `200`"
identity = "demande"
local_id = [{ from = "identite", with = "civil_key" }]
[formats.foyer_api.subjects.sans_reponse.outcome]
from = "record.status"
table = "issues"
fields = ["ressources.quotient_familial"]

[formats.droit_api]
base_legale = "CRPA L114-8"
collected = "record.collecte_le"
[formats.droit_api.subjects.personne]
when = "record.status == `200`"
identity = "demande"
local_id = [{ from = "identite", with = "civil_key" }]
[formats.droit_api.subjects.personne.fields]
"droits.rsa.etat" = { from = "record.payload.data.beneficiaire && 'ouvert'", absences = [
  { when = "record.payload.data.beneficiaire == `false`", code = "sans_droit" },
] }
"droits.rsa.date_debut_droit" = { from = "record.payload.data.depuis", with = "calendar_date", absences = [
  { when = "record.payload.data.beneficiaire == `false`", code = "sans_droit" },
] }
[formats.droit_api.subjects.sans_reponse]
when = "record.status != `200`"
identity = "demande"
local_id = [{ from = "identite", with = "civil_key" }]
[formats.droit_api.subjects.sans_reponse.outcome]
from = "record.status"
table = "issues"
fields = ["droits.rsa.etat", "droits.rsa.date_debut_droit"]
"""

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "foyer": {
            "type": "object",
            "required": ["params", "status"],
            "if": {"properties": {"status": {"const": 200}}},
            "then": {
                "properties": {
                    "payload": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {"data": {"type": "object", "required": ["adultes", "qf"]}},
                    }
                }
            },
        },
        "droit": {
            "type": "object",
            "required": ["params", "status"],
            "if": {"properties": {"status": {"const": 200}}},
            "then": {
                "properties": {
                    "payload": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {"data": {"type": "object", "required": ["beneficiaire"]}},
                    }
                }
            },
        },
    },
}

ANNE = {
    "nom_naissance": "BERTHELOT",
    "prenoms": ["Anne", "Lise"],
    "sexe": "F",
    "date_naissance": "1984-05-09",
    "code_cog_insee_commune_naissance": "08480",
}
PAUL = {
    "nom_naissance": "MORVAN",
    "prenoms": ["Paul"],
    "sexe": "M",
    "date_naissance": "1979-01-31",
    "code_cog_insee_commune_naissance": "29019",
}


def params_of(traits: dict[str, Any]) -> dict[str, Any]:
    year, month, day = traits["date_naissance"].split("-")
    return {
        "nomNaissance": traits["nom_naissance"],
        "prenoms": traits["prenoms"],
        "anneeDateNaissance": int(year),
        "moisDateNaissance": int(month),
        "jourDateNaissance": int(day),
        "sexeEtatCivil": traits["sexe"],
        "codeCogInseeCommuneNaissance": traits["code_cog_insee_commune_naissance"],
    }


def adult(traits: dict[str, Any]) -> dict[str, Any]:
    return {"nom": traits["nom_naissance"], "prenoms": " ".join(traits["prenoms"]), "ne_le": traits["date_naissance"]}


HOUSEHOLD = {
    "params": params_of(ANNE),
    "status": 200,
    "payload": {
        "data": {
            "adultes": [adult(PAUL), adult(ANNE)],
            "qf": {"fournisseur": "CNAF", "valeur": 412, "annee": 2026, "mois": 1},
        }
    },
}
RIGHT = {"params": params_of(ANNE), "status": 200, "payload": {"data": {"beneficiaire": True, "depuis": "2024-03-01"}}}
NO_RIGHT = {"params": params_of(PAUL), "status": 200, "payload": {"data": {"beneficiaire": False, "depuis": None}}}


def write_partner(base: Path, *, purpose: str = PURPOSE, more: str = "", **limits: float) -> Path:
    """Write the folder ``caisse`` under ``base`` and return it."""
    folder = base / "caisse"
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    table = "[api.limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())
    endpoints = "[api.endpoints.foyer_api]\n"
    manifest = MANIFEST.replace(f'purpose = "{PURPOSE}"', f'purpose = "{purpose}"')
    (folder / "manifest.toml").write_text(manifest.replace(endpoints, f"{table}{more}\n{endpoints}", 1))
    (folder / "mapping.toml").write_text(MAPPING)
    (folder / "record.schema.json").write_text(json.dumps(SCHEMA))
    return folder


def partner(base: Path, **changes: Any) -> PartnerFolder:
    return PartnerFolder.load(write_partner(base, **changes))


def write_cases(folder: Path, **cases: list[dict[str, Any]]) -> Path:
    """Write one NDJSON file of exchanges for each format."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, exchanges in cases.items():
        (folder / f"demo.{name}.ndjson").write_text("".join(json.dumps(each) + "\n" for each in exchanges))
    return folder
