"""The rules of ``config/`` as tables a DPO can read, checked against the real files (DOMAIN §6)."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from consent.decide import decide
from consent.lifecycle import authority, fold
from consent.model import Attributes, EvidenceLevel, FieldIndex, Question, Reason, Regime
from consent.policy import Policy
from consent.records import parse_event
from tests.consent import world
from tests.consent.conftest import CONFIG

NOTHING = Attributes()

# Who may see what: the table of DOMAIN §6. R: the whole class; –: none of it; otherwise the only fields of the class.
# C (with agreement or information) is R here, and the regimes below say that the class never leaves without one.
# Under the line of a role: what a signed attribute adds.
ROLES_BY_CLASS = """
role                       | attribute          | C1 | C3 | C2                                           | C4                       | C5                                          | C6
accueil                    |                    | R  | –  | accompagnement.rendez_vous, EXISTENCE        | –                        | –                                           | –
accueil                    | own                | R  | –  | accompagnement.rendez_vous, EXISTENCE        | accompagnement.synthese  | –                                           | –
gestionnaire_offre_service |                    | R  | –  | –                                            | –                        | –                                           | –
gestionnaire_offre_service | mission=decret_nir | R  | R  | –                                            | –                        | –                                           | –
gestionnaire_offre_service | aid=asf            | R  | –  | droits.asf.*, foyer.*, pension_alimentaire.* | –                        | –                                           | –
gestionnaire_offre_service | aid=aah            | R  | –  | –                                            | –                        | –                                           | –
instructeur                |                    | R  | –  | R                                            | –                        | –                                           | –
instructeur                | own                | R  | –  | R                                            | accompagnement.synthese  | –                                           | –
instructeur                | mission=decret_nir | R  | R  | R                                            | –                        | –                                           | –
instructeur                | aid=aah            | R  | –  | R                                            | –                        | droits.aah.*                                | –
instructeur                | aid=apa            | R  | –  | R                                            | –                        | droits.apa.*                                | –
instructeur                | aid=rsa            | R  | –  | R                                            | –                        | –                                           | –
travailleur_social         |                    | R  | –  | R                                            | R                        | SANS_MEDICAL                                | –
travailleur_social         | assigned           | R  | –  | R                                            | R                        | SANS_MEDICAL                                | protection_juridique.*
referent_parcours          |                    | R  | –  | R                                            | –                        | SANS_MEDICAL                                | –
referent_parcours          | own                | R  | –  | R                                            | R                        | SANS_MEDICAL                                | –
referent_parcours          | assigned           | R  | –  | R                                            | –                        | SANS_MEDICAL                                | R
equipe_medico_sociale      |                    | R  | R  | R                                            | R                        | R                                           | protection_juridique.*
medecin_pmi                |                    | R  | –  | R                                            | R                        | R                                           | –
medecin_pmi                | mission=enfance    | R  | –  | R                                            | R                        | R                                           | enfance.type_evenement, enfance.mesure, aides.aide_enfance
ase_crip                   |                    | R  | –  | R                                            | R                        | droits.aeeh.*, handicap_autonomie.decisions | R
conseiller_bailleur        |                    | R  | –  | identifiants.numero_unique_logement, logement.*, droits.aide_logement.* | – | –                                       | –
dpo                        |                    | –  | –  | –                                            | –                        | –                                           | –
"""  # noqa: E501  (a table)


def cells(table: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()[1:]]


def attributes(text: str) -> Attributes:
    """Return the attributes written in a cell: ``own``, ``aid=aah``…"""
    pairs = dict(item.split("=") if "=" in item else (item, True) for item in text.split())
    return Attributes(**pairs)  # type: ignore[arg-type]


def expected_mask(index: FieldIndex, cell: str, classe: str) -> int:
    """Return the mask a cell means within a class."""
    whole = index.of_class(classe)
    if cell in ("R", "–"):
        return whole if cell == "R" else 0
    mask = 0
    for selector in cell.split(", "):
        if selector == "EXISTENCE":
            mask |= index.select("droits.*.etat")
        elif selector == "SANS_MEDICAL":
            mask |= whole & ~index.mask(["enfance.suivi_medical_pmi", "pieces.sante"])
        else:
            mask |= index.select(selector)
    return mask & whole


@pytest.mark.parametrize("row", cells(ROLES_BY_CLASS), ids=lambda row: f"{row[0]} {row[1]}".strip())
def test_who_may_see_what(real_policy: Policy, row: list[str]) -> None:
    role, given, *by_class = row
    index = real_policy.index
    permit, deny = real_policy.role_masks(role, attributes(given))
    for classe, cell in zip(("C1", "C3", "C2", "C4", "C5", "C6"), by_class, strict=True):
        seen = index.paths(permit & ~deny & index.of_class(classe))
        assert seen == index.paths(expected_mask(index, cell, classe)), (role, given, classe)


EXTERNAL = (
    "conseiller_ccas",
    "conseiller_caisse",
    "conseiller_france_travail",
    "conseiller_mission_locale",
    "conseiller_bailleur",
    "mandataire_judiciaire",
)


@pytest.mark.parametrize("role", EXTERNAL)
def test_an_external_partner_sees_identity_and_its_own_field_only(real_policy: Policy, role: str) -> None:
    index = real_policy.index
    for key, (permit, deny) in real_policy.role_table.items():
        if key[0] == role:
            for classe in ("C3", "C4", "C5", "C6"):
                assert permit & ~deny & index.of_class(classe) == 0
            own_field = permit & ~deny & index.of_class("C2")
            assert 0 != own_field != index.of_class("C2")


def test_all_the_trades_are_there(real_policy: Policy) -> None:
    told = {row[0] for row in cells(ROLES_BY_CLASS)} | set(EXTERNAL)
    assert set(real_policy.roles) == told
    assert len(told) >= 12


def test_only_medical_teams_read_medical_details(real_policy: Policy) -> None:
    medical = real_policy.index.mask(["enfance.suivi_medical_pmi", "pieces.sante"])
    for key, (permit, deny) in real_policy.role_table.items():
        if permit & ~deny & medical:
            assert key[0] in ("equipe_medico_sociale", "medecin_pmi")


def test_the_nir_stays_inside_its_decree(real_policy: Policy) -> None:
    nir = real_policy.index.of_class("C3")
    for (role, _, _, mission, _), (permit, deny) in real_policy.role_table.items():
        if permit & ~deny & nir:
            assert role == "equipe_medico_sociale" or (
                role in ("instructeur", "gestionnaire_offre_service") and mission == "decret_nir"
            )
    allowed_purposes = {p.code for p in real_policy.purposes.values() if p.ceiling & nir}
    assert allowed_purposes == {"instruction_aide"}


def test_a_health_benefit_is_named_to_the_instructeur_of_that_aid_alone(real_policy: Policy) -> None:
    index = real_policy.index
    for code in ("aah", "aeeh", "pch", "apa"):
        label = index.select(f"droits.{code}.*")
        for (role, _, _, _, aid), (permit, deny) in real_policy.role_table.items():
            if role == "instructeur":
                assert (permit & ~deny & label == label) == (aid == code)
    assert index.mask(["ressources.autre_ressource"]) & real_policy.role_masks("instructeur", NOTHING)[0]


# Every purpose: its regimes, the kinds that may send and receive, whether C5 or C6 may be asked at all.
PURPOSES = """
purpose                  | regimes             | C5  | C6  | recipients
accompagnement_global    | accord              | oui | oui | association commune departement
prevention_expulsion_fsl | accord              | non | non | commune departement
logement                 | accord              | non | non | bailleur commune departement
autonomie                | accord              | oui | oui | departement
premier_accueil          | information         | non | non | commune departement
instruction_aide         | accord information  | oui | non | caisse commune departement etat
acces_aux_droits         | information         | non | non | caisse commune departement etat
protection_enfance       | information         | oui | oui | departement
orientation_rsa          | obligation          | non | non | departement etat
statistiques             |                     | non | non |
"""


@pytest.mark.parametrize("row", cells(PURPOSES), ids=lambda row: row[0])
def test_what_each_purpose_may_ask(real_policy: Policy, row: list[str]) -> None:
    code, regimes, health, judicial, recipients = row
    purpose, index = real_policy.purposes[code], real_policy.index
    assert " ".join(sorted({r.regime for r in purpose.rows})) == regimes
    assert " ".join(sorted({kind for r in purpose.rows for kind in r.recipients})) == recipients
    assert bool(purpose.ceiling & index.of_class("C5")) == (health == "oui")
    assert bool(purpose.ceiling & index.of_class("C6")) == (judicial == "oui")
    assert bool(purpose.condition_art9) == (health == "oui")


def test_all_the_purposes_are_there(real_policy: Policy) -> None:
    assert set(real_policy.purposes) == {row[0] for row in cells(PURPOSES)}
    assert {row.regime for p in real_policy.purposes.values() for row in p.rows} == set(Regime)


def test_health_and_childhood_leave_with_an_agreement_or_for_the_child_only(real_policy: Policy) -> None:
    """C in the table of roles: never under an obligation, under information only where L226-2-2 says so."""
    index = real_policy.index
    guarded = index.of_class("C4") | index.of_class("C5") | index.of_class("C6")
    for (purpose, *_), rule in real_policy.rule_table.items():
        assert rule.obligation & guarded == 0, purpose
        if purpose != "protection_enfance":
            assert rule.information & guarded == 0, purpose


def test_l114_8_is_between_administrations_only(real_policy: Policy) -> None:
    administrations = {"departement", "commune", "caisse", "etat"}
    found = 0
    for purpose in real_policy.purposes.values():
        for row in purpose.rows:
            if "L114-8" in row.texte:
                found += 1
                assert row.regime is Regime.INFORMATION
                assert row.sources | row.recipients <= administrations
    assert found >= 3


def test_agreements_on_guarded_classes_need_a_strong_proof(real_policy: Policy) -> None:
    index = real_policy.index
    guarded = index.of_class("C4") | index.of_class("C5") | index.of_class("C6")
    for code, by_level in real_policy.evidence_table.items():
        assert by_level[EvidenceLevel.E0] == 0
        assert by_level[EvidenceLevel.E1] & guarded == 0
        if any(row.regime is Regime.ACCORD for row in real_policy.purposes[code].rows):
            assert by_level[EvidenceLevel.E2] == index.full


def test_statistics_release_nothing(real_policy: Policy) -> None:
    assert real_policy.purposes["statistiques"].anonymous
    assert not [key for key in real_policy.rule_table if key[0] == "statistiques"]


def test_every_text_is_marked_for_the_dpo_to_confirm() -> None:
    for name in ("roles.toml", "purposes.toml", "rules.toml"):
        assert "à confirmer par votre DPO" in (CONFIG / name).read_text("utf-8")


def test_the_four_notices_fit_a_purpose(real_policy: Policy) -> None:
    told = {notice.notice_id: (notice.purpose, notice.regime.value) for notice in real_policy.notices}
    assert told == {
        "accompagnement_global": ("accompagnement_global", "accord"),
        "logement_fsl": ("prevention_expulsion_fsl", "accord"),
        "autonomie": ("autonomie", "accord"),
        "acces_aux_droits": ("acces_aux_droits", "information"),
    }


def test_territories_are_well_formed() -> None:
    """No code reads them yet: their shape is kept sound until the desk does."""
    told = tomllib.loads((CONFIG / "territories.toml").read_text("utf-8"))
    assert told["phases"] == ["accueil", "evaluation", "accompagnement"]
    codes = [territory["code"] for territory in told["territoires"]]
    teams = [team for territory in told["territoires"] for team in territory["equipes"]]
    assert len(set(codes)) == len(codes) >= 1
    assert len(set(teams)) == len(teams) >= len(codes)
    assert all(territory["libelle"] and territory["accueil"] for territory in told["territoires"])


# --- whole stories on the real configuration

STORIES = """
who               | attribute | purpose                  | from           | agreement          | receives                                        | does not receive, and why
referent_parcours | own       | accompagnement_global    | caf caisse     | E2                 | droits.rsa.etat, droits.aah.etat, budget_dettes.dettes | identifiants.nir role_deny, enfance.mesure no_rule
referent_parcours | own       | accompagnement_global    | caf caisse     | E1                 | droits.rsa.etat, ressources.quotient_familial   | droits.aah.etat evidence, budget_dettes.dettes evidence
referent_parcours |           | accompagnement_global    | caf caisse     | –                  |                                                 | droits.rsa.etat no_consent, identite.nom_naissance no_consent
referent_parcours |           | accompagnement_global    | caf caisse     | denied             |                                                 | droits.rsa.etat consent_deny
accueil           |           | accompagnement_global    | caf caisse     | E2                 | droits.rsa.etat, accompagnement.rendez_vous     | droits.rsa.date_debut_droit no_rule, ressources.quotient_familial no_rule, droits.aah.etat role_deny
dpo               |           | accompagnement_global    | caf caisse     | E2                 |                                                 | identite.nom_naissance role_deny
instructeur       | aid=fsl   | prevention_expulsion_fsl | bailleur bailleur | E2              | logement.loyer, ressources.quotient_familial    | handicap_autonomie.gir role_deny, scolarite.echelon purpose_cap, droits.aah.etat no_rule
conseiller_bailleur |         | prevention_expulsion_fsl | caf caisse     | E2                 | logement.loyer                                  | ressources.quotient_familial no_rule, budget_dettes.dettes role_deny
equipe_medico_sociale |       | autonomie                | mdph departement | E2               | handicap_autonomie.gir, pieces.sante            | identifiants.nir purpose_cap, emploi.code_rome purpose_cap
equipe_medico_sociale |       | autonomie                | mdph departement | E1               | retraite.caisse                                 | handicap_autonomie.gir evidence
travailleur_social |          | autonomie                | mdph departement | E2               | handicap_autonomie.gir                          | pieces.sante role_deny
instructeur       |           | acces_aux_droits         | caf caisse     | informed           | droits.rsa.etat, ressources.quotient_familial   | droits.aah.etat no_rule, logement.loyer purpose_cap
instructeur       |           | acces_aux_droits         | caf caisse     | –                  |                                                 | droits.rsa.etat no_consent
instructeur       |           | acces_aux_droits         | caf caisse     | informed objected  |                                                 | droits.rsa.etat objection
instructeur       |           | acces_aux_droits         | logis bailleur | informed           |                                                 | droits.rsa.etat purpose_cap
conseiller_france_travail |   | orientation_rsa          | caf caisse     | –                  | droits.rsa.etat, emploi.freins.mobilite         | droits.aah.etat role_deny, emploi.freins.sante role_deny, ressources.quotient_familial no_rule
conseiller_france_travail |   | orientation_rsa          | caf caisse     | protected          | droits.rsa.etat                                 | contact.telephone protected
referent_parcours |           | orientation_rsa          | caf caisse     | frozen             |                                                 | droits.rsa.etat protected
travailleur_social |          | statistiques             | caf caisse     | –                  |                                                 | identite.nom_naissance purpose_cap
referent_parcours |           | lutte_contre_la_fraude   | caf caisse     | –                  |                                                 | identite.nom_naissance purpose_cap
"""  # noqa: E501  (a table)


def story_events(policy: Policy, told: str, purpose: str, source: str) -> list[dict[str, object]]:
    """Return the payloads of a story's ``agreement`` cell."""
    notice = next((n for n in policy.notices if n.purpose == purpose), None)
    shown = (
        {"id": notice.notice_id, "version": "1", "language": "fr", "sha256": notice.sha256["fr"]} if notice else None
    )
    row = {"pii_information": list(policy.index.all_paths), "purpose": purpose, "sources": [source], "notice": shown}
    found = []
    for word in told.split():
        if word in ("E1", "E2"):
            proof = world.payload("granted")["collection"] | {"evidence": word}
            found.append(world.payload("granted", "accord", **row, collection=proof))
        elif word in ("denied", "informed", "objected"):
            found.append(world.payload(word, word, **row))
        elif word == "protected":
            found.append(world.payload(word, word, pii_information=["contact.telephone"], actor="institution"))
        elif word == "frozen":
            found.append(world.payload(word, word, actor="institution"))
    return found


@pytest.mark.parametrize("row", cells(STORIES), ids=lambda row: f"{row[0]} {row[2]} {row[4]}")
def test_whole_stories(real_policy: Policy, row: list[str]) -> None:
    role, given, purpose, origin, told, receives, withheld = row
    index = real_policy.index
    source, source_kind = origin.split()
    events = [parse_event(e, index) for e in world.chain(*story_events(real_policy, told, purpose, source))]
    question = Question(
        purpose=purpose,
        role=role,
        attributes=attributes(given),
        source=source,
        source_kind=source_kind,
        recipient="departement",
        recipient_kind="departement",
        wanted=index.full,
        at=world.at(5),
    )
    decision = decide(real_policy, question, authority(fold(events), real_policy, question))
    expected_yes = [path for path in receives.split(", ") if path]
    assert set(expected_yes) <= set(index.paths(decision.allowed))
    assert bool(expected_yes) == bool(decision.allowed)
    why = {path: reason for reason, mask in decision.masks() for path in index.paths(mask)}
    for path, reason in (item.split() for item in withheld.split(", ")):
        assert why[path] is Reason(reason), path


def test_a_notice_changed_by_one_byte_is_another_text(real_policy: Policy) -> None:
    for notice in real_policy.notices:
        folder = Path(CONFIG, "notices", notice.notice_id, notice.version)
        for language, sha256 in notice.sha256.items():
            assert hashlib.sha256((folder / f"{language}.md").read_bytes()).hexdigest() == sha256
