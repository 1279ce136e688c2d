"""The store: migrations, immutable events, what an event commits to."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import FakeClock, SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from consent.ledger import envelope
from consent.ledger.envelope import Link, first_gap
from consent.ledger.leaf import EventClass, commitment
from consent.ledger.merkle import leaf_hash
from hub.store import tables
from hub.store.engine import open_engine
from hub.store.index import Index, IndexedToken
from hub.store.journal import Draft, leaf_of, opening_of
from hub.store.matches import Match, MatchKind
from hub.store.migrations import upgrade
from hub.store.rotation import RotationStep
from hub.store.sealing import canonical, envelope_of
from hub.store.session import UnitOfWork, Writer
from hub.store.sql import Sql
from tests.hub.stores import LOG_KEY, SYSTEM_KEY, refused_access


def test_migrations_give_exactly_the_tables_in_code(tmp_path: Path) -> None:
    for branch, metadata in (("hub", tables.hub), ("secrets", tables.secrets)):
        engine = open_engine(tmp_path / f"{branch}.db")
        upgrade(engine, branch)
        upgrade(engine, branch)
        with engine.connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection), metadata)
            names = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type='table'")).scalars())
        assert found == []
        assert {table.name for table in metadata.sorted_tables} <= names


def test_tokens_stored_one_a_row_are_packed_by_the_migration(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "hub.db")
    upgrade(engine, "hub", "hub_0002")
    sent = {
        ("p1", "r1"): [IndexedToken("sgd", 1, 5, b"v" * 16), IndexedToken("s1gd", 1, -7, b"w" * 16)],
        ("p1", "r2"): [IndexedToken("sgd", 1, 5, b"v" * 16), IndexedToken("sgp", 1, 9, b"x" * 16)],
        ("p2", "r3"): [IndexedToken("sdp", 1, 3, b"y" * 16), IndexedToken("later", 2, 4, b"z" * 16)],
    }
    with engine.begin() as connection:
        for person in ("p1", "p2"):
            connection.exec_driver_sql("INSERT INTO person VALUES (?, 0, 0, 0)", (person,))
        for (person, record), tokens in sent.items():
            for t in tokens:
                row = (t.lookup, t.kind, t.epoch, t.value, record, person)
                connection.exec_driver_sql("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", row)
    upgrade(engine, "hub")
    with engine.begin() as connection:
        index = Index(connection, Sql(connection), SystemClock().now())
        assert {key: index.tokens_of(PersonId(key[0]), key[1]) for key in sent} == {
            key: frozenset(tokens) for key, tokens in sent.items()
        }
        whose = "SELECT lookup, record_id FROM token JOIN token_set USING (number) ORDER BY lookup, record_id"
        assert list(connection.exec_driver_sql(whose)) == [(-7, "r1"), (5, "r1"), (5, "r2")]
        index.forget(PersonId("p1"), "r1")
        assert list(connection.exec_driver_sql(whose)) == [(5, "r2")]
    engine.dispose()


def test_erasures_of_before_keep_their_proof_and_what_was_pending(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "hub.db")
    upgrade(engine, "hub", "hub_0004")
    with engine.begin() as connection:
        run = connection.exec_driver_sql
        run("INSERT INTO person VALUES ('p', 1, 0, 0)")
        for seq, name in ((1, "consent"), (2, "erasure"), (3, "consent")):
            run(f"INSERT INTO journal VALUES ({seq}, 'e{seq}', '{name}', 1, x'00', x'00', x'01', NULL)")  # noqa: S608
        run("INSERT INTO consent_event VALUES ('p', 3, 'r', 'granted', 'ccas', 'd', x'00', 'i', 5)")
        run("INSERT INTO erasure VALUES ('x', 2, 'decision', 1, 'q', 9)")
        run("INSERT INTO kept_consent VALUES ('x', 1)")
    upgrade(engine, "hub")
    with engine.connect() as connection:

        def rows(table: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]  # noqa: S608

        assert rows("erasure") == [("x", 2, "decision", 1, 9)]
        assert rows("erasure_pending") == [("q", "x", "x", 0)]
        assert rows("kept_consent") == [("x", 1, "x")]
        assert rows("consent_event") == [("p", 3, "r", "granted", "ccas", "d", b"\0", "i", 5)]
        assert rows("person") == [("p", 1, 0, 1)]  # its version as it was: once for the event, not again
    for statement in (
        "UPDATE consent_event SET kind = 'denied'",
        "DELETE FROM consent_event",
        "UPDATE erasure SET decision = 'y'",
        "DELETE FROM erasure",
    ):
        with pytest.raises(IntegrityError, match="never changed"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_pragmas(engine: Engine) -> None:
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "recursive_triggers")
        }
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "recursive_triggers": 1,
    }


def _person(uow: UnitOfWork) -> PersonId:
    person = uow.persons.create(provisional=False)
    uow.secrets.create([person])
    return person


def _everything(uow: UnitOfWork) -> PersonId:
    """One event of every kind about a new person."""
    person = _person(uow)
    refused_access(uow, person)
    uow.matches.append_all([Match(MatchKind.CREATED, person, "r", "caf", {"rule": "new"})])
    uow.partners.suspend("caf", suspended=True, reason="test", actor="operator")
    uow.partners.accept_directory(1, "d" * 43)
    uow.in_force.take_policy("p" * 64)
    uow.in_force.take_log_keys([LOG_KEY.verifier.vkey])
    uow.rotations.append(RotationStep.PEPPER_BEGUN, 2, check="c" * 32)
    uow.consents.append(
        person, record_id="r", kind="granted", collector="ccas", jws="a.b.c", digest="d" * 43, salt=b"s" * 16
    )
    return person


@pytest.mark.parametrize("name", tables.EVENT_TABLES)
def test_events_are_never_changed(engine: Engine, writer: Writer, name: str) -> None:
    writer.run(_everything)
    table = tables.hub.tables[name]
    first = next(iter(table.columns))
    with engine.connect() as connection:
        before = connection.execute(select(table)).all()
        assert before
        for statement in (update(table).values({first.name: first}), delete(table)):
            with pytest.raises(IntegrityError, match="never changed"), connection.begin_nested():
                connection.execute(statement)
        replace = insert(table).prefix_with("OR REPLACE").values(**before[0]._asdict())
        with pytest.raises(IntegrityError, match="never changed"), connection.begin_nested():
            connection.execute(replace)
        assert connection.execute(select(table)).all() == before


def test_the_events_of_a_person_are_a_chain_whatever_their_class(writer: Writer, engine: Engine) -> None:
    def fill(uow: UnitOfWork) -> tuple[PersonId, PersonId]:
        one, other = _everything(uow), _person(uow)
        uow.journal.append_all([Draft(EventClass.MATCH, {"event": str(n)}, (one, other)[n % 2]) for n in range(5)])
        return one, other

    persons = writer.run(fill)

    def chain(uow: UnitOfWork, person: PersonId) -> list[tuple[Link, bytes]]:
        keys = [uow.secrets.consent_key(person), *(trace.key for trace in uow.secrets.traces_of(person))]
        found = []
        for row in uow.connection.execute(select(tables.journal).order_by(tables.journal.c.seq)):
            for key in keys:
                try:
                    link = opening_of(row, key).content["subject"]
                except MaillonError:
                    continue
                found.append((Link.from_wire(link), leaf_hash(leaf_of(row).encode())))
        return found

    for person, length in zip(persons, (6, 2), strict=True):
        events, (n, head) = writer.run(lambda uow: (chain(uow, person), uow.journal.head(person)))  # noqa: B023
        assert len(events) == n == length
        assert first_gap(events, head) is None
        assert first_gap(events[:-1], head) == n
        assert first_gap(events[1:], head) == 1


def test_an_erasure_opens_the_gate_for_its_own_transaction_only(writer: Writer, engine: Engine) -> None:
    person = writer.run(_everything)
    consent = tables.consent_event

    def content(uow: UnitOfWork) -> tuple[bool, int]:
        event = uow.consents.record("r").accepted.get("d" * 43)
        sealed = uow.connection.execute(
            select(tables.journal.c.sealed).where(tables.journal.c["class"] == "consent")
        ).scalar_one()
        return sealed is not None, 0 if event is None else event.seq

    def without_gate(uow: UnitOfWork, by: str) -> None:
        seq = content(uow)[1]
        event = uow.journal.append(EventClass(by), {"event": "x"})
        with uow.journal.erasing(event.seq) if by in ("erasure", "retention") else contextlib.nullcontext():
            pass
        uow.journal.empty([seq], event.seq)

    def not_its_own(uow: UnitOfWork) -> None:
        event = uow.journal.append(EventClass.ERASURE, {"event": "x"})
        with uow.journal.erasing(event.seq):
            uow.journal.empty([content(uow)[1]], event.seq - 1)

    def changed_leaf(uow: UnitOfWork) -> None:
        event = uow.journal.append(EventClass.ERASURE, {"event": "x"})
        with uow.journal.erasing(event.seq):
            forged = {"sealed": None, "emptied_by": event.seq, "at": FakeClock().now() + timedelta(days=1)}
            uow.connection.execute(update(tables.journal).values(forged))

    def by_a_consent(uow: UnitOfWork) -> None:
        with uow.journal.erasing(content(uow)[1]):
            pass

    refused: list[Callable[[UnitOfWork], None]] = [not_its_own, changed_leaf, by_a_consent]
    for work in (partial(without_gate, by="policy"), partial(without_gate, by="erasure"), *refused):
        with pytest.raises(MaillonError) as error:
            writer.run(work)
        assert error.value.kind is ErrorKind.CONFLICT
        assert writer.run(content)[0]

    def erase(uow: UnitOfWork) -> None:
        seq = content(uow)[1]
        event = uow.journal.append(EventClass.ERASURE, {"event": "erasure:person:erased"})
        with uow.journal.erasing(event.seq):
            uow.journal.empty([seq], event.seq)
            uow.connection.execute(delete(consent).where(consent.c.person_id == person))

    length = writer.run(lambda uow: uow.journal.length())
    writer.run(erase)
    with engine.connect() as connection:
        (row,) = connection.execute(select(tables.journal).where(tables.journal.c["class"] == "consent")).all()
        assert (row.sealed, row.emptied_by) == (None, length + 1)
        assert leaf_of(row).commitment == row.commitment
        assert connection.execute(select(tables.erasing)).all() == []
        assert connection.execute(select(consent)).all() == []
    with pytest.raises(MaillonError):
        writer.run(lambda uow: uow.connection.execute(delete(tables.access_event)))


def test_consent_events_move_the_version_of_their_person_only(writer: Writer) -> None:
    def fill(uow: UnitOfWork) -> tuple[int, int]:
        one, other = _person(uow), _person(uow)
        for n in range(3):
            digest = str(n) * 43
            uow.consents.append(
                one, record_id="r", kind="granted", collector="ccas", jws="a", digest=digest, salt=b"s" * 16
            )
        return uow.persons.version(one), uow.persons.version(other)

    assert writer.run(fill) == (3, 0)


def test_commitments_bind_the_sealed_content(writer: Writer, engine: Engine) -> None:
    writer.run(refused_access)
    with engine.connect() as connection:
        row = connection.execute(select(tables.journal)).one()
    opening = opening_of(row, SYSTEM_KEY)
    assert row.commitment == commitment(opening.r32, opening.envelope)
    assert row.ciphertext_digest == hashlib.sha256(row.sealed).digest()
    bound = opening.body["row"]
    assert opening.body == {"event": "access:request:decided", "fields": ["droits.rsa.etat"], "row": bound}
    assert opening.content["subject"] is None
    assert b"droits.rsa.etat" not in row.sealed
    with engine.connect() as connection:
        clear = connection.execute(select(tables.access_event, tables.access_agent).join(tables.access_agent)).one()
        fields = {row.path: row.status for row in connection.execute(select(tables.access_field))}
    names = ("agent", "case", "kind", "outcome", "partner", "purpose", "source", "trace_id")
    said = {name: getattr(clear, name) for name in names} | {"fields": fields}
    assert bound == b64url.encode(hashlib.sha256(rfc8785.dumps(said)).digest())  # type: ignore[arg-type]


_TEXT, _NAME = st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="ascii"))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(_NAME, _JSON, max_size=5) | _TEXT, st.integers(0, 5))
def test_an_event_commits_to_the_envelope_of_the_ledger(body: dict[str, object] | str, n: int) -> None:
    link = None if n == 0 else Link(n, None if n == 1 else bytes([n]) * 32)
    assert envelope_of(body, link) == envelope.encode(body, link)


@settings(max_examples=300)
@given(st.dictionaries(_NAME, _JSON, max_size=5))
def test_payloads_are_committed_to_in_canonical_form(payload: dict[str, object]) -> None:
    assert canonical(payload) == rfc8785.dumps(payload)  # type: ignore[arg-type]
