"""Which keys of single events have to be there before an erasure destroys what they are derived from.

Somebody else's history may stand under the erased person's keys: agreements a split gave to another, or left to both,
and accesses of the time when the two were taken for one. And what is to be unreadable may stand under the key of
somebody who stays. So the one gets keys of single events, the other a new ``k_consent`` and keys of those that remain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from connectors.kit.runtime.errors import MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.store.erasure_tables import erasure, kept_consent
from hub.store.identity_tables import split_access
from hub.store.journal import leaf_of
from hub.store.person_rows import others_of
from hub.store.sealing import event_id_bytes, event_key, open_event
from hub.store.secret_ends import End, EventKey
from hub.store.secrets import SecretStore
from hub.store.tables import access_event, consent_event, journal


def end_of(
    connection: Connection,
    secrets: SecretStore,
    *,
    erasure_id: str,
    seq: int,
    kept_until: datetime | None,
    parts: Mapping[PersonId, str],
    copies: Iterable[PersonId],
    renewed: Iterable[PersonId],
) -> End:
    """Return what the erasure ``erasure_id``, the event ``seq``, ends of the secrets, and the keys to be kept.

    The same before and after it was done. Raises ``MaillonError(STORAGE)``.
    """
    renewed = tuple(renewed)
    emptied = select(journal.c.event_id).where(journal.c.emptied_by == seq)
    dead = set(connection.execute(emptied).scalars())
    found = _Keys(secrets, [*parts, *renewed])
    of_erasure = select(journal).join(kept_consent, kept_consent.c.seq == journal.c.seq)
    kept = connection.execute(of_erasure.where(kept_consent.c.erasure_id == erasure_id)).all()
    dead |= {row.event_id for row in kept}
    keys = found.of_consents(((row, [erasure_id]) for row in kept), restricted=True, expires_at=kept_until)
    keys += found.of_consents(_left(connection, [*parts.values(), *renewed]))
    keys += _traces(connection, secrets, erasure_id, parts)
    return End(parts, tuple(copies), renewed, dead, keys)


class _Keys:
    """The keys there are: of single events, and those of the persons they may be derived from."""

    def __init__(self, secrets: SecretStore, persons: Iterable[PersonId]) -> None:
        self._secrets = secrets
        self._masters = [key for person in persons if (key := _consent_key(secrets, person)) is not None]

    def of_consents(
        self,
        events: Iterable[tuple[Row[Any], list[str]]],
        *,
        restricted: bool = False,
        expires_at: datetime | None = None,
    ) -> list[EventKey]:
        """Return the key of each event, for each who is to keep it."""
        wanted = [(row, owners) for row, owners in events if row.sealed is not None]
        own = self._secrets.event_keys(row.event_id for row, _ in wanted)
        found = []
        for row, owners in wanted:
            key = own[row.event_id][0].key if row.event_id in own else self._derived(row)
            if key is not None:
                found += [
                    EventKey(owner, row.event_id, key, restricted=restricted, expires_at=expires_at) for owner in owners
                ]
        return found

    def _derived(self, row: Row[Any]) -> bytes | None:
        leaf = leaf_of(row)
        for master in self._masters:
            try:
                open_event(master, leaf, row.sealed)
            except MaillonError:
                continue
            return event_key(master, leaf.event_id)
        # Nothing opens it any more: it went with a key that was lost.
        return None


def _consent_key(secrets: SecretStore, person: PersonId) -> bytes | None:
    try:
        return secrets.consent_key(person)
    except MaillonError:
        return None


def _left(connection: Connection, given_under: list[str]) -> list[tuple[Row[Any], list[str]]]:
    """Return the consent events accepted for these that stay, each with whose it is."""
    query = select(journal, consent_event.c.person_id).join(consent_event, consent_event.c.seq == journal.c.seq)
    rows = connection.execute(query.where(consent_event.c.person_id.in_(given_under)).order_by(journal.c.seq)).all()
    others = others_of(connection, [row.seq for row in rows])
    return [(row, list(others.get(row.seq) or [row.person_id])) for row in rows]


def _traces(
    connection: Connection, secrets: SecretStore, erasure_id: str, parts: Mapping[PersonId, str]
) -> list[EventKey]:
    mine = {*parts, *parts.values()}
    months = {trace.tag: trace for owner in sorted(mine) for trace in secrets.traces_of(owner)}
    query = (
        select(access_event.c.event_id, access_event.c.subject_tag, split_access.c.person_id, erasure.c.erasure_id)
        .join(access_event, access_event.c.seq == split_access.c.seq)
        .outerjoin(erasure, erasure.c.erasure_id == split_access.c.person_id)
        .order_by(access_event.c.seq)
    )
    found = []
    # Of the erased person's months, what is another's history too.
    for row in connection.execute(query.where(access_event.c.subject_tag.in_(list(months)))):
        if row.person_id not in mine:
            trace = months[row.subject_tag]
            key = event_key(trace.key, event_id_bytes(row.event_id))
            is_erased = row.erasure_id is not None
            found.append(EventKey(row.person_id, row.event_id, key, is_erased, trace.month, trace.expires_at))
    # Of months of somebody erased before, what was this person's too: the law keeps it with the rest.
    of_others = connection.execute(query.where(split_access.c.person_id == erasure_id)).all()
    traces = secrets.by_tag({row.subject_tag for row in of_others})
    own = secrets.event_keys(row.event_id for row in of_others)
    for row in of_others:
        trace_of = traces.get(row.subject_tag)
        if trace_of is not None and trace_of.owner not in mine and row.event_id in own:
            key = own[row.event_id][0].key
            found.append(EventKey(erasure_id, row.event_id, key, True, trace_of.month, trace_of.expires_at))
    return found
