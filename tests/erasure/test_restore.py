"""Backups, and putting them back with real files: every later erasure is done again before the hub serves anybody."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from connectors.kit.alone import alone
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from hub.app import close_hub, open_hub
from hub.cli.backup import backup, restore
from hub.erasure_register import ErasureRegister
from hub.restore import Backups, Report, drill, key_files
from hub.restore import restore as put_back
from hub.services import log
from hub.services.register import resolve
from hub.services.runtime import Hub
from hub.store import persons
from hub.store.backup import copy_database, copy_files, made_at, new_name, prune
from hub.store.engine import open_engine
from tests.erasure.conftest import NOTHING_KEPT, PROOF_KEPT, Life, erase, is_whole, later, live, person_of
from tests.erasure.test_gone import found, marks_of, secrets_in_clear
from tests.erasure.test_joined import Town, two
from tests.hub.conftest import World


@dataclass
class Old:
    """Copies from before somebody was erased, and what that somebody could be found by."""

    backups: Backups
    erased: Life
    other: Life
    marks: dict[str, bytes]


def copies(world: World, folder: Path) -> Backups:
    at = world.clock.now()
    made = {}
    for kind, file in (("hub", world.home.database), ("secrets", world.home.secrets)):
        engine = open_engine(file, read_only=True)
        made[kind] = new_name(folder, kind, at)
        copy_database(engine, made[kind])
        engine.dispose()
    keys = new_name(folder, "keys", at)
    copy_files(key_files(world.home), keys)
    return Backups(made["hub"], made["secrets"], keys)


@pytest.fixture
def old(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Old:
    """Two persons of different buckets, a backup, then one is erased and somebody new comes."""
    lives = []
    for number, bucket in ((1, "0a1"), (2, "0b2")):
        monkeypatch.setattr(persons, "new_uuid", lambda bucket=bucket: f"{bucket}{new_uuid()[3:]}")
        lives.append(live(world, number))
    monkeypatch.setattr(persons, "new_uuid", new_uuid)
    marks = marks_of(world, lives[0], 1)
    backups = copies(world, tmp_path / "copies")
    later(world, hours=1)
    erase(world, lives[0].refs["departement"], PROOF_KEPT)
    live(world, 3)
    close_hub(world.hub)
    return Old(backups, *lives, marks)


@contextmanager
def served(world: World) -> Iterator[Hub]:
    hub = open_hub(world.settings, clock=world.clock, sources=world.edges)
    try:
        yield hub
    finally:
        close_hub(hub)


def by_hand(world: World, backups: Backups) -> None:
    """What somebody in a hurry does: stop, copy the old files over, start."""
    for source, target in ((backups.hub, world.home.database), (backups.secrets, world.home.secrets)):
        for end in ("-wal", "-shm"):
            target.with_name(target.name + end).unlink(missing_ok=True)
        if source is not None:
            shutil.copy(source, target)


def test_an_older_database_does_not_start(world: World, old: Old) -> None:
    by_hand(world, Backups(hub=old.backups.hub))
    with pytest.raises(MaillonError, match="maillon restore") as refused, served(world):
        pass
    assert refused.value.kind is ErrorKind.CONFIGURATION
    # The size alone tells, without an erasure in between; the register alone, without the size.
    register, seen = world.home.erasures.read_bytes(), world.home.log_seen.read_bytes()
    for kept, gone in ((world.home.log_seen, world.home.erasures), (world.home.erasures, world.home.log_seen)):
        world.home.erasures.write_bytes(register)
        world.home.erasures.chmod(0o600)
        world.home.log_seen.write_bytes(seen)
        gone.unlink()
        assert kept.exists()
        with pytest.raises(MaillonError, match="maillon restore"), served(world):
            pass


def test_a_restored_backup_has_its_erasures_again(world: World, old: Old) -> None:
    report = put_back(world.home, old.backups, world.clock)
    assert (report.replayed, report.lost, report.persons) == (1, 0, 1)
    assert report.size < report.seen
    with served(world) as hub:
        lookup = lambda life: hub.reads.run(  # noqa: E731
            lambda uow: resolve(uow, hub.keyring, "departement", life.refs["departement"])
        )
        assert lookup(old.erased) is None
        assert lookup(old.other) is not None
        assert is_whole(world)
        (again,) = hub.reads.run(lambda uow: uow.erasures.all())
        (entry,) = hub.eraser.register.entries()
        assert (again.erasure_id, again.kept_until) == (entry.erasure_id, entry.proof_until)
        kept = hub.reads.run(lambda uow: uow.erasures.kept(again.erasure_id, uow.secrets))
        assert len(kept) == 1
        event = hub.reads.run(lambda uow: log.opening_about_no_one(uow, again.seq))
        assert event.body["replayed"] is True
    contents = {name for name in old.marks if name.startswith("content")}  # kept as proof
    shutil.rmtree(Path(str(report.replaced)))
    assert found(world.home.path, old.marks) == contents


@pytest.mark.parametrize("moment", ["before they were joined", "while they were one"])
@pytest.mark.parametrize("reason", [NOTHING_KEPT, PROOF_KEPT])
def test_who_turned_out_to_be_one_is_erased_again_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, reason: str
) -> None:
    """Each by its own mark, whatever the copy knows of their being one; a neighbour stays."""
    monkeypatch.setattr(persons, "new_uuid", lambda: f"0a1{new_uuid()[3:]}")
    town = Town(world, tmp_path / "files")
    two(town)
    monkeypatch.setattr(persons, "new_uuid", lambda: f"0b2{new_uuid()[3:]}")
    neighbour = live(world, 9)
    monkeypatch.setattr(persons, "new_uuid", new_uuid)
    made = copies(world, tmp_path / "copies") if moment == "before they were joined" else None
    town.join_all()
    made = made or copies(world, tmp_path / "copies")
    ids = town.family(town.whom(("caf", 1)))
    assert len(ids) == 2
    later(world, hours=1)
    erase(world, town.refs["departement", 1], reason)
    close_hub(world.hub)
    for _ in range(2):  # and once more, from the same copy
        report = put_back(world.home, made, world.clock)
        assert (report.replayed, report.lost, report.persons) == (1, 0, 1)
        shutil.rmtree(Path(str(report.replaced)))
        with served(world) as hub:
            (again,) = hub.reads.run(lambda uow: uow.erasures.all())
            kept = hub.reads.run(lambda uow, row=again: uow.erasures.kept(row.erasure_id, uow.secrets))  # type: ignore[misc]
            assert len(kept) == (2 if reason == PROOF_KEPT else 0)
            lookup = lambda slug, ref: hub.reads.run(lambda uow: resolve(uow, hub.keyring, slug, ref))  # noqa: E731
            assert [lookup(slug, ref) for (slug, _), ref in town.refs.items()] == [None] * 3
            assert lookup("caf", neighbour.refs["caf"]) is not None
            assert is_whole(world)
        assert found(world.home.path, {each: each.encode() for each in ids}) == set()
        later(world, hours=1)


def test_what_stood_there_is_moved_aside_and_back_again_when_the_copy_is_no_good(world: World, old: Old) -> None:
    before = {path.name: path.read_bytes() for path in key_files(world.home) if path.is_file()}
    broken = old.backups.hub.with_name("hub-20260115T090000000001Z.db")  # type: ignore[union-attr]
    content = bytearray(old.backups.hub.read_bytes())  # type: ignore[union-attr]
    content[5000:9000] = bytes(4000)
    broken.write_bytes(content)
    with pytest.raises(MaillonError) as refused:
        put_back(world.home, Backups(broken, old.backups.secrets), world.clock)
    assert refused.value.kind is ErrorKind.CONFIGURATION
    # An older hub.db over newer secrets.db is a whole file, and refused only once it is open.
    with served(world) as hub:
        assert hub.reads.run(lambda uow: uow.persons.count()) == 2
    with pytest.raises(MaillonError) as refused:
        put_back(world.home, Backups(old.backups.hub, old.backups.secrets, None), world.clock, accept_loss=False)
    assert refused.value.kind is ErrorKind.CONFLICT  # the erased person's secrets: today's keys do not open them
    with served(world) as hub:
        assert hub.reads.run(lambda uow: uow.persons.count()) == 2
    assert {path.name: path.read_bytes() for path in key_files(world.home) if path.name in before} == before
    assert not list(world.home.path.glob("replaced-*"))


def test_secrets_that_do_not_open_are_given_up_only_when_told(world: World, old: Old) -> None:
    report = put_back(world.home, replace_keys(old.backups), world.clock, accept_loss=True)
    assert (report.lost, report.replayed, report.persons) == (1, 1, 1)
    with served(world):
        assert is_whole(world)


def replace_keys(backups: Backups) -> Backups:
    return Backups(backups.hub, backups.secrets, None)


def test_a_running_hub_is_not_restored_under(world: World, old: Old) -> None:
    with alone(world.home.path / ".running", "this hub"), pytest.raises(MaillonError) as refused:
        put_back(world.home, old.backups, world.clock)
    assert refused.value.kind is ErrorKind.CONFLICT


def test_a_machine_that_was_lost_is_made_again_from_copies_alone(world: World, old: Old, tmp_path: Path) -> None:
    register = world.home.erasures.read_bytes()
    shutil.rmtree(world.home.path)
    report = put_back(world.home, old.backups, world.clock)
    # The register was copied before the erasure: what came after the last copy of it is for the DPO to enter again.
    assert (report.replayed, report.persons) == (0, 2)
    shutil.rmtree(world.home.path)
    assert old.backups.keys is not None
    (old.backups.keys / world.home.erasures.name).write_bytes(register)
    (old.backups.keys / world.home.erasures.name).chmod(0o600)
    report = put_back(world.home, old.backups, world.clock)
    assert (report.replayed, report.persons) == (1, 1)


def test_the_drill_does_it_all_and_touches_nothing(world: World, old: Old) -> None:
    before = {path: path.read_bytes() for path in sorted(world.home.path.rglob("*")) if path.is_file()}
    report = drill(world.home, Backups(old.backups.hub, old.backups.secrets, old.backups.keys), world.clock)
    assert (report.replayed, report.lost, report.persons) == (1, 0, 1)
    assert isinstance(report, Report)
    assert {path: path.read_bytes() for path in sorted(world.home.path.rglob("*")) if path.is_file()} == before
    with pytest.raises(MaillonError):
        drill(world.home, Backups(hub=old.backups.hub), world.clock)


def test_a_deleted_content_is_found_whoever_deleted_it(world: World, life: Life) -> None:
    erase(world, life.refs["departement"])
    live(world, 2)
    close_hub(world.hub)
    assert is_whole(world)
    whole = world.home.database.read_bytes()
    for change in (
        "UPDATE journal SET sealed = NULL WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE journal SET sealed = NULL, emptied_by = (SELECT seq FROM erasure) WHERE seq = "
        "(SELECT min(seq) FROM journal WHERE class = 'access' AND sealed IS NOT NULL)",
        "UPDATE journal SET emptied_by = 1 WHERE emptied_by IS NOT NULL",
        "UPDATE journal SET sealed = NULL, emptied_by = seq WHERE seq = (SELECT seq FROM erasure)",
    ):
        engine = open_engine(world.home.database)
        with engine.begin() as connection:
            found_by = text("SELECT sql FROM sqlite_master WHERE name = 'journal_no_update'")
            trigger = connection.execute(found_by).scalar()
            connection.execute(text("DROP TRIGGER journal_no_update"))
            assert connection.execute(text(change)).rowcount == 1
            connection.exec_driver_sql(str(trigger))
        engine.dispose()
        with pytest.raises(AssertionError, match="Finding"):
            is_whole(world)
        world.home.database.write_bytes(whole)
        for end in ("-wal", "-shm"):
            world.home.database.with_name(world.home.database.name + end).unlink(missing_ok=True)
    assert is_whole(world)


# --- the copies themselves --------------------------------------------------------------------------------------------


def test_copies_are_private_whole_and_never_overwrite(world: World, life: Life, tmp_path: Path) -> None:
    made = copies(world, tmp_path / "copies")
    assert made.hub is not None
    assert made.keys is not None
    for file in (*(tmp_path / "copies").glob("*.db"), *made.keys.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (tmp_path / "copies", made.keys):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in made.keys.iterdir()} >= {"keyring.json", "wrapping.keys", "log.keys", "hub.toml"}
    engine = open_engine(world.home.database)
    with pytest.raises(MaillonError) as refused:
        copy_database(engine, made.hub)
    assert refused.value.kind is ErrorKind.CONFLICT
    with pytest.raises(MaillonError) as refused:
        copy_files(key_files(world.home), made.keys)
    assert refused.value.kind is ErrorKind.CONFLICT
    with pytest.raises(MaillonError) as refused:
        copy_database(engine, tmp_path / "nowhere" / "hub.db")
    assert refused.value.kind is ErrorKind.STORAGE
    engine.dispose()
    copy = open_engine(made.hub)
    with copy.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert connection.execute(text("SELECT count(*) FROM person")).scalar_one() == 1
    copy.dispose()


def test_old_copies_go_and_nothing_else(tmp_path: Path) -> None:
    at = datetime(2026, 3, 31, 12, tzinfo=UTC)
    for kind in ("hub", "secrets"):
        for days in (0, 6, 7, 8, 40):
            new_name(tmp_path, kind, at - timedelta(days=days)).write_bytes(b"x")
    new_name(tmp_path, "keys", at - timedelta(days=9)).mkdir()
    for other in ("notes.txt", "secrets-2026.db", "secrets-20260101T000000000000Z.db.gpg"):
        (tmp_path / other).write_bytes(b"x")
    removed = prune(tmp_path, "secrets", at, 7)
    assert sorted(made_at(tmp_path / name) for name in removed) == [at - timedelta(days=d) for d in (40, 8, 7)]  # type: ignore[type-var]
    assert len(list(tmp_path.glob("hub-*"))) == 5
    assert len(list(tmp_path.iterdir())) == 5 + 2 + 1 + 3
    assert prune(tmp_path, "keys", at, 7) == ["keys-20260322T120000000000Z"]


def test_by_command(world: World, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cli.backup.SystemClock", lambda: world.clock)
    home, runner = ["--home", str(world.home.path)], CliRunner()
    for kind in ("hub", "secrets", "keys"):
        done = runner.invoke(backup, [kind, str(tmp_path / "by_command"), *home], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "by_command").iterdir())) == 3
    files = ["--hub", str(old.backups.hub), "--secrets", str(old.backups.secrets), "--keys", str(old.backups.keys)]
    done = runner.invoke(restore, ["drill", *home, *files, "--json"], catch_exceptions=False)
    assert '"replayed": 1' in done.output
    assert runner.invoke(restore, ["run", *home, *files], input="n\n").exit_code == 1
    done = runner.invoke(restore, ["run", *home, *files, "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "Erasures done again: 1." in done.output


# --- the register -----------------------------------------------------------------------------------------------------


def test_a_register_cut_by_a_crash_is_read_and_written_on(world: World, life: Life) -> None:
    erase(world, life.refs["departement"])
    register = ErasureRegister(world.home.erasures)
    (first,) = register.entries()
    whole = world.home.erasures.read_bytes()
    assert stat.S_IMODE(world.home.erasures.stat().st_mode) == 0o600
    world.home.erasures.write_bytes(whole + whole[: len(whole) // 2])
    assert register.entries() == [first]
    register.append(first)
    assert register.entries() == [first]
    erase(world, live(world, 2).refs["departement"])
    assert next(entry.erasure_id for entry in register.entries()) == first.erasure_id
    assert len(register.entries()) == 2
    assert secrets_in_clear(world, live(world, 3))
    # A line of before, when an erasure was of one id.
    line = json.loads(whole) | {"v": 1}
    line["mark"] = line.pop("marks")[0]
    world.home.erasures.write_bytes(json.dumps(line).encode() + b"\n")
    assert register.entries() == [first]
    for damaged in (b"{}\n", b"nothing\n", whole.replace(b"marks", b"morks")):
        world.home.erasures.write_bytes(damaged)
        with pytest.raises(MaillonError) as refused:
            register.entries()
        assert refused.value.kind is ErrorKind.CONFIGURATION


def test_the_register_names_no_one(world: World, life: Life) -> None:
    person = person_of(world, life.refs["departement"])
    erase(world, life.refs["departement"])
    text_of = world.home.erasures.read_text()
    assert all(word not in text_of for word in (str(person), *life.refs.values(), life.record_id))
