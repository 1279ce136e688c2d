"""The compiled policy: every entry against a naive re-reading of the TOML, and every way a policy can be wrong."""

from __future__ import annotations

from itertools import product

import pytest

from consent.model import CLASSES, KINDS, Attributes, EvidenceLevel, FieldIndex, Regime
from consent.policy import Policy, PolicyError, load_policy
from tests.consent import oracle, world


def check_every_entry(policy: Policy, law: oracle.Law) -> None:
    """Compare the whole of every compiled table with the naive reading."""
    index = policy.index
    missions = [None, "unknown", *law.rules["attributs"]["missions"]]
    aids = [None, "unknown", *law.rules["attributs"]["aides"]]
    for role, assigned, own, mission, aid in product([*law.roles, "unknown"], (0, 1), (0, 1), missions, aids):
        attributes = Attributes(bool(assigned), bool(own), mission, aid)
        given = {"assigned": bool(assigned), "own": bool(own), "mission": mission, "aid": aid}
        permit, deny = policy.role_masks(role, attributes)
        assert index.paths(permit) == tuple(p for p in law.fields if law.is_permitted(role, given, p)), (role, given)
        assert index.paths(deny) == tuple(p for p in law.fields if law.is_denied(role, p)), role
    sources = ["other", *sorted(policy.named_sources)]
    for purpose, source, kind, to in product([*law.purposes, "unknown"], sources, [*KINDS, "x"], [*KINDS, "x"]):
        rule = policy.rule(purpose, source, kind, to)
        regimes = {p: law.regime(purpose, source, kind, to, p) for p in law.fields}
        expected = {
            "accord": tuple(p for p, r in regimes.items() if r and r[0] == "accord"),
            "information": tuple(p for p, r in regimes.items() if r and r[0] == "information"),
            "obligation": tuple(p for p, r in regimes.items() if r and r[0] == "obligation"),
            "opposable": tuple(p for p, r in regimes.items() if r and r[1]),
            "cap": tuple(p for p, r in regimes.items() if r),
        }
        ours = {name: index.paths(getattr(rule, name)) if rule else () for name in expected}
        assert ours == expected, (purpose, source, kind, to)
    for purpose, level in product(law.purposes, EvidenceLevel):
        proven = tuple(p for p in law.fields if law.is_proven(purpose, level.name, p))
        assert index.paths(policy.evidence_table[purpose][level]) == proven


def test_every_entry_of_the_small_policy() -> None:
    check_every_entry(world.policy(), oracle.Law(world.files(), world.FIELDS))


def test_every_entry_of_the_real_policy(
    real_policy: Policy, config_files: dict[str, bytes], real_fields: dict[str, str]
) -> None:
    check_every_entry(real_policy, oracle.Law(config_files, real_fields))


def test_no_key_is_there_that_the_reading_did_not_ask_for(real_policy: Policy, config_files: dict[str, bytes]) -> None:
    law = oracle.Law(config_files, {})
    assert {role for role, *_ in real_policy.role_table} == set(law.roles)
    assert {purpose for purpose, *_ in real_policy.rule_table} == set(law.purposes) - {"statistiques"}
    missions, aids = law.rules["attributs"]["missions"], law.rules["attributs"]["aides"]
    assert len(real_policy.role_table) == len(law.roles) * 4 * (1 + len(missions)) * (1 + len(aids))


def test_regimes_are_disjoint_and_make_up_the_cap(real_policy: Policy) -> None:
    for rule in real_policy.rule_table.values():
        assert rule.accord + rule.information + rule.obligation == rule.cap != 0
        assert rule.accord | rule.information | rule.obligation == rule.cap
        assert rule.opposable & ~rule.information == 0


def test_a_variant_only_ever_adds(real_policy: Policy) -> None:
    for (role, *_), (permit, deny) in real_policy.role_table.items():
        narrow_permit, narrow_deny = real_policy.role_masks(role, Attributes())
        assert narrow_permit & ~permit == 0
        assert narrow_deny == deny


def test_rows_say_which_text_governs_each_field() -> None:
    policy = world.policy()
    rows = policy.rows("droits", "caf", "caisse", "departement")
    assert [(row.row_id, row.regime, world.INDEX.paths(fields)) for row, fields in rows] == [
        ("loi", Regime.OBLIGATION, ("moi.tel", "droits.rsa.etat")),
        ("opposable", Regime.INFORMATION, ("moi.nom", "droits.rsa.date")),
        ("sans_opposition", Regime.INFORMATION, ("moi.nir", "argent.revenu")),
        ("sante", Regime.ACCORD, ("droits.aah.etat",)),
    ]
    assert policy.rows("unknown", "caf", "caisse", "departement") == ()


def test_what_the_request_alone_excludes() -> None:
    policy, index = world.policy(), world.INDEX
    by_role, by_purpose = policy.request_exclusions("droits", "instructeur", Attributes(), "departement", index.full)
    assert index.paths(index.full & ~by_role) == ("moi.nom", "argent.revenu")
    assert by_purpose == 0
    by_role, by_purpose = policy.request_exclusions("droits", "tout", Attributes(), "commune", index.full)
    assert by_role == 0
    assert index.paths(index.full & ~by_purpose) == ("moi.nom", "droits.rsa.etat", "droits.rsa.date")
    assert policy.request_exclusions("unknown", "tout", Attributes(), "commune", 1) == (0, 1)
    assert policy.request_exclusions("droits", "unknown", Attributes(), "commune", 1) == (1, 0)


def test_notices_are_found_by_id_and_version() -> None:
    policy = world.policy()
    notice = policy.notice("suivi", "1")
    assert notice is not None
    assert (notice.purpose, notice.regime) == ("suivi", Regime.ACCORD)
    assert notice.sha256["fr"] == world.TEXT_SHA256
    assert notice.texts["fr"].encode() == world.TEXT
    assert policy.notice("suivi", "2") is None


# --- the version


def test_the_version_depends_on_meaning_only() -> None:
    version = world.policy().version
    assert len(version) == 64
    files = world.files()
    files["roles.toml"] = b"# a comment\n" + files["roles.toml"].replace(b'libelle = "DPO"', b'libelle   =   "DPO"')
    assert load_policy(files | {"other.txt": b"none of the policy's"}, world.INDEX).version == version


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("roles.toml", b'libelle = "DPO"', b'libelle = "Autre"'),
        ("rules.toml", b'C4 = "E2"', b'C4 = "E3"'),
        ("purposes.toml", b'texte = "Texte grave"', b'texte = "Autre texte"'),
        ("notices/suivi/1/fr.md", b"Le texte exact.\n", b"Le texte exact. \n"),
    ],
)
def test_any_change_changes_the_version(name: str, old: bytes, new: bytes) -> None:
    files = world.files()
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    assert load_policy(files, world.INDEX).version != world.policy().version


def test_the_field_list_is_part_of_the_version() -> None:
    swapped = FieldIndex((*world.PATHS, "offre.autre"), (*world.FIELDS.values(), "C0"))
    assert load_policy(world.files(), swapped).version != world.policy().version


# --- what stops the start-up


def broken(name: str, old: str, new: str) -> PolicyError:
    """Return the error of the small policy with one text replaced."""
    files = world.files()
    assert files[name].decode().count(old) >= 1, old
    files[name] = files[name].decode().replace(old, new, 1).encode()
    with pytest.raises(PolicyError) as error:
        load_policy(files, world.INDEX)
    assert str(error.value) == f"{error.value.where}: {error.value.reason}"
    return error.value


ROLE, PURPOSE, RULES = "roles.toml", "purposes.toml", "rules.toml"
SUIVI, ROW = "purposes.toml.purposes.suivi", "purposes.toml.purposes.suivi.regles[0]"


@pytest.mark.parametrize(
    ("name", "old", "new", "where", "reason"),
    [
        # unknown names
        (ROLE, '"moi.nom", "argent.revenu"', '"moi.nom", "argent.revenus"', "instructeur.permet", "argent.revenus"),
        (ROLE, '"classe:C4"', '"classe:C9"', "variantes[0].permet", "classe:C9"),
        (ROLE, 'aid = ["rsa"]', 'aid = ["fsl"]', "si.aid", "unknown name: fsl"),
        (ROLE, 'mission = ["nir"]', 'mission = ["pmi"]', "si.mission", "unknown name: pmi"),
        (ROLE, "own = true", "owned = true", "si.owned", "unknown key"),
        (ROLE, 'libelle = "Voit tout"', 'libelle = "Voit tout"\nvoit = 1', "roles.tout.voit", "unknown key"),
        (ROLE, "[roles.tout]", "[role.tout]", "roles.toml.role", "unknown key"),
        (ROLE, "[roles.tout]", "[roles.Tout]", "roles.Tout", "lower-case"),
        (RULES, 'roles = ["instructeur"]', 'roles = ["instructrice"]', "interdits[0].roles", "instructrice"),
        (RULES, 'sauf = ["referent"', 'sauf = ["referente"', "interdits[1].sauf", "referente"),
        (RULES, 'champs = ["classe:C5"]', 'champs = ["sante.poids"]', "interdits[0].champs", "sante.poids"),
        (RULES, 'C0 = "E1"', 'C0 = "E4"', "preuves.C0", "E1, E2 or E3"),
        (RULES, 'C0 = "E1"', 'C7 = "E1"\nC0 = "E1"', "preuves.C7", "unknown key"),
        (RULES, "[preuves]", "[autre]\nx = 1\n[preuves]", "rules.toml.autre", "unknown key"),
        (PURPOSE, '"moi.tel", "droits.*"', '"moi.tels", "droits.*"', f"{SUIVI}.plafond", "moi.tels"),
        (PURPOSE, 'regime = "accord"', 'regime = "consentement"', f"{ROW}.regime", "unknown name: consentement"),
        (PURPOSE, '"caisse", "commune"]', '"caisse", "communes"]', f"{ROW}.sources", "unknown name: communes"),
        (PURPOSE, '"partenaire:caf"', '"partenaire:Caf"', "sources", "unknown name: partenaire:Caf"),
        (PURPOSE, '"caisse", "commune"]', '"hub"]', f"{ROW}.sources", "unknown name: hub"),
        (PURPOSE, '"departement", "commune"]', '"departement", "tous"]', f"{ROW}.destinataires", "unknown name: tous"),
        (PURPOSE, '"departement", "commune"]', '"hub"]', f"{ROW}.destinataires", "unknown name: hub"),
        (PURPOSE, 'preuve_minimale = "E1"', 'preuve_minimale = "E9"', f"{SUIVI}.preuve_minimale", "E1, E2 or E3"),
        (PURPOSE, 'preuve_minimale = "E1"', 'preuve_minimale = "E0"', f"{SUIVI}.preuve_minimale", "declaration"),
        (PURPOSE, 'texte = "Rien d', 'plafond = ["*"]\ntexte = "Rien d', "stats.plafond", "unknown key"),
        (PURPOSE, "acte_usuel = true", 'acte_usuel = "oui"', f"{SUIVI}.acte_usuel", "bool needed"),
        # duplicates
        (ROLE, '"moi.nom", "argent.revenu"', '"moi.nom", "moi.nom"', "instructeur.permet", "stands twice"),
        (ROLE, 'id = "nomme"', 'id = "siens"', "variantes[1].id", "stands twice"),
        (ROLE, "[roles.dpo]", "[roles.tout]", "roles.toml", "not TOML"),
        (RULES, 'id = "traces"', 'id = "sante"', "interdits[1].id", "stands twice"),
        (RULES, 'missions = ["nir", "enfance"]', 'missions = ["nir", "nir"]', "attributs.missions", "stands twice"),
        (PURPOSE, 'id = "sans_opposition"', 'id = "opposable"', "regles[1].id", "stands twice"),
        (PURPOSE, '"droits.aah.*", "moi.tel"', '"droits.aah.*", "moi.nom"', "droits.regles.sante", "already has its"),
        # empty sets
        (ROLE, '["moi.nom", "argent.revenu", "sante.gir"]', "[]", "instructeur.permet", "not empty"),
        (ROLE, "traces_seulement = true", "", "roles.dpo.permet", "not empty"),
        (ROLE, "si = { own = true }", "", "variantes[0].si", "table with content"),
        (ROLE, "own = true", "own = false", "si", "condition that can fail"),
        (RULES, 'champs = ["classe:C5"]', "champs = []", "interdits[0].champs", "not empty"),
        (RULES, 'roles = ["instructeur"]', "", "interdits[0].roles", "either"),
        (RULES, 'roles = ["instructeur"]', 'roles = ["dpo"]\nsauf = ["tout"]', "interdits[0].roles", "either"),
        (RULES, 'aides = ["rsa", "aah"]', "aides = []", "attributs.aides", "not empty"),
        (PURPOSE, 'sources = ["caisse", "commune"]', "sources = []", f"{ROW}.sources", "not empty"),
        (PURPOSE, 'champs = ["droits.aah.*", "moi.tel"]', 'champs = ["offre.lieu"]', "regles[2].champs", "plafond"),
        (PURPOSE, "acte_usuel = false", "", "grave.acte_usuel", "true or false"),
        # missing legal text
        (PURPOSE, 'texte = "Texte grave"', "", "grave.regles[0].texte", "missing text"),
        (PURPOSE, 'texte = "Texte grave"', 'texte = " "', "grave.regles[0].texte", "missing text"),
        (PURPOSE, 'base_art6 = "6-1-a"', "", f"{SUIVI}.base_art6", "missing text"),
        (PURPOSE, 'condition_art9 = "9-2-a"', "", f"{SUIVI}.condition_art9", "missing text"),
        (PURPOSE, 'preuve_minimale = "E1"', "", f"{SUIVI}.preuve_minimale", "missing text"),
        (PURPOSE, 'texte = "Rien d\'identifiant"', "", "stats.texte", "missing text"),
        (PURPOSE, "opposable = true", "", "regles[0].opposable", "needed under information"),
        (PURPOSE, 'regime = "accord"', 'regime = "accord"\nopposable = true', f"{ROW}.opposable", "only there"),
        (RULES, 'texte = "Jamais la santé"', "", "interdits[0].texte", "missing text"),
        (ROLE, 'libelle = "Référent"', "", "referent.libelle", "missing text"),
        # never a purpose, never a recipient
        (PURPOSE, "[purposes.stats]", "[purposes.lutte_fraude]", "lutte_fraude", "never a purpose"),
        (PURPOSE, 'libelle = "Suivi"', 'libelle = "Contrôle du suivi"', SUIVI, "never a purpose"),
        (
            PURPOSE,
            '["departement", "commune"]',
            '["departement", "commune", "caisse", "etat", "sante", "bailleur", "association"]',
            f"{ROW}.destinataires",
            "every partner at once",
        ),
        # values without a canonical form
        (RULES, "[attributs]", "[attributs]\nle = 2026-01-01", "rules.toml.attributs.le", "unknown key"),
        (ROLE, 'libelle = "DPO"', "libelle = 1", "dpo.libelle", "str needed"),
        (PURPOSE, "[[purposes.suivi.regles]]", "[purposes.suivi.regles]", f"{SUIVI}.regles", "list needed"),
        # notices
        ("notices/suivi/1/notice.toml", 'purpose = "suivi"', 'purpose = "suivis"', "purpose", "unknown name: suivis"),
        ("notices/suivi/1/notice.toml", 'regime = "accord"', 'regime = "information"', "regime", "not a regime of"),
        ("notices/suivi/1/notice.toml", 'version = "1"', 'version = "2"', "suivi/1/notice.toml.id", "folder"),
        ("notices/suivi/1/notice.toml", '["fr"]', '["fr", "en"]', "languages", "one text per language"),
        ("notices/suivi/1/notice.toml", '["fr"]', '["fr"]\nextra = 1', "extra", "unknown key"),
        ("notices/suivi/1/fr.md", "Le texte exact.", " ", "languages", "fr.md is empty"),
    ],
)
def test_a_wrong_policy_stops_the_start_up(name: str, old: str, new: str, where: str, reason: str) -> None:
    error = broken(name, old, new)
    assert name.split("/")[0] in error.where
    assert error.where.endswith(where) or where in error.where
    assert reason in error.reason


@pytest.mark.parametrize("name", ["roles.toml", "purposes.toml", "rules.toml", "notices/suivi/1/notice.toml"])
def test_a_missing_file_is_named(name: str) -> None:
    files = {n: content for n, content in world.files().items() if n != name}
    with pytest.raises(PolicyError) as error:
        load_policy(files, world.INDEX)
    assert error.value.where == name


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("roles.toml", b"\xff", "roles.toml"),
        ("roles.toml", b"", "roles.toml"),
        ("notices/suivi/1/fr.md", b"\xff", "notices/suivi/1/notice.toml.languages"),
        ("notices/suivi/fr.md", b"x", "notices/suivi/fr.md"),
        ("notices/suivi/1/notes.txt", b"x", "notices/suivi/1/notice.toml.languages"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(name: str, content: bytes, where: str) -> None:
    with pytest.raises(PolicyError) as error:
        load_policy(world.files() | {name: content}, world.INDEX)
    assert error.value.where == where


def test_a_purpose_without_any_row_is_refused() -> None:
    files = world.files()
    text = files["purposes.toml"].decode()
    start, end = text.index("[[purposes.loi.regles]]"), text.index("[purposes.stats]")
    files["purposes.toml"] = (text[:start] + text[end:]).encode()
    with pytest.raises(PolicyError, match=r"purposes\.loi\.regles: a purpose needs a regime"):
        load_policy(files, world.INDEX)


def test_every_class_has_its_proof() -> None:
    assert set(CLASSES) == {f"C{i}" for i in range(7)}
    assert "C3" in broken("rules.toml", 'C3 = "E1"\n', "").where
