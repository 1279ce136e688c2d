"""The threat model claims nothing that no test holds: each named test exists, each row has one or says what waits."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
WAITING = re.compile(r"not covered yet → (?:issue \d+|a later issue|no issue yet)")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the table under ``heading``, header apart."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_named_test_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file(), path
    assert name in names_in(path), f"{path}::{name}"


def test_the_ten_promises_are_all_there() -> None:
    assert [row[0] for row in rows("The ten promises")] == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    "row", [*rows("The ten promises"), *rows("Threats")], ids=lambda row: " ".join(row[:2])[:60].replace("/", " ")
)
def test_every_row_has_its_test_or_says_it_has_none(row: list[str]) -> None:
    evidence = row[3]
    named = re.findall(r"`tests/[\w/]+\.py::\w+`", evidence)
    assert named or WAITING.search(evidence), row
    assert re.fullmatch(r"(`tests/[\w/]+\.py::\w+`(, )?)*(not covered yet → [\w ]+)?", evidence), evidence


def test_the_collusion_table_says_what_each_alliance_learns() -> None:
    alliances = rows("Who together can learn what")
    assert len(alliances) >= 12
    assert all(len(row) == 3 and row[1] for row in alliances)
