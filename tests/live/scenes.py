"""A partner's API as an edge asks it: the simulator behind, and who the edge knows."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from connectors.kit.identity import parse_identity
from connectors.kit.live.client import ApiClient
from connectors.kit.live.gate import Gate
from connectors.kit.live.holdings import LiveHoldings
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.clock import FakeClock, SystemClock
from connectors.kit.simulator.server import Simulator, lay_out, serving
from connectors.kit.tokens import TokenSet, tokens_of
from connectors.kit.transport import Transport
from schemas import registry
from tests.kit.world import TOKENISER
from tests.live.caisse import (
    ANNE,
    HOUSEHOLD,
    NO_RIGHT,
    PAUL,
    QF,
    QUOTIENT,
    RIGHT,
    RSA,
    START,
    STATE,
    partner,
    write_cases,
)

WANTED = (QUOTIENT, STATE, START)
SLOW = 20
"""Seconds a slow API takes: so many more than an order has that a busy machine makes no order look slow."""
ELSA = {**ANNE, "prenoms": ["Elsa"], "nom_naissance": "ROUSSEL"}


@dataclass
class People:
    """Who the edge knows: L1 Anne, L2 Paul, L3 somebody the API has never heard of."""

    traits: dict[str, dict[str, Any]] = field(default_factory=lambda: {"L1": ANNE, "L2": PAUL, "L3": ELSA})

    def identity_of(self, local_id: str) -> dict[str, Any] | None:
        return self.traits.get(local_id)

    def tokens_of(self, local_id: str) -> TokenSet | None:
        known = self.traits.get(local_id)
        return None if known is None else tokens_of(parse_identity(known), TOKENISER)


@dataclass
class Scene:
    api: Simulator
    live: LiveHoldings
    client: ApiClient
    clock: Any

    def ask(self, local_id: str = "L1", wanted: tuple[str, ...] = WANTED) -> dict[str, Any]:
        held = self.live.fragment_of(local_id, wanted, self.clock.now() + timedelta(seconds=10))
        if held is None:
            return {}
        registry.validator("fragment").check(held)
        return dict(held["statements"])

    def outcome(self, local_id: str = "L1", wanted: tuple[str, ...] = WANTED) -> set[str]:
        said = self.ask(local_id, wanted)
        return {said[path].get("absence", "valeur") for path in wanted if path in said}

    @property
    def calls(self) -> int:
        return self.api.counts().get("requests", 0)


@contextmanager
def scene(
    base: Path,
    *faults: str,
    clock: Any = None,
    token: str = "",
    cases: dict[str, list[dict[str, Any]]] | None = None,
    **changes: Any,
) -> Iterator[Scene]:
    folder: PartnerFolder = partner(base, **changes)
    assert folder.api is not None
    played = write_cases(base / "cases", **(cases or {QF: [HOUSEHOLD], RSA: [RIGHT, NO_RIGHT]}))
    api = serving(lay_out(played, folder.api)[0], faults, token=token)
    clock = clock or SystemClock()
    limits = folder.api.limits
    client = ApiClient(
        limits=limits,
        transport=Transport(connect=limits.connect_seconds, answer=limits.order_seconds),
        gate=Gate(limits, folder.api.maintenance, clock.now()),
        clock=clock,
        sleep=(lambda s: clock.advance(timedelta(seconds=s))) if isinstance(clock, FakeClock) else time.sleep,
        base_url=api.url,
        token="jeton",  # noqa: S106
        habilitation="22290001400016",
        dice=random.Random(1),  # noqa: S311
    )
    live = LiveHoldings(folder, folder.api, client, People(), TOKENISER, clock)
    try:
        yield Scene(api, live, client, clock)
    finally:
        live.close()
        api.stop()
