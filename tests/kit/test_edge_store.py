"""The edge store: nothing readable without the key, nothing lost that was acknowledged, nothing changed twice."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.edge_database import sqlite3
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.identity import parse_identity
from connectors.kit.port import Quarantined, Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of

KEY = bytes(range(32))
AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
TOKENISER = HmacTokeniser(b"k" * 32, 1)
ANNE = {"nom_naissance": "KERVELLA", "prenoms": ["Enora"], "sexe": "F", "date_naissance": "1981-07-19"}


def tokens(traits: dict[str, Any]) -> TokenSet:
    return tokens_of(parse_identity(traits), TOKENISER)


def fragment(**values: Any) -> dict[str, Any]:
    """Build a fragment; an upper-case value is an absence code in lower case."""
    statements = {}
    for name, value in values.items():
        own = {"source": "caf", "date_collecte": "2026-01-15T09:00:00Z"}
        if isinstance(value, str) and value.isupper():
            own["absence"] = value.lower()
        else:
            own |= {"valeur": value, "date_effet": None, "base_legale": "CRPA L114-8"}
        statements[name.replace("__", ".")] = own
    return {"v": 1, "statements": statements}


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore.open(tmp_path / "edge.db", KEY)


def hold(store: EdgeStore, local_id: str, traits: dict[str, Any] = ANNE, **values: Any) -> None:
    store.upsert_subject(local_id, traits, tokens(traits))
    store.put_fragment(local_id, fragment(**values), b"f" * 32, as_of=AT)


def test_what_is_put_is_what_is_found(store: EdgeStore) -> None:
    hold(store, "7301842K", logement__loyer=410)
    found = store.fragment_of("7301842K")
    assert found == fragment(logement__loyer=410)
    assert store.identity_of("7301842K") == ANNE
    held = store.tokens_of("7301842K")
    assert held is not None
    assert set(held.tokens) == set(tokens(ANNE).tokens)
    assert [
        store.fragment_of("x"),
        store.identity_of("x"),
        store.tokens_of("x"),
        store.ref_of("x"),
        store.local_of("x"),
    ] == [None] * 5


def test_nothing_readable_in_any_file(tmp_path: Path) -> None:
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    hold(store, "local-7301842K", logement__loyer=41077, accompagnement__referent="Gwenola Troadec")
    store.set_ref("local-7301842K", "ref-of-enora")
    store.quarantine(Quarantined("line 3", "/nir", Reason.SCHEMA), b"f" * 32, "accompagnement", AT)
    store.remember_order("order-1", AT)
    secrets = [
        "KERVELLA",
        "Enora",
        "1981-07-19",
        "7301842K",
        "41077",
        "Gwenola",
        "Troadec",
        "loyer",
        "ref-of-enora",
        "order-1",
    ]
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    assert any(file.name.endswith("-wal") and file.stat().st_size for file in files)
    for file in files:
        content = file.read_bytes()
        for secret in [*secrets, *(token.hex() for _, token in tokens(ANNE).tokens)]:
            for form in (
                secret.encode(),
                secret.encode("utf-16-le"),
                bytes.fromhex(secret) if len(secret) == 64 else b"\0\0\0\0none",
            ):
                assert form not in content, (file.name, secret)
        assert file.stat().st_mode & 0o077 == 0
    store.close()
    assert not any(secret.encode() in (tmp_path / "edge.db").read_bytes() for secret in secrets)


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    EdgeStore.open(tmp_path / "edge.db", KEY).close()
    for key in (bytes(32), b"short"):
        with pytest.raises(MaillonError) as refused:
            EdgeStore.open(tmp_path / "edge.db", key)
        assert refused.value.kind is ErrorKind.CONFIGURATION


def test_the_store_is_durable_overwrites_what_goes_and_writes_a_batch_once(tmp_path: Path) -> None:
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    told = ("journal_mode", "synchronous", "secure_delete", "temp_store", "cache_size", "wal_autocheckpoint")
    assert [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in told] == ["wal", 2, 1, 2, -32768, 4000]


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    EdgeStore.open(tmp_path / "edge.db", KEY).close()
    db = sqlite3.connect(tmp_path / "edge.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(MaillonError, match="99"):
        EdgeStore.open(tmp_path / "edge.db", KEY)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "edge.db").write_bytes(b"not a database at all" * 200)
    with pytest.raises(MaillonError) as refused:
        EdgeStore.open(tmp_path / "edge.db", KEY)
    assert refused.value.kind is ErrorKind.STORAGE


@pytest.mark.parametrize("table", ["fragment", "identity", "subject"])
def test_a_row_moved_to_another_person_does_not_open(tmp_path: Path, table: str) -> None:
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    hold(store, "one", logement__loyer=1)
    hold(store, "two", ANNE | {"nom_naissance": "ABGRALL"}, logement__loyer=2)
    store.set_ref("one", "r1")
    store.close()
    db = sqlite3.connect(tmp_path / "edge.db")
    (one, body_one), (two, body_two) = db.execute(f"SELECT key, body FROM {table}").fetchall()  # noqa: S608
    swapped = [(body_two, one), (body_one, two)]
    db.executemany(f"UPDATE {table} SET body = ? WHERE key = ?", swapped)  # noqa: S608
    db.commit()
    db.close()
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    read = {"fragment": store.fragment_of, "identity": store.tokens_of, "subject": lambda _: store.local_of("r1")}[
        table
    ]
    with pytest.raises(MaillonError) as refused:
        read("one")
    assert refused.value.kind is ErrorKind.STORAGE


def test_the_same_again_changes_nothing(store: EdgeStore) -> None:
    assert store.upsert_subject("a", ANNE, tokens(ANNE))
    assert store.put_fragment("a", fragment(logement__loyer=1), b"1") is Change.NEW
    store.set_ref("a", "r")
    later = fragment(logement__loyer=1)
    later["statements"]["logement.loyer"]["date_collecte"] = "2026-02-01T00:00:00Z"
    assert not store.upsert_subject("a", ANNE, tokens(ANNE))
    assert store.put_fragment("a", later, b"2") is Change.UNCHANGED
    assert store.pending() == []
    assert store.put_fragment("a", fragment(logement__loyer=2), b"3", as_of=AT) is Change.UPDATED
    assert store.pending() == []


def test_an_earlier_state_never_overwrites_a_later_one(store: EdgeStore) -> None:
    hold(store, "a", logement__loyer=2)
    assert store.put_fragment("a", fragment(logement__loyer=1), b"x", as_of=AT - timedelta(days=31)) is Change.OLDER
    assert store.fragment_of("a") == fragment(logement__loyer=2)
    assert store.put_fragment("a", fragment(logement__loyer=2), b"y", as_of=AT + timedelta(days=60)) is Change.UNCHANGED
    between = store.put_fragment("a", fragment(logement__loyer=1), b"z", as_of=AT + timedelta(days=30))
    assert between is Change.OLDER  # the later file said so again


def test_out_of_service_never_overwrites_an_answer(store: EdgeStore) -> None:
    hold(store, "a", logement__loyer=2)
    later = AT + timedelta(days=1)
    assert store.put_fragment("a", fragment(logement__loyer="INDISPONIBLE"), b"x", as_of=later) is Change.OLDER
    assert store.put_fragment("a", fragment(logement__loyer="SANS_DOSSIER"), b"x", as_of=later) is Change.UPDATED
    store.upsert_subject("b", ANNE, tokens(ANNE))
    assert store.put_fragment("b", fragment(logement__loyer="MAINTENANCE"), b"x", as_of=later) is Change.NEW
    assert store.put_fragment("b", fragment(logement__loyer=3), b"x", as_of=AT) is Change.UPDATED


def test_two_formats_of_one_person_keep_their_own_words(store: EdgeStore) -> None:
    other = ANNE | {"nom_usage": "LE GALL"}
    for _ in range(2):
        store.upsert_subject("a", ANNE, tokens(ANNE), format="qf")
        store.put_fragment("a", fragment(logement__loyer=1, aides__secours="SANS_DROIT"), b"1", format="qf", as_of=AT)
        store.upsert_subject("a", other, tokens(other), format="rsa")
        store.put_fragment("a", fragment(logement__loyer=2), b"2", format="rsa", as_of=AT + timedelta(days=1))
    assert store.fragment_of("a") == {
        "v": 1, "statements": fragment(logement__loyer=2, aides__secours="SANS_DROIT")["statements"],
    }  # fmt: skip
    identity, held = store.identity_of("a"), store.tokens_of("a")
    assert identity == other
    assert held is not None
    assert set(tokens(other).tokens) <= set(held.tokens)


@pytest.mark.parametrize("absence", ["INDISPONIBLE", "MAINTENANCE", "NON_AUTORISE"])
@pytest.mark.parametrize("format", ["one", "two"])
def test_what_says_nothing_of_the_person_hides_nothing_that_does(store: EdgeStore, absence: str, format: str) -> None:
    """A source that is away, and one that would not tell us: a token ran out, not somebody's rent."""
    store.upsert_subject("a", ANNE, tokens(ANNE))
    store.put_fragment("a", fragment(logement__loyer=1), b"1", format="one", as_of=AT)
    store.put_fragment("a", fragment(logement__loyer=absence), b"2", format=format, as_of=AT + timedelta(days=9))
    assert store.fragment_of("a") == fragment(logement__loyer=1)


def test_registration_state(store: EdgeStore) -> None:
    hold(store, "a", logement__loyer=1)
    (row,) = store.pending()
    assert (row.local_id, row.sections, row.record_key) == ("a", ("logement",), store.record_key("a"))
    store.set_ref("a", "r", row.changes)
    assert (store.ref_of("a"), store.local_of("r"), store.pending()) == ("r", "a", [])
    store.put_fragment("a", fragment(logement__loyer=1, droits__rsa__etat="ouvert"), b"x", as_of=AT)
    assert store.pending()[0].sections == ("droits", "logement")
    assert store.ref_of("a") == "r"
    with pytest.raises(MaillonError) as refused:
        store.set_ref("nobody", "r")
    assert refused.value.kind is ErrorKind.UNKNOWN_SUBJECT


def test_a_change_during_registration_stays_to_be_told(store: EdgeStore) -> None:
    hold(store, "a", logement__loyer=1)
    (row,) = store.pending()
    married = ANNE | {"nom_usage": "LE GALL"}
    store.upsert_subject("a", married, tokens(married))
    store.set_ref("a", "r", row.changes)
    assert [again.local_id for again in store.pending()] == ["a"]
    assert store.ref_of("a") == "r"


def test_two_records_under_one_ref_answer_as_one(store: EdgeStore) -> None:
    hold(store, "stream", logement__loyer=1)
    hold(store, "api", aides__secours="SANS_DROIT")
    hold(store, "stranger", logement__loyer=9)
    store.set_ref("stream", "r")
    store.set_ref("api", "r")
    store.set_ref("stranger", "s")
    both = fragment(logement__loyer=1, aides__secours="SANS_DROIT")
    assert store.fragment_of("stream") == both == store.fragment_of("api")
    # A split at the hub gives one of them another ref: they part again.
    store.set_ref("api", "t")
    assert store.fragment_of("stream") == fragment(logement__loyer=1)


def test_a_batch_is_whole_or_nothing(store: EdgeStore) -> None:
    def half() -> None:
        with store.batch():
            hold(store, "a", logement__loyer=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert store.count() == 0
    with store.batch():
        hold(store, "a", logement__loyer=1)
    assert store.count() == 1


def test_single_use_values(store: EdgeStore) -> None:
    assert store.remember_order("o", AT)
    assert not store.remember_order("o", AT)
    assert store.remember_nonce("o", AT)
    assert not store.remember_nonce("o", AT + timedelta(seconds=60))
    store.forget_expired(AT + timedelta(seconds=1))
    assert store.remember_order("o", AT)


def test_a_value_is_single_use_between_threads_too(store: EdgeStore) -> None:
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(store.remember_order("o", AT))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]


def test_quarantine_and_files(store: EdgeStore) -> None:
    entry = Quarantined("line 3", "/nir", Reason.BAD_NIR, "cle")
    assert store.quarantine(entry, b"1", "f", AT)
    assert not store.quarantine(entry, b"1", "f", AT)
    assert store.quarantine(entry, b"2", "f", AT)
    assert store.quarantined(b"1") == [entry]
    assert len(store.quarantined()) == 2
    store.remember_file(b"1", "f/v1", AT)
    assert store.has_file(b"1", "f/v1")
    assert not store.has_file(b"1", "f/v2")


def test_a_full_disk_is_a_named_error_and_changes_nothing(tmp_path: Path) -> None:
    store = EdgeStore.open(tmp_path / "edge.db", KEY)
    hold(store, "a", logement__loyer=1)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")

    def too_many() -> None:
        with store.batch():
            for number in range(500):
                hold(store, f"person-{number}", logement__loyer=number)

    with pytest.raises(MaillonError) as refused:
        too_many()
    assert refused.value.kind is ErrorKind.STORAGE
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.count() == 1
    hold(store, "b", logement__loyer=2)
    assert store.fragment_of("b") == fragment(logement__loyer=2)


def test_a_place_that_cannot_be_written_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(MaillonError) as refused:
        EdgeStore.open(tmp_path / "nowhere" / "edge.db", KEY)
    assert refused.value.kind is ErrorKind.STORAGE
    assert os.fspath(tmp_path) not in str(refused.value)
