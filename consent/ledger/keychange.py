"""How a log changes its signing key without changing its name.

A leaf of class ``key`` introduces the new key, naming those that sign until then, under checkpoints they sign; from
there to the leaf that retires the old one, both sign every checkpoint (the overlap); then the new one alone. A key
therefore counts for the trees of certain sizes only. Whoever trusts the first key can be shown the last, and whoever
trusts the last, what came before: it signed the leaf that names them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from consent.ledger import envelope
from consent.ledger.exact import LedgerError
from consent.ledger.note import KeyType, VerifierKey


class Action(StrEnum):
    """What becomes of the key."""

    INTRODUCE = "introduce"
    RETIRE = "retire"


_EVENTS: Final = {Action.INTRODUCE: "key:log:introduced", Action.RETIRE: "key:log:retired"}


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The payload of a key-change leaf: ``action`` on ``key``, whose name is the log's origin. An introduction says
    which keys signed ``before`` it; a retirement does not."""

    action: Action
    key: VerifierKey
    before: frozenset[VerifierKey] = frozenset()

    @property
    def body(self) -> dict[str, Any]:
        """The event's body."""
        said: dict[str, Any] = {"event": _EVENTS[self.action], "vkey": self.key.vkey}
        introduces = self.action is Action.INTRODUCE
        return said | ({"before": sorted(key.vkey for key in self.before)} if introduces else {})

    def encode(self) -> bytes:
        """Return the exact payload bytes, an envelope about no one."""
        return envelope.encode(self.body, None)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Return the change whose one payload is ``payload``. Raises ``LedgerError("key_change")``."""
        try:
            body, _ = envelope.decode(payload)
            action = next(action for action, event in _EVENTS.items() if event == body["event"])
            before = frozenset(VerifierKey.parse(vkey) for vkey in body.get("before", ()))
            change = cls(action, VerifierKey.parse(body["vkey"]), before)
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
            raise LedgerError("key_change") from None
        if change.encode() != payload:
            raise LedgerError("key_change")
        return change


@dataclass(frozen=True, slots=True)
class KeySpan:
    """A key and the leaves that brought it in (None: trusted from the start) and retired it (None: not yet)."""

    key: VerifierKey
    introduced: int | None = None
    retired: int | None = None

    def signs(self, size: int) -> bool:
        """Say whether this key has to sign the tree of ``size`` leaves."""
        return (self.introduced is None or self.introduced < size) and (self.retired is None or size <= self.retired)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The keys of the log named ``origin``, and for which of its trees each counts."""

    origin: str
    spans: tuple[KeySpan, ...]

    def __post_init__(self) -> None:
        """Raise ``LedgerError("log_key")``: none, another name or kind, one key twice."""
        keys = [span.key for span in self.spans]
        if not keys or len({key.public for key in keys}) != len(keys):
            raise LedgerError("log_key")
        if any(key.name != self.origin or key.type is not KeyType.ED25519 for key in keys):
            raise LedgerError("log_key")

    def at(self, size: int) -> frozenset[VerifierKey]:
        """Return the keys that all have to sign the tree of ``size`` leaves."""
        return frozenset(span.key for span in self.spans if span.signs(size))

    def after(self, change: KeyChange, index: int) -> Self:
        """Return the history with ``change``, which leaf ``index`` says.

        Raises ``LedgerError``: ``log_key`` for a key that is not this log's, or known already; ``key_order`` for one
        introduced after others than those that sign, or retired that does not sign, or that leaves nobody to sign.
        """
        if change.action is Action.INTRODUCE:
            history = replace(self, spans=(*self.spans, KeySpan(change.key, introduced=index)))
            if change.before != self.at(index):
                raise LedgerError("key_order")
            return history
        signing = self.at(index + 1)
        if change.key not in signing or len(signing) < 2:
            raise LedgerError("key_order")
        spans = (replace(span, retired=index) if span.key == change.key else span for span in self.spans)
        return replace(self, spans=tuple(spans))
