"""The hub before its witnesses: they cosign what it signs, and what they know stops it when its own log is not that.

A witness is believed about one thing only, and never on its word: a checkpoint **this log's own key** signed. Such a
note that the log here does not contain means that the log was rolled back (an old copy restored) or rewritten; from
then on nothing is signed, so nothing is acknowledged and nothing released. The note is kept in the hub's home: a
restart with every witness out of reach does not forget it, and a log that contains it again starts by itself.

An outage of any witness, or of all, stops nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import structlog

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import replace_file
from consent.ledger.checkpoint import Signature, SignedCheckpoint, VerifierKey, open_note
from consent.ledger.exact import LedgerError, decimal, utf8
from consent.ledger.fork import Fork
from consent.ledger.witness import SIZE_MEDIA_TYPE, AddCheckpoint, read_cosignatures

_TRIES: Final = 3
"""A witness that follows the log by itself may know more at each try."""

_log = structlog.get_logger("hub")


class Health(StrEnum):
    """How the log stands with its witnesses, as ``/health`` tells it."""

    NONE = "none"
    """No witness is named in the settings."""
    UNKNOWN = "unknown"
    """None answered since the start: what they know is not known."""
    LATE = "late"
    """Fewer than the quorum cosigned when last asked."""
    OK = "ok"
    STOPPED = "stopped"
    """A witness knows a tree of ours that our log does not contain: nothing is signed."""


class Outcome(StrEnum):
    """What came of asking one witness."""

    COSIGNED = "cosigned"
    CONSISTENT = "consistent"
    """It knows a tree of ours, and our log contains it."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """It answered neither as the protocol says nor with a tree of ours."""
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Named:
    """A witness of the settings, as the directory has it."""

    slug: str
    endpoint: str
    key: VerifierKey


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answered over HTTP."""

    status: int
    media_type: str
    body: bytes


class OwnLog(Protocol):
    """The hub's own log. Each method raises ``MaillonError(STORAGE)`` when the store fails."""

    def newest(self) -> SignedCheckpoint | None:
        """Return the newest checkpoint, ``None`` before the first event."""
        ...

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` leaves, of which there are that many."""
        ...

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of ``new`` leaves adds to that of ``old``."""
        ...

    def cosigned(self, names: Sequence[str]) -> dict[str, int]:
        """Return the largest size each of the witnesses ``names`` cosigned."""
        ...

    def keep(self, size: int, cosignatures: Sequence[Signature]) -> None:
        """Keep cosignatures, which were verified, under the checkpoint of ``size``."""
        ...


class Asking(Protocol):
    """How witnesses are asked. Each method raises ``MaillonError`` when there is no answer at all."""

    def add_checkpoint(self, endpoint: str, body: bytes) -> Answer:
        """``POST <endpoint>/witness/add-checkpoint``."""
        ...

    def latest(self, endpoint: str) -> Answer:
        """``GET <endpoint>/witness/checkpoint``."""
        ...


@dataclass
class Evidence:
    """Where the hub keeps what stops it: ``file`` is the note of ours it lacks, ``folder`` what others can check.

    Several witnesses may contradict it at the same moment; the last one's stays.
    """

    file: Path
    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self) -> bytes | None:
        """Return the note that stopped the log, if it was."""
        return self.file.read_bytes() if self.file.exists() else None

    def keep(self, note: bytes, pair: Fork) -> None:
        """Keep ``note``, and the pair as a document of ``maillon log check-evidence``.

        Raises ``MaillonError(STORAGE)``.
        """
        with self._lock:
            # The note first: it is what a restart must not forget.
            _write(self.file, note)
            _write(self.folder / "fork.json", pair.encode())

    def clear(self) -> None:
        """Forget the note: the log contains it."""
        self.file.unlink(missing_ok=True)


@dataclass
class Witnesses:
    """Asks, checks, keeps. Safe to share between threads.

    ``named`` gives the witnesses of the directory in force; ``own_keys`` the log's public keys; ``halt`` stops the
    sequencer for a reason.
    """

    log: OwnLog
    asking: Asking
    named: Callable[[], Mapping[str, Named]]
    own_keys: frozenset[VerifierKey]
    halt: Callable[[str], None]
    evidence: Evidence
    count: int
    quorum: int
    _last: dict[str, Outcome] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)
    _cosigned: dict[str, int] = field(default_factory=dict)
    _stopped: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check_kept(self) -> None:
        """Stop when the note kept from before is still not of this log; forget it when it is. Asks nobody."""
        note = self.evidence.note()
        if note is None:
            return
        try:
            lacking = self._lacks(open_note(note, self.own_keys))
        except LedgerError:
            lacking = "the note kept in log.stopped is not of this log"
        if lacking is None:
            self.evidence.clear()
        else:
            self._stop(lacking)

    def examine(self, slug: str) -> Outcome:
        """Ask a witness for the largest tree it knows, and stop when it is ours and our log does not contain it."""
        witness = self.named().get(slug)
        if witness is None:
            return self._note(slug, Outcome.UNREACHABLE)
        try:
            answer = self.asking.latest(witness.endpoint)
        except MaillonError:
            return self._note(slug, Outcome.UNREACHABLE)
        if answer.status == 404:
            return self._note(slug, Outcome.CONSISTENT)  # it knows no tree yet
        return self._judge(slug, answer.body)

    def submit(self, slug: str) -> Outcome:
        """Have a witness cosign the newest checkpoint, from the size it last knew; keep its cosignature."""
        witness, newest = self.named().get(slug), self.log.newest()
        if witness is None or newest is None:
            return self._note(slug, Outcome.UNREACHABLE)
        old = self._size_known(witness)
        for _ in range(_TRIES):
            size = newest.checkpoint.size
            if old > size:
                break
            body = AddCheckpoint(old, self.log.consistency(old, size), newest.note).encode()
            try:
                answer = self.asking.add_checkpoint(witness.endpoint, body)
            except MaillonError:
                return self._note(slug, Outcome.UNREACHABLE)
            if answer.status == 200:
                return self._take(witness, newest, answer.body)
            if answer.status != 409 or answer.media_type != SIZE_MEDIA_TYPE:
                break
            try:
                old = decimal(utf8(answer.body, "size").removesuffix("\n"), "size")
            except LedgerError:
                return self._note(slug, Outcome.REFUSED)
            newest = self.log.newest() or newest
        # It does not follow us. What it knows, in a note our own key signed, says who is wrong.
        found = self.examine(slug)
        return self._note(slug, found if found is not Outcome.CONSISTENT else Outcome.REFUSED)

    def is_behind(self, slug: str) -> bool:
        """Say whether there is a checkpoint this witness was not seen to cosign."""
        newest = self.log.newest()
        return newest is not None and self._cosigned.get(slug) != newest.checkpoint.size

    def health(self) -> dict[str, object]:
        """Return what ``/health`` tells: the state, how many are named and answer, and how many are needed."""
        with self._lock:
            outcomes = list(self._last.values())
            stopped = self._stopped is not None
        good = outcomes.count(Outcome.COSIGNED)
        if stopped:
            state = Health.STOPPED
        elif not self.count:
            state = Health.NONE
        elif all(outcome is Outcome.UNREACHABLE for outcome in outcomes):
            state = Health.UNKNOWN
        else:
            state = Health.OK if good >= self.quorum else Health.LATE
        return {"state": state.value, "named": self.count, "cosigning": good, "quorum": self.quorum}

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take(self, witness: Named, newest: SignedCheckpoint, body: bytes) -> Outcome:
        try:
            cosignatures = read_cosignatures(newest, body, [witness.key])
        except LedgerError:
            return self._note(witness.slug, Outcome.REFUSED)
        self.log.keep(newest.checkpoint.size, cosignatures)
        with self._lock:
            self._known[witness.slug] = self._cosigned[witness.slug] = newest.checkpoint.size
        return self._note(witness.slug, Outcome.COSIGNED)

    def _judge(self, slug: str, note: bytes) -> Outcome:
        try:
            theirs = open_note(note, self.own_keys)
        except LedgerError:
            return self._note(slug, Outcome.REFUSED)  # not by our key: nobody's word against ours
        lacking = self._lacks(theirs)
        if lacking is None:
            with self._lock:
                self._known[slug] = theirs.checkpoint.size
            return self._note(slug, Outcome.CONSISTENT)
        self._stop(lacking)
        newest = self.log.newest()
        try:
            self.evidence.keep(theirs.note, Fork(theirs.note, newest.note if newest else theirs.note))
        except MaillonError as error:
            # Stopped all the same, and the witness will say it again at the next start.
            _log.error("log:stopped:unkept", kind=error.kind.value, detail=error.detail)
        return self._note(slug, Outcome.CONTRADICTED)

    def _lacks(self, theirs: SignedCheckpoint) -> str | None:
        """Return in what way our log does not contain a tree our key signed; ``None`` when it does."""
        newest = self.log.newest()
        size = 0 if newest is None else newest.checkpoint.size
        if theirs.checkpoint.size > size:
            return "a witness knows a larger tree"
        return (
            None if self.log.root(theirs.checkpoint.size) == theirs.checkpoint.root else "a witness knows another tree"
        )

    def _size_known(self, witness: Named) -> int:
        with self._lock:
            if witness.slug in self._known:
                return self._known[witness.slug]
        return self.log.cosigned([witness.key.name]).get(witness.key.name, 0)

    def _stop(self, reason: str) -> None:
        self.halt(reason)
        with self._lock:
            first, self._stopped = self._stopped is None, reason
        if first:
            _log.error("log:stopped", reason=reason)

    def _note(self, slug: str, outcome: Outcome) -> Outcome:
        with self._lock:
            before, self._last[slug] = self._last.get(slug), outcome
        if before is not outcome:
            _log.info("witness:asked", witness=slug, outcome=outcome.value)
        return outcome


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"{file.name}: {error.strerror}") from None
    replace_file(file, content)
