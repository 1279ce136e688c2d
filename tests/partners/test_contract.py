"""Every bundled folder keeps the contract, and the contract notices when one does not."""

from __future__ import annotations

import io
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from connectors.kit.checks import AT, check_folder, check_partner
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.review.masks import PURPOSE
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from schemas import registry

SLUGS = tuple(sorted(manifest.parent.name for manifest in bundled_directory().glob("*/manifest.toml")))
NATIONAL = {"caf", "cnous", "cpam", "france_travail", "men", "mesri", "msa", "service_civique"}
"""Institutions that will not install an edge: the département runs theirs (DOMAIN §4)."""


def test_the_bundled_partners_are_these(partners: dict[str, PartnerFolder]) -> None:
    assert tuple(partners) == SLUGS
    assert {*SLUGS} >= NATIONAL | {"departement"}
    assert {partners[slug].operator for slug in NATIONAL} == {"departement"}
    assert not any(partners[slug].can_collect for slug in NATIONAL)


@pytest.mark.parametrize("slug", SLUGS)
def test_contract(partners: dict[str, PartnerFolder], slug: str) -> None:
    assert check_partner(partners[slug]) == []


@pytest.mark.parametrize("slug", SLUGS)
def test_every_number_comes_from_who_gives_it(partners: dict[str, PartnerFolder], slug: str) -> None:
    known = {field.path: field.fournisseurs for field in registry.fields()}
    strangers = [path for path in partners[slug].supplies if not {"tous", slug} & {*known[path]}]
    assert strangers == []


def test_protected_resources_are_those_of_the_dossier(partners: dict[str, PartnerFolder]) -> None:
    fields = partners["caf"].formats["rsa_mensuel"].mapping.subjects[0].fields
    table = next(rule.value.table for rule in fields if rule.path == "ressources.autre_ressource")
    assert sorted(table) == registry.schema("dossier")["$defs"]["nature_ressource_protegee"]["enum"]


def test_lineage_reads_as_the_partner_writes(partners: dict[str, PartnerFolder]) -> None:
    rows = {(row.format, row.subject, row.target): row for row in partners["caf"].lineage()}
    row = rows["rsa_mensuel", "demandeur_ou_conjoint", "droits.rsa.etat"]
    assert row.source == "InfosFoyerRSA.PrestationRSA.SituationDossierRSA.EtatDossierRSA.ETATDOSRSA"
    assert row.transform == "code"
    name = rows["api_particulier_qf_v3", "enfant", "identite.nom_naissance"]
    assert name.source == "payload.data.enfants[].nom_naissance"
    assert "non_calculable" in rows["api_particulier_qf_v3", "allocataire", "ressources.quotient_familial"].absence
    paths = {field.path for field in registry.fields()}
    assert {row.target for partner in partners.values() for row in partner.lineage()} <= paths


def test_release_policy_is_the_partners_own(partners: dict[str, PartnerFolder]) -> None:
    caf = partners["caf"]
    assert "droits.aah.etat" in caf.releases("departement", "accompagnement_global")
    assert "identifiants.nir" not in caf.releases("departement", "accompagnement_global")
    assert caf.releases("association", "statistiques") == frozenset()
    assert caf.releases("sante", "accompagnement_global") == frozenset()


def test_manifests_name_purposes_and_roles_that_exist(partners: dict[str, PartnerFolder]) -> None:
    config = bundled_directory().parents[1] / "config"
    purposes = set(tomllib.loads((config / "purposes.toml").read_text("utf-8"))["purposes"])
    roles = set(tomllib.loads((config / "roles.toml").read_text("utf-8"))["roles"])
    for partner in partners.values():
        assert set(partner.roles) <= roles
        for row in partner.release:
            assert row.purposes <= purposes | {PURPOSE}
            assert (row.recipient_kinds == {"hub"}) == (row.purposes == {PURPOSE})
            assert "statistiques" not in row.purposes


# --- a folder is all it takes ---------------------------------------------------------------------------------------

MANIFEST = """
slug = "ccas_test"
name = "CCAS d’essai"
kind = "commune"
operator = "ccas_test"
local_id = "numéro"
nir_autorise = false
can_collect = true
roles = ["conseiller_ccas"]
[formats.domiciliations]
reader = "lignes"
description = "Une ligne par personne, au format maison"
media = ["text/plain"]
record = "ligne"
[[release]]
recipient_kinds = ["departement"]
purposes = ["accompagnement_global"]
fields = ["domiciliation.*"]
"""
MAPPING = """
[formats.domiciliations]
base_legale = "CASF L264-1"
[formats.domiciliations.subjects.personne]
local_id = ["record.numero"]
[formats.domiciliations.subjects.personne.identity]
nom_naissance = "record.nom"
prenoms = "record.prenom"
date_naissance = "record.naissance"
[formats.domiciliations.subjects.personne.fields]
"domiciliation.organisme" = "record.organisme"
"domiciliation.date_debut" = { from = "record.depuis", with = "depuis" }
"""
SCHEMA = """{"$defs": {"ligne": {"type": "object", "required": ["numero", "nom", "prenom", "naissance"]}}}"""
READER = """
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.transforms.dates import calendar_date

NAMES = ("numero", "nom", "prenom", "naissance", "organisme", "depuis")


class Lines:
    def __init__(self, options):
        pass

    def read(self, stream):
        for number, line in enumerate(stream, 1):
            cells = line.decode().rstrip("\\n").split("/")
            if len(cells) == len(NAMES):
                yield RawRecord(f"line {number}", dict(zip(NAMES, cells)))
            else:
                yield Quarantined(f"line {number}", "", Reason.COLUMN_SHIFT)


READERS = {"lignes": Lines}
TRANSFORMS = {"depuis": lambda value, table: calendar_date(value.removeprefix("depuis "), table)}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "ccas_test"
    (root / "samples").mkdir(parents=True)
    for name, text in {
        "manifest.toml": MANIFEST,
        "mapping.toml": MAPPING,
        "record.schema.json": SCHEMA,
        "reader.py": READER,
        "samples/sample.domiciliations.txt": "12/KERBRAT/Annick/1961-04-02/CCAS d’Essai/depuis 2025-01-01\n",
        "samples/hostile.domiciliations.txt": "12/KERBRAT/Annick\n",
    }.items():
        (root / name).write_text(text, "utf-8")
    return root


def test_a_partner_is_added_by_one_folder(folder: Path) -> None:
    found = discover([bundled_directory(), folder.parent])
    assert set(found) == {*SLUGS, "ccas_test"}
    assert check_partner(found["ccas_test"]) == []
    assert "domiciliation.date_debut" in found["ccas_test"].supplies


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("manifest.toml", 'slug = "ccas_test"', 'slug = "other"', "slug"),
        ("manifest.toml", 'kind = "commune"', 'kind = "empire"', "kind"),
        ("manifest.toml", 'reader = "lignes"', 'reader = "none"', "formats.domiciliations.reader"),
        ("manifest.toml", 'record = "ligne"', 'record = "page"', "formats.domiciliations.record"),
        ("manifest.toml", '"domiciliation.*"', '"domicile.*"', "release"),
        ("manifest.toml", "[formats.domiciliations]", "[formats.autre]", "formats."),
        ("manifest.toml", "roles =", "roles = [", "not TOML"),
        ("manifest.toml", "roles = ", 'declares_sections = "non"\nroles = ', "declares_sections"),
        ("mapping.toml", '"domiciliation.organisme"', '"domiciliation.nom"', "not a dossier field"),
        ("mapping.toml", 'with = "depuis"', 'with = "unknown"', "transforms"),
        ("mapping.toml", "record.organisme", "file.organisme", "starts from"),
        ("mapping.toml", "record.organisme", "record.[", "not JMESPath"),
        ("mapping.toml", "nom_naissance =", "nom =", "unknown trait"),
        ("mapping.toml", 'with = "depuis"', 'with = "depuis", absent = "inconnu"', "unknown absence"),
        ("mapping.toml", 'with = "depuis"', 'table = "codes"', "tables"),
        ("mapping.toml", "local_id =", "id =", "subjects.personne"),
        ("record.schema.json", '"object"', '"objet"', "record.schema.json: $defs/ligne/type: is not JSON Schema"),
        ("record.schema.json", '{"$defs"', '{"$defs": {}, "$defs"', "duplicate key"),
        ("reader.py", "READERS =", "import nothing_of_the_kind\nREADERS =", "reader.py"),
    ],
)
def test_a_broken_folder_is_refused_by_name(folder: Path, name: str, old: str, new: str, named: str) -> None:
    change(folder, name, old, new)
    with pytest.raises(MaillonError, match=re.escape(named)) as refused:
        PartnerFolder.load(folder)
    assert refused.value.kind is ErrorKind.CONFIGURATION
    assert "ccas_test" in refused.value.detail
    assert [finding.check for finding in check_folder(folder)] == ["opens"]


def test_the_same_slug_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere" / "ccas_test")
    with pytest.raises(MaillonError, match="stands twice"):
        discover([folder.parent, tmp_path / "elsewhere"])


@pytest.mark.parametrize(
    ("name", "old", "new", "check"),
    [
        ("samples/sample.domiciliations.txt", "1961-04-02", "1961-04-31", "maps"),
        ("samples/sample.domiciliations.txt", "12/", "12/x/", "maps"),
        (
            "samples/hostile.domiciliations.txt",
            "12/KERBRAT/Annick",
            "12/A B/C D/1961-04-02/E/depuis 2025-01-01",
            "hostile",
        ),
        ("reader.py", "Reason.COLUMN_SHIFT)", "Reason.COLUMN_SHIFT, cells[1])", "quotes nothing"),
        ("reader.py", "else:", "elif cells[9]:", "hostile"),
        ("manifest.toml", '"conseiller_ccas"', '"conseiler_ccas"', "names"),
        ("manifest.toml", '"accompagnement_global"', '"accompagnement_globale"', "names"),
        ("mapping.toml", "record.numero", "'1'", "one subject"),
        (
            "mapping.toml",
            '"domiciliation.organisme" =',
            '"identifiants.nir" = "record.nir"\n"domiciliation.organisme" =',
            "nir",
        ),
    ],
)
def test_the_contract_notices(folder: Path, name: str, old: str, new: str, check: str) -> None:
    sample = folder / "samples" / "sample.domiciliations.txt"
    sample.write_text(sample.read_text("utf-8") + "13/PICHON/Jean/1958-01-20/CCAS d’Essai/depuis 2025-02-01\n", "utf-8")
    change(folder, name, old, new)
    assert check in {finding.check for finding in check_folder(folder)}


def test_the_contract_notices_a_foreign_value(tmp_path: Path) -> None:
    """Give the household's resources of the first person to everyone: the members' check must turn red."""
    folder = tmp_path / "caf"
    shutil.copytree(bundled_directory() / "caf", folder)
    fields = "[formats.rsa_mensuel.subjects.demandeur_ou_conjoint.fields]\n"
    first = "record.InfosFoyerRSA.Personne[0].Ressources.RessourcesMensuelles"
    change(folder, "mapping.toml", fields, f'{fields}"ressources.ressources_mensuelles" = {{ from = "{first}" }}\n')
    findings = [finding for finding in check_folder(folder) if finding.check == "nothing foreign"]
    assert {finding.problem.partition(": ")[2] for finding in findings} == {"ressources.ressources_mensuelles"}


def test_a_true_of_xml_schema_is_a_one(partners: dict[str, PartnerFolder]) -> None:
    """vrsb0801 has xs:boolean: ``true`` must not lose a dependent child, or the address of who holds the file."""
    native = partners["caf"].formats["rsa_mensuel"]
    data = (partners["caf"].path / "samples" / "sample.rsa_mensuel.xml").read_bytes()
    worded = re.sub(rb"(<TOP\w+>)([01])<", lambda top: top[1] + (b"true" if top[2] == b"1" else b"false") + b"<", data)
    assert worded != data
    numbers, words = (list(map_stream(io.BytesIO(each), native, AT)) for each in (data, worded))
    assert numbers == words
