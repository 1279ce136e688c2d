"""A person's own copy of everything the log holds about her, whole or with its gaps in sight, checked offline.

A JSON object ``{v: 1, type: "maillon-person", checkpoint, chains, also, removals}``. A chain is a list of events in
the order of their numbers, from the first. One is shown whole (its *envelope* in the open, with what makes its leaf
again), or closed (its leaf alone). Making the copy is itself the person's next event, and the first chain ends with
it: what is cut off the end, or left out before it, shows. Other chains are those of whoever turned out to be this
person; that last event names where each ends, and whose content was removed by then. ``also`` holds events about her
that stand in somebody else's chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from consent.ledger import envelope
from consent.ledger.envelope import Link
from consent.ledger.exact import HASH_BYTES, LedgerError, is_one
from consent.ledger.jws import from_base64url, to_base64url
from consent.ledger.leaf import EVENT_ID_BYTES, EventClass, Leaf
from consent.ledger.opening import OPENING, instant, microseconds, opening_members, read_leaf, uuid_bytes

TYPE: Final = "maillon-person"
READ: Final = "access:log:read"
VIEW: Final = "person"
"""What the reading that makes the copy says it read."""
ERASED: Final = "erasure"
"""What a removal under another person's erasure is called."""
_SHOWN: Final = OPENING | {"class", "envelope", "index", "path"}
_BARE: Final = frozenset({"class", "event_id", "at", "commitment", "ciphertext_digest", "index", "path"})
_CLOSED: Final = _BARE | {"first", "n", "removal"}
FORM: Final = "person_form"


@dataclass(frozen=True, slots=True)
class Shown:
    """An event told whole. ``path``: the hashes from its leaf's sibling upwards."""

    leaf: Leaf
    r32: bytes = field(repr=False)
    body: Any = field(repr=False)
    link: Link | None
    index: int
    path: tuple[bytes, ...] = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "class": self.leaf.event_class.value,
            **opening_members(self.leaf, self.r32),
            "envelope": {"v": 1, "body": self.body, "subject": None if self.link is None else self.link.to_wire()},
            "index": self.index,
            "path": [to_base64url(each) for each in self.path],
        }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the event of a JSON object; its leaf is computed. Raises ``LedgerError``."""
        if not isinstance(value, Mapping) or set(value) != _SHOWN:
            raise LedgerError(FORM)
        said = value["envelope"]
        if not isinstance(said, Mapping) or set(said) != {"v", "body", "subject"} or not is_one(said["v"]):
            raise LedgerError(FORM)
        link = None if said["subject"] is None else Link.from_wire(said["subject"])
        try:
            payload = envelope.encode(said["body"], link)
        except (ValueError, RecursionError):
            raise LedgerError(FORM) from None
        leaf = read_leaf(_class(value["class"]), {name: value[name] for name in OPENING}, payload)
        r32 = from_base64url(value["r32"], FORM)
        return cls(leaf, r32, said["body"], link, _index(value["index"]), _path(value["path"]))


@dataclass(frozen=True, slots=True)
class Bare:
    """An event of which the leaf alone is told, as it stands in the public log."""

    leaf: Leaf
    index: int
    path: tuple[bytes, ...] = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "class": self.leaf.event_class.value,
            "event_id": str(UUID(bytes=self.leaf.event_id)),
            "at": instant(self.leaf.at_us),
            "commitment": to_base64url(self.leaf.commitment),
            "ciphertext_digest": to_base64url(self.leaf.ciphertext_digest),
            "index": self.index,
            "path": [to_base64url(each) for each in self.path],
        }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the event of a JSON object. Raises ``LedgerError("person_form")``."""
        if not isinstance(value, Mapping) or set(value) != _BARE:
            raise LedgerError(FORM)
        leaf = Leaf(
            _class(value["class"]),
            uuid_bytes(value["event_id"]),
            microseconds(value["at"]),
            from_base64url(value["commitment"], FORM, HASH_BYTES),
            from_base64url(value["ciphertext_digest"], FORM, HASH_BYTES),
        )
        return cls(leaf, _index(value["index"]), _path(value["path"]))


@dataclass(frozen=True, slots=True)
class Closed:
    """An event of which the leaf alone is shown, the ``n``-th. ``removal``: which of the removals took its content,
    and that of those before it from the ``first``-th on, whose leaves nobody can tell any more."""

    event: Bare
    first: int
    n: int
    removal: int | None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        return self.event.to_wire() | {"first": self.first, "n": self.n, "removal": self.removal}

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Self:
        """Return the event of a JSON object. Raises ``LedgerError("person_form")``."""
        if set(value) != _CLOSED or not (value["removal"] is None or type(value["removal"]) is int):
            raise LedgerError(FORM)
        event = Bare.parse({name: value[name] for name in _BARE})
        return cls(event, _index(value["first"]), _index(value["n"]), value["removal"])


@dataclass(frozen=True, slots=True)
class Removal:
    """The event under which contents were emptied, and ``event_ids`` of every one of them, in the order of the log.

    Of an erasure, which is about somebody else, the leaf alone is told, and no id (None).
    """

    event: Shown | Bare
    event_ids: tuple[bytes, ...] | None = field(repr=False)

    @property
    def name(self) -> str:
        """What the event is called; of an erasure its class."""
        return ERASED if isinstance(self.event, Bare) else str(member(self.event.body, "event"))

    def took(self, event: Bare) -> bool:
        """Say whether the content of ``event`` may have gone under this one."""
        return event.index < self.event.index and (self.event_ids is None or event.leaf.event_id in self.event_ids)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object."""
        ids = None if self.event_ids is None else to_base64url(b"".join(self.event_ids))
        return {"event": self.event.to_wire(), "ids": ids}

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the removal of a JSON object: an erasure, or a retention event that names exactly these ids.

        Raises ``LedgerError``: ``person_form``, ``removal``, and as :meth:`Shown.parse`.
        """
        if not isinstance(value, Mapping) or set(value) != {"event", "ids"}:
            raise LedgerError(FORM)
        if value["ids"] is None:
            erasure = Bare.parse(value["event"])
            if erasure.leaf.event_class is not EventClass.ERASURE:
                raise LedgerError("removal")
            return cls(erasure, None)
        event, ids = Shown.parse(value["event"]), from_base64url(value["ids"], FORM)
        named = {"count": len(ids) // EVENT_ID_BYTES, "digest": to_base64url(hashlib.sha256(ids).digest())}
        is_right = event.leaf.event_class is EventClass.RETENTION
        if not is_right or len(ids) % EVENT_ID_BYTES or member(event.body, "emptied") != named:
            raise LedgerError("removal")
        cut = range(0, len(ids), EVENT_ID_BYTES)
        return cls(event, tuple(ids[at : at + EVENT_ID_BYTES] for at in cut))


def member(value: Any, name: str) -> Any:
    """Return a member of what may be no object at all; None then."""
    return value.get(name) if isinstance(value, Mapping) else None


def _class(name: object) -> EventClass:
    found = next((each for each in EventClass if each.value == name), None)
    if found is None:
        raise LedgerError(FORM)
    return found


def _index(value: object) -> int:
    if type(value) is not int or value < 0:
        raise LedgerError(FORM)
    return value


def _path(value: object) -> tuple[bytes, ...]:
    return tuple(from_base64url(each, FORM, HASH_BYTES) for each in as_list(value))


def as_list(value: object) -> list[Any]:
    """Return the JSON array ``value`` is; raises ``LedgerError("person_form")``."""
    if not isinstance(value, list):
        raise LedgerError(FORM)
    return value
