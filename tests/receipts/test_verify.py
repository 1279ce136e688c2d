"""``maillon verify``: what holds, what does not, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit.receipts.check import check_receipt, digest_of, grouped
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import fingerprint
from consent.ledger.envelope import Link
from consent.ledger.receipt import MAX_BYTES, Receipt
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from hub.cli.main import cli
from schemas.registry import validator
from tests.kit.world import AT, PURPOSE
from tests.ledger.world import log_key
from tests.receipts.world import World


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def written(world: World, folder: Path, receipt: Receipt | None = None) -> tuple[Path, Path]:
    return world.write(folder, receipt or world.receipt_of(world.consent()))


def test_a_true_receipt_holds_and_says_what_it_does_not_prove(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    result = run("verify", receipt, "--keys", keys)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("REÇU VALABLE\n")
    assert "Vous avez donné votre accord, le 12 janvier 2026 à 10 h 00" in result.output
    assert "Ce qu’il ne prouve pas :" in result.output
    assert "un événement plus récent a pu le changer" in result.output
    assert fingerprint(world.root.public_jwk) in result.output


def test_a_machine_reads_the_same(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    found = json.loads(run("verify", receipt, "--keys", keys, "--json").output)
    assert found["holds"] is True
    assert found["is_witnessed"] is True
    assert len(found["witnesses"]) == 3
    assert found["digest"] == digest_of(json.loads(receipt.read_bytes()))
    assert found["record"]["kind"] == "granted"
    assert all(found["does_not_prove"].values())


def test_english_on_demand(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    result = run("verify", receipt, "--keys", keys, "--language", "en")
    assert result.output.startswith("VALID RECEIPT\n")


@pytest.mark.parametrize(("cosigned", "code"), [(0, 4), (1, 4), (2, 0), (3, 0)])
def test_too_few_witnesses_is_said_apart(world: World, tmp_path: Path, cosigned: int, code: int) -> None:
    receipt, keys = written(world, tmp_path, world.receipt_of(world.consent(), cosigned=cosigned))
    result = run("verify", receipt, "--keys", keys)
    assert result.exit_code == code
    assert ("TROP PEU DE TÉMOINS" in result.output) is (code == 4)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"v":1,"v":1}', "null"])
def test_what_is_no_receipt_is_unusable(world: World, tmp_path: Path, content: str) -> None:
    receipt, keys = written(world, tmp_path)
    receipt.write_text(content)
    assert run("verify", receipt, "--keys", keys).exit_code == 2


def test_what_is_no_keys_file_is_unusable(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    content = json.loads(keys.read_text())
    for broken in ({}, content | {"quorum": 1}, content | {"log": []}, content | {"collectors": {"x": ["y"]}}):
        keys.write_text(json.dumps(broken))
        result = run("verify", receipt, "--keys", keys)
        assert result.exit_code == 2, broken
    assert run("verify", receipt, "--keys", tmp_path / "absent").exit_code == 2


def test_an_object_that_is_no_receipt_is_refused(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    receipt.write_text("{}")
    result = run("verify", receipt, "--keys", keys)
    assert result.exit_code == 1
    assert "n’est pas un reçu" in result.output


def test_the_root_is_compared_by_its_fingerprint(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    right = fingerprint(world.root.public_jwk)
    assert run("verify", receipt, "--keys", keys, "--root", right.upper()).exit_code == 0
    wrong = run("verify", receipt, "--keys", keys, "--root", "0" * 64)
    assert wrong.exit_code == 1
    assert isinstance(wrong.exception, MaillonError)
    assert wrong.exception.kind is ErrorKind.UNTRUSTED_KEY


def test_keys_the_root_does_not_name_are_not_hers(world: World, tmp_path: Path) -> None:
    """The hub's operator makes a log of its own, and keys that would pass it."""
    own = log_key("operator", world.log.origin)
    receipt, keys = written(world, tmp_path, world.receipt_of(world.consent(), signers=[own], cosigned=0))
    content = json.loads(keys.read_text()) | {"log": [own.verifier.vkey], "witnesses": [], "quorum": 0}
    keys.write_text(json.dumps(content))
    assert run("verify", receipt, "--keys", keys).exit_code == 0
    assert run("verify", receipt, "--keys", keys, "--root", fingerprint(world.root.public_jwk)).exit_code == 1


def test_the_text_shown_and_the_page_are_held_against_it(world: World, tmp_path: Path) -> None:
    receipt, keys = written(world, tmp_path)
    shown = next(n for n in world.policy.notices if n.purpose == PURPOSE and n.regime == "accord")
    notice = tmp_path / "fr.md"
    notice.write_bytes(shown.texts["fr"].encode())
    digest = grouped(digest_of(json.loads(receipt.read_bytes())))
    same = ("--notice", notice, "--digest", f"maillon-recu:v1:{digest.replace(' ', '')}")
    assert run("verify", receipt, "--keys", keys, *same).exit_code == 0
    assert run("verify", receipt, "--keys", keys, "--digest", digest).exit_code == 0
    notice.write_bytes(b"another text")
    assert run("verify", receipt, "--keys", keys, "--notice", notice).exit_code == 1
    assert run("verify", receipt, "--keys", keys, "--digest", "ab" * 32).exit_code == 1


def _forgeries(world: World) -> dict[str, Receipt]:
    event, other = world.consent(), world.consent(fields=("droits.rsa.date_debut_droit",))
    good, elsewhere = world.receipt_of(event), world.receipt_of(other)
    rogue = log_key("rogue", world.log.origin)
    return {
        "another record under this proof": replace(good, record=elsewhere.record),
        "another proof under this record": replace(good, proof=elsewhere.proof),
        "another notice": replace(good, notice_sha256="0" * 64),
        "no notice": replace(good, notice_sha256=None),
        "back-dated by an hour": replace(good, leaf=replace(good.leaf, at_us=good.leaf.at_us - 3_600_000_000)),
        "another salt": replace(good, r32=elsewhere.r32),
        "another place in the person's history": replace(good, link=Link(2, bytes(32))),
        "no history": replace(good, link=None),
        "another event id": replace(good, leaf=replace(good.leaf, event_id=elsewhere.leaf.event_id)),
        "another ciphertext": replace(good, leaf=replace(good.leaf, ciphertext_digest=bytes(32))),
        "a checkpoint of another key": world.receipt_of(event, signers=[rogue]),
        "logged an hour after the collector's key ended": world.receipt_of(event, at=AT),
        "logged before it was said": world.receipt_of(event, at=AT - timedelta(days=4)),
    }


def test_every_forgery_is_refused(world: World, tmp_path: Path) -> None:
    for name, forged in _forgeries(world).items():
        verdict = check_receipt(json.loads(forged.encode()), world.trusted).verdict
        assert not verdict.holds, name
        assert verdict.reason("fr"), name


def test_a_collector_nobody_named_is_refused(world: World, tmp_path: Path) -> None:
    receipt = json.loads(world.receipt_of(world.consent()).encode())
    suspended = world.sign_directory(2, departement={"can_collect": False})
    content: dict[str, Any] = json.loads(json.dumps(world.keys_content))
    content["collectors"]["directory"] = suspended.jws
    assert check_receipt(receipt, TrustedKeys.parse(content)).verdict.code == "collector_unknown"


@pytest.mark.parametrize("kind", [EventKind.GRANTED, EventKind.DENIED, EventKind.PROTECTED])
def test_the_receipt_of_any_event_fits(world: World, kind: EventKind) -> None:
    """All 214 fields of the dossier, the depth of a million leaves, three cosignatures."""
    paths = tuple(world.policy.index.paths(world.policy.index.full))
    changes: dict[str, Any] = {"kind": kind, "fields": paths}
    if kind is EventKind.PROTECTED:
        changes |= {"purpose": None, "notice": None, "cause": "protection_renforcee"}
    receipt = world.deep_receipt(world.consent(**changes))
    assert len(receipt.encode()) <= MAX_BYTES
    checked = check_receipt(json.loads(receipt.encode()), world.trusted)
    assert (checked.verdict.code, checked.verdict.size, len(checked.verdict.witnesses)) == (None, 1_000_000, 3)


def test_protections_are_not_told_in_words(world: World, tmp_path: Path) -> None:
    event = world.consent(kind=EventKind.PROTECTED, purpose=None, notice=None, cause="protection_renforcee")
    receipt, keys = written(world, tmp_path, world.receipt_of(event))
    result = run("verify", receipt, "--keys", keys)
    assert result.exit_code == 0
    assert "contact" not in result.output.lower()


def test_it_takes_less_than_half_a_second_from_a_cold_start(world: World, tmp_path: Path) -> None:
    """CPU time, best of three: the machine may be doing something else meanwhile."""
    receipt, keys = written(world, tmp_path, world.deep_receipt(world.consent()))
    command = [sys.executable, "-m", "hub.cli", "verify", str(receipt), "--keys", str(keys)]
    spent = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        after = os.times()
        assert done.returncode == 0, done.stderr
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert 0.01 < min(spent) < 0.5


def test_it_needs_nothing_of_the_hub() -> None:
    """Neither the network nor the database nor the web: what a stranger runs stays small."""
    code = (
        "import sys, hub.cli.verify\n"
        "heavy = {'flask', 'sqlalchemy', 'requests', 'granian', 'joserfc', 'lxml', 'jsonschema', 'jsonschema_rs'}\n"
        "print(sorted(set(sys.modules) & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_both_forms_follow_the_schema(world: World) -> None:
    paths = tuple(world.policy.index.paths(world.policy.index.full))
    forms = set()
    for fields in (paths[:1], paths):
        value = json.loads(world.receipt_of(world.consent(fields=fields), cosigned=2).encode())
        validator("receipt").check(value)
        forms |= set(value["record"])
    assert {"payload", "deflated"} <= forms
