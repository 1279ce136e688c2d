"""What an event's commitment covers, byte for byte: its body, and its place among the events of the same person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import rfc8785

from consent.ledger.exact import HASH_BYTES, LedgerError
from consent.ledger.jws import from_base64url, read_object, to_base64url

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Link:
    """Where an event stands among its subject's: the ``n``-th, from 1, and the leaf hash of the one before."""

    n: int
    prev: bytes | None

    def __post_init__(self) -> None:
        """Raise ``LedgerError("link")`` unless the first, and it alone, follows nothing."""
        if type(self.n) is not int or self.n < 1 or (self.n == 1) is not (self.prev is None):
            raise LedgerError("link")

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object ``{n, prev}``."""
        return {"n": self.n, "prev": None if self.prev is None else to_base64url(self.prev)}

    @classmethod
    def from_wire(cls, value: object) -> Self:
        """Return the link of ``{n, prev}``; raises ``LedgerError("link")``."""
        if not isinstance(value, Mapping) or set(value) != {"n", "prev"}:
            raise LedgerError("link")
        prev = value["prev"]
        return cls(value["n"], None if prev is None else from_base64url(prev, "link", HASH_BYTES))


def encode(body: Mapping[str, Any] | str, link: Link | None) -> bytes:
    """Return the RFC 8785 bytes an event commits to: ``body`` is an object, or a consent record's compact JWS."""
    subject = None if link is None else link.to_wire()
    return rfc8785.dumps({"v": _VERSION, "body": body, "subject": subject})


def decode(payload: bytes) -> tuple[Any, Link | None]:
    """Return body and link of the one spelling ``payload`` is. Raises ``LedgerError``: ``envelope``, ``link``."""
    value = read_object(payload, "envelope")
    if set(value) != {"v", "body", "subject"} or value["v"] != _VERSION or not isinstance(value["body"], str | dict):
        raise LedgerError("envelope")
    link = None if value["subject"] is None else Link.from_wire(value["subject"])
    if encode(value["body"], link) != payload:
        raise LedgerError("envelope")
    return value["body"], link


def first_gap(events: Iterable[tuple[Link, bytes]], head: bytes | None = None) -> int | None:
    """Return the first ``n`` at which a subject's ``events`` (link and leaf hash, in order) do not follow; None: whole.

    ``head`` is the leaf hash of the last one, as the hub signed it: without it, missing last events do not show.
    """
    before: bytes | None = None
    count = 0
    for link, hashed in events:
        if link.n != count + 1 or link.prev != before:
            return count + 1
        before, count = hashed, count + 1
    return count + 1 if head is not None and head != before else None
