"""The DPO's commands: what is asked before it is done, what the receipt says, and how anybody checks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.verify import KEYS_TYPE
from hub.cli import erase as erase_cli
from hub.cli.erase import erase
from hub.cli.verify import verify
from tests.erasure.conftest import PROOF_KEPT, Life, person_of
from tests.hub.conftest import World


class InProcess:
    """The hub's client, without the network between."""

    def __init__(self, world: World) -> None:
        self._world = world

    def erase(self, decision: str, ref: str, salt: str) -> dict[str, Any]:
        return self._world.ok("dpo", "/v1/erasures", {"decision": decision, "ref": ref, "salt": salt})

    def erasure_receipt(self, erasure_id: str) -> dict[str, Any]:
        return self._world.ok("dpo", "/v1/erasures/receipt", {"erasure_id": erasure_id})

    def kept_agreements(self, erasure_id: str, complaint: str) -> list[str]:
        asked = {"erasure_id": erasure_id, "complaint": complaint}
        found: list[str] = self._world.ok("dpo", "/v1/erasures/agreements", asked)["agreements"]
        return found


@pytest.fixture
def dpo(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of the DPO's folder; the commands reach the hub of the test."""
    monkeypatch.setattr(erase_cli, "hub_client", lambda home, principal: InProcess(world))
    monkeypatch.setattr(erase_cli, "SystemClock", lambda: world.clock)
    return ["--home", str(world.home.path)]


def keys_file(world: World, path: Path) -> Path:
    (signer,) = world.home.log_signers(world.settings.origin)
    content = {
        "v": 1,
        "type": KEYS_TYPE,
        "origin": world.settings.origin,
        "log": [signer.verifier.vkey],
        "key_changes": [],
        "witnesses": [],
        "quorum": 0,
        "faulty": 0,
        "collectors": {},
    }
    path.write_text(json.dumps(content))
    return path


def test_from_the_question_to_the_receipt_anybody_checks(
    world: World, life: Life, dpo: list[str], tmp_path: Path
) -> None:
    run, ref = CliRunner().invoke, life.refs["departement"]
    asked = ["person", *dpo, "--partner", "departement", "--reason", PROOF_KEPT, "--request-number", "2026-17"]
    out = tmp_path / "effacement.json"
    # No answer, no erasure; and the ref is asked for, so that it stands in no history of commands.
    refused = run(erase, [*asked, "--out", str(out)], input=f"{ref}\nn\n")
    assert refused.exit_code == 1
    assert ref not in refused.output
    assert person_of(world, ref) is not None
    done = run(erase, [*asked, "--out", str(out)], input=f"{ref}\ny\n", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert person_of(world, ref) is None
    assert "cannot be undone" in done.output
    receipt = json.loads(out.read_text())
    erasure_id = receipt["erasure"]["erasure_id"]
    assert erasure_id in done.output

    again = run(erase, ["receipt", erasure_id, *dpo, "--json"], catch_exceptions=False)
    # The hub of the test logs its requests on the same output.
    assert json.loads(again.output[again.output.index("{\n") :])["erasure"] == receipt["erasure"]
    kept = run(erase, ["agreements", erasure_id, *dpo, "--complaint", "2026-17"], catch_exceptions=False)
    assert "granted" in kept.output

    keys = ["--keys", str(keys_file(world, tmp_path / "keys.json"))]
    for language, words in (("fr", "REÇU D’EFFACEMENT VALABLE"), ("en", "VALID ERASURE RECEIPT")):
        checked = run(verify, [str(out), *keys, "--language", language], catch_exceptions=False)
        assert checked.exit_code == 0, checked.output
        assert checked.output.startswith(words)
        assert "14" in checked.output  # final on 14 February: 30 days
    told = json.loads(run(verify, [str(out), *keys, "--json"]).output)
    assert (told["holds"], told["decision"]["request_number"]) == (True, "2026-17")
    receipt["erasure"]["rows"]["token"] += 1
    out.write_text(json.dumps(receipt))
    checked = run(verify, [str(out), *keys])
    assert checked.exit_code == 1
    assert checked.output.startswith("REÇU REFUSÉ")


def test_no_name_is_taken_for_a_number_and_no_file_is_overwritten(
    world: World, life: Life, dpo: list[str], tmp_path: Path
) -> None:
    asked = ["person", *dpo, "--partner", "departement", "--ref", life.refs["departement"], "--reason", PROOF_KEPT]
    named = CliRunner().invoke(erase, [*asked, "--request-number", "Mme Martin", "--yes"])
    assert isinstance(named.exception, MaillonError)
    assert named.exception.kind is ErrorKind.SCHEMA
    out = tmp_path / "there.json"
    out.write_text("{}")
    taken = CliRunner().invoke(erase, [*asked, "--request-number", "2026-17", "--yes", "--out", str(out)])
    assert isinstance(taken.exception, MaillonError)
    assert taken.exception.kind is ErrorKind.CONFLICT
    assert person_of(world, life.refs["departement"]) is not None
