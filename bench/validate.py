"""Validation of one fragment of 25 fields, beside what no validator can do without: reading the same bytes."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from bench.harness import Result, Say, Scale, compare
from connectors.kit.runtime import strict_json
from schemas import registry
from schemas.registry import Validator

_VALUES: dict[str, Any] = {
    "identite.nom_naissance": "VASSEUR",
    "identite.nom_usage": "PÉRON",
    "identite.prenoms": ["ÉLOÏSE", "JEANNE"],
    "identite.sexe": "F",
    "identite.date_naissance": {"date": "1979-08-23", "precision": "jour"},
    "identite.code_cog_insee_commune_naissance": "14118",
    "identifiants.nir": "2790814118046",
    "identifiants.matricule_caf": "1402255",
    "contact.telephone": "+33600000000",
    "contact.email": "eloise.peron@exemple.fr",
    "contact.adresse": ["BATIMENT C", "12 B IMPASSE DES ÉGLANTINES", "14000 CAEN"],
    "contact.code_postal": "14000",
    "contact.code_cog_insee_commune": "14118",
    "contact.est_sans_domicile_fixe": False,
    "foyer.situation_familiale": "MAR",
    "foyer.nombre_enfants_a_charge": 2,
    "foyer.membres": [{"lien": "CJT"}, {"lien": "ENF"}, {"lien": "ENF"}],
    "droits.rsa.etat": "ouvert",
    "droits.rsa.date_debut_droit": "2022-02-01",
    "droits.rsa.est_soumis_droits_devoirs": True,
    "droits.prime_activite.etat": "ouvert",
    "ressources.quotient_familial": {"fournisseur": "CNAF", "valeur": 512, "annee": 2025, "mois": 11},
    "ressources.ressources_mensuelles": [{"nature": "001", "montant": 250.75}, {"nature": "002", "montant": 120}],
    "ressources.autre_ressource": 100,
}
_ABSENT = "droits.rsa.date_fin_droit"
_TIMES = 20
"""Repeats per call, so that reading the clock does not count."""


def fragment() -> dict[str, Any]:
    """Return what a CAF could say of one invented person: 24 values and one typed absence."""
    origin = {"source": "caf", "date_collecte": "2026-01-05T04:30:00Z"}
    value = {"date_effet": "2025-12-31", "base_legale": "CASF L262-40"} | origin
    said = {path: {"valeur": each} | value for path, each in _VALUES.items()}
    return {"v": 1, "statements": said | {_ABSENT: {"absence": "sans_droit"} | origin}}


def check(judge: Validator, value: object) -> int:
    """Validate; raises when the fragment is not valid. Returns how often."""
    for _ in range(_TIMES):
        judge.check(value)
    return _TIMES


def read(data: bytes) -> int:
    """Read the bytes with the standard library's reader. Returns how often."""
    for _ in range(_TIMES):
        json.loads(data)
    return _TIMES


def receive(judge: Validator, data: bytes) -> int:
    """Do what a recipient does: read strictly (no duplicate key, no NaN, bounded), then validate. Returns how often."""
    for _ in range(_TIMES):
        judge.check(strict_json.loads(data))
    return _TIMES


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    value, judge = fragment(), registry.validator("fragment")
    data = json.dumps(value, ensure_ascii=False).encode()
    count = f"{len(value['statements'])} fields, {len(data):,} bytes"
    say(count)
    reading = partial(read, data)
    return Result(
        figures=(
            compare("validate", partial(check, judge, value), reading, scale, count),
            compare("validate, from bytes", partial(receive, judge, data), reading, scale, "strict reading included"),
        ),
        wanted="≥ 50,000/s",
        measured=(
            "`Validator.check` of a parsed fragment against `fragment.schema.json`. "
            "Bare: `json.loads` of the same bytes (not jsonschema-rs's own `is_valid`: `check` is that call)."
        ),
        dominates="jsonschema-rs: patterns and formats of texts and dates. From bytes: the two strict parsers.",
    )
