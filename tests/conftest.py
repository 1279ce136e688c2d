"""Shared by every area: where the published files are, and a word where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test asserts how long something takes, and the machine may be busy: an example is not wrong for being slow.
settings.register_profile("maillon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("maillon")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real and published files, read where they are; tests that need them say so where they are absent."""
    data = ROOT.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("../shared/data is absent: this test reads published files that are not part of the project")
    return data
