"""Checking a person's own copy offline (``consent.ledger.person``): whether anything is missing, altered or another's,
where, and in plain words what that proves and what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from consent.ledger import words
from consent.ledger.checkpoint import Checkpoint
from consent.ledger.exact import LedgerError, is_one
from consent.ledger.jws import open_record, to_base64url
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash, verify_inclusion
from consent.ledger.note import split_note
from consent.ledger.opening import instant
from consent.ledger.person import ERASED, FORM, READ, TYPE, VIEW, Bare, Closed, Removal, Shown, as_list, member
from consent.ledger.verify import TrustedKeys, check_time

_MEMBERS: Final = {"v", "type", "checkpoint", "chains", "also", "removals"}
_UNCHECKED: Final = frozenset({"collector_unknown", "certificate"})
"""Keys that are not in the keys file (any more): the signature is not judged, and that is said."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Events ``first`` to ``last`` of chain number ``chain`` (from 1) whose content the log says it removed, and when:
    microseconds since 1970, ``event`` the name of what removed it."""

    chain: int
    first: int
    last: int
    at_us: int
    event: str


@dataclass(frozen=True, slots=True)
class PersonVerdict:
    """What a copy is worth. ``code`` is None when it holds; otherwise ``chain`` and ``n`` (from 1; 0: none in
    particular) say where the first thing wrong is, for a gap the first event that is missing.

    ``shown`` counts the events told whole, ``closed`` those of which the leaf alone is shown without having been
    removed, ``unchecked`` consents whose collector's key the keys file has not.
    """

    code: str | None
    chain: int = 0
    n: int = 0
    origin: str = ""
    size: int = 0
    at_us: int = 0
    shown: int = 0
    closed: int = 0
    elsewhere: int = 0
    unchecked: int = 0
    gaps: tuple[Gap, ...] = ()
    witnesses: tuple[tuple[str, int], ...] = ()
    quorum: int = 0

    @property
    def holds(self) -> bool:
        """Whether everything that could be checked is true."""
        return self.code is None

    def reason(self, language: words.Language) -> str:
        """Return in plain words why the copy is refused, and where; empty when it holds."""
        if self.code is None:
            return ""
        where = words.say(words.PERSON_PLACE, language, chain=self.chain, n=self.n) if self.n else ""
        return where + words.reason(self.code, language)

    def proves(self, language: words.Language) -> list[str]:
        """Return in plain words what the copy proves; nothing when it does not hold."""
        if self.code is not None:
            return []
        count = self.shown + self.closed + sum(gap.last - gap.first + 1 for gap in self.gaps)
        until = instant(max((time for _, time in self.witnesses), default=0) * 1_000_000)
        told = [
            words.say(words.PERSON_PROVES["whole"], language, count=count, at=instant(self.at_us)),
            words.say(words.PERSON_PROVES["logged"], language, origin=self.origin, size=self.size),
        ]
        for gap in self.gaps:
            said = words.PERSON_PROVES["erased" if gap.event == ERASED else "removed"]
            told.append(words.say(said, language, first=gap.first, last=gap.last, at=instant(gap.at_us)))
        if self.closed:
            told.append(words.say(words.PERSON_PROVES["closed"], language, count=self.closed))
        if self.witnesses:
            names = ", ".join(name for name, _ in self.witnesses)
            seen = words.PROVES["witnessed"]
            told.append(words.say(seen, language, count=len(self.witnesses), until=until, names=names))
        return told

    def does_not_prove(self, language: words.Language) -> list[str]:
        """Return in plain words what the copy leaves open."""
        is_open = {
            "removed": bool(self.gaps),
            "elsewhere": self.elsewhere > 0,
            "unchecked": self.unchecked > 0,
            "one_log": not self.quorum,
        }
        values = {"unchecked": self.unchecked, "elsewhere": self.elsewhere}
        chosen = [name for name in words.PERSON_DOES_NOT_PROVE if is_open.get(name, True)]
        return [words.say(words.PERSON_DOES_NOT_PROVE[name], language, **values) for name in chosen]


@dataclass(slots=True)
class _Walk:
    """Where the verification stands, and what it has found so far."""

    size: int = 0
    root: bytes = b""
    chain: int = 0
    n: int = 0
    shown: list[Shown] = field(default_factory=list)
    closed: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def check_logged(self, event: Shown | Bare) -> bytes:
        """Return the event's leaf hash, proved to be in the tree."""
        hashed = leaf_hash(event.leaf.encode())
        verify_inclusion(event.index, self.size, hashed, event.path, self.root)
        return hashed


def verify_person(value: Mapping[str, Any], keys: TrustedKeys) -> PersonVerdict:
    """Return what a person's copy ``value`` is worth under ``keys``. Never raises for what the copy holds."""
    walk = _Walk()
    try:
        return _verified(value, keys, walk)
    except LedgerError as error:
        code = FORM if error.code == "receipt_form" else error.code
        return PersonVerdict(code, chain=walk.chain, n=walk.n)


def _verified(value: Mapping[str, Any], keys: TrustedKeys, walk: _Walk) -> PersonVerdict:
    if not isinstance(value, Mapping) or set(value) != _MEMBERS or value["type"] != TYPE or not is_one(value["v"]):
        raise LedgerError(FORM)
    note, chains = _text(value["checkpoint"]), as_list(value["chains"])
    size = Checkpoint.parse(split_note(note)[0]).size
    signed = keys.policy(size).open(note)
    walk.size, walk.root = size, signed.checkpoint.root
    removals = [Removal.parse(each) for each in as_list(value["removals"])]
    for removal in removals:
        walk.check_logged(removal.event)
    ends, last = [], None
    for number, events in enumerate(chains, start=1):
        end, closing = _follow(as_list(events), removals, walk, number)
        ends.append(end)
        last = closing if number == 1 else last
    walk.chain, walk.n = 1, ends[0][0] if ends else 0
    heads, removed, at_us = _reading(last)
    # A removed event's link went with its content: only the reading says how far a gap may reach.
    claimed = [[gap.chain, gap.first, gap.last] for gap in walk.gaps]
    for gap in [each for each in claimed if each not in removed] + [each for each in removed if each not in claimed]:
        walk.chain, walk.n = gap[:2]
        raise LedgerError("removal")
    walk.chain, walk.n = 0, 0
    if heads != [{"n": n, "leaf": to_base64url(hashed)} for n, hashed in ends[1:]]:
        raise LedgerError("heads")
    elsewhere = [Shown.parse(each) for each in as_list(value["also"])]
    for event in elsewhere:
        walk.check_logged(event)
    unchecked = sum(not _is_checked(event, keys) for event in (*walk.shown, *elsewhere))
    return PersonVerdict(
        None,
        origin=signed.checkpoint.origin,
        size=size,
        at_us=at_us,
        shown=len(walk.shown),
        closed=walk.closed,
        elsewhere=len(elsewhere),
        unchecked=unchecked,
        gaps=tuple(walk.gaps),
        witnesses=tuple(sorted((each.key.name, each.time or 0) for each in signed.signed_by(keys.witnesses))),
        quorum=keys.quorum,
    )


def _follow(
    events: Sequence[Any], removals: Sequence[Removal], walk: _Walk, chain: int
) -> tuple[tuple[int, bytes], Shown | None]:
    """Return where a chain ends (n, leaf hash), and its last event if it is shown. Raises ``LedgerError``."""
    n, before, last = 0, None, None
    for value in events:
        walk.chain, walk.n = chain, n + 1
        if isinstance(value, Mapping) and "envelope" in value:
            event = Shown.parse(value)
            hashed = walk.check_logged(event)
            link = event.link
            if link is None or link.n <= n:
                raise LedgerError("order")
            if link.n > n + 1:
                raise LedgerError("gap")
            if link.prev != before:
                raise LedgerError("chain")
            walk.shown.append(event)
            n, before, last = link.n, hashed, event
        elif isinstance(value, Mapping):
            closed = Closed.parse(value)
            before, last = walk.check_logged(closed.event), None
            _check_closed(closed, n + 1, removals, walk)
            n = closed.n
        else:
            raise LedgerError(FORM)
    if before is None:
        walk.chain, walk.n = chain, 1
        raise LedgerError("gap")
    return (n, before), last


def _check_closed(closed: Closed, expected: int, removals: Sequence[Removal], walk: _Walk) -> None:
    if closed.first != expected or closed.n < closed.first:
        raise LedgerError("gap" if closed.first > expected else "order")
    if closed.removal is None:
        if closed.n != closed.first:
            raise LedgerError("gap")
        walk.closed += 1
        return
    if not 0 <= closed.removal < len(removals):
        raise LedgerError("removal")
    by = removals[closed.removal]
    if not by.took(closed.event):
        raise LedgerError("removal")
    walk.gaps.append(Gap(walk.chain, closed.first, closed.n, by.event.leaf.at_us, by.name))


def _reading(last: Shown | None) -> tuple[Any, list[list[int]], int]:
    """Return where the reading that made the copy says the other chains end, which events were removed by then
    (chain, first, last), and its time. Raises ``LedgerError("head")``."""
    if last is None or last.leaf.event_class is not EventClass.ACCESS:
        raise LedgerError("head")
    if (member(last.body, "event"), member(member(last.body, "criteria"), "view")) != (READ, VIEW):
        raise LedgerError("head")
    removed = member(last.body, "removed")
    if not isinstance(removed, list) or not all(isinstance(gap, list) and len(gap) == 3 for gap in removed):
        raise LedgerError("head")
    return member(last.body, "heads"), removed, last.leaf.at_us


def _is_checked(event: Shown, keys: TrustedKeys) -> bool:
    """Say whether the signature of a consent could be judged; raises as ``open_record`` when it is false."""
    if event.leaf.event_class is not EventClass.CONSENT:
        return True
    try:
        check_time(open_record(event.body, keys.collectors), event.leaf.at_us)
    except LedgerError as error:
        if error.code not in _UNCHECKED:
            raise
        return False
    return True


def _text(value: object) -> bytes:
    if not isinstance(value, str):
        raise LedgerError(FORM)
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise LedgerError(FORM) from None
