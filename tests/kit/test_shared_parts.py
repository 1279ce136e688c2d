"""What a mapping says once: shared parts, formats made from others, named values and absences, optional fields."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from connectors.kit import shared_parts
from connectors.kit.mapping.file import load_mapping
from connectors.kit.mapping.run import FormatMapping, SubjectFragment
from connectors.kit.partner import bundled_directory, discover
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transforms import BUILT_IN

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)

MAPPING = """
use = ["api_particulier"]
[tables.issues]
introuvable = "sans_dossier"
[[absences.gratuit]]
when = "record.loyer == `0`"
code = "sans_droit"
[tables.bailleurs]
h = "locataire_hlm"
[formats.un]
base_legale = "CRPA L114-8"
asked = "demande"
[formats.un.subjects.locataire]
when = "record.status == `200`"
local_id = [{ from = "identite", with = "civil_key" }]
[formats.un.subjects.locataire.identity]
nom_naissance = "record.nom"
prenoms = "record.prenom"
date_naissance = "record.ne"
[formats.un.subjects.locataire.fields]
"logement.loyer" = { from = "record.loyer", with = "money", absences = "gratuit" }
"logement.statut" = { from = "record.bailleur", table = "bailleurs" }
"contact.email" = { from = "record.email", optional = true }
[formats.un.subjects.rien]
when = "record.status != `200`"
identity = "demande"
local_id = [{ from = "identite", with = "civil_key" }]
outcome = { value = "issue", fields = ["logement.loyer"] }
[formats.deux]
like = "un"
base_legale = "autre texte"
[formats.deux.subjects.locataire.fields]
"logement.loyer" = { from = "record.montant" }
"""
QUESTION = {"nomNaissange": "LE BRAZ", "prenoms": ["Anne"], "anneeDateDaissance": "1980", "moisDateNaissance": 2,
            "jourDateDeNaissance": "3", "codeInseeLieuDaissance": 1053}  # fmt: skip


@pytest.fixture(scope="module")
def formats() -> dict[str, FormatMapping]:
    return load_mapping(MAPPING.encode(), "essai", BUILT_IN)


def one(mapping: FormatMapping, **changed: Any) -> tuple[list[Quarantined], dict[str, Any], SubjectFragment]:
    data = {"params": QUESTION, "status": 200, "nom": "Le Braz", "prenom": "ANNE", "ne": "1980-02-03", "loyer": 410}
    *entries, item = mapping.apply(RawRecord("record 1", data | changed), AT)
    assert isinstance(item, SubjectFragment), item
    assert all(isinstance(entry, Quarantined) for entry in entries)
    statements = item.fragment["statements"]
    said = {path: s.get("valeur", s.get("absence")) for path, s in statements.items()}
    return [entry for entry in entries if isinstance(entry, Quarantined)], said, item


def test_a_question_is_read_under_its_misspelled_names(formats: dict[str, FormatMapping]) -> None:
    _, said, item = one(formats["un"], nom=None, prenom=None, ne=None)
    assert item.identity_traits == {
        "nom_naissance": "LE BRAZ",
        "prenoms": ["Anne"],
        "date_naissance": "1980-02-03",
        "code_cog_insee_commune_naissance": "01053",
    }
    # An answer that names no one is about the person asked, whose traits the source did not state.
    assert not [path for path in said if path.startswith("identite.")]


def test_an_answer_that_names_somebody_completes_or_is_set_aside(formats: dict[str, FormatMapping]) -> None:
    _, said, item = one(formats["un"])
    assert item.identity_traits["code_cog_insee_commune_naissance"] == "01053"
    assert said["identite.nom_naissance"] == "Le Braz"
    (entry,) = formats["un"].apply(
        RawRecord("record 1", {"params": QUESTION, "status": 200, "nom": "AUTRE", "prenom": "Luc", "ne": "1999-01-01"}),
        AT,
    )
    assert isinstance(entry, Quarantined)
    assert (entry.path, entry.reason) == ("demande", Reason.ANSWER_ABOUT_ANOTHER)


def test_like_keeps_what_it_does_not_change(formats: dict[str, FormatMapping]) -> None:
    _, un, _ = one(formats["un"], montant=7)
    _, deux, item = one(formats["deux"], montant=7)
    assert (un["logement.loyer"], deux["logement.loyer"]) == (410, 7)
    assert item.fragment["statements"]["logement.loyer"]["base_legale"] == "autre texte"
    assert one(formats["deux"], loyer=0, montant=7)[1]["logement.loyer"] == "sans_droit"


def test_an_optional_field_alone_is_set_aside(formats: dict[str, FormatMapping]) -> None:
    entries, said, _ = one(formats["un"], email="anne@@exemple")
    assert [(entry.position, entry.path, entry.reason) for entry in entries] == [
        ("record 1", "contact.email", Reason.BAD_VALUE)
    ]
    assert said["logement.loyer"] == 410
    assert "contact.email" not in said
    assert one(formats["un"], email="anne@exemple.test")[1]["contact.email"] == "anne@exemple.test"
    (entry,) = formats["un"].apply(
        RawRecord("record 1", {"params": QUESTION, "status": 200, "loyer": "cher", "bailleur": "h"}), AT
    )
    assert isinstance(entry, Quarantined)
    assert entry.path == "logement.loyer"


ERRORS = {"v3": lambda code, title: {"errors": [{"code": code, "title": title}]},
          "v2": lambda error, reason: {"error": error, "reason": reason, "message": reason}}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "payload", "absence"),
    [
        (404, ERRORS["v3"]("37003", "Dossier allocataire absent CNAV"), "sans_dossier"),
        (404, ERRORS["v3"]("35003", "Allocataire non référencé"), "personne_inconnue"),
        (404, ERRORS["v3"]("35003", "Erreur inattendue"), "indisponible"),
        (404, ERRORS["v3"]("25003", "Entité non trouvée"), "personne_inconnue"),
        (404, ERRORS["v3"]("98003", "Entité non trouvée"), "sans_dossier"),  # this mapping's own « introuvable »
        (404, ERRORS["v2"]("not_found", "Student not found"), "sans_dossier"),
        (404, {"status": "error_404", "reason": "dossier_introuvable"}, "sans_dossier"),
        (404, None, None),
        (404, [], None),
        (404, {"détail": "nginx"}, None),
        (503, ERRORS["v2"]("network_error", "timeout of 10000 ms exceeded"), "indisponible"),
        (503, {"code": "37999", "title": "Erreur inconnue du fournisseur de données"}, "indisponible"),
        (503, None, "maintenance"),
        (504, ERRORS["v3"]("37002", "Intermédiaire hors-délai"), "indisponible"),
        (429, ERRORS["v3"]("00429", "Trop de requêtes"), "indisponible"),
        (409, ERRORS["v3"]("00015", "Conflit"), "indisponible"),
        (403, ERRORS["v3"]("00100", "Privilèges insuffisants"), "non_autorise"),
        (422, ERRORS["v3"]("00366", "Entité non traitable"), None),
        (418, None, None),
    ],
)
def test_an_answer_that_is_none_says_what_its_code_says(
    formats: dict[str, FormatMapping], status: int, payload: Any, absence: str | None
) -> None:
    """A bare 404 is a wrong address, a 422 a wrong question: neither says anything of the person."""
    (item,) = formats["un"].apply(RawRecord("record 1", {"params": QUESTION, "status": status, "payload": payload}), AT)
    if absence is None:
        assert isinstance(item, Quarantined)
        assert (item.path, item.reason) == ("issue", Reason.UNKNOWN_CODE)
    else:
        assert isinstance(item, SubjectFragment)
        assert {s["absence"] for s in item.fragment["statements"].values()} == {absence}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('use = ["api_particulier"]', 'use = ["nulle_part"]', "nulle_part is no shared part"),
        ('use = ["api_particulier"]', 'use = ["../mapping"]', "is no shared part"),
        ('use = ["api_particulier"]', 'use = "api_particulier"', "use"),
        ('like = "un"', 'like = "trois"', "formats.deux.like: trois is not a format"),
        ('like = "un"', 'like = "deux"', "formats.deux.like"),
        ('absences = "gratuit"', 'absences = "payant"', "payant is not one of the absences"),
        ('value = "issue"', 'value = "panne"', "panne is not one of the values"),
        ("optional = true", 'optional = "oui"', "contact.email"),
    ],
)
def test_what_is_named_must_exist(old: str, new: str, named: str) -> None:
    assert old in MAPPING
    with pytest.raises(MaillonError, match=named) as refused:
        load_mapping(MAPPING.replace(old, new).encode(), "essai", BUILT_IN)
    assert refused.value.kind is ErrorKind.CONFIGURATION


def test_every_shared_part_is_whole_and_used() -> None:
    """A part has its mapping and its shapes; a bundled folder uses it, so every format it gives is compiled."""
    folder = resources.files("connectors.kit") / "shared"
    parts = {entry.name.partition(".")[0] for entry in folder.iterdir()}
    used = {
        name
        for manifest in bundled_directory().glob("*/mapping.toml")
        for name in parts
        if f'"{name}"' in manifest.read_text("utf-8").partition("\n[")[0]
    }
    assert used == parts
    for name in parts:
        assert shared_parts.definitions([name])
        assert shared_parts.content([name])
    assert discover([bundled_directory()])
