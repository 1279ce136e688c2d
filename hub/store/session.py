"""The unit of work and its two runners: one writer thread with group commit, many read-only readers.

An item is a function of a ``UnitOfWork``. The writer takes every item that waits, opens one ``BEGIN IMMEDIATE``,
gives each its own SAVEPOINT, commits once (WAL, ``synchronous=FULL``) and only then answers: whoever has an answer
has a durable write. An item that raises loses its own savepoint and nothing else; a storage failure or a failed
commit fails every item of the batch, and nothing of it was acknowledged (DESIGN §1.9, §8).

Once every item is done, and before the one commit, the sequencer puts the batch's events into the log and signs it,
and the secrets the batch drew are made durable in their own file: an acknowledged event is under a signed checkpoint.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.store.access import AccessLog
from hub.store.bookkeeping import Bookkeeping
from hub.store.consents import ConsentRegister
from hub.store.engine import truncate_wal
from hub.store.erasures import Erasures
from hub.store.identity import Identity
from hub.store.identity_changes import IdentityChanges
from hub.store.in_force import InForce
from hub.store.index import Index
from hub.store.journal import Journal
from hub.store.link_notices import LinkNotices
from hub.store.log import Log
from hub.store.matches import Matches
from hub.store.once import once
from hub.store.partners import Partners
from hub.store.persons import Persons
from hub.store.ref_rows import RefRows
from hub.store.reviews import Reviews
from hub.store.rotation import Rotations
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.sql import Sql
from hub.store.subject import Subjects
from hub.store.subtrees import Subtrees

T = TypeVar("T")


@dataclass(frozen=True)
class UnitOfWork:
    """One transaction's view of the store. ``at`` is the moment it was given the lock, aware UTC.

    Services write through its repositories and never commit; the runner that made it does.
    """

    connection: Connection
    secrets: SecretStore
    at: datetime
    subtrees: Subtrees = field(default_factory=Subtrees, repr=False, compare=False)

    @once
    def sql(self) -> Sql:
        """The driver itself, for the store's hottest statements."""
        return Sql(self.connection)

    @once
    def journal(self) -> Journal:
        """The one order of all events."""
        return Journal(self.connection, self.sql, self.secrets, self.at)

    @once
    def log(self) -> Log:
        """The Merkle log over all events."""
        return Log(self.connection, self.at)

    @once
    def subjects(self) -> Subjects:
        """Events by whom they are about."""
        return Subjects(self.connection, self.secrets)

    @once
    def persons(self) -> Persons:
        """Persons, their records, holdings and refs."""
        return Persons(self.connection, self.sql, self.at)

    @once
    def index(self) -> Index:
        """Tokens."""
        return Index(self.connection, self.sql, self.at)

    @once
    def reviews(self) -> Reviews:
        """Doubts before a reviewer."""
        return Reviews(self.connection, self.at)

    @once
    def identity(self) -> Identity:
        """Whose records are whose, when a human changes it."""
        return Identity(self.connection, self.identity_changes, self.at)

    @once
    def identity_changes(self) -> IdentityChanges:
        """What changes of who is whom, for the log."""
        return IdentityChanges(self.connection)

    @once
    def notices(self) -> LinkNotices:
        """What partners have to know of corrected links."""
        return LinkNotices(self.connection, self.at)

    @once
    def consents(self) -> ConsentRegister:
        """Consent events."""
        return ConsentRegister(self.sql, self.journal, self.secrets)

    @once
    def access(self) -> AccessLog:
        """Access events."""
        return AccessLog(self.connection, self.journal, self.secrets, self.at)

    @once
    def matches(self) -> Matches:
        """Decisions about whose a record is."""
        return Matches(self.sql, self.journal)

    @once
    def partners(self) -> Partners:
        """Directory versions and suspensions."""
        return Partners(self.connection, self.journal, self.at)

    @once
    def in_force(self) -> InForce:
        """Policies and log keys, each from its event on."""
        return InForce(self.connection, self.journal, self.at)

    @once
    def rotations(self) -> Rotations:
        """Rotations of keys."""
        return Rotations(self.connection, self.sql, self.journal, self.at)

    @once
    def ref_rows(self) -> RefRows:
        """One partner's refs by epoch."""
        return RefRows(self.connection, self.sql)

    @once
    def erasures(self) -> Erasures:
        """Erasures, and the end of what is kept no longer."""
        return Erasures(self.connection, self.journal, self.identity_changes, self.at)

    def settle(self) -> None:
        """Do what has to follow the work, before it counts: the log tells of every change of who is whom."""
        if "identity_changes" in self.__dict__:
            self.identity_changes.log(self.journal)

    @once
    def bookkeeping(self) -> Bookkeeping:
        """Values that may be used once."""
        return Bookkeeping(self.connection, self.at)


@dataclass(frozen=True)
class _Item:
    work: Callable[[UnitOfWork], Any]
    answer: Future[Any] = field(default_factory=Future)


class Reads:
    """Runs read-only units of work, each on one snapshot of what was committed before it began."""

    def __init__(self, engine: Engine, secrets: SecretStore, clock: Clock) -> None:
        """``engine`` is a read-only engine (``open_engine(..., read_only=True)``)."""
        self._engine = engine
        self._secrets = secrets
        self._clock = clock
        self._subtrees = Subtrees()

    def run(self, work: Callable[[UnitOfWork], T]) -> T:
        """Return ``work(uow)``, which may be run twice. Raises what it raises, and ``MaillonError(STORAGE)`` when the
        file fails."""
        keys = self._secrets.opened.token()
        try:
            return self._once(work)
        except MaillonError as error:
            if error.kind is not ErrorKind.STORAGE or self._secrets.opened.token() == keys:
                raise
            # Keys were destroyed while this snapshot still had the rows: on the next one, they are not there any more.
            return self._once(work)

    def _once(self, work: Callable[[UnitOfWork], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                return work(UnitOfWork(connection, self._secrets, self._clock.now(), self._subtrees))
        except DBAPIError as error:
            raise _storage() from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


class Writer:
    """The one writer thread of the hub's process."""

    def __init__(
        self, engine: Engine, secrets: SecretStore, sequencer: Sequencer, clock: Clock, *, batch: int = 64
    ) -> None:
        """``engine`` is a writing engine; ``batch`` bounds how many items share one commit."""
        self._engine = engine
        self._secrets = secrets
        self._sequencer = sequencer
        self._clock = clock
        self._batch = batch
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="maillon-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work`` in a transaction and return its result once it is durable.

        Raises what ``work`` raises (its writes are then undone), ``MaillonError(CONFLICT)`` when it breaks a
        constraint and ``MaillonError(STORAGE)`` when the batch could not be committed.
        """
        item = _Item(work)
        with self._lock:
            if self._closed:
                raise MaillonError(ErrorKind.UNAVAILABLE, "the hub is stopping")
            self._queue.put(item)
        result: T = item.answer.result()
        return result

    def truncate_wal(self) -> bool:
        """Empty the write-ahead log; False when somebody still reads from it. From any thread but a unit of work's."""
        return truncate_wal(self._engine)

    def close(self) -> None:
        """Finish what was queued, stop the thread and close the file. Later ``run`` calls are refused."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._engine.dispose()

    def _loop(self) -> None:
        going = True
        while going:
            first = self._queue.get()
            items = [first] if first else []
            going = first is not None
            while going and len(items) < self._batch:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    going = False
                else:
                    items.append(item)
            if items:
                self._write(items)

    def _write(self, items: list[_Item]) -> None:
        try:
            outcomes = self._commit(items)
        except BaseException as error:  # nobody may be left waiting, whatever happened
            for item in items:
                item.answer.set_exception(_failed(error))
            return
        for item, result, failure in outcomes:
            if failure is None:
                item.answer.set_result(result)
            else:
                item.answer.set_exception(failure)

    def _commit(self, items: list[_Item]) -> list[tuple[_Item, Any, BaseException | None]]:
        with self._engine.connect() as connection:
            try:
                transaction = connection.begin()
                outcomes = [(item, *self._one(connection, item)) for item in items]
                self._sequencer.integrate(connection, self._clock.now())
                # Before the commit that relies on them: an orphan secret is harmless, an event without one is not.
                self._secrets.flush()
                transaction.commit()
            except BaseException:
                self._secrets.discard()
                self._sequencer.forget()
                # What SQLite thinks of the transaction is unknown: closing the file's handle undoes it for sure.
                connection.invalidate()
                raise
        return outcomes

    def _one(self, connection: Connection, item: _Item) -> tuple[Any, BaseException | None]:
        connection.exec_driver_sql("SAVEPOINT item")
        try:
            uow = UnitOfWork(connection, self._secrets, self._clock.now())
            result = item.work(uow)
            uow.settle()
        except IntegrityError as error:
            _undo(connection)
            failure = MaillonError(ErrorKind.CONFLICT, "the change contradicts what is stored")
            failure.__cause__ = error
            return None, failure
        except DBAPIError:
            # SQLITE_FULL, SQLITE_IOERR: SQLite may have undone the whole transaction by itself. No item is safe.
            raise
        except BaseException as error:
            _undo(connection)
            return None, error
        connection.exec_driver_sql("RELEASE item")
        return result, None


def _undo(connection: Connection) -> None:
    connection.exec_driver_sql("ROLLBACK TO item")
    connection.exec_driver_sql("RELEASE item")


def _failed(cause: BaseException) -> MaillonError:
    """Return the error of one item of a batch that was not committed: each its own, for it is raised in its thread."""
    error = MaillonError(cause.kind, cause.detail) if isinstance(cause, MaillonError) else _storage()
    error.__cause__ = cause
    return error


def _storage() -> MaillonError:
    return MaillonError(ErrorKind.STORAGE, "the store could not write; nothing was changed")
