"""A hub in a folder (tests.hub), one person in it with agreements and traces, and a DPO who decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.erasure_decision import sign_decision
from connectors.kit.runtime.ids import PersonId
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from hub.app import close_hub
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_file
from hub.services.register import resolve
from hub.store import engine, tables
from tests.hub.conftest import World

NOTHING_KEPT = "traitement_illicite"
PROOF_KEPT = "accord_retire"


@dataclass
class Life:
    """One person of the hub: its ref at each partner, and its record."""

    refs: dict[str, str]
    record_id: str


def person_of(world: World, ref: str, partner: str = "departement") -> PersonId | None:
    return world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, partner, ref))


def live(world: World, number: int) -> Life:
    """Register somebody at every partner, with an agreement, a pull and a withdrawn agreement."""
    sections = {"departement": ["accompagnement"], "caf": ["droits", "ressources"], "cpam": ["droits"]}
    refs = {slug: world.register(slug, number, sections=sections.get(slug, ())) for slug in world.partners}
    ref = refs["departement"]
    record_id = world.consent(ref, EventKind.GRANTED)["record_id"]
    world.pull(ref)
    return Life(refs, record_id)


def decision(world: World, ref: str, reason: str = NOTHING_KEPT, *, partner: str = "departement") -> dict[str, str]:
    signed = sign_decision(partner, ref, reason, "2026-17", world.principal("dpo")(), world.clock.now())
    return {"decision": signed.jws, "ref": signed.ref, "salt": signed.salt}


def erase(world: World, ref: str, reason: str = NOTHING_KEPT) -> dict[str, Any]:
    return world.ok("dpo", "/v1/erasures", decision(world, ref, reason))


def rows_with(world: World, person: str) -> dict[str, int]:
    """How many rows of each table hold this id in any column."""
    found = {}
    for table in tables.hub.sorted_tables:
        text_columns = [column for column in table.c if "VARCHAR" in str(column.type) or "TEXT" in str(column.type)]
        if text_columns:
            condition = text_columns[0] == person
            for column in text_columns[1:]:
                condition |= column == person
            query = select(table).where(condition)
            count = len(world.hub.reads.run(lambda uow, query=query: uow.connection.execute(query).all()))
            if count:
                found[table.name] = count
    return found


def log_keys_of(world: World) -> TrustedKeys:
    """Whom a stranger believes about this hub's log."""
    signers = world.home.log_signers(world.settings.origin)
    history = KeyHistory(world.settings.origin, tuple(KeySpan(signer.verifier) for signer in signers))
    return TrustedKeys(history, frozenset(), 0, 0, {})


def is_whole(world: World) -> bool:
    """Whether the audit of the whole log, every row and every chain, finds nothing wrong."""
    report = fsck(world.home.database, trust_of_file(log_keys_of(world)), home=world.home.path)
    assert report.finding is None, report.finding
    assert report.opened
    return True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    close_hub(world.hub)


@pytest.fixture
def life(world: World) -> Life:
    return live(world, 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader in the way of the erasure waits for its answer: whatever is waited for him is waited in vain."""
    monkeypatch.setattr(engine, "READERS_WAIT_MS", 20)


def later(world: World, **by: int) -> None:
    """Let time pass; tokens run out."""
    world.clock.advance(timedelta(**by))
    world._tokens.clear()
