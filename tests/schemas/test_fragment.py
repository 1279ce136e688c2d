"""What a connector may and may not say: values, absences, provenance, hostile forms of each."""

from __future__ import annotations

import copy
from contextlib import suppress
from itertools import combinations
from typing import Any

import pytest

from schemas import registry
from tests.schemas.sampling import examples, fragment, put

CHECK = registry.validator("fragment").check


def refusal(path: str, value: Any) -> registry.SchemaViolation:
    """Return why a fragment with this value is refused; fails when it is not."""
    with pytest.raises(registry.SchemaViolation) as refused:
        CHECK(fragment(path, value))
    return refused.value


GOOD = [
    ("identite.nom_naissance", "L’Hôpital-Ñandú d'Œuvray"),
    ("identite.date_naissance", {"date": "1980-02-29", "precision": "jour"}),
    ("identite.date_naissance", {"date": "2012-04-00", "precision": "mois"}),
    ("identite.date_naissance", {"date": "2012-00-00", "precision": "annee"}),
    ("identite.code_cog_insee_commune_naissance", "01004"),
    ("identite.code_cog_insee_commune_naissance", "2A004"),
    ("identite.code_cog_insee_commune_naissance", "97105"),
    ("identite.code_cog_insee_pays_naissance", "99100"),
    ("identifiants.nir", "2800201004001"),
    ("identifiants.nir", "180022A004001"),
    ("identifiants.nir", "1803375107001"),
    ("identifiants.nir", "7809975107001"),
    ("identifiants.matricule_caf", "0123456"),
    ("identifiants.matricule_caf", "012345600000001"),
    ("contact.code_postal", "01000"),
    ("contact.adresse", ["Résidence des Lilas", "12 bis rue de l’Église"]),
    ("droits.rsa.date_debut_droit", "2020-02-29"),
    ("ressources.revenu_fiscal_reference", 0),
    ("ressources.quotient_familial", {"fournisseur": "MSA", "valeur": 550.29, "annee": 2026, "mois": 4}),
    ("ressources.ressources_mensuelles", [{"nature": "001", "montant": 1200.1}, {"nature": "044", "montant": 0}]),
    ("ressources.nombre_parts", 2.75),
    ("emploi.inscription.categorie", "1"),
    ("emploi.inscription.categorie", "G"),
    ("scolarite.echelon", "0bis"),
    ("scolarite.regime_formation", "RF1"),
    ("handicap_autonomie.gir", 6),
    ("protection_juridique.champ", ["biens", "personne"]),
    ("accompagnement.synthese", "Première ligne.\nDeuxième ligne."),
]


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_accepted(path: str, value: Any) -> None:
    CHECK(fragment(path, value))
    registry.value_validator(path).check(value)
    registry.statement_validator(path).check(fragment(path, value)["statements"][path])


BAD = [
    ("identite.nom_naissance", " "),
    ("identite.nom_naissance", "\u00a0"),
    ("identite.nom_naissance", ""),
    ("identite.nom_naissance", "DUPONT\x00"),
    ("identite.nom_naissance", "DUPONT\n"),
    ("identite.nom_naissance", "D" * 101),
    ("identite.nom_naissance", None),
    ("identite.prenoms", "JEAN"),
    ("identite.prenoms", []),
    ("identite.prenoms", ["A"] * 21),
    ("identite.sexe", "1"),
    ("identite.date_naissance", "1980-02-29"),
    ("identite.date_naissance", {"date": "2021-06-31", "precision": "jour"}),
    ("identite.date_naissance", {"date": "2021-02-29", "precision": "jour"}),
    ("identite.date_naissance", {"date": "2012-04-00", "precision": "jour"}),
    ("identite.date_naissance", {"date": "2012-04-01", "precision": "mois"}),
    ("identite.date_naissance", {"date": "2012-13-00", "precision": "mois"}),
    ("identite.date_naissance", {"date": "2012-04-00", "precision": "annee"}),
    ("identite.date_naissance", {"date": "0000-00-00", "precision": "inconnue"}),
    ("identite.date_naissance", {"date": "2000-01-01T00:00:00+01:00", "precision": "jour"}),
    ("identite.code_cog_insee_commune_naissance", "1004"),
    ("identite.code_cog_insee_commune_naissance", 1004),
    ("identite.code_cog_insee_commune_naissance", "2C004"),
    ("identite.code_cog_insee_pays_naissance", "75056"),
    ("identifiants.nir", "280020100400182"),
    ("identifiants.nir", "2801901004001"),
    ("identifiants.nir", "5800201004001"),
    ("identifiants.nir", 2800201004001),
    ("identifiants.nir", "２800201004001"),
    ("contact.code_postal", "1000"),
    ("contact.code_postal", 1000),
    ("contact.code_postal", "01000\n"),
    ("contact.telephone", "06 00 00 00 00"),
    ("contact.email", "camille"),
    ("contact.est_sans_domicile_fixe", "non"),
    ("contact.est_sans_domicile_fixe", 0),
    ("foyer.nombre_enfants_a_charge", -1),
    ("foyer.nombre_enfants_a_charge", 1.5),
    ("foyer.membres", [{"lien": "ENF", "nom": "DUPONT"}]),
    ("droits.rsa.etat", "2"),
    ("droits.rsa.date_debut_droit", "2021-06-31"),
    ("droits.rsa.date_debut_droit", "2021-02-28\n"),
    ("droits.rsa.date_debut_droit", "20210228"),
    ("droits.rsa.date_debut_droit", "2021-W08-7"),
    ("ressources.quotient_familial", 550),
    ("ressources.quotient_familial", {"fournisseur": "CNAF", "valeur": 550, "annee": 2026, "mois": 13}),
    ("ressources.autre_ressource", -0.01),
    ("ressources.autre_ressource", 10.001),
    ("ressources.autre_ressource", "10.00"),
    ("ressources.autre_ressource", float("nan")),
    ("ressources.autre_ressource", float("inf")),
    ("ressources.autre_ressource", 1e30),
    ("ressources.autre_ressource", True),
    ("handicap_autonomie.gir", 7),
    ("scolarite.code_uai", "0010001"),
    ("pieces.domicile", [{"nature": "facture", "emetteur": "EDF", "date_piece": "2026-01-01"}]),
]


@pytest.mark.parametrize(("path", "value"), BAD)
def test_refused_where_it_stands(path: str, value: Any) -> None:
    assert refusal(path, value).pointer.startswith(f"/statements/{path}/valeur")
    with pytest.raises(registry.SchemaViolation):
        registry.value_validator(path).check(value)


def test_every_amount_of_whole_cents_is_an_amount() -> None:
    """``multipleOf: 0.01`` in binary floats: 0.29 or 1.13 trip a naive validator."""
    check = registry.value_validator("logement.loyer").check
    for cents in (*range(200_000), *range(900_000_000, 900_010_000)):
        check(cents / 100)


@pytest.mark.parametrize("nature", ["011", "014", "021", "066", "070", "402"])
def test_a_resource_that_reveals_health_or_protection_has_no_label(nature: str) -> None:
    """An invalidity pension among monthly resources would give a C5 label away under a C2 field."""
    refused = refusal("ressources.ressources_mensuelles", [{"nature": nature, "montant": 10}])
    assert refused.pointer.endswith("/valeur/0/nature")


VALUE = fragment("contact.code_postal", "01000")
STATEMENT = ("statements", "contact.code_postal")
ABSENCE = {"absence": "sans_droit", "source": "caf", "date_collecte": "2026-01-15T09:00:00.123456Z"}


@pytest.mark.parametrize("code", registry.absences())
def test_an_absence_is_a_statement(code: str) -> None:
    CHECK(put(VALUE, STATEMENT, ABSENCE | {"absence": code}))


def test_of_all_sets_of_members_only_two_are_statements() -> None:
    members = VALUE["statements"]["contact.code_postal"] | ABSENCE
    accepted = []
    for count in range(len(members) + 1):
        for names in combinations(members, count):
            with suppress(registry.SchemaViolation):
                CHECK(put(VALUE, STATEMENT, {name: members[name] for name in names}))
                accepted.append(set(names))
    assert accepted == [set(ABSENCE), set(members) - {"absence"}]


def test_saying_nothing_is_allowed() -> None:
    CHECK({"v": 1, "statements": {}})


@pytest.mark.parametrize(
    "statement",
    [
        {},
        None,
        "01000",
        {key: value for key, value in ABSENCE.items() if key != "absence"},
        {key: value for key, value in ABSENCE.items() if key != "source"},
        {key: value for key, value in ABSENCE.items() if key != "date_collecte"},
        ABSENCE | {"absence": "inconnu"},
        ABSENCE | {"absence": None},
        ABSENCE | {"date_effet": "2026-01-01"},
        ABSENCE | {"base_legale": "CRPA L114-8"},
        ABSENCE | {"valeur": "01000"},
        VALUE["statements"]["contact.code_postal"] | {"absence": "sans_droit"},
        VALUE["statements"]["contact.code_postal"] | {"valeur": None},
        VALUE["statements"]["contact.code_postal"] | {"date_effet": "2021-06-31"},
        VALUE["statements"]["contact.code_postal"] | {"date_collecte": "2026-01-15"},
        VALUE["statements"]["contact.code_postal"] | {"date_collecte": "2026-01-15T09:00:00+01:00"},
        VALUE["statements"]["contact.code_postal"] | {"date_collecte": "2026-01-15T24:00:00Z"},
        VALUE["statements"]["contact.code_postal"] | {"date_collecte": "2026-02-30T09:00:00Z"},
        VALUE["statements"]["contact.code_postal"] | {"source": "CAF"},
        VALUE["statements"]["contact.code_postal"] | {"source": "caf\n"},
        VALUE["statements"]["contact.code_postal"] | {"base_legale": ""},
        {key: value for key, value in VALUE["statements"]["contact.code_postal"].items() if key != "base_legale"},
        {key: value for key, value in VALUE["statements"]["contact.code_postal"].items() if key != "date_effet"},
    ],
)
def test_a_statement_is_a_value_or_an_absence_with_its_provenance(statement: Any) -> None:
    with pytest.raises(registry.SchemaViolation) as refused:
        CHECK(put(VALUE, STATEMENT, statement))
    assert refused.value.pointer.startswith("/statements/contact.code_postal")


@pytest.mark.parametrize(
    "path", ["contact.code_postal_", "contact", "droits.rsa", "accompagnement.synthese_privee", "foyer.membres.0"]
)
def test_an_unknown_path_is_refused(path: str) -> None:
    with pytest.raises(registry.SchemaViolation) as refused:
        CHECK(fragment(path, "x"))
    assert refused.value.pointer == "/statements"


@pytest.mark.parametrize("version", [0, 2, "1", None, True])
def test_another_version_is_refused(version: Any) -> None:
    with pytest.raises(registry.SchemaViolation):
        CHECK({"v": version, "statements": {}})


def test_the_fragment_knows_exactly_the_fields_that_have_a_bit() -> None:
    statements = examples()["fragment"]["statements"]
    assert list(statements) == [field.path for field in registry.fields()]


@pytest.mark.parametrize(
    ("place", "keyword", "constraint"),
    [
        ((), "anyOf", [{}]),
        (("properties", "statements"), "dependentSchemas", {}),
        (("properties", "statements", "properties", "identite.sexe"), "required", ["valeur"]),
        (("properties", "statements", "properties", "identite.sexe", "properties"), "source", {"const": "caf"}),
        (("properties", "statements", "properties", "identite.sexe"), "$ref", "dossier.schema.json#/$defs/texte"),
    ],
)
def test_a_keyword_that_ties_members_together_ends_the_judging_of_each_alone(
    place: tuple[str, ...], keyword: str, constraint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.is_separable()
    altered = copy.deepcopy(registry.schema("fragment"))
    node = altered
    for name in place:
        node = node[name]
    node[keyword] = constraint
    known = registry.schema
    monkeypatch.setattr(registry, "schema", lambda name: altered if name == "fragment" else known(name))
    assert not registry.is_separable.__wrapped__()


@pytest.mark.parametrize("keyword", ["if", "allOf", "unevaluatedProperties", "propertyNames", "valeur"])
def test_so_does_one_in_the_declaration(keyword: str, monkeypatch: pytest.MonkeyPatch) -> None:
    altered = copy.deepcopy(registry.schema("dossier"))
    declaration = altered["$defs"]["declaration"]
    (declaration["properties"] if keyword == "valeur" else declaration)[keyword] = {}
    known = registry.schema
    monkeypatch.setattr(registry, "schema", lambda name: altered if name == "dossier" else known(name))
    assert not registry.is_separable.__wrapped__()


@pytest.mark.parametrize("member", ["source", "date_effet", "date_collecte", "base_legale", "absence"])
def test_each_member_of_the_provenance_alone_is_what_it_is_in_a_statement(member: str) -> None:
    path = "droits.rsa.date_debut_droit"
    whole = fragment(path, "2020-02-29")["statements"][path]
    absent = {"absence": "sans_droit", "source": whole["source"], "date_collecte": whole["date_collecte"]}
    start = absent if member == "absence" else whole
    for value in (
        start[member],
        None,
        "",
        "x" * 301,
        "2026-02-30",
        "0999-12-31",
        "caf",
        " x",
        7,
        "\ud800",
        "sans_droit",
    ):
        alone = registry.provenance_validator(member).fits(value)
        assert alone == registry.statement_validator(path).fits(start | {member: value}), value
    with pytest.raises(KeyError):
        registry.provenance_validator("nom")
