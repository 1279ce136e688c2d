"""Every row of ``hub.db`` about a person, and about whoever turned out to be that person: what an erasure deletes.

A record that a split took away is somebody else's now and stays; so does an agreement that a split gave to another, or
to both: it is handed over. One that came to the person goes, whoever it was accepted for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import orjson
from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.kit.runtime.ids import PersonId
from hub.store.erasure_tables import kept_consent
from hub.store.identity_changes import BOUND, IdentityChanges
from hub.store.identity_tables import absorbed, consent_owner, link_notice, must_not_link, split_access
from hub.store.tables import (
    consent_event,
    holding,
    link,
    person,
    person_ref,
    record,
    review,
    subject_head,
    token,
    token_set,
)
from hub.store.token_set import Packed


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of a person.

    ``family``: it, first, and whoever turned out to be it (empty: no one); ``copies``: whose secrets make its refs
    besides; ``events``: the consent events that are its alone, and ``shared``: those accepted for it that are another's
    now, or another's too, each with whom it was accepted for; ``renewed``: living others under whose ``k_consent``
    ``events`` were sealed; ``records``: those that are its own now; ``lookups``: the keys under which its tokens are
    found; ``counts``: rows to go, by table.
    """

    family: tuple[PersonId, ...] = ()
    copies: tuple[PersonId, ...] = ()
    events: Mapping[int, PersonId] = field(default_factory=dict)
    shared: Mapping[int, PersonId] = field(default_factory=dict)
    renewed: tuple[PersonId, ...] = ()
    records: tuple[str, ...] = ()
    lookups: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def held_of(connection: Connection, persons: Sequence[PersonId]) -> Held:
    """Return what there is of ``persons``, who are taken for one (the first is the one they all are)."""
    run = connection.execute
    others = run(select(absorbed.c.person_id).where(absorbed.c.into_id.in_(persons)).order_by(absorbed.c.at)).scalars()
    family = tuple(dict.fromkeys([*persons, *map(PersonId, others)]))
    refs = select(person_ref.c.secret_of).where(person_ref.c.person_id.in_(family)).distinct()
    copies = sorted({PersonId(each) for each in run(refs).scalars()} - set(family))
    own = (link.c.person_id.in_(family)) & link.c.until.is_(None)
    records = tuple(run(select(link.c.record_id).where(own).order_by(link.c.record_id)).scalars())
    events, shared = _consents(connection, family)
    sealers = sorted(set(events.values()) - set(family))
    living = set(run(select(person.c.person_id).where(person.c.person_id.in_(sealers))).scalars())
    packed = select(token_set.c.epoch, token_set.c.kinds, token_set.c.looked_up, token_set.c.tokens)
    rows = run(packed.where(token_set.c.person_id.in_(family)))
    held = Held(
        family,
        tuple(copies),
        events,
        shared,
        renewed=tuple(each for each in sealers if each in living),
        records=records,
        lookups=tuple(lookup for row in rows for lookup in Packed(*row).lookups()),
    )
    counts = {
        str(table.name): int(run(select(func.count()).select_from(table).where(where)).scalar_one())
        for table, where in _rows(held)
    }
    return replace(held, counts={**counts, "consent_event": len(events)})


def delete_rows(connection: Connection, changes: IdentityChanges, held: Held) -> None:
    """Delete all of it, beside an erasure or retention event (``Journal.erasing``). What is ``shared`` was handed over
    before (:func:`hand_over`)."""
    if held.events:
        this = (consent_event.c.person_id == bindparam("of")) & (consent_event.c.seq == bindparam("at_seq"))
        rows = [{"of": sealer, "at_seq": seq} for seq, sealer in held.events.items()]
        connection.execute(delete(consent_event).where(this), rows)
    for table, where in _rows(held):
        if table is record:
            _raised_by_another(connection, held.records)
        with changes.to(table, where) if table in BOUND else nullcontext():
            connection.execute(delete(table).where(where))


def _raised_by_another(connection: Connection, records: Sequence[str]) -> None:
    """Let doubts about others, which a record that goes once raised, stand on a record of theirs."""
    for row in connection.execute(select(review).where(review.c.record_id.in_(records))).all():
        own = select(func.min(link.c.record_id)).where(
            link.c.person_id.in_([row.person_id, row.candidate_id]), link.c.until.is_(None)
        )
        instead = connection.execute(own).scalar()
        this = review.c.review_id == row.review_id
        if instead is None:
            connection.execute(delete(review).where(this))
        else:
            connection.execute(update(review).where(this).values(record_id=instead))


def hand_over(connection: Connection, changes: IdentityChanges, held: Held, parts: Mapping[PersonId, str]) -> None:
    """Make what is left of a person that of its erasure: ``parts`` says of which part, for each of the family.

    Beside an erasure event. Consents that are another's stay that one's; accesses of others' that were its history too
    are found through the erasure.
    """
    for seq, former in held.shared.items():
        this = (consent_event.c.person_id == former) & (consent_event.c.seq == seq)
        row = connection.execute(select(consent_event).where(this)).one()
        connection.execute(delete(consent_event).where(this))
        connection.execute(insert(consent_event), {**row._mapping, "person_id": parts[former]})
        of_event = consent_owner.c.event_seq == seq
        with changes.to(consent_owner, of_event):
            connection.execute(update(consent_owner).where(of_event).values(given_under=parts[former]))
    for former, part in parts.items():
        kept = update(kept_consent).where(kept_consent.c.part_id == former)
        connection.execute(kept.values(part_id=part))
    if held.family:
        mine = select(split_access.c.seq, split_access.c.wrong).where(split_access.c.person_id.in_(held.family))
        heir = parts[held.family[0]]
        rows = [{"person_id": heir, "seq": row.seq, "wrong": row.wrong} for row in connection.execute(mine).all()]
        if rows:
            with changes.to(split_access, split_access.c.person_id == heir):
                connection.execute(upsert(split_access).on_conflict_do_nothing(), rows)


def _consents(connection: Connection, family: Sequence[PersonId]) -> tuple[dict[int, PersonId], dict[int, PersonId]]:
    """Return the consent events that are the family's alone, and those accepted for it that are not, by seq: for whom
    each was accepted."""
    accepted = select(consent_event.c.seq, consent_event.c.person_id).where(consent_event.c.person_id.in_(family))
    found = {row.seq: PersonId(row.person_id) for row in connection.execute(accepted)}
    open_now = consent_owner.c.until_seq.is_(None)
    given = select(consent_owner.c.event_seq, consent_owner.c.given_under).where(
        consent_owner.c.person_id.in_(family), open_now
    )
    found |= {row.event_seq: PersonId(row.given_under) for row in connection.execute(given)}
    others = others_of(connection, found, but=family)
    mine = {seq: sealer for seq, sealer in sorted(found.items()) if seq not in others}
    theirs = {seq: sealer for seq, sealer in sorted(found.items()) if seq in others and sealer in family}
    return mine, theirs


def of_relatives(connection: Connection, held: Held) -> list[tuple[int, PersonId]]:
    """Return the consent events, each with whom it was accepted for, of everybody who ever had one of the records that
    ever were the person's: where a ref of hers may have meant another."""
    theirs = select(link.c.person_id).where(
        link.c.record_id.in_(select(link.c.record_id).where(link.c.person_id.in_(held.family)))
    )
    query = select(consent_event.c.seq, consent_event.c.person_id).where(consent_event.c.person_id.in_(theirs))
    gone = {*held.events, *held.shared}
    rows = connection.execute(query.order_by(consent_event.c.seq))
    return [(row.seq, PersonId(row.person_id)) for row in rows if row.seq not in gone]


def others_of(connection: Connection, seqs: Iterable[int], but: Iterable[str] = ()) -> dict[int, list[PersonId]]:
    """Return whom a human gave each of the consent events ``seqs`` to (no one: it is not in it), ``but`` some."""
    wanted, without = sorted(seqs), set(but)
    found: dict[int, list[PersonId]] = {}
    for at in range(0, len(wanted), 500):
        query = select(consent_owner.c.event_seq, consent_owner.c.person_id).where(
            consent_owner.c.event_seq.in_(wanted[at : at + 500]), consent_owner.c.until_seq.is_(None)
        )
        for row in connection.execute(query):
            if row.person_id not in without:
                found.setdefault(row.event_seq, []).append(PersonId(row.person_id))
    return found


def _rows(held: Held) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return every table with rows of a person and which, in an order that breaks no reference; not its consents."""
    family, records, owners = held.family, held.records, (*held.family, *held.copies)
    numbers = select(token_set.c.number).where(token_set.c.person_id.in_(family))
    # As JSON: a person of many records has more of them than a statement has room for.
    listed = func.json_each(orjson.dumps(held.lookups).decode()).table_valued("value")
    return [
        (token, token.c.lookup.in_(select(listed.c.value)) & token.c.number.in_(numbers)),
        (token_set, token_set.c.person_id.in_(family)),
        (holding, holding.c.person_id.in_(family)),
        (review, or_(review.c.person_id.in_(family), review.c.candidate_id.in_(family))),
        (person_ref, person_ref.c.person_id.in_(family)),
        (subject_head, subject_head.c.person_id.in_(family)),
        (link, or_(link.c.person_id.in_(family), link.c.record_id.in_(records))),
        (record, record.c.record_id.in_(records)),
        (must_not_link, _apart(records)),
        (absorbed, or_(absorbed.c.person_id.in_(family), absorbed.c.into_id.in_(family))),
        (consent_owner, or_(consent_owner.c.person_id.in_(family), consent_owner.c.event_seq.in_(list(held.events)))),
        (split_access, split_access.c.person_id.in_(family)),
        (link_notice, link_notice.c.secret_of.in_(owners)),
        (person, person.c.person_id.in_(family)),
    ]


def _apart(records: Sequence[str]) -> ColumnElement[bool]:
    """Rows of ``must_not_link`` about ``records``: one each way, of which only the first column is looked up by."""
    others = select(must_not_link.c.other_id).where(must_not_link.c.record_id.in_(records))
    return must_not_link.c.record_id.in_(records) | (
        must_not_link.c.record_id.in_(others) & must_not_link.c.other_id.in_(records)
    )
