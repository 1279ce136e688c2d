"""Whatever fuzzing has ever found stays fixed; and the fuzzer itself would notice a breach."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from connectors.kit.partner import PartnerFolder, bundled_directory
from tests.fuzz import target
from tests.fuzz.runner import FINDINGS, Finder, blindly

FOUND = sorted(path for path in FINDINGS.glob("*") if path.suffix != ".md")


@pytest.fixture(scope="module")
def departement() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "departement")


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_stays_fixed(path: Path) -> None:
    slug, format_name, _ = path.name.split(".", 2)
    target.check(PartnerFolder.load(bundled_directory() / slug), format_name, path.read_bytes())


def test_every_sample_and_part_of_one_passes(departement: PartnerFolder) -> None:
    seeds, template = target.seeds(departement, "accompagnement")
    assert template.startswith(b"PK")
    for data in seeds:
        target.check(departement, "accompagnement", target.as_file(data, template))


def test_a_breach_is_kept_once_and_does_not_stop_the_run(tmp_path: Path) -> None:
    def breaks(data: bytes) -> None:
        if b"=" in data:
            raise ValueError

    find = Finder("x.y", breaks, tmp_path)
    blindly(find, [b"a;b", b"c;d"], lambda data: data, 500, seed=1, now=itertools.count().__next__)
    assert find.tried == 2 + 499
    assert [path.read_bytes().count(b"=") > 0 for path in tmp_path.iterdir()] == [True]
