"""The audit of the whole log after erasures and retention: nothing wrong, and nothing more may be missing."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.trust import Directory
from hub.cli.main import cli
from hub.jobs.retention import keeper_of
from hub.log_check.finding import Finding
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services.retention import end_what_is_over
from tests.attacks.log_world import owner
from tests.erasure.conftest import NOTHING_KEPT, PROOF_KEPT, erase, live
from tests.hub.conftest import World


def audit(world: World, directory: Directory | None = None) -> Finding | None:
    home = world.home.path
    return fsck(home / "hub.db", trust_of_home(home / "hub.db", directory or world.directory), home=home).finding


def tampered(world: World, statement: str) -> Finding | None:
    with owner(world.home.path) as connection:
        connection.execute(statement)
    return audit(world)


@pytest.mark.parametrize("reason", [NOTHING_KEPT, PROOF_KEPT])
def test_an_erasure_is_nothing_wrong(world: World, reason: str) -> None:
    gone, stays = live(world, 1), live(world, 2)
    erase(world, gone.refs["departement"], reason)
    world.pull(stays.refs["departement"])
    assert audit(world) is None


def test_retention_is_nothing_wrong(world: World) -> None:
    gone = live(world, 1)
    live(world, 2)
    erase(world, gone.refs["departement"], PROOF_KEPT)
    directory = world.directory  # it runs out meanwhile, and still names the log's key
    world.clock.advance(timedelta(days=800))
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    assert audit(world, directory) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET sealed = NULL, emptied_by = (SELECT seq FROM erasure) WHERE seq = 2",
        "UPDATE journal SET sealed = NULL, emptied_by = (SELECT max(seq) FROM journal) WHERE class = 'consent'",
        "DELETE FROM erasure",
        "UPDATE erasure SET decision = 'x'",
        "UPDATE erasure SET erasure_id = '00000000-0000-4000-8000-000000000000'",
        "UPDATE erasure SET kept_until = 1",
        "UPDATE erasure SET at = at + 1",
        "INSERT INTO kept_consent SELECT erasure_id, (SELECT min(seq) FROM consent_event), erasure_id FROM erasure",
        "INSERT INTO unnamed_consent SELECT (SELECT min(seq) FROM consent_event), erasure_id FROM erasure",
        "UPDATE consent_event SET person_id = (SELECT erasure_id FROM erasure)",
        "UPDATE consent_event SET person_id = '00000000-0000-4000-8000-000000000000'",
    ],
)
def test_an_erasure_excuses_nothing_else(world: World, statement: str) -> None:
    gone = live(world, 1)
    live(world, 2)
    erase(world, gone.refs["departement"], NOTHING_KEPT)
    assert audit(world) is None
    assert tampered(world, statement) is not None


def test_an_agreement_is_not_hidden_behind_an_erasure(world: World, tmp_path: Path) -> None:
    """A living person's refusal is taken out and declared to be proof kept of somebody erased."""
    gone = live(world, 1)
    live(world, 2)
    erase(world, gone.refs["departement"], PROOF_KEPT)

    def hide(connection: sqlite3.Connection) -> None:
        seq = connection.execute("SELECT min(seq) FROM consent_event").fetchone()[0]
        connection.execute("INSERT INTO kept_consent SELECT erasure_id, ?, erasure_id FROM erasure", (seq,))
        connection.execute("DELETE FROM consent_event WHERE seq = ?", (seq,))
        connection.execute("UPDATE person SET version = version - 1")

    with owner(world.home.path) as connection:
        hide(connection)
    assert audit(world) is not None


def test_the_erasure_receipt_is_checked_by_the_same_command(world: World, tmp_path: Path) -> None:
    given = erase(world, live(world, 1).refs["departement"], NOTHING_KEPT)
    receipt, keys = tmp_path / "recu.json", tmp_path / "cles.json"
    keys.write_text(json.dumps(keys_file(world.directory, world.root.public_jwk)))

    def verify(value: object) -> Result:
        receipt.write_text(json.dumps(value))
        return CliRunner().invoke(cli, ["verify", str(receipt), "--keys", str(keys)])

    held = verify(given)
    assert held.exit_code == 0, held.output
    assert held.output.startswith("REÇU D’EFFACEMENT VALABLE")
    erasure = given["erasure"] | {"final_by": "2099-01-01T00:00:00.000000Z"}
    assert verify(given | {"erasure": erasure}).exit_code == 1
