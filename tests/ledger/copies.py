"""Copies of a person's events as an honest hub makes them, of logs written for the purpose."""

from __future__ import annotations

import hashlib
from typing import Any

from consent.ledger import envelope
from consent.ledger.envelope import Link
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.merkle import inclusion_proof, leaf_hash
from consent.ledger.person import READ, TYPE, Bare, Closed, Removal, Shown
from consent.ledger.verify import TrustedKeys
from tests.ledger.world import LOG, ORIGIN, START_US, Log, make_leaf

Document = dict[str, Any]
KEYS = TrustedKeys(KeyHistory(ORIGIN, (KeySpan(LOG.verifier),)), frozenset(), 0, 0, {})


def reading(heads: list[Document], *removed: list[int]) -> Document:
    """The body of the event a copy ends with: its own making, and what of her chains was removed by then."""
    return {"event": READ, "criteria": {"view": "person"}, "heads": heads, "removed": list(removed)}


class Copy:
    """Writes a log with one person's events in it, and the copy an honest hub would make."""

    def __init__(self) -> None:
        self.log = Log([make_leaf(0)])
        self.events: list[tuple[Leaf, bytes, Any, Link | None, int]] = []

    def add(self, event_class: EventClass, body: Any, link: Link | None) -> bytes:
        number = self.log.size
        r32 = hashlib.sha256(b"r32/%d" % number).digest()
        sealed = hashlib.sha256(b"sealed/%d" % number).digest()
        bound = commitment(r32, envelope.encode(body, link))
        event_id = hashlib.sha256(b"id/%d" % number).digest()[:16]
        leaf = Leaf(event_class, event_id, START_US + number * 1_000, bound, sealed)
        self.log.append([leaf])
        self.events.append((leaf, r32, body, link, number))
        return leaf_hash(leaf.encode())

    def path(self, index: int) -> tuple[bytes, ...]:
        return inclusion_proof(index, self.log.size, self.log.reader())

    def shown(self, at: int) -> Document:
        leaf, r32, body, link, index = self.events[at]
        return Shown(leaf, r32, body, link, index, self.path(index)).to_wire()

    def closed(self, at: int, first: int, n: int, removal: int | None) -> Document:
        leaf, _, _, _, index = self.events[at]
        return Closed(Bare(leaf, index, self.path(index)), first, n, removal).to_wire()

    def erasure(self, at: int) -> Document:
        leaf, _, _, _, index = self.events[at]
        return Removal(Bare(leaf, index, self.path(index)), None).to_wire()

    def removal(self, at: int, *ids: bytes) -> Document:
        return Removal(Shown.parse(self.shown(at)), ids).to_wire()

    def document(self, *chains: list[Document], removals: Any = (), also: Any = ()) -> Document:
        note = self.log.note().decode()
        whole = {"v": 1, "type": TYPE, "checkpoint": note, "chains": list(chains)}
        return {**whole, "removals": list(removals), "also": list(also)}


def chained(made: Copy, *bodies: Any, event_class: EventClass = EventClass.ACCESS) -> bytes:
    """Add events that follow one another; return the leaf hash of the last."""
    before: bytes | None = None
    for n, body in enumerate(bodies, start=1):
        before = made.add(event_class, body, Link(n, before))
    assert before is not None
    return before
