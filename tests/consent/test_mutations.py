"""Each rule of release, broken by hand, turns a test red; and the published list says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.consent.mutations import MUTATIONS, ROOT

PAGE = Path(__file__).with_name("MUTATIONS.md")


def test_mutations_have_distinct_names() -> None:
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="judged in forked processes")
def test_every_broken_rule_turns_a_test_red() -> None:
    # A process of its own: this one has already loaded the unbroken package.
    found = subprocess.run(
        [sys.executable, "-m", "tests.consent.mutations"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    survivors = [line for line in found.stdout.splitlines() if "**nothing**" in line or "no longer fits" in line]
    assert survivors == []
    assert found.stdout == PAGE.read_text("utf-8"), "python -m tests.consent.mutations > tests/consent/MUTATIONS.md"
