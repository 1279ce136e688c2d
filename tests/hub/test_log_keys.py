"""The log changes its key: whoever has the keys file afterwards checks receipts from before, between and after."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit.receipts.check import KeysFile, check_receipt
from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import fingerprint
from consent.ledger.checkpoint import SignerKey
from consent.ledger.exact import LedgerError
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from hub.app import close_hub, create_app
from hub.cli.main import cli
from hub.services import log
from schemas.registry import validator
from tests.hub.conftest import World

Document = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    close_hub(world.hub)


def keys_of_the_log(world: World) -> list[SignerKey]:
    """The first key of the hub, and two to come."""
    (first,) = world.home.log_signers(world.settings.origin)
    return [first, *(SignerKey.from_seed(first.name, bytes([n]) * 32) for n in (1, 2))]


def restart(world: World, *held: SignerKey) -> None:
    close_hub(world.hub)
    (world.home.path / "log.keys").write_text("".join(f"{key.skey}\n" for key in held))
    world.app = create_app(world.settings, clock=world.clock, sources=world.edges)


def receipt(world: World) -> Document:
    ref = world.register("departement", 1)
    found: Document = world.consent(ref, EventKind.DENIED, fields=("contact.telephone",), notice=None)["receipt"]
    return found


def name_in_the_directory(world: World, key: SignerKey) -> None:
    world.entries["hub"] = replace(world.entries["hub"], log_key=key.verifier.vkey)
    world.sign_directory()
    world.hub.directory.refresh()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def rotated(world: World) -> list[Document]:
    """Receipts under the first key, under two, under the second, under two again, under the third."""
    first, second, third = keys_of_the_log(world)
    receipts = [receipt(world)]
    for held in ((first, second), (second,), (second, third), (third,)):
        restart(world, *held)
        receipts.append(receipt(world))
    return receipts


def test_every_receipt_verifies_after_the_key_has_changed_twice(world: World, tmp_path: Path) -> None:
    receipts = rotated(world)
    (third,) = world.home.log_signers(world.settings.origin)
    out = tmp_path / "cles.json"
    home = world.home.path
    # The directory still names the first key; then the last one.
    for named in (None, third):
        if named is not None:
            name_in_the_directory(world, named)
        assert run("log", "keys", "--home", home, "--out", out).exit_code == 0
        keys = KeysFile.read(out)
        assert [change["action"] for change in keys.content["key_changes"]] == ["introduce", "retire"] * 2
        keys.check_root(fingerprint(world.root.public_jwk))
        for each in receipts:
            assert check_receipt(each, keys.keys).verdict.code is None
        recu = tmp_path / "recu.json"
        recu.write_text(json.dumps(receipts[0]))
        checked = run("verify", recu, "--keys", out, "--root", fingerprint(world.root.public_jwk))
        assert checked.exit_code == 0, checked.output
    # The keys of the directory alone, as before: the last receipt holds, the first does not.
    alone = TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk))
    codes = [check_receipt(each, alone).verdict.code for each in receipts]
    assert codes[0] is not None
    assert codes[-1] is None


def test_anybody_gets_them_from_the_hub(world: World) -> None:
    rotated(world)
    told = world.client.get("/log/keys")
    validator("log_keys").check(told.get_json())
    assert told.status_code == 200
    content = keys_file(world.directory, world.root.public_jwk, changes=told.get_json())
    (third,) = world.home.log_signers(world.settings.origin)
    assert TrustedKeys.parse(content).history.at(10**9) == {third.verifier}
    assert world.client.get("/log/keys?x=1").status_code == 400


def test_a_key_nobody_named_is_not_vouched_for_by_the_root(world: World, tmp_path: Path) -> None:
    rotated(world)
    (third,) = world.home.log_signers(world.settings.origin)
    name_in_the_directory(world, third)
    told = world.client.get("/log/keys").get_json()
    thief = SignerKey.from_seed(third.name, b"t" * 32).verifier.vkey
    # In place of the first, beside it, and in place of all of them.
    for stolen in ([thief], [*told["log"], thief]):
        with pytest.raises(MaillonError) as refused:
            keys_file(world.directory, world.root.public_jwk, changes={**told, "log": stolen})
        assert refused.value.kind is ErrorKind.CONFIGURATION
    with pytest.raises(MaillonError) as refused:
        keys_file(world.directory, world.root.public_jwk, changes={"log": [thief], "key_changes": []})
    assert refused.value.kind is ErrorKind.UNTRUSTED_KEY
    out = tmp_path / "cles.json"
    content = keys_file(world.directory, world.root.public_jwk, changes=told)
    forged = copy.deepcopy(content)
    forged["log"], forged["key_changes"] = [thief], []
    out.write_text(json.dumps(forged))
    with pytest.raises(MaillonError) as refused:
        KeysFile.read(out).check_root(fingerprint(world.root.public_jwk))
    assert refused.value.kind is ErrorKind.UNTRUSTED_KEY


def test_a_thief_cannot_put_himself_before_the_key_the_root_names(world: World) -> None:
    """The proof that the named key came in is real, and everybody may sign it too: its leaf names who was before."""
    first, second, _ = keys_of_the_log(world)
    receipt(world)
    restart(world, first, second)
    name_in_the_directory(world, second)
    told = world.client.get("/log/keys").get_json()
    thief = SignerKey.from_seed(first.name, b"t" * 32)
    head, gap, note = told["key_changes"][0]["proof"].partition("\n\n")
    text = note.partition("\n\n")[0] + "\n"
    told["key_changes"][0]["proof"] = head + gap + note + thief.sign(text.encode(), None).decode()
    keys_file(world.directory, world.root.public_jwk, changes=told)  # a stranger's line changes nothing
    with pytest.raises(MaillonError) as refused:
        keys_file(world.directory, world.root.public_jwk, changes={**told, "log": [thief.verifier.vkey]})
    assert refused.value.detail == "keys file: root"


def test_the_proof_of_a_change_outlives_the_thinning_of_checkpoints(world: World) -> None:
    first, second, _ = keys_of_the_log(world)
    receipt(world)
    restart(world, first, second)  # introduced and retired within one hour, which keeps its last checkpoint alone
    receipt(world)
    restart(world, second)
    receipt(world)
    world.clock.advance(timedelta(days=2))
    world._tokens.clear()
    world.register("caf", 3)
    assert world.hub.writer.run(log.thin) > 0
    told = world.client.get("/log/keys").get_json()
    assert TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk, changes=told)).history.at(1) == {
        first.verifier
    }


def test_a_home_that_was_never_served_has_the_directorys_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    close_hub(world.hub)
    out = run("log", "keys", "--home", world.home.path)
    assert json.loads(out.output)["key_changes"] == []
    with pytest.raises(LedgerError):
        TrustedKeys.parse(json.loads(out.output) | {"log": []})
