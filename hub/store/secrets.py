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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.exc import DBAPIError

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.store.backup import copy_database
from hub.store.engine import open_engine, truncate_wal
from hub.store.key_cache import MOST_CONTENTS, MOST_KEYS, KeyCache
from hub.store.migrations import upgrade
from hub.store.sql import Sql
from hub.store.tables import Instant, person_secret, trace_key
from hub.store.trace import Trace, end_of_traces, month_of, trace_use
from hub.wrapping import WrappingKeys, bucket_of

T = TypeVar("T")

S_REF: Final = "s_ref"
K_CONSENT: Final = "k_consent"
_KEY: Final = 32
_TAG: Final = 16

_ADD_SECRET = "INSERT INTO person_secret (person_id, use, wrapped, created_at) VALUES (?, ?, ?, ?)"  # noqa: S105 - SQL
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
_OF_TAGS = _TRACES.where(trace_key.c.tag.in_(bindparam("tags", expanding=True)))


@dataclass
class _Drawn:
    """Secrets drawn and not yet durable."""

    secrets: dict[tuple[str, str], bytes] = field(default_factory=dict)
    traces: dict[tuple[str, str], Trace] = field(default_factory=dict)


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

    def copy(self, of: PersonId, to: PersonId) -> None:
        """Give ``to`` the ``s_ref`` of ``of``; raises ``MaillonError(STORAGE)`` when that one was erased."""
        secret = self.refs([of]).get(of)
        if secret is None:
            raise MaillonError(ErrorKind.STORAGE, "a person's key is gone")
        self._drawn.secrets[to, S_REF] = secret

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
        if not drawn.secrets and not drawn.traces:
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
                    sql.run_all(_ADD_SECRET, sorted(made))
                    sql.run_all(_ADD_TRACE, sorted(self._trace_row(trace) for trace in drawn.traces.values()))
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

    def erase(self, person: PersonId, receipt_id: str, *, proof_until: datetime | None = None) -> None:
        """Destroy a person's secrets, durably, and with them the key that wrapped them; doing it again is harmless.

        The months that still live become the erasure receipt's, ``restricted``; so does ``k_consent`` when the signed
        agreements are kept as proof, ``proof_until`` then. Safe against a crash at any point:
        before the commit nothing was erased, after it the next start destroys the old key. The writer's thread only.
        Raises ``MaillonError(STORAGE)``.
        """
        self.flush()
        bucket = bucket_of(person)
        with self._lock:
            self._settle()
            slot = self._wrapping.begin_change(bucket)
            try:
                with self._engine.begin() as connection:
                    of_receipt = slot if bucket_of(receipt_id) == bucket else None
                    if proof_until is not None:
                        self._keep_proof(connection, person, receipt_id, proof_until, of_receipt)
                    connection.execute(delete(person_secret).where(person_secret.c.person_id == person))
                    for trace in [self._trace(row) for row in connection.execute(_OF_OWNER, {"owner": person})]:
                        self._hand_over(connection, trace, receipt_id, of_receipt)
                    self._wrap_again(connection, bucket, slot)
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
        is_over = (trace_key.c.expires_at <= at) | (trace_key.c.month < months_before)
        with self._lock, self._engine.begin() as connection:
            gone = connection.execute(delete(trace_key).where(is_over)).rowcount
        self._forget()
        return gone

    def expired_tags(self, at: datetime, *, months_before: str = "") -> list[bytes]:
        """Return the tags of the months :meth:`expire` would end."""
        is_over = (trace_key.c.expires_at <= at) | (trace_key.c.month < months_before)
        with self._reads.connect() as connection:
            return list(connection.execute(select(trace_key.c.tag).where(is_over)).scalars())

    def end_proofs(self, at: datetime) -> int:
        """Destroy the keys of agreements kept as proof until ``at`` or before, durably; return how many there were."""
        with self._lock, self._engine.begin() as connection:
            gone = connection.execute(delete(person_secret).where(person_secret.c.expires_at <= at)).rowcount
        self._forget()
        return gone

    def unreadable(self) -> tuple[set[str], list[bytes]]:
        """Return whose secrets today's keys do not open, and the tags of their months.

        In a restored backup from before an erasure, whoever shared the erased person's bucket stands under the key
        that was destroyed.
        """
        with self._reads.connect() as connection:
            owners = {row.person_id for row in connection.execute(select(person_secret)) if not self._opens(row)}
            traces = connection.execute(_TRACES).all()
        owners |= {row.owner_id for row in traces if not self._opens(row)}
        return owners, [row.tag for row in traces if row.owner_id in owners]

    def drop(self, owners: Iterable[str]) -> None:
        """Delete every secret of these owners, durably."""
        with self._lock, self._engine.begin() as connection:
            for owner in owners:
                connection.execute(delete(person_secret).where(person_secret.c.person_id == owner))
                connection.execute(delete(trace_key).where(trace_key.c.owner_id == owner))
        self._forget()

    def _opens(self, row: Row[Any]) -> bool:
        try:
            self._secret(row) if "use" in row._mapping else self._trace(row)
        except MaillonError:
            return False
        return True

    def truncate_wal(self) -> bool:
        """Empty the write-ahead log, which still holds what was there before an erasure; False while others read."""
        return truncate_wal(self._engine)

    def backup(self, target: Path) -> None:
        """Copy the file as it is now to ``target``; raises as :func:`hub.store.backup.copy_database`."""
        copy_database(self._engine, target)

    def _keep_proof(
        self, connection: Connection, person: PersonId, receipt_id: str, until: datetime, slot: int | None
    ) -> None:
        mine = (person_secret.c.person_id == person) & (person_secret.c.use == K_CONSENT)
        row = connection.execute(select(person_secret).where(mine)).one_or_none()
        if row is None:  # done before
            return
        wrapped = self._wrapping.wrap(receipt_id, K_CONSENT, self._secret(row)[1], slot=slot)
        changed = {"person_id": receipt_id, "wrapped": wrapped, "expires_at": until}
        connection.execute(update(person_secret).where(mine).values(changed))

    def _hand_over(self, connection: Connection, trace: Trace, receipt_id: str, slot: int | None) -> None:
        wrapped = self._wrapping.wrap(receipt_id, trace_use(trace.month), trace.key, slot=slot)
        changed = {"owner_id": receipt_id, "wrapped": wrapped, "restricted": True}
        connection.execute(update(trace_key).where(trace_key.c.tag == trace.tag).values(changed))

    def _wrap_again(self, connection: Connection, bucket: int, slot: int) -> None:
        wrapping, low, high = self._wrapping, *_range(bucket)
        of_persons = person_secret.c.person_id.between(low, high)
        for row in connection.execute(select(person_secret).where(of_persons)).all():
            secret = wrapping.unwrap(row.person_id, row.use, row.wrapped)
            where = (person_secret.c.person_id == row.person_id) & (person_secret.c.use == row.use)
            wrapped = wrapping.wrap(row.person_id, row.use, secret, slot=slot)
            connection.execute(update(person_secret).where(where).values(wrapped=wrapped))
        for trace in [
            self._trace(r) for r in connection.execute(_TRACES.where(trace_key.c.owner_id.between(low, high)))
        ]:
            wrapped = wrapping.wrap(trace.owner, trace_use(trace.month), trace.key, slot=slot)
            connection.execute(update(trace_key).where(trace_key.c.tag == trace.tag).values(wrapped=wrapped))

    def _settle(self) -> None:
        """End every change of keys that was interrupted: its rows were all wrapped again in one commit, or none was."""
        for bucket in self._wrapping.changing():
            low, high = _range(bucket)
            with self._reads.connect() as connection:
                found = connection.execute(
                    select(person_secret.c.wrapped)
                    .where(person_secret.c.person_id.between(low, high))
                    .union_all(select(trace_key.c.wrapped).where(trace_key.c.owner_id.between(low, high)))
                    .limit(1)
                ).scalar()
            if found is None:
                self._wrapping.renew(bucket)
            else:
                self._wrapping.finish_change(bucket, found[0])

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


def _range(bucket: int) -> tuple[str, str]:
    """Return the bounds between which the ids of a bucket sort; "g" comes after every hex digit."""
    return f"{bucket:03x}", f"{bucket:03x}g"
