"""An edge store and a witness on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.witness import Witness
from connectors.kit.runtime.clock import FakeClock
from consent.ledger.checkpoint import KeyType, SignerKey
from tests.witness.log import LOG, FakeLog

KEY = SignerKey.from_seed("caf.example/witness/caf", b"w" * 32, KeyType.COSIGNATURE_V1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore.open(tmp_path / "edge.db", b"s" * 32)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> FakeLog:
    return FakeLog().grow(5)


@pytest.fixture
def witness(store: EdgeStore, clock: FakeClock) -> Witness:
    return Witness(KEY, store.log, lambda: frozenset({LOG.verifier}), clock)
