"""The published cases, read on their own terms: which format each folder is, and what its answer holds.

Nothing here goes through the readers or mappings under test; YAML is read with every scalar as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from connectors.kit.dates import parse_birth_date

ROUTES: Final = (
    ("v3_cnav_quotient_familial_with_", "caf", "api_particulier_qf_v3"),
    ("v2_cnav_quotient_familial_v2", "caf", "api_particulier_qf_v2"),
    ("v2_cnaf_quotient_familial", "caf", "api_particulier_qf_matricule_v2"),
    ("v3_cnav_participation_familiale_eaje_with_", "caf", "api_particulier_eaje_v3"),
    ("v3_cnav_revenu_solidarite_active_with_", "caf", "api_particulier_rsa_v3"),
    ("v2_cnav_revenu_solidarite_active", "caf", "api_particulier_rsa_v2"),
    ("v3_cnav_prime_activite_with_", "caf", "api_particulier_prime_activite_v3"),
    ("v2_cnav_prime_activite", "caf", "api_particulier_prime_activite_v2"),
    ("v3_cnav_allocation_adulte_handicape_with_", "caf", "api_particulier_aah_v3"),
    ("v2_cnav_allocation_adulte_handicape", "caf", "api_particulier_aah_v2"),
    ("v3_cnav_allocation_soutien_familial_with_", "caf", "api_particulier_asf_v3"),
    ("v2_cnav_allocation_soutien_familial", "caf", "api_particulier_asf_v2"),
    ("v3_cnav_allocation_enfant_handicape_with_", "caf", "api_particulier_aeeh_v3"),
    ("v3_cnav_complementaire_sante_solidaire_with_", "cpam", "api_particulier_c2s_v3"),
    ("v2_cnav_complementaire_sante_solidaire", "cpam", "api_particulier_c2s_v2"),
    ("v3_france_travail_statut_with_", "france_travail", "api_particulier_statut_v3"),
    ("v2_pole_emploi_statut", "france_travail", "api_particulier_statut_v2"),
    ("v3_france_travail_indemnites_with_", "france_travail", "api_particulier_indemnites_v3"),
    ("v2_pole_emploi_indemnites", "france_travail", "api_particulier_indemnites_v2"),
    ("v3_mesri_statut_etudiant_with_", "mesri", "api_particulier_etudiant_v3"),
    ("v2_mesri_student_status", "mesri", "api_particulier_etudiant_v2"),
    ("v4_cnous_etudiant_boursier_with_", "cnous", "api_particulier_boursier_v4"),
    ("v3_cnous_etudiant_boursier_with_", "cnous", "api_particulier_boursier_v3"),
    ("v2_cnous_student_scholarship", "cnous", "api_particulier_boursier_v2"),
    ("v[345]_men_scolarites_with_", "men", "api_particulier_scolarite_v3"),
    ("v2_men_scolarites", "men", "api_particulier_scolarite_v2"),
    ("v3_gip_mds_service_civique_with_", "service_civique", "api_particulier_service_civique_v3"),
)

NOT_IN_THE_DOSSIER: Final = (
    "ants_extrait_immatriculation_vehicule",
    "dsnj_service_national",
    "sdh_statut_sportif",
)
"""A vehicle's registration, the national service day, an athlete's standing: no section of the dossier is theirs."""

ABOUT_ANOTHER: Final = frozenset(
    {
        ("v2_cnav_quotient_familial_v2", "fake_france_connect_cnaf_2"),
        ("v2_cnous_student_scholarship", "fake_france_connect_cnous_2"),
        ("v2_mesri_student_status", "fake_france_connect_mesri_2"),
        ("v3_cnav_participation_familiale_eaje_with_france_connect", "fake_france_connect_cnaf_2"),
        ("v3_cnav_quotient_familial_with_france_connect", "fake_france_connect_cnaf_2"),
    }
)
"""Published answers that state somebody other than the person asked."""


@dataclass(frozen=True)
class Case:
    """One published case."""

    folder: str
    file: Path
    slug: str
    format: str
    params: dict[str, Any]
    """As text, so that no zero is lost."""
    status: int
    payload: Any

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.file.stem}"

    @property
    def about_another(self) -> bool:
        return (self.folder, self.file.stem) in ABOUT_ANOTHER

    def members(self) -> int:
        """How many persons the answer speaks of."""
        data = self.payload.get("data", self.payload) if self.status == 200 else {}
        if "allocataires" not in data:
            return 1
        return len(data["allocataires"]) + len(data["enfants"])

    def birthdays(self) -> set[str]:
        """Every birth date question and answer write, as far as it is known."""
        return set(_birthdays(self.params)) | set(_birthdays(self.payload))


def route(folder: str) -> tuple[str, str] | None:
    """Return (slug, format) of a folder of cases; ``None`` for what has no place in the dossier."""
    if any(name in folder for name in NOT_IN_THE_DOSSIER):
        return None
    found = {(slug, name) for pattern, slug, name in ROUTES if re.match(pattern, folder)}
    assert len(found) == 1, f"no single format for {folder}"
    return found.pop()


def folders(published: Path) -> list[str]:
    root = published / "api_particulier"
    return sorted(path.name.removeprefix("api_particulier_") for path in root.iterdir() if path.is_dir())


def cases(published: Path, folder: str) -> list[Case]:
    where = route(folder)
    assert where is not None
    found = []
    for file in sorted((published / "api_particulier" / f"api_particulier_{folder}").iterdir()):
        text = yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 (no types at all)
        found.append(Case(folder, file, *where, text["params"], int(text["status"]), json.loads(text["payload"])))
    return found


def all_cases(published: Path) -> Iterator[Case]:
    for folder in folders(published):
        if route(folder) is not None:
            yield from cases(published, folder)


def _birthdays(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _birthdays(item)
    if not isinstance(value, dict):
        return
    parts = {"annee": "0", "mois": "0", "jour": "0"}
    for key, item in value.items():
        lower = key.lower()
        part = next((name for name in parts if lower.startswith(name) and "aissance" in lower), None)
        if part:
            parts[part] = str(item or 0)
        elif isinstance(item, str) and ("naissance" in lower or "birthdate" in lower) and "date" in lower:
            yield parse_birth_date(item)[0].value
        yield from _birthdays(item)
    if parts["annee"] != "0":
        yield parse_birth_date(f"{int(parts['annee']):04}-{int(parts['mois']):02}-{int(parts['jour']):02}")[0].value
