"""This edge as a witness of the hub's log (C2SP tlog-witness, cosignature/v1): it signs no tree that is not a growth
of the last one it signed, whatever the hub says, so that two partners who compare notes cannot have been told two
stories.

Every judgement is ``consent.ledger.witness.may_cosign``'s; here the state is made durable before the answer leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from connectors.kit.ledger.store import Alarm, LogStore
from connectors.kit.runtime.clock import Clock, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import JSON
from consent.ledger.checkpoint import SignerKey, VerifierKey
from consent.ledger.fork import Fork
from consent.ledger.witness import (
    SIZE_MEDIA_TYPE,
    Accepted,
    Answer,
    Conflict,
    Refused,
    StaleOldSize,
    WitnessState,
    cosign,
    may_cosign,
)

TEXT: Final = "text/plain; charset=utf-8"
_TRIES: Final = 64
"""More requests than an edge has threads, each of which may have moved the tree before us."""

_log = structlog.get_logger("edge")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer over HTTP."""

    status: int
    body: bytes
    media_type: str


class Witness:
    """Cosigns for one edge. Safe to share between threads and with other processes of the same home."""

    def __init__(
        self, key: SignerKey, store: LogStore, log_keys: Callable[[], frozenset[VerifierKey]], clock: Clock
    ) -> None:
        """``log_keys`` gives the keys of the log from the root-signed directory in force: the only ones believed."""
        self._key = key
        self._store = store
        self._log_keys = log_keys
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> Said:
        """Answer a request to cosign, of the form tlog-witness gives.

        Raises ``MaillonError(STORAGE)`` when the state could not be made durable, ``UNTRUSTED_DIRECTORY`` when no
        directory is in force: nothing was signed.
        """
        keys = self._log_keys()
        if not keys:
            return Said(404, b"no log in the directory\n", TEXT)
        for _ in range(_TRIES):
            state = self._store.tree(keys)
            answer = may_cosign(state, body)
            if not isinstance(answer, Accepted):
                return self._refuse(state, answer)
            # The tree this judgement was made on must still be the one: of two requests at once, one wins.
            if self._store.advance(state, answer.state):
                return Said(200, cosign(answer.signed, self._key, to_epoch(self._clock.now())), TEXT)
        raise MaillonError(ErrorKind.UNAVAILABLE, "witness: too many requests at once")

    def latest(self) -> bytes | None:
        """Return the largest checkpoint of the log verified here, as the log signed it; ``None`` when there is none."""
        keys = self._log_keys()
        return (self._store.tree(keys).note or None) if keys else None

    def _refuse(self, state: WitnessState, answer: Answer) -> Said:
        now = self._clock.now()
        match answer:
            case StaleOldSize():
                return Said(answer.status, answer.body, SIZE_MEDIA_TYPE)
            case Conflict():
                keep_evidence(self._store, Alarm.FORK, answer.fork, now)
                return Said(answer.status, answer.fork.encode(), JSON)
            case Refused():
                if answer.note and state.note:
                    keep_evidence(self._store, Alarm.NOT_AN_EXTENSION, Fork(state.note, answer.note), now)
                _log.warning("witness:refused", status=answer.status, code=answer.code)
                return Said(answer.status, f"{answer.code}\n".encode(), TEXT)
        raise AssertionError("an accepted request is not refused")


def keep_evidence(store: LogStore, code: Alarm, pair: Fork, at: datetime) -> None:
    """Raise ``code`` with the two notes of ``pair`` as evidence, once for the tree known here (its first note).

    A log that signs a new false tree each second must not fill the disk: that tree does not move any more.
    """
    if store.raise_alarm(code, hashlib.sha256(pair.first).digest(), at, pair.encode()):
        _log.error("edge:alarm", code=code.value)
