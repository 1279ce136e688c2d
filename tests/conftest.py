"""Shared by every area: where the published files are, and a word where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real and published files, read where they are; tests that need them say so where they are absent."""
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("../shared/data is absent: this test reads published files that are not part of the project")
    return data
