"""``docs/index.md`` says what the code does: every kind, flag, reason, rule and doubt, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.kit.identity import parse_identity
from connectors.kit.reasons import Reason
from connectors.kit.tokens import KINDS, HmacTokeniser, tokens_of
from hub.index.rules import LOOKUP_KINDS, Doubt, Rule

PAGE = (Path(__file__).parents[2] / "docs" / "index.md").read_text("utf-8")


def table(header: str) -> dict[str, list[str]]:
    """The rows of the table whose first heading is ``header``: first cell → the others."""
    _, _, rest = PAGE.partition(f"| {header} |")
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("| ").split(" |")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_kinds() -> None:
    rows = table("Kind")
    assert tuple(rows) == KINDS
    assert {kind for kind, cells in rows.items() if cells[-1] == "yes"} == set(LOOKUP_KINDS)


def test_flags() -> None:
    assert list(table("Flag")) == list(tokens_of(parse_identity({}), HmacTokeniser(bytes(32), 1)).flags)


def test_rules_and_doubts() -> None:
    assert list(table("Rule")) == [rule.value for rule in Rule]
    assert list(table("Reason")) == [doubt.value for doubt in Doubt]


def test_reasons() -> None:
    _, _, listed = PAGE.partition("Reasons: ")
    assert set(re.findall(r"`([a-z_]+)`", listed.split("\n\n", 1)[0])) == {reason.value for reason in Reason}
