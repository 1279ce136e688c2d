"""Per-person secrets in their own file with its own short backup retention (DESIGN §4).

``s_ref`` makes a person's refs, ``k_consent`` opens the consent events, one ``k_trace`` a month opens what was done
about the person in that month; each has its own end. Destroying a row makes what it opened meaningless, whatever
copies of ``hub.db`` exist; erasing a person also destroys the key that wrapped it (:mod:`hub.wrapping`).

A secret is durable before the commit of ``hub.db`` that relies on it: the writer flushes what its batch drew, then
commits. An orphan secret is harmless, an event without one is not.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select
from sqlalchemy.exc import DBAPIError

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.store import secret_ends
from hub.store.backup import copy_database
from hub.store.engine import open_engine, truncate_wal
from hub.store.erasure_tables import event_key, secret_copy
from hub.store.key_cache import MOST_CONTENTS, MOST_KEYS, KeyCache
from hub.store.migrations import upgrade
from hub.store.secret_ends import K_CONSENT, S_REF, End, EventKey
from hub.store.sql import Sql
from hub.store.tables import Instant, person_secret, trace_key
from hub.store.trace import Trace, end_of_traces, month_of, trace_use
from hub.wrapping import WrappingKeys

T = TypeVar("T")

_KEY: Final = 32
_TAG: Final = 16

_ADD_SECRET = "INSERT INTO person_secret (person_id, use, wrapped, created_at) VALUES (?, ?, ?, ?)"  # noqa: S105 - SQL
_DROP_SECRET = "DELETE FROM person_secret WHERE person_id = ?"  # noqa: S105 - SQL
_ADD_TRACE = "INSERT INTO trace_key (owner_id, month, tag, wrapped, expires_at, restricted) VALUES (?, ?, ?, ?, ?, ?)"
# Written once: building a statement costs more than running it.
_SECRETS = select(person_secret.c.person_id, person_secret.c.use, person_secret.c.wrapped).where(
    person_secret.c.use == bindparam("use"), person_secret.c.person_id.in_(bindparam("persons", expanding=True))
)
_TRACES = select(trace_key)
_OF_MONTH = _TRACES.where(
    trace_key.c.owner_id.in_(bindparam("owners", expanding=True)), trace_key.c.month == bindparam("month")
)
_OF_OWNER = _TRACES.where(trace_key.c.owner_id == bindparam("owner")).order_by(trace_key.c.month)
_OF_EVENTS = select(event_key).where(event_key.c.event_id.in_(bindparam("events", expanding=True)))
_COPIES = select(secret_copy.c.owner_id).where(secret_copy.c.of_id.in_(bindparam("owners", expanding=True)))
_OF_TAGS = _TRACES.where(trace_key.c.tag.in_(bindparam("tags", expanding=True)))


@dataclass
class _Drawn:
    """Secrets drawn and not yet durable."""

    secrets: dict[tuple[str, str], bytes] = field(default_factory=dict)
    traces: dict[tuple[str, str], Trace] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    of_no_one: list[str] = field(default_factory=list)


class SecretStore:
    """``secrets.db``: independent random secrets, each wrapped. One thread (the writer's) draws; any may read."""

    def __init__(
        self, path: Path, wrapping: WrappingKeys, clock: Clock, *, system_key: bytes, trace_months: int = 12
    ) -> None:
        """Open the file at ``path``, bring it up to date and finish what a crash interrupted.

        ``system_key`` opens events about no one; a month's traces live ``trace_months`` months after its end.
        """
        self._engine = open_engine(path)
        self._wrapping = wrapping
        self._clock = clock
        self.system_key = system_key
        self._trace_months = trace_months
        upgrade(self._engine, "secrets")
        # Readers of their own: an engine that writes would take the file's one lock to read.
        self._reads = open_engine(path, read_only=True)
        self._lock = threading.Lock()
        self._drawn = _Drawn()
        self._consent_keys: KeyCache[str, bytes] = KeyCache(MOST_KEYS)
        self._months: KeyCache[tuple[str, str], Trace] = KeyCache(MOST_KEYS)
        self.opened: KeyCache[tuple[Any, ...], Any] = KeyCache(MOST_CONTENTS)
        """What was opened with these keys lately, by all that stands in clear beside it; goes when any key does."""
        with self._lock:
            self._settle()

    # --- persons -------------------------------------------------------------------------------------------------

    def create(self, persons: Iterable[PersonId]) -> dict[PersonId, bytes]:
        """Draw ``s_ref`` and ``k_consent`` for new persons and return the former."""
        made = {}
        for person in persons:
            made[person] = self._drawn.secrets[person, S_REF] = secrets.token_bytes(_KEY)
            self._drawn.secrets[person, K_CONSENT] = secrets.token_bytes(_KEY)
        return made

    def create_no_one(self) -> None:
        """Have the next flush write a new person's secrets, and leave nothing: being known is then not told by time."""
        self._drawn.of_no_one.append(new_uuid())

    def copy(self, of: PersonId, to: PersonId) -> None:
        """Give ``to`` the ``s_ref`` of ``of``; raises ``MaillonError(STORAGE)`` when that one was erased."""
        secret = self.refs([of]).get(of)
        if secret is None:
            raise MaillonError(ErrorKind.STORAGE, "a person's key is gone")
        self._drawn.secrets[to, S_REF] = secret
        self._drawn.copies[to] = of

    def copies_of(self, owners: Iterable[PersonId]) -> set[PersonId]:
        """Return everybody who has a copy of an ``s_ref`` of ``owners``, or a copy of a copy."""
        found: set[PersonId] = set()
        asked = set(owners)
        while asked:
            stored = self._read(_COPIES, lambda row: PersonId(row.owner_id), owners=sorted(asked))
            drawn = [PersonId(copy) for copy, of in self._drawn.copies.items() if of in asked]
            asked = {*stored, *drawn} - found
            found |= asked
        return found

    def refs(self, persons: Iterable[PersonId]) -> dict[PersonId, bytes]:
        """Return ``s_ref`` of every person that still has one."""
        return self._secrets(persons, S_REF)

    def consent_key(self, person: PersonId) -> bytes:
        """Return ``k_consent``; raises ``MaillonError(STORAGE)`` when the person was erased."""
        drawn = self._drawn.secrets.get((person, K_CONSENT))
        if drawn is not None:
            return drawn
        read = self._consent_keys.token()
        key = self._consent_keys.get(person)
        if key is None:
            key = self._secrets([person], K_CONSENT).get(person)
            if key is None:
                raise MaillonError(ErrorKind.STORAGE, "a person's key is gone")
            self._consent_keys.put(person, key, read)
        return key

    def _secrets(self, persons: Iterable[PersonId], use: str) -> dict[PersonId, bytes]:
        wanted = set(persons)
        found = {person: drawn for person in wanted if (drawn := self._drawn.secrets.get((person, use))) is not None}
        if missing := sorted(wanted - set(found)):
            found |= dict(self._read(_SECRETS, self._secret, persons=missing, use=use))
        return found

    def _secret(self, row: Row[Any]) -> tuple[PersonId, bytes]:
        return PersonId(row.person_id), self._wrapping.unwrap(row.person_id, row.use, row.wrapped)

    # --- traces --------------------------------------------------------------------------------------------------

    def traces(self, persons: Iterable[PersonId], at: datetime) -> dict[PersonId, Trace]:
        """Return each person's trace of the month of ``at``; one that has none gets one. The writer's thread only."""
        month = month_of(at)
        found: dict[PersonId, Trace] = {}
        unknown: list[PersonId] = []
        for person in persons:
            trace = self._drawn.traces.get((person, month)) or self._months.get((person, month))
            if trace is not None:
                found[person] = trace
            else:
                unknown.append(person)
        # Whoever was created in this very batch has no month yet: nothing to look for.
        stored = [person for person in unknown if (person, S_REF) not in self._drawn.secrets]
        if stored:
            read = self._months.token()
            for trace in self._read(_OF_MONTH, self._trace, owners=sorted(set(stored)), month=month):
                found[PersonId(trace.owner)] = trace
                self._months.put((trace.owner, month), trace, read)
        for person in unknown:
            if person not in found:
                found[person] = self._drawn.traces[person, month] = self._new_trace(person, month)
        return found

    def trace(self, person: PersonId, at: datetime) -> Trace:
        """Return :meth:`traces` of one person."""
        return self.traces((person,), at)[person]

    def traces_of(self, owner: str) -> list[Trace]:
        """Return every living month of a person, or of an erasure receipt, oldest first."""
        drawn = {trace.tag: trace for trace in list(self._drawn.traces.values()) if trace.owner == owner}
        return list(({trace.tag: trace for trace in self._read(_OF_OWNER, self._trace, owner=owner)} | drawn).values())

    def by_tag(self, tags: Iterable[bytes]) -> dict[bytes, Trace]:
        """Return what stands behind each tag whose month's key still lives."""
        wanted = set(tags)
        found = {trace.tag: trace for trace in list(self._drawn.traces.values()) if trace.tag in wanted}
        if missing := wanted - set(found):
            found |= {trace.tag: trace for trace in self._read(_OF_TAGS, self._trace, tags=sorted(missing))}
        return found

    # --- single events -------------------------------------------------------------------------------------------

    def event_keys(self, event_ids: Iterable[str]) -> dict[str, list[EventKey]]:
        """Return, by event, the keys of single events that are left of keys which were destroyed."""
        found: dict[str, list[EventKey]] = {}
        wanted = sorted(set(event_ids))
        for i in range(0, len(wanted), 500):
            make = lambda row: secret_ends.read_event_key(self._wrapping, row)  # noqa: E731
            for each in self._read(_OF_EVENTS, make, events=wanted[i : i + 500]):
                found.setdefault(each.event_id, []).append(each)
        return found

    def _new_trace(self, person: PersonId, month: str) -> Trace:
        expires_at = end_of_traces(month, self._trace_months)
        return Trace(person, month, secrets.token_bytes(_TAG), secrets.token_bytes(_KEY), expires_at, restricted=False)

    def _trace(self, row: Row[Any]) -> Trace:
        key = self._wrapping.unwrap(row.owner_id, trace_use(row.month), row.wrapped)
        return Trace(row.owner_id, row.month, row.tag, key, row.expires_at, row.restricted)

    # --- making durable ------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make durable what was drawn since the last flush. Raises ``MaillonError(STORAGE)``: none of it then is."""
        drawn = self._drawn
        if not (drawn.secrets or drawn.traces or drawn.of_no_one):
            return
        now, wrap = Instant.to_microseconds(self._clock.now()), self._wrapping.wrap
        try:
            # The lock: a bucket must not change its keys between the wrapping and the commit.
            with self._lock:
                self._settle()
                with self._engine.begin() as connection:
                    sql = Sql(connection)
                    made = [
                        (person, use, wrap(person, use, each), now) for (person, use), each in drawn.secrets.items()
                    ]
                    made += [
                        (name, use, wrap(name, use, bytes(_KEY)), now)
                        for name in drawn.of_no_one
                        for use in (S_REF, K_CONSENT)
                    ]
                    sql.run_all(_ADD_SECRET, sorted(made))
                    sql.run_all(_DROP_SECRET, [(name,) for name in drawn.of_no_one])
                    sql.run_all(_ADD_TRACE, sorted(self._trace_row(trace) for trace in drawn.traces.values()))
                    if drawn.copies:
                        rows = [{"owner_id": copy, "of_id": of} for copy, of in drawn.copies.items()]
                        connection.execute(insert(secret_copy), rows)
        except DBAPIError as error:
            raise MaillonError(ErrorKind.STORAGE, "a person's secret could not be written") from error
        self._drawn = _Drawn()
        for (person, use), secret in drawn.secrets.items():
            if use == K_CONSENT:
                self._consent_keys.put(person, secret, self._consent_keys.token())
        for key, trace in drawn.traces.items():
            self._months.put(key, trace, self._months.token())

    def discard(self) -> None:
        """Forget what was drawn and is not durable: the batch that drew it failed."""
        self._drawn = _Drawn()

    def _trace_row(self, trace: Trace) -> tuple[str, str, bytes, bytes, int, bool]:
        wrapped = self._wrapping.wrap(trace.owner, trace_use(trace.month), trace.key)
        expires_at = Instant.to_microseconds(trace.expires_at)
        return trace.owner, trace.month, trace.tag, wrapped, expires_at, trace.restricted

    # --- the end of secrets --------------------------------------------------------------------------------------

    def erase(self, end: End) -> None:
        """Destroy what is to ``end``, durably, and with it the keys that wrapped it; doing it again is harmless.

        Safe against a crash at any point: before the commit nothing was erased, after it the next start destroys the
        old keys. The writer's thread only. Raises ``MaillonError(STORAGE)``.
        """
        self.flush()
        with self._changed(end) as (connection, slots):
            secret_ends.carry_out(connection, self._wrapping, end, slots)

    @contextmanager
    def _changed(self, end: End) -> Iterator[tuple[Connection, dict[int, int]]]:
        """Give the buckets of ``end`` new keys (yielded by bucket: their slots) in one transaction with what the block
        does, and destroy the old ones after it."""
        with self._lock:
            self._settle()
            try:
                with self._engine.begin() as connection:
                    buckets = secret_ends.buckets_of(connection, end)
                    yield connection, {bucket: self._wrapping.begin_change(bucket) for bucket in buckets}
            except DBAPIError as error:
                raise MaillonError(ErrorKind.STORAGE, "a person's secrets could not be erased") from error
            finally:
                # Whether the commit took place is told by the rows alone.
                self._settle()
        self._forget()

    def expire(self, at: datetime, *, months_before: str = "") -> int:
        """Destroy the keys of the months whose time is over at ``at``, durably; return how many there were.

        ``months_before`` (``YYYY-MM``) ends earlier months too, whatever was planned when their keys were made.
        """
        of_events = event_key.c.month.is_not(None) & (
            (event_key.c.expires_at <= at) | (event_key.c.month < months_before)
        )
        with self._lock, self._engine.begin() as connection:
            gone = connection.execute(delete(trace_key).where(_is_over(at, months_before))).rowcount
            connection.execute(delete(event_key).where(of_events))
        self._forget()
        return gone

    def expired_tags(self, at: datetime, *, months_before: str = "") -> list[bytes]:
        """Return the tags of the months :meth:`expire` would end."""
        with self._reads.connect() as connection:
            return list(connection.execute(select(trace_key.c.tag).where(_is_over(at, months_before))).scalars())

    def end_proofs(self, at: datetime) -> int:
        """Destroy the keys of agreements kept as proof until ``at`` or before, durably, and those that wrapped them;
        return how many there were. Raises ``MaillonError(STORAGE)``."""
        of_events = event_key.c.month.is_(None) & (event_key.c.expires_at <= at)
        of_persons = person_secret.c.expires_at <= at
        with self._reads.connect() as connection:
            owners = {*connection.execute(select(event_key.c.owner_id).where(of_events)).scalars()}
            owners |= {*connection.execute(select(person_secret.c.person_id).where(of_persons)).scalars()}
        gone = 0
        # One by one: in a copy of before, a bucket that changed its key opens for no one.
        for owner in sorted(owners):
            end = End({}, wrapped_again=[owner])
            with self._changed(end) as (connection, slots):
                gone += connection.execute(delete(event_key).where(of_events, event_key.c.owner_id == owner)).rowcount
                mine = person_secret.c.person_id == owner
                gone += connection.execute(delete(person_secret).where(of_persons, mine)).rowcount
                secret_ends.carry_out(connection, self._wrapping, end, slots)
        return gone

    def unreadable(self) -> tuple[set[str], list[bytes]]:
        """Return whose secrets today's keys do not open, and the tags of their months.

        In a restored backup from before an erasure, whoever shared the erased person's bucket stands under the key
        that was destroyed.
        """
        with self._reads.connect() as connection:
            owners = secret_ends.owners_not_opened(connection, self._wrapping)
            tags = connection.execute(select(trace_key.c.tag, trace_key.c.owner_id)).all()
        return owners, [row.tag for row in tags if row.owner_id in owners]

    def drop(self, owners: Iterable[str]) -> None:
        """Delete every secret of these owners, durably."""
        with self._lock, self._engine.begin() as connection:
            for owner in owners:
                connection.execute(delete(person_secret).where(person_secret.c.person_id == owner))
                connection.execute(delete(trace_key).where(trace_key.c.owner_id == owner))
                connection.execute(delete(event_key).where(event_key.c.owner_id == owner))
        self._forget()

    def truncate_wal(self) -> bool:
        """Empty the write-ahead log, which still holds what was there before an erasure; False while others read."""
        return truncate_wal(self._engine)

    def backup(self, target: Path) -> None:
        """Copy the file as it is now to ``target``; raises as :func:`hub.store.backup.copy_database`."""
        copy_database(self._engine, target)

    def _settle(self) -> None:
        """End every change of keys that was interrupted: its rows were all wrapped again in one commit, or none was."""
        for bucket in self._wrapping.changing():
            with self._reads.connect() as connection:
                slot = secret_ends.slot_in_use(connection, bucket)
            if slot is None:
                self._wrapping.renew(bucket)
            else:
                self._wrapping.finish_change(bucket, slot)

    def _forget(self) -> None:
        self._consent_keys.clear()
        self._months.clear()
        self.opened.clear()

    def _read(self, query: Any, make: Callable[[Row[Any]], T], **values: object) -> list[T]:
        try:
            return self._read_once(query, make, **values)
        except MaillonError:
            # The bucket may have changed its key after these rows were read: they stand there under the new one.
            return self._read_once(query, make, **values)

    def _read_once(self, query: Any, make: Callable[[Row[Any]], T], **values: object) -> list[T]:
        try:
            with self._reads.connect() as connection:
                rows = connection.execute(query, values).all()
        except DBAPIError as error:
            raise MaillonError(ErrorKind.STORAGE, "the persons' secrets could not be read") from error
        return [make(row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._reads.dispose()
        self._engine.dispose()


def _is_over(at: datetime, months_before: str) -> ColumnElement[bool]:
    return (trace_key.c.expires_at <= at) | (trace_key.c.month < months_before)
