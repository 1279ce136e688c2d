"""Persons' secrets: wrapped, bound to their owner, and really gone when they are destroyed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.store.secret_ends import End, EventKey
from hub.store.secrets import SecretStore
from hub.store.trace import Trace, end_of_traces
from hub.wrapping import BUCKETS, WrappingKeys, bucket_of
from tests.hub.stores import SYSTEM_KEY, open_secrets

AT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecretStore]:
    store = open_secrets(tmp_path, FakeClock())
    yield store
    store.close()


def _person(bucket: str = "0a1") -> PersonId:
    return PersonId(bucket + new_uuid()[3:])


def _filled(store: SecretStore, *persons: PersonId) -> dict[PersonId, tuple[bytes, bytes, list[Trace]]]:
    store.create(persons)
    for month in (1, 2, 3):
        store.traces(persons, AT.replace(month=month))
    store.flush()
    return _all(store, *persons)


def _all(store: SecretStore, *persons: PersonId) -> dict[PersonId, tuple[bytes, bytes, list[Trace]]]:
    return {p: (store.refs([p])[p], store.consent_key(p), store.traces_of(p)) for p in persons}


def test_secrets_are_wrapped_and_bound_to_their_person(store: SecretStore, tmp_path: Path) -> None:
    one, other = _person(), _person()
    drawn = _filled(store, one, other)
    raw = (tmp_path / "secrets.db").read_bytes() + (tmp_path / "secrets.db-wal").read_bytes()
    for s_ref, k_consent, traces in drawn.values():
        assert not any(secret in raw for secret in (s_ref, k_consent, *(trace.key for trace in traces)))
    assert len({secret for s_ref, k_consent, _ in drawn.values() for secret in (s_ref, k_consent)}) == 4
    keys = WrappingKeys.load(tmp_path / "wrapping.keys")
    for owner, use in ((other, "s_ref"), (one, "k_consent")):
        with pytest.raises(MaillonError) as refused:
            keys.unwrap(owner, use, keys.wrap(one, "s_ref", b"x"))
        assert refused.value.kind is ErrorKind.STORAGE


def test_secrets_survive_the_process(store: SecretStore, tmp_path: Path) -> None:
    persons = [_person(), _person("fff")]
    drawn = _filled(store, *persons)
    again = open_secrets(tmp_path, FakeClock())
    assert _all(again, *persons) == drawn
    assert again.refs([_person()]) == {}
    again.close()


def test_a_month_has_one_trace_and_another_month_another(store: SecretStore) -> None:
    person, newcomer = _person(), _person()
    _filled(store, person)
    march = store.trace(person, AT)
    assert store.trace(person, AT + timedelta(days=20)) == march
    store.create([newcomer])
    april = store.traces([person, newcomer], AT.replace(month=4))
    assert len({march.tag, april[person].tag, april[newcomer].tag}) == 3
    assert store.by_tag([march.tag, april[newcomer].tag, b"?" * 16]) == {
        march.tag: march,
        april[newcomer].tag: april[newcomer],
    }
    assert store.traces_of(newcomer) == [april[newcomer]]


def test_what_a_failed_batch_drew_is_forgotten(store: SecretStore) -> None:
    person = _person()
    store.create([person])
    tag = store.trace(person, AT).tag
    store.discard()
    store.flush()
    assert store.refs([person]) == {}
    assert store.by_tag([tag]) == {}
    with pytest.raises(MaillonError):
        store.consent_key(person)


@pytest.mark.parametrize(
    ("month", "months", "end"),
    [("2026-01", 12, (2027, 2)), ("2026-12", 12, (2028, 1)), ("2026-11", 1, (2027, 1)), ("2026-10", 1, (2026, 12))],
)
def test_a_trace_lives_whole_months_after_its_own(month: str, months: int, end: tuple[int, int]) -> None:
    assert end_of_traces(month, months) == datetime(*end, 1, tzinfo=UTC)


def test_months_whose_time_is_over_are_gone(store: SecretStore, tmp_path: Path) -> None:
    person = _person()
    january, february, march = _filled(store, person)[person][2]
    assert store.expire(january.expires_at - timedelta(microseconds=1)) == 0
    assert store.expire(january.expires_at) == 1
    assert store.traces_of(person) == [february, march]
    assert store.by_tag([january.tag]) == {}


# --- erasure ----------------------------------------------------------------------------------------------------------


def test_an_old_backup_with_todays_keys_opens_nothing_of_the_erased(store: SecretStore, tmp_path: Path) -> None:
    erased, neighbour, receipt = _person("0a1"), _person("0a1"), new_uuid()
    drawn = _filled(store, erased, neighbour)
    store.close()
    shutil.copy(tmp_path / "secrets.db", tmp_path / "backup.db")
    store = open_secrets(tmp_path, FakeClock())
    store.erase(End({erased: receipt}))
    store.close()

    backup = SecretStore(
        tmp_path / "backup.db", WrappingKeys.load(tmp_path / "wrapping.keys"), FakeClock(), system_key=SYSTEM_KEY
    )
    for read in (lambda: backup.refs([erased]), lambda: backup.consent_key(erased), lambda: backup.traces_of(erased)):
        with pytest.raises(MaillonError) as refused:
            read()
        assert refused.value.kind is ErrorKind.STORAGE
    backup.close()
    # And the old key itself stands nowhere any more.
    old = WrappingKeys.load(tmp_path / "wrapping.keys")
    assert old.slots(bucket_of(erased)) == (1,)
    assert drawn[erased][0] not in (tmp_path / "secrets.db").read_bytes()


def test_erasing_takes_the_person_only_and_hands_the_months_to_the_receipt(store: SecretStore, tmp_path: Path) -> None:
    erased, neighbour, stranger = _person("0a1"), _person("0a1"), _person("0a2")
    drawn = _filled(store, erased, neighbour, stranger)
    receipt = _person("0a1")  # even in the very bucket whose key goes
    assert _all(store, erased)  # so that its keys are held in memory
    store.erase(End({erased: receipt}))
    for again in (store, open_secrets(tmp_path, FakeClock())):
        assert again.refs([erased]) == {}
        assert again.traces_of(erased) == []
        with pytest.raises(MaillonError):
            again.consent_key(erased)
        assert _all(again, neighbour, stranger) == {p: drawn[p] for p in (neighbour, stranger)}
        kept = again.traces_of(receipt)
        assert [(t.tag, t.key, t.expires_at) for t in kept] == [(t.tag, t.key, t.expires_at) for t in drawn[erased][2]]
        assert all(t.restricted and t.owner == receipt for t in kept)
    again.close()


def test_erasing_twice_or_the_last_of_a_bucket_is_harmless(store: SecretStore, tmp_path: Path) -> None:
    person = _person()
    _filled(store, person)
    for receipt in (new_uuid(), new_uuid()):
        store.erase(End({person: receipt}))
    newcomer = _person()
    drawn = _filled(store, newcomer)
    again = open_secrets(tmp_path, FakeClock())
    assert _all(again, newcomer) == drawn
    again.close()


def test_the_key_of_one_event_dies_with_the_event_in_every_copy_whoever_holds_it(
    store: SecretStore, tmp_path: Path
) -> None:
    erased, holder, receipt, event_id = _person("0a1"), _person("0b2"), _person("0a1"), new_uuid()
    drawn = _filled(store, erased, holder)
    kept = [
        EventKey(holder, event_id, b"k" * 32),
        EventKey(receipt, event_id, b"k" * 32, restricted=True, expires_at=AT),
    ]
    store.erase(End({erased: receipt}, keys=kept))
    assert [each.key for each in store.event_keys([event_id])[event_id]] == [b"k" * 32] * 2
    assert store.unreadable() == (set(), [])
    shutil.copy(tmp_path / "secrets.db", tmp_path / "copy.db")
    shutil.copy(tmp_path / "secrets.db-wal", tmp_path / "copy.db-wal")
    assert store.end_proofs(AT) == 1
    store.erase(End({_person("0c3"): new_uuid()}, events=[event_id]))
    assert store.event_keys([event_id]) == {}
    assert _all(store, holder) == {holder: drawn[holder]}
    today = WrappingKeys.load(tmp_path / "wrapping.keys")
    copy = SecretStore(tmp_path / "copy.db", today, FakeClock(), system_key=SYSTEM_KEY)
    assert copy.unreadable()[0] >= {holder, receipt}
    copy.close()


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("point", ["new key", "rows", "commit", "old key"])
@pytest.mark.parametrize("alone", [False, True])
def test_an_erasure_cut_anywhere_happened_or_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, alone: bool
) -> None:
    """The process ends at every step of it; the next start finds one key a bucket, and everybody else's secrets."""
    store = open_secrets(tmp_path, FakeClock())
    erased, neighbour = _person("0a1"), _person("0a2" if alone else "0a1")
    drawn = _filled(store, erased, neighbour)
    before = WrappingKeys.load(tmp_path / "wrapping.keys")
    calls = 0

    def die(*_: object) -> None:
        raise _Killed

    def die_second(*given: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise _Killed
        return real(*given)  # type: ignore[arg-type]

    real = os.pwrite
    if point == "new key":
        monkeypatch.setattr(os, "fsync", die)
    elif point == "rows":
        event.listen(store._engine, "commit", die)
    elif point == "commit":
        monkeypatch.setattr(SecretStore, "_settle", lambda self: die() if self._wrapping.changing() else None)
    else:
        monkeypatch.setattr(os, "pwrite", die_second)
    with pytest.raises(_Killed):
        store.erase(End({erased: new_uuid()}))
    monkeypatch.undo()

    again = open_secrets(tmp_path, FakeClock())
    keys = WrappingKeys.load(tmp_path / "wrapping.keys")
    assert keys.changing() == []
    assert all(len(keys.slots(bucket)) == 1 for bucket in range(BUCKETS))
    assert _all(again, neighbour) == {neighbour: drawn[neighbour]}
    if again.refs([erased]):  # it did not happen: everything as it was
        assert point in ("new key", "rows")
        assert _all(again, erased) == {erased: drawn[erased]}
    else:  # it happened: the key of before is destroyed
        assert point in ("commit", "old key")
        wrapped = before.wrap(erased, "s_ref", b"x", slot=0)
        with pytest.raises(MaillonError):
            keys.unwrap(erased, "s_ref", wrapped)
    again.erase(End({erased: new_uuid()}))
    assert again.refs([erased]) == {}
    assert _all(again, neighbour) == {neighbour: drawn[neighbour]}
    again.close()


def test_wrapping_keys_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "wrapping.keys"
    WrappingKeys.create(path)
    assert path.stat().st_mode & 0o077 == 0
    content = path.read_bytes()
    assert len({content[at : at + 32] for at in range(0, len(content), 64)}) == BUCKETS
    for damaged in (content[:-1], bytes(64) + content[64:], b""):
        path.chmod(0o600)
        path.write_bytes(damaged)
        with pytest.raises(MaillonError) as refused:
            WrappingKeys.load(path)
        assert refused.value.kind is ErrorKind.CONFIGURATION
    path.write_bytes(content)
    path.chmod(0o640)
    with pytest.raises(MaillonError):
        WrappingKeys.load(path)
