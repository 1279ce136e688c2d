"""The guide's example partner is a real one: copied out of the page as it stands, it opens, maps and sets aside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined
from connectors.kit.readers import BUILT_IN as READERS
from connectors.kit.transforms import BUILT_IN as TRANSFORMS
from hub.cli.main import cli

GUIDE = Path(__file__).parents[2] / "docs" / "partners-guide.md"
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write every ``file=`` block of the guide into a folder named as its manifest says."""
    blocks = re.findall(r"^```\w+ file=(\S+)\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    slug = re.search(r'^slug = "(\w+)"', dict(blocks)["manifest.toml"], re.MULTILINE)
    assert slug
    for name, content in blocks:
        path = tmp_path / slug.group(1) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return tmp_path / slug.group(1)


def mapped(partner: PartnerFolder, kind: str) -> list[SubjectFragment | Quarantined]:
    """Return what the samples of one kind become."""
    found: list[SubjectFragment | Quarantined] = []
    for file in partner.samples(kind):
        with file.path.open("rb") as stream:
            found += map_stream(stream, partner.formats[file.format], AT)
    return found


def test_ordinary_samples_become_fragments(folder: Path) -> None:
    found = mapped(PartnerFolder.load(folder), "sample")
    assert [type(item) for item in found] == [SubjectFragment, SubjectFragment]
    first = found[0]
    assert isinstance(first, SubjectFragment)
    assert first.fragment["statements"]["domiciliation.date_debut"]["valeur"] == "2026-02-01"


def test_its_analyst_reads_where_each_column_goes(folder: Path) -> None:
    said = CliRunner().invoke(cli, ["connector", "lineage", str(folder)])
    assert said.exit_code == 0
    by_field, _, by_partner = said.stdout.partition("# Des partenaires vers le dossier")
    field = by_field.partition("### `domiciliation.date_debut`")[2].partition("\n### ")[0]
    assert " · **C2** · " in field
    assert "| [ccas_exemple](#partenaire-ccas_exemple) | `debut` | date (ISO ou française)" in field
    assert "| domicilie | [`domiciliations`](#format-ccas_exempledomiciliations) |" in field
    assert (
        "### Format `ccas_exemple.domiciliations`\n\nExport mensuel du registre des domiciliations · CASF L264-1"
        in by_partner
    )
    assert (
        "| `debut` | [`domiciliation.date_debut`](#domiciliationdate_debut) · C2 | date (ISO ou française)"
        in by_partner
    )
    assert "# Réponses sans données" not in said.stdout
    assert "`caf" not in said.stdout
    told = json.loads(CliRunner().invoke(cli, ["connector", "lineage", str(folder), "--json"]).stdout)["rows"]
    assert {row["partner"] for row in told} == {"ccas_exemple"}
    (begins,) = [row for row in told if row["target"] == "domiciliation.date_debut"]
    assert (begins["format"], begins["subject"], begins["source"]) == ("domiciliations", "domicilie", "debut")


def test_each_hostile_line_is_set_aside_by_name(folder: Path) -> None:
    found = mapped(PartnerFolder.load(folder), "hostile")
    assert [(item.position, item.reason.value) for item in found if isinstance(item, Quarantined)] == [
        ("line 2", "bad_date"),
        ("line 3", "schema"),
        ("line 4", "bad_date"),
        ("line 5", "column_shift"),
    ]
    assert len(found) == 4


def test_nothing_leaves_for_a_purpose_the_folder_does_not_name(folder: Path) -> None:
    partner = PartnerFolder.load(folder)
    assert "domiciliation.date_debut" in partner.releases("departement", "accompagnement_global")
    assert not partner.releases("departement", "orientation_rsa")
    assert not partner.releases("bailleur", "accompagnement_global")


def keys_of(schema: object) -> Iterator[str]:
    """Yield every member name that a JSON Schema declares."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for child in schema.values():
            yield from keys_of(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from keys_of(child)


def test_the_whole_language_is_explained() -> None:
    explained = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`\n]+)`", GUIDE.read_text("utf-8")))))
    schema = GUIDE.parents[1] / "connectors" / "kit" / "mapping.schema.json"
    assert set(keys_of(json.loads(schema.read_text("utf-8")))) - explained == set()
    assert set(TRANSFORMS) - explained == set()
    assert set(READERS) - explained == set()
