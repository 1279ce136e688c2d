"""Whatever line of a mapping is taken away, the lineage page shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from connectors.kit import lineage, shared_parts
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.runtime.errors import MaillonError


@pytest.mark.parametrize("slug", sorted(file.parent.name for file in bundled_directory().glob("*/mapping.toml")))
def test_no_line_of_a_mapping_can_go_unseen(slug: str, tmp_path: Path) -> None:
    """Whatever line is taken from a mapping, the page changes, or the folder does not open."""
    folder = Path(shutil.copytree(bundled_directory() / slug, tmp_path / slug))
    file = folder / "mapping.toml"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    before, opened = lineage.lineage_page([PartnerFolder.load(folder)]), 0
    for at, line in enumerate(lines):
        if not line.strip() or line.startswith("#"):
            continue
        file.write_text("".join(lines[:at] + lines[at + 1 :]), "utf-8")
        try:
            partner = PartnerFolder.load(folder)
        except MaillonError:
            continue
        opened += 1
        assert lineage.lineage_page([partner]) != before, line
    assert opened


@pytest.mark.parametrize(("part", "users"), [("flux_rsa", ["msa"]), ("api_particulier", ["caf", "cnous"])])
def test_no_line_of_a_shared_part_can_go_unseen(part: str, users: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = shared_parts.text

    def page_without(at: int | None) -> str:
        kept = "".join(line for number, line in enumerate(lines) if number != at)
        monkeypatch.setattr(
            shared_parts, "text", lambda name, kind: kept if (name, kind) == (part, "toml") else given(name, kind)
        )
        return lineage.lineage_page([PartnerFolder.load(bundled_directory() / slug) for slug in users])

    lines = given(part, "toml").splitlines(keepends=True)
    before, opened = page_without(None), 0
    for at, line in enumerate(lines):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            after = page_without(at)
        except MaillonError:
            continue
        opened += 1
        assert after != before, line
    assert opened > 20
