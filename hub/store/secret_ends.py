"""What an erasure does to ``secrets.db``, in one transaction: what goes, what is handed over, what is wrapped again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, bindparam, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.kit.runtime.errors import MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.store.erasure_tables import event_key, secret_copy
from hub.store.tables import person_secret, trace_key
from hub.store.trace import trace_use
from hub.wrapping import WrappingKeys, bucket_of

S_REF: Final = "s_ref"
K_CONSENT: Final = "k_consent"
_KEY: Final = 32


@dataclass(frozen=True, slots=True)
class EventKey:
    """What opens one event alone, and whose it is. ``restricted``: an erasure's. ``month`` and ``expires_at``: those of
    the trace, or the end of a proof; None: it lives as long as its owner."""

    owner: str
    event_id: str
    key: bytes = field(repr=False)
    restricted: bool = False
    month: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class End:
    """What is to end. ``persons``: whose secrets go, and to whom the months that still live belong then; ``copies``:
    others that go with them; ``renewed``: who gets another ``k_consent``; ``events``: ids of events of which no key may
    be left but those in ``keys``, which are written down; ``wrapped_again``: under whose wrapping keys something else
    ended."""

    persons: Mapping[PersonId, str]
    copies: Collection[PersonId] = ()
    renewed: Collection[PersonId] = ()
    events: Collection[str] = ()
    keys: Collection[EventKey] = ()
    wrapped_again: Collection[str] = ()

    @property
    def gone(self) -> list[str]:
        """Everybody whose secrets go."""
        return sorted({*self.persons, *self.copies})


def event_use(event_id: str) -> str:
    """Return what the wrapped key of an event is bound to."""
    return f"k_event/{event_id}"


def buckets_of(connection: Connection, end: End) -> list[int]:
    """Return the buckets under whose keys stands what is to end."""
    query = select(event_key.c.owner_id).where(event_key.c.event_id.in_(list(end.events)))
    holders = connection.execute(query).scalars().all() if end.events else ()
    return sorted({bucket_of(owner) for owner in (*end.gone, *end.renewed, *end.wrapped_again, *holders)})


def carry_out(connection: Connection, wrapping: WrappingKeys, end: End, slots: Mapping[int, int]) -> None:
    """Do it, in the caller's transaction. ``slots``: the new key of each bucket that changes keys (``buckets_of``).

    Doing it again is harmless.
    """
    if end.events:
        connection.execute(delete(event_key).where(event_key.c.event_id.in_(list(end.events))))
    _put_keys(connection, wrapping, end.keys, slots)
    for person in sorted(end.renewed):
        fresh = wrapping.wrap(person, K_CONSENT, secrets.token_bytes(_KEY), slot=slots.get(bucket_of(person)))
        mine = (person_secret.c.person_id == person) & (person_secret.c.use == K_CONSENT)
        connection.execute(update(person_secret).where(mine).values(wrapped=fresh))
    for person, heir in end.persons.items():
        of_person = select(trace_key).where(trace_key.c.owner_id == person)
        for row in connection.execute(of_person).all():
            key = wrapping.unwrap(row.owner_id, trace_use(row.month), row.wrapped)
            wrapped = wrapping.wrap(heir, trace_use(row.month), key, slot=slots.get(bucket_of(heir)))
            changed = {"owner_id": heir, "wrapped": wrapped, "restricted": True}
            connection.execute(update(trace_key).where(trace_key.c.tag == row.tag).values(changed))
    for owner in end.gone:
        connection.execute(delete(person_secret).where(person_secret.c.person_id == owner))
        connection.execute(delete(event_key).where(event_key.c.owner_id == owner))
        connection.execute(
            delete(secret_copy).where(or_(secret_copy.c.owner_id == owner, secret_copy.c.of_id == owner))
        )
    for bucket, slot in slots.items():
        _wrap_again(connection, wrapping, bucket, slot)


def slot_in_use(connection: Connection, bucket: int) -> int | None:
    """Return under which of its keys a bucket's rows stand (all of them); None when it has no row."""
    low, high = _range(bucket)
    wrapped = connection.execute(
        select(person_secret.c.wrapped)
        .where(person_secret.c.person_id.between(low, high))
        .union_all(
            select(trace_key.c.wrapped).where(trace_key.c.owner_id.between(low, high)),
            select(event_key.c.wrapped).where(event_key.c.owner_id.between(low, high)),
        )
        .limit(1)
    ).scalar()
    return None if wrapped is None else int(wrapped[0])


def owners_not_opened(connection: Connection, wrapping: WrappingKeys) -> set[str]:
    """Return whose secrets, of any kind, today's keys do not open."""
    found: set[str] = set()
    for table, owner, what, use_of in _WRAPPED:
        for who, name, wrapped in connection.execute(select(table.c[owner], table.c[what], table.c.wrapped)):
            try:
                wrapping.unwrap(who, use_of(name), wrapped)
            except MaillonError:
                found.add(who)
    return found


def read_event_key(wrapping: WrappingKeys, row: Row[Any]) -> EventKey:
    """Return a row of ``event_key``, unwrapped; raises ``MaillonError(STORAGE)``."""
    key = wrapping.unwrap(row.owner_id, event_use(row.event_id), row.wrapped)
    return EventKey(row.owner_id, row.event_id, key, row.restricted, row.month, row.expires_at)


def _put_keys(
    connection: Connection, wrapping: WrappingKeys, keys: Iterable[EventKey], slots: Mapping[int, int]
) -> None:
    for each in keys:
        slot = slots.get(bucket_of(each.owner))
        row = {
            "owner_id": each.owner,
            "event_id": each.event_id,
            "wrapped": wrapping.wrap(each.owner, event_use(each.event_id), each.key, slot=slot),
            "restricted": each.restricted,
            "month": each.month,
            "expires_at": each.expires_at,
        }
        made = upsert(event_key).values(row)
        connection.execute(
            made.on_conflict_do_update(index_elements=["owner_id", "event_id"], set_={"wrapped": made.excluded.wrapped})
        )


def _wrap_again(connection: Connection, wrapping: WrappingKeys, bucket: int, slot: int) -> None:
    low, high = _range(bucket)
    for table, owner, what, use_of in _WRAPPED:
        query = select(table.c[owner], table.c[what], table.c.wrapped).where(table.c[owner].between(low, high))
        rows = []
        for who, name, wrapped in connection.execute(query).all():
            use = use_of(name)
            again = wrapping.wrap(who, use, wrapping.unwrap(who, use, wrapped), slot=slot)
            rows.append({"of_owner": who, "of_use": name, "again": again})
        if rows:
            this = (table.c[owner] == bindparam("of_owner")) & (table.c[what] == bindparam("of_use"))
            connection.execute(update(table).where(this).values(wrapped=bindparam("again")), rows)


_WRAPPED: Final[tuple[tuple[Table, str, str, Callable[[str], str]], ...]] = (
    (person_secret, "person_id", "use", str),
    (trace_key, "owner_id", "month", trace_use),
    (event_key, "owner_id", "event_id", event_use),
)
"""Each table, whose a row is and which of its owner's, and what its wrapped key is bound to."""


def _range(bucket: int) -> tuple[str, str]:
    """Return the bounds between which the ids of a bucket sort; "g" comes after every hex digit."""
    return f"{bucket:03x}", f"{bucket:03x}g"
