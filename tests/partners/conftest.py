"""The bundled partners, opened once; the published data, where it is at hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.port import Quarantined

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)

Mapped = list[SubjectFragment | Quarantined]


@pytest.fixture(scope="session")
def partners() -> dict[str, PartnerFolder]:
    return discover([bundled_directory()])


@pytest.fixture(scope="session")
def published(shared_data: Path) -> Path:
    return shared_data


@pytest.fixture(scope="session")
def mapped(partners: dict[str, PartnerFolder]) -> Callable[[str, str, bytes], Mapped]:
    """Map bytes in one format of one partner."""

    def run(slug: str, format_name: str, data: bytes) -> Mapped:
        return list(map_stream(BytesIO(data), partners[slug].formats[format_name], AT))

    return run
