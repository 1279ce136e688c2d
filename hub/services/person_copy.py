"""A person's own copy of everything the log holds about her, for the DPO to hand over (``consent.ledger.person``).

Making it is itself her next event: the copy ends with it, so that nobody can cut the end off. What tells of a
protection is closed unless asked for, and so is what turned out to be another person's agreement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.kit.receipts.told import HIDDEN
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from connectors.kit.seal import Typ, peek
from consent.ledger import merkle
from consent.ledger.envelope import Link
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.person import TYPE, VIEW, Bare, Closed, Removal, Shown
from consent.model import Reason
from consent.policy import Policy
from hub.keyring import Keyring
from hub.services import audit, log
from hub.services.register import resolve
from hub.store.sealing import Opening
from hub.store.session import UnitOfWork
from hub.store.subject import SubjectEvent


def read(uow: UnitOfWork, keyring: Keyring, policy: Policy, reader: audit.Reader, asked: Mapping[str, Any]) -> str:
    """Append that ``reader`` made a copy (``asked``: schema ``person_copy_request``); return the reading's event id.

    Raises ``MaillonError(UNKNOWN_SUBJECT)``.
    """
    person = _meant(uow, keyring, asked)
    criteria = {"view": VIEW, "partner": asked["partner"], "complaint": asked["complaint"]}
    criteria |= {"with_protection": True} if asked.get("with_protection") else {}
    count = sum(log.subject_head(uow, each).n for each in uow.identity.family(person))
    heads = _heads(uow, person)
    ends = [log.subject_head(uow, person).n, *(head["n"] for head in heads)]
    chains = [log.events_of(uow, each) for each in (person, *_former(uow, person))]
    gaps = _gaps(zip(chains, ends, strict=True))
    return audit.log_copy(uow, policy, reader, person, criteria, count, heads, gaps)


def copy(uow: UnitOfWork, keyring: Keyring, asked: Mapping[str, Any], reading: str) -> dict[str, Any]:
    """Return ``{reading, witnesses, copy}``: the copy that ends with the reading of this event id, under the newest
    checkpoint a witness cosigned if that covers it, and how many did.

    Raises ``MaillonError``: ``UNKNOWN_SUBJECT``, ``NOT_FOUND`` when this is no such reading of this person,
    ``CONFLICT`` when a link changed meanwhile or the reading is not under a checkpoint yet.
    """
    person = _meant(uow, keyring, asked)
    events = log.events_of(uow, person)
    last = next((each for each in events if _is_reading(each, reading)), None)
    if last is None or last.opening is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such reading of this person", pointer="/reading")
    body = last.opening.body
    index = uow.log.index_of_event(last.seq)
    signed = None if index is None else log.covering(uow, index)
    if signed is None:
        raise MaillonError(ErrorKind.CONFLICT, "the reading is not under a signed checkpoint yet: ask again")
    others = _heads(uow, person)
    chained = [
        [each for each in events if each.seq <= last.seq],
        *(log.events_of(uow, f) for f in _former(uow, person)),
    ]
    ends = [0, *(head["n"] for head in others)]
    if (body["heads"], body["removed"]) != (others, _gaps(zip(chained, ends, strict=True))):
        raise MaillonError(ErrorKind.CONFLICT, "a link changed or traces ended meanwhile: ask for another copy")
    made = _Copy(uow, signed.size, is_open=body["criteria"].get("with_protection", False))
    made.own = {each.seq for each in uow.identity.consents_of(person)}
    chains = [made.chain(chained[0])]
    for former, head in zip(chained[1:], others, strict=True):
        chains.append(made.chain(former, b64url.decode(head["leaf"], what="leaf"), head["n"]))
    elsewhere = sorted((made.own | uow.identity.shared_with(person)) - made.seen)
    also = [made.shown(each) for each in uow.subjects.at(elsewhere) if each.seq < last.seq and made.may_show(each)]
    document = {
        "v": 1,
        "type": TYPE,
        "checkpoint": log.with_cosignatures(uow, signed).decode(),
        "chains": chains,
        "also": also,
        "removals": made.removals,
    }
    return {"reading": reading, "witnesses": len(uow.log.cosignatures(signed.size)), "copy": document}


@dataclass
class _Copy:
    """One copy in the making, under the tree of ``size`` leaves."""

    uow: UnitOfWork
    size: int
    is_open: bool
    own: set[int] = field(default_factory=set)
    """The consent events that are the person's now."""
    seen: set[int] = field(default_factory=set)
    removals: list[dict[str, Any]] = field(default_factory=list)
    _known: dict[int, int] = field(default_factory=dict)

    def chain(self, events: list[SubjectEvent], end: bytes | None = None, end_n: int = 0) -> list[dict[str, Any]]:
        """Return a chain: its events, and between them the last of each run that was emptied. ``end``: the leaf hash
        of its last event, where that may have been emptied too, and its number ``end_n``."""
        told: list[dict[str, Any]] = []
        n = 0
        for event in events:
            link = event.link
            if event.opening is None or link is None:
                continue
            self.seen.add(event.seq)
            if link.n > n + 1 and link.prev is not None:
                told += self._gone(link.prev, n + 1, link.n - 1)
            told.append(self.shown(event) if self.may_show(event) else self._closed(event.leaf, link))
            n = link.n
        return told + self._gone(end, n + 1, end_n) if end is not None and end_n > n else told

    def may_show(self, event: SubjectEvent) -> bool:
        """Say whether an event is opened: the person's own, and not of what a paper left on a table must not tell."""
        if event.opening is None:
            return False
        if event.leaf.event_class is EventClass.CONSENT:
            if event.seq not in self.own:
                return False
            return self.is_open or peek(event.opening.body, Typ.CONSENT)["kind"] not in HIDDEN
        return self.is_open or not _tells_of_protection(event.opening)

    def shown(self, event: SubjectEvent) -> dict[str, Any]:
        """Return an event told whole."""
        assert event.opening is not None  # noqa: S101 (asked of may_show before)
        return self._shown(event.opening)

    def _shown(self, opening: Opening) -> dict[str, Any]:
        content = opening.content
        link = None if content["subject"] is None else Link.from_wire(content["subject"])
        index, path = self._place(opening.leaf)
        return Shown(opening.leaf, opening.r32, content["body"], link, index, path).to_wire()

    def _closed(self, leaf: Leaf, link: Link) -> dict[str, Any]:
        index, path = self._place(leaf)
        return Closed(Bare(leaf, index, path), link.n, link.n, None).to_wire()

    def _gone(self, hashed: bytes, first: int, last: int) -> list[dict[str, Any]]:
        """Return the last of a run of missing events, and what emptied it; nothing if nothing did: the gap shows."""
        index = self.uow.log.index_of(hashed)
        seq = None if index is None else self.uow.log.event_at(index)
        emptied = None if seq is None else self.uow.subjects.emptied(seq)
        if emptied is None:
            return []
        index, path = self._place(emptied.leaf)
        gone = Bare(emptied.leaf, index, path)
        return [Closed(gone, first, last, self._removal(emptied.emptied_by)).to_wire()]

    def _removal(self, seq: int) -> int:
        if seq not in self._known:
            self._known[seq] = len(self.removals)
            self.removals.append(self._removed_by(seq).to_wire())
        return self._known[seq]

    def _removed_by(self, seq: int) -> Removal:
        leaf = self.uow.subjects.leaf(seq)
        if leaf.event_class is EventClass.ERASURE:
            # Another person's: whose, and why, is not told.
            return Removal(Bare(leaf, *self._place(leaf)), None)
        event = Shown.parse(self._shown(log.opening_about_no_one(self.uow, seq)))
        return Removal(event, tuple(self.uow.subjects.emptied_under(seq)))

    def _place(self, leaf: Leaf) -> tuple[int, tuple[bytes, ...]]:
        found = log.inclusion_of(self.uow, merkle.leaf_hash(leaf.encode()), self.size)
        return found.index, found.hashes


def _meant(uow: UnitOfWork, keyring: Keyring, asked: Mapping[str, Any]) -> PersonId:
    person = resolve(uow, keyring, asked["partner"], asked["ref"])
    if person is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref", pointer="/ref")
    return person


def _former(uow: UnitOfWork, person: PersonId) -> list[PersonId]:
    """Return whoever turned out to be the person and has events, in the order of their chains."""
    heads = {each: log.subject_head(uow, each) for each in uow.identity.family(person)[1:]}
    return sorted((each for each, head in heads.items() if head.n), key=lambda each: heads[each].leaf_hash or b"")


def _heads(uow: UnitOfWork, person: PersonId) -> list[dict[str, Any]]:
    """Return where each of those chains ends."""
    ends = [log.subject_head(uow, each) for each in _former(uow, person)]
    return [{"n": head.n, "leaf": b64url.encode(head.leaf_hash or b"")} for head in ends]


def _gaps(chains: Iterable[tuple[Sequence[SubjectEvent], int]]) -> list[list[int]]:
    """Return which events of each chain (its events, and the number of its last) have no content any more: (chain
    from 1, first, last)."""
    gaps = []
    for chain, (events, end) in enumerate(chains, start=1):
        n = 0
        for link in (event.link for event in events):
            if link is not None:
                gaps += [[chain, n + 1, link.n - 1]] if link.n > n + 1 else []
                n = link.n
        gaps += [[chain, n + 1, end]] if end > n else []
    return gaps


def _is_reading(event: SubjectEvent, reading: str) -> bool:
    if event.leaf.event_class is not EventClass.ACCESS or event.opening is None:
        return False
    body = event.opening.body
    is_copy = body.get("criteria", {}).get("view") == VIEW and "heads" in body
    return is_copy and body["record"]["event_id"] == reading


def _tells_of_protection(opening: Opening) -> bool:
    if opening.leaf.event_class is not EventClass.ACCESS:
        return False
    body = opening.body
    withheld = body.get("record", {}).get("fields", {}).get("withheld", {}).values()
    masks = (decision["masks"] for decision in body.get("decisions", ()))
    return Reason.PROTECTED.value in withheld or any(Reason.PROTECTED.value in each for each in masks)
