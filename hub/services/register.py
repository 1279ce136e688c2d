"""A partner says whom it holds: tokens in, its own pseudonyms out (DESIGN §4).

The answer looks the same whether the person was known or not. Exact evidence links, doubt opens a review, and no
registration ever joins two persons that exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.kit.link_epochs import base, epoch_of
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from connectors.kit.token_kinds import NAMESAKE_KINDS
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import DirectoryPartner
from hub.index.placing import candidates, evidence, place
from hub.index.rules import LOOKUP_KINDS, Candidate, Link, New, Review, match
from hub.index.settle import Flood
from hub.keyring import Keyring
from hub.services.link_rotation import in_use
from hub.services.pseudonyms import refs_at
from hub.services.registration import Registration
from hub.services.two_epochs import TwoEpochs, brought_up, forms
from hub.store.index import Index
from hub.store.matches import Match, MatchKind
from hub.store.pairs import FLOODED
from hub.store.session import UnitOfWork

_NEW = "new"
_PROVISIONAL = "review"
FLOOD = FLOODED
"""The rule of a record's link where more persons of its name and date are known than anyone has namesakes."""


def prepare(keyring: Keyring, partner: DirectoryPartner, records: Iterable[Mapping[str, Any]]) -> list[Registration]:
    """Key the records of a registration (schema ``registration``) with the hub's secrets; no transaction needed.

    Raises ``MaillonError(FORBIDDEN)`` for a NIR token from a partner the NIR decree does not name, ``SCHEMA`` for
    tokens of another shape or a record key that stands twice.
    """
    prepared: list[Registration] = []
    for i, record in enumerate(records):
        try:
            tokens = TokenSet.from_wire(record)
        except MaillonError as error:
            raise MaillonError(error.kind, error.detail, pointer=f"/records/{i}{error.pointer or ''}") from None
        if not partner.nir_autorise and any(kind.startswith("nir") for kind, _ in tokens.tokens):
            raise MaillonError(
                ErrorKind.FORBIDDEN,
                "NIR tokens from a partner that may not use the NIR",
                pointer=f"/records/{i}/tokens",
            )
        keyed = [forms(keyring.peppers, kind, token) for kind, token in tokens.tokens]
        prepared.append(
            Registration(
                record_key=record["record_key"],
                stored_key=keyring.record_key(partner.slug, record["record_key"]),
                tokens=tuple(now for now, _ in keyed),
                flags=tokens.flags,
                sections=frozenset(record["sections"]),
                earlier={old: now for _, before in keyed for old, now in before.items()},
                held=record.get("held", True),
            )
        )
    if len({registration.stored_key for registration in prepared}) != len(prepared):
        raise MaillonError(ErrorKind.SCHEMA, "a record key stands twice", pointer="/records")
    return prepared


def register(
    uow: UnitOfWork, keyring: Keyring, slug: str, registrations: Sequence[Registration]
) -> list[dict[str, str]]:
    """Link every record to a person, new or known; return ``{record_key, ref}``, or why not, in the same order.

    Registering the same record again changes nothing but what it declares to hold; one that holds nothing any more
    (``held``) keeps its ref and stands under nobody's holdings. A known record key that comes back with nothing in
    common with what it was is refused alone, as ``{record_key, refused}``: a local number was given to someone else,
    and that person must not inherit the ref. Only the partner's own two registrations are compared there, so the
    refusal says nothing of what others hold. Raises as :func:`hub.services.link_rotation.in_use`.
    """
    registrations = in_use(uow, [_present(keyring, each) for each in registrations])
    uow.index.expect(t for r in registrations for t in (*r.tokens, *r.earlier) if base(t.kind) in LOOKUP_KINDS)
    persons: list[PersonId | None] = []
    matches: list[Match] = []
    for registration in registrations:
        known = uow.persons.record_of(slug, registration.stored_key)
        if known is None:
            matches.append(_place(uow, slug, registration))
            person, record_id = matches[-1].person, matches[-1].record_id
        else:
            record_id, person = known
            if registration.held and not _correct(uow, slug, record_id, person, registration, matches):
                persons.append(None)
                continue
        if registration.held:
            uow.persons.declare(person, slug, record_id, registration.sections, is_new=known is None)
        else:
            uow.persons.undeclare(person, slug, record_id)
        persons.append(person)
    uow.matches.append_all(matches)
    refs = refs_at(uow, keyring, slug, {person for person in persons if person is not None})
    answers = []
    for whose, registration in zip(persons, registrations, strict=True):
        if whose is None:
            answers.append({"record_key": registration.record_key, "refused": ErrorKind.CONFLICT.value})
            continue
        answers.append({"record_key": registration.record_key, "ref": refs[whose]})
    return answers


def resolve(uow: UnitOfWork, keyring: Keyring, slug: str, ref: str) -> PersonId | None:
    """Return whom ``slug`` means by ``ref``, None when it registered no one under it."""
    return uow.persons.by_ref(slug, keyring.ref_lookup(slug, ref))


def _present(keyring: Keyring, registration: Registration) -> Registration:
    """Return a registration in the epoch of this very transaction: it may have been prepared in the one before."""
    tokens, earlier = brought_up(keyring.peppers, registration.tokens, registration.earlier)
    return registration if tokens is registration.tokens else replace(registration, tokens=tokens, earlier=earlier)


def _index(uow: UnitOfWork, registration: Registration) -> Index | TwoEpochs:
    return TwoEpochs(uow.index, registration.earlier) if registration.earlier else uow.index


def _place(uow: UnitOfWork, slug: str, registration: Registration) -> Match:
    """Give a record nobody knows to the person it is about; return what was decided, for the log."""
    answer = place(_index(uow, registration), slug, registration.tokens, registration.evidence)
    if isinstance(answer, Link):
        kind, person, rule = MatchKind.LINKED, PersonId(answer.person), answer.rule.value
        uow.secrets.create_no_one()
    else:
        doubtful = isinstance(answer, Review)
        kind, rule = (MatchKind.DOUBTED, _PROVISIONAL) if doubtful else (MatchKind.CREATED, _NEW)
        if isinstance(answer, Flood):
            rule = FLOOD
        person = uow.persons.create(provisional=not isinstance(answer, New))
        uow.secrets.create([person])
    record_id = uow.persons.add_record(
        person, slug, registration.stored_key, registration.flags, rule=rule, actor="hub"
    )
    uow.index.add(person, record_id, registration.tokens, LOOKUP_KINDS, is_new=True)
    doubts = _ask_a_human(uow, person, record_id, answer) if isinstance(answer, Review) else []
    return Match(kind, person, record_id, slug, {"rule": rule, "actor": "hub", "doubts": doubts})


def _correct(
    uow: UnitOfWork, slug: str, record_id: str, person: PersonId, registration: Registration, matches: list[Match]
) -> bool:
    """Take a record's corrected traits into the index, unless that could make two persons one; add it to ``matches``.

    Return ``False``, and change nothing, when nothing is left of who the record was about.
    """
    index = _index(uow, registration)
    before = index.tokens_of(person, record_id)
    if before == frozenset(registration.tokens):
        # Names may be known to be rarer, or more common, than before: it counts from the next comparison on, and what
        # was settled stands.
        uow.persons.set_flags(record_id, registration.flags)
        return True
    epochs = {epoch_of(token.kind) for token in before}
    if before and before == {token for token in registration.tokens if epoch_of(token.kind) in epochs}:
        # The same record under one more epoch of K_link: it says nothing that was not known.
        uow.index.add(person, record_id, registration.tokens, LOOKUP_KINDS)
        uow.persons.set_flags(record_id, registration.flags)
        return True
    telling = {token for token in before if base(token.kind) not in NAMESAKE_KINDS}
    if before and registration.tokens and telling.isdisjoint(registration.tokens):
        return False
    found = candidates(index, registration.tokens, registration.evidence)
    others = index.records_of(person, but=record_id)
    own = [Candidate(person, tuple(map(evidence, others)))]
    if others and not isinstance(match(registration.evidence, own), Link):
        # The correction no longer agrees with the person's other records: the index keeps what linked them.
        return True
    # Of a crowd, nobody can be asked about each.
    answer = match(registration.evidence, [c for c in found or () if c.person != person])
    uow.index.add(person, record_id, registration.tokens, LOOKUP_KINDS)
    uow.persons.set_flags(record_id, registration.flags)
    doubts = [] if isinstance(answer, New) else _ask_a_human(uow, person, record_id, answer)
    matches.append(Match(MatchKind.CORRECTED, person, record_id, slug, {"actor": "hub", "doubts": doubts}))
    return True


def _ask_a_human(uow: UnitOfWork, person: PersonId, record_id: str, answer: Link | Review) -> list[dict[str, object]]:
    """Open a review of ``person`` with each candidate; return the doubts as the log tells them: not about whom."""
    if isinstance(answer, Link):
        patterns: dict[str, dict[str, object]] = {answer.person: {"doubt": "correction", "rule": answer.rule.value}}
    else:
        patterns = {
            agreement.person: {
                "doubt": agreement.doubt.value,
                "kinds": list(agreement.kinds),
                "flags": dict(agreement.flags),
                "other_flags": dict(agreement.other_flags),
            }
            for agreement in answer.pattern
        }
    asked = uow.reviews.open(person, record_id, patterns)
    told = ("doubt", "rule", "kinds")
    return [{name: patterns[whom][name] for name in told if name in patterns[whom]} for whom in asked]
