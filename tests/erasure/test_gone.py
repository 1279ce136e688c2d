"""After an erasure neither a key nor a word of it is left in any file of the hub, nor in a backup and its keys."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.app import close_hub
from hub.jobs.retention import keep, note_size
from hub.store import persons, tables
from hub.store.backup import copy_database, new_name
from hub.store.engine import open_engine
from hub.store.secrets import SecretStore
from hub.wrapping import WrappingKeys
from tests.erasure.conftest import PROOF_KEPT, Life, erase, live, person_of
from tests.hub.conftest import World, tokens


def marks_of(world: World, life: Life, number: int) -> dict[str, bytes]:
    """Everything of one person that a search of the files could find, each under a name."""
    hub, person = world.hub, person_of(world, life.refs["departement"])
    assert person is not None
    wrapped = {}
    engine = open_engine(world.home.secrets, read_only=True)
    with engine.connect() as connection:
        for row in connection.execute(tables.person_secret.select().where(tables.person_secret.c.person_id == person)):
            wrapped[f"wrapped {row.use}"] = row.wrapped
        for row in connection.execute(tables.trace_key.select().where(tables.trace_key.c.owner_id == person)):
            wrapped["wrapped trace"] = row.wrapped
    engine.dispose()
    sealed = {
        f"content of event {row.seq}": row.sealed
        for row in hub.reads.run(
            lambda uow: uow.connection.execute(
                tables.journal.select()
                .join(tables.consent_event, tables.consent_event.c.seq == tables.journal.c.seq)
                .where(tables.consent_event.c.person_id == person)
            ).all()
        )
    }
    (bucket_key,) = [key for key in hub.secrets._wrapping._slots[2 * int(person[:3], 16) :][:2] if any(key)]
    indexed = {f"token {kind}": hub.keyring.index_token(token)[1] for kind, token in tokens(number).tokens}
    refs = {f"ref at {slug}": hub.keyring.ref_lookup(slug, ref) for slug, ref in life.refs.items()}
    return {"person": person.encode(), "bucket key": bucket_key, **wrapped, **sealed, **indexed, **refs}


def secrets_in_clear(world: World, life: Life) -> dict[str, bytes]:
    """What must never stand in any file, before or after."""
    person = person_of(world, life.refs["departement"])
    assert person is not None
    store = world.hub.secrets
    clear = {"s_ref": store.refs([person])[person], "k_consent": store.consent_key(person)}
    clear |= {f"trace {trace.month}": trace.key for trace in store.traces_of(person)}
    clear |= {f"{slug}'s ref": ref.encode() for slug, ref in life.refs.items()}
    return clear | {"record": life.record_id.encode()}


def found(folder: Path, marks: dict[str, bytes]) -> set[str]:
    content = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {name for name, mark in marks.items() if any(mark in each for each in content)}


def test_no_key_and_no_word_is_left_in_any_file(world: World, life: Life, tmp_path: Path) -> None:
    other = live(world, 2)
    marks, clear, others = marks_of(world, life, 1), secrets_in_clear(world, life), marks_of(world, other, 2)
    assert found(world.home.path, marks) == set(marks)
    assert found(world.home.path, clear) == {"record"}  # the control of the control: this one stands in a column
    erase(world, life.refs["departement"])
    assert found(world.home.path, marks | clear) == set()
    assert found(world.home.path, others) == set(others)
    for name in ("hub.db-wal", "secrets.db-wal"):
        assert (world.home.path / name).stat().st_size == 0
    # A backup made from now on has nothing of it either.
    for engine, kind in ((open_engine(world.home.database), "hub"), (open_engine(world.home.secrets), "secrets")):
        copy_database(engine, new_name(tmp_path / "backup", kind, world.clock.now()))
        engine.dispose()
    assert found(tmp_path / "backup", marks | clear) == set()
    assert found(tmp_path / "backup", {"other": others["person"]}) == {"other"}


@pytest.mark.usefixtures("impatient")
def test_what_a_long_reader_keeps_in_the_write_ahead_log_goes_when_he_is_done(world: World, life: Life) -> None:
    """An audit of a hub at work reads for minutes: the erasure does not wait for it, a job does."""
    marks, engine = marks_of(world, life, 1), open_engine(world.home.database, read_only=True)
    with engine.connect() as reader, reader.begin():
        reader.execute(tables.person.select()).all()
        erase(world, life.refs["departement"])
        note_size(world.hub)
        assert world.hub.eraser.wal_is_left.is_set()
        assert found(world.home.path, marks) != set()
    engine.dispose()
    note_size(world.hub)
    assert found(world.home.path, marks) == set()
    assert not world.hub.eraser.wal_is_left.is_set()


def test_proof_that_was_kept_is_gone_without_a_trace_when_its_time_is_over(world: World, life: Life) -> None:
    marks = marks_of(world, life, 1)
    contents = {name: mark for name, mark in marks.items() if name.startswith("content")}
    erase(world, life.refs["departement"], PROOF_KEPT)
    assert found(world.home.path, contents) == set(contents)
    assert found(world.home.path, {n: m for n, m in marks.items() if n not in contents}) == set()
    world.clock.advance(timedelta(days=5 * 365 + 2))
    assert keep(world.hub) > 0
    assert found(world.home.path, contents) == set()


def test_an_old_backup_with_todays_keys_opens_others_and_not_the_erased(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two buckets of wrapping keys: the erased person's neighbours are lost with it in an older copy.
    lives = []
    for number, bucket in ((1, "0a1"), (2, "0b2")):
        monkeypatch.setattr(persons, "new_uuid", lambda bucket=bucket: f"{bucket}{new_uuid()[3:]}")
        lives.append(live(world, number))
    life, other = lives
    erased, kept = person_of(world, life.refs["departement"]), person_of(world, other.refs["departement"])
    assert erased is not None
    assert kept is not None
    for name in ("hub.db", "secrets.db"):
        engine = open_engine(world.home.path / name)
        copy_database(engine, tmp_path / name)
        engine.dispose()
    shutil.copy(world.home.wrapping, tmp_path / "of_that_day.keys")
    erase(world, life.refs["departement"])
    close_hub(world.hub)

    def opened(keys: Path, person: PersonId) -> bool:
        backup = SecretStore(
            tmp_path / "secrets.db", WrappingKeys.load(keys), world.clock, system_key=world.hub.keyring.system_key
        )
        try:
            return bool(backup.refs([person]) and backup.consent_key(person) and backup.traces_of(person))
        finally:
            backup.close()

    assert opened(tmp_path / "of_that_day.keys", erased)
    assert opened(world.home.wrapping, kept)
    with pytest.raises(MaillonError) as refused:
        opened(world.home.wrapping, erased)
    assert refused.value.kind is ErrorKind.STORAGE
