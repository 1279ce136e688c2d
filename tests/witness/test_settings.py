"""A quorum that two histories could both reach never starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.home import HubHome
from hub.settings import load_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub")
    HubHome(path).create(url="https://hub.example", host="127.0.0.1", port=8400, operator="x", clock=FakeClock())
    return path


@pytest.mark.parametrize(
    ("count", "faulty", "least"), [(0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 1, 3), (5, 0, 3)]
)
def test_the_least_safe_quorum_is_taken(home: Path, count: int, faulty: int, least: int) -> None:
    said = {"MAILLON_HUB_WITNESSES": ",".join(f"w{n}" for n in range(count)), "MAILLON_HUB_WITNESS_FAULTY": str(faulty)}
    assert load_settings(home, said).quorum == least
    for quorum in range(1, count + 3):
        said["MAILLON_HUB_WITNESS_QUORUM"] = str(quorum)
        if least <= quorum <= count:
            assert load_settings(home, said).quorum == quorum
            continue
        with pytest.raises(MaillonError) as caught:
            load_settings(home, said)
        assert (caught.value.kind, caught.value.detail[:14]) == (ErrorKind.CONFIGURATION, "witness_quorum")


@pytest.mark.parametrize(
    "said",
    [
        {"WITNESSES": "a,b,c", "WITNESS_FAULTY": "3"},
        {"WITNESSES": "a,b,c", "WITNESS_FAULTY": "-1"},
        {"WITNESSES": "a,b,c", "WITNESS_QUORUM": "-2"},
        {"WITNESSES": "a,a,b"},
        {"WITNESS_QUORUM": "1"},
        {"WITNESS_SECONDS": "0"},
    ],
)
def test_what_cannot_be_safe_stops_the_start_up(home: Path, said: dict[str, str]) -> None:
    with pytest.raises(MaillonError) as caught:
        load_settings(home, {f"MAILLON_HUB_{name}": value for name, value in said.items()})
    assert caught.value.kind is ErrorKind.CONFIGURATION
