"""``maillon log keys|fsck|export`` and ``maillon verify FOLDER``, on the files of a real hub that has stopped."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.trust import fingerprint
from consent.ledger.checkpoint import Checkpoint, SignerKey, sign
from hub.cli.main import cli
from tests.attacks.log_world import Kept, build, owner
from tests.receipts.world import World


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return build(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def home(kept: Kept, tmp_path: Path) -> Path:
    return kept.copy(tmp_path)


@pytest.fixture
def keys(home: Path, tmp_path: Path) -> Path:
    out = tmp_path / "cles.json"
    assert run("log", "keys", "--home", home, "--no-witness", "--out", out).exit_code == 0
    return out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_the_keys_come_from_the_directory_and_its_root(kept: Kept, home: Path, keys: Path) -> None:
    content = json.loads(keys.read_text())
    assert content["log"] == [kept.directory.partner("hub").log_key]
    told = json.loads(run("log", "keys", "--home", home, "--no-witness", "--out", keys, "--json").output)
    assert told["root_fingerprint"] == fingerprint(content["collectors"]["root"])
    assert json.loads(run("log", "keys", "--home", home, "--no-witness").output) == content


def test_who_witnesses_is_chosen(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "root.pub.jwk").write_text(json.dumps(world.root.public_jwk))
    (tmp_path / "directory.jws").write_text(world.directory.jws)
    told = [
        json.loads(run("log", "keys", "--home", tmp_path, *options).output)
        for options in ((), ("--witness", "caf"), ("--no-witness",), ("--witness", "caf", "--witness", "cpam"))
    ]
    assert [(len(each["witnesses"]), each["quorum"]) for each in told] == [(3, 2), (1, 1), (0, 0), (2, 2)]
    refused = run("log", "keys", "--home", tmp_path, "--witness", "nobody").exception
    assert isinstance(refused, MaillonError)
    assert refused.kind is ErrorKind.CONFIGURATION


def test_keys_of_a_folder_without_a_directory(tmp_path: Path) -> None:
    refused = run("log", "keys", "--home", tmp_path).exception
    assert isinstance(refused, MaillonError)
    assert refused.kind is ErrorKind.CONFIGURATION


def test_fsck_of_a_home_of_a_copy_and_of_the_database_alone(kept: Kept, home: Path, keys: Path, tmp_path: Path) -> None:
    outside = tmp_path / "checkpoint"
    outside.write_bytes(kept.outside)
    found = json.loads(run("log", "fsck", "--home", home, "--against", outside, "--json").stdout)
    assert found["finding"] is None
    assert found["opened"] == found["leaves"] > 10
    assert json.loads(run("log", "fsck", "--home", home, "--keys", keys, "--json").stdout)["finding"] is None
    alone = shutil.copy(home / "hub.db", tmp_path / "alone.db")
    found = json.loads(run("log", "fsck", "--db", alone, "--keys", keys, "--against", outside, "--json").stdout)
    assert (found["finding"], found["opened"]) == (None, 0)
    text = run("log", "fsck", "--home", home)
    assert text.exit_code == 0
    assert "Not compared with a checkpoint kept elsewhere" in text.stdout


def test_fsck_names_the_first_thing_wrong(home: Path) -> None:
    with owner(home) as connection:
        connection.execute("UPDATE journal SET commitment = zeroblob(32) WHERE seq = 3")
    result = run("log", "fsck", "--home", home)
    assert result.exit_code == 1
    assert "WRONG: journal, seq 3: the event's row was altered" in result.stdout
    found = json.loads(run("log", "fsck", "--home", home, "--json").stdout)["finding"]
    assert found == {"table": "journal", "place": "seq 3", "code": "leaf"}


def test_fsck_changes_nothing(home: Path) -> None:
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file() and "-shm" not in path.name}
    assert run("log", "fsck", "--home", home).exit_code == 0
    after = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file() and "-shm" not in path.name}
    assert {name: data for name, data in after.items() if data} == before


def test_fsck_asked_wrongly(home: Path, tmp_path: Path) -> None:
    assert run("log", "fsck").exit_code == 2
    assert run("log", "fsck", "--home", home, "--db", home / "hub.db").exit_code == 2
    assert run("log", "fsck", "--db", home / "hub.db").exit_code == 2
    broken = tmp_path / "hub.db"
    broken.write_bytes(b"no database at all" * 100)
    keys = tmp_path / "k.json"
    run("log", "keys", "--home", home, "--out", keys)
    refused = run("log", "fsck", "--db", broken, "--keys", keys).exception
    assert isinstance(refused, MaillonError)


def test_a_checkpoint_of_another_log_is_said_to_be_one(home: Path, tmp_path: Path) -> None:
    other = SignerKey.from_seed("other.example/log", b"o" * 32)
    note = tmp_path / "checkpoint"
    note.write_bytes(sign(Checkpoint(other.name, 1, b"r" * 32), [other]))
    found = json.loads(run("log", "fsck", "--home", home, "--against", note, "--json").stdout)["finding"]
    assert found["code"] == "against"


def test_an_export_holds_by_its_files_alone(home: Path, keys: Path, tmp_path: Path) -> None:
    out = tmp_path / "journal"
    told = json.loads(run("log", "export", "--home", home, "--out", out, "--json").output)
    assert told["leaves"] > 10
    shutil.rmtree(home)
    checked = run("verify", out, "--keys", keys)
    assert checked.exit_code == 0, checked.output
    assert checked.output.startswith(f"JOURNAL ENTIER : {told['leaves']} événements")
    again = run("log", "export", "--db", tmp_path / "none", "--out", out)
    assert again.exit_code == 2


def test_an_export_altered_anywhere_is_refused(home: Path, keys: Path, tmp_path: Path) -> None:
    out = tmp_path / "journal"
    assert run("log", "export", "--home", home, "--out", out).exit_code == 0
    for path in [each for each in sorted(out.rglob("*")) if each.is_file()]:
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert run("verify", out, "--keys", keys).exit_code == 1, (path.name, at)
        path.write_bytes(whole[:-1])
        assert run("verify", out, "--keys", keys).exit_code == 1
        path.unlink()
        assert run("verify", out, "--keys", keys).exit_code == 1
        path.write_bytes(whole)
    assert run("verify", out, "--keys", keys).exit_code == 0


def test_an_export_says_nothing_of_anyone(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "journal"
    assert run("log", "export", "--home", home, "--out", out).exit_code == 0
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    connection = sqlite3.connect(home / "hub.db")
    persons = [row[0] for row in connection.execute("SELECT person_id FROM person")]
    words = [row[0] for row in connection.execute("SELECT DISTINCT partner FROM access_event")]
    connection.close()
    for word in (*persons, *words, "accompagnement_global", "granted"):
        # Three letters turn up in random bytes now and then: a short word is looked for as a content would hold it.
        looked_for = word if len(word) > 6 else f'"{word}"'
        assert looked_for.encode() not in everything
