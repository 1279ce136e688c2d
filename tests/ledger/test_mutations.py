"""Each check of the ledger, broken by hand, turns a test red; and the published list says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger.mutations import MUTATIONS

PAGE = Path(__file__).with_name("MUTATIONS.md")


def test_mutations_have_distinct_names() -> None:
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="judged in forked processes")
def test_every_broken_check_turns_a_test_red() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.ledger.mutations"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    survivors = [line for line in found.stdout.splitlines() if "**nothing**" in line or "no longer fits" in line]
    assert survivors == []
    assert found.stdout == PAGE.read_text("utf-8"), "python -m tests.ledger.mutations > tests/ledger/MUTATIONS.md"
