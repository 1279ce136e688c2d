"""A new index pepper while the hub serves: begun by the operator, done in short batches, resumed by itself (DESIGN §4).

From the beginning on everything new is stored under the new epoch; what was there is re-wrapped from nothing but what
is stored. Meanwhile look-ups ask for both forms (:mod:`hub.services.two_epochs`), so that no answer changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.keyring import Keyring
from hub.peppers import Peppers
from hub.services.two_epochs import lift
from hub.store.rotation import RotationStep
from hub.store.session import Reads, UnitOfWork, Writer

STEPS: Final = (RotationStep.PEPPER_BEGUN, RotationStep.PEPPER_ENDED)
BATCH: Final = 16
"""Records in one transaction, some 600 tokens to look up: a few ms, in one commit with whatever else waits."""


@dataclass(frozen=True)
class Rotator:
    """What a rotation of the pepper needs."""

    writer: Writer
    reads: Reads
    keyring: Keyring


def recognise(uow: UnitOfWork, peppers: Peppers) -> None:
    """Hold the keyring against the database at the start, and set where the index is searched from.

    A keyring that is ahead is one whose rotation was begun, or a restored database: the rotation then goes on. Raises
    ``MaillonError(CONFIGURATION)`` for one that lacks a pepper of this database, or has another in its place: nobody
    would be found any more, and everybody would be registered as a stranger.
    """
    for begun in uow.rotations.events(RotationStep.PEPPER_BEGUN):
        if begun.epoch > peppers.epoch:
            raise MaillonError(
                ErrorKind.CONFIGURATION,
                f"keyring.json is older than hub.db: it lacks the index pepper of epoch {begun.epoch}; "
                "restore the keys of that day or later",
            )
        if begun.check != peppers.check(begun.epoch).hex():
            raise MaillonError(
                ErrorKind.CONFIGURATION,
                f"keyring.json is not this hub.db's: another index pepper stands as epoch {begun.epoch}",
            )
    ended = [event.epoch for event in uow.rotations.events(RotationStep.PEPPER_ENDED)]
    peppers.searched_from = max(ended, default=1)


def begin(uow: UnitOfWork, keyring: Keyring) -> dict[str, Any]:
    """Begin a rotation, unless one is under way; return :func:`status`. The writer's thread only: nobody else then
    is between two epochs."""
    if not keyring.peppers.is_rotating:
        keyring.add_pepper()
    _note_begun(uow, keyring.peppers)
    return status(uow, keyring)


def status(uow: UnitOfWork, keyring: Keyring) -> dict[str, Any]:
    """Return ``{epoch, state, rewrapped, share}``: ``done`` or ``running``, records so far, share of the index."""
    peppers = keyring.peppers
    done, share = uow.rotations.rewrapped(peppers.epoch)
    running = peppers.is_rotating
    return {
        "epoch": peppers.epoch,
        "state": "running" if running else "done",
        "rewrapped": done,
        "share": round(share, 4) if running else 1.0,
    }


def run(
    rotator: Rotator,
    *,
    most: int = BATCH,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Do what is left of a rotation; return how many records were re-wrapped, 0 when none is under way.

    Safe against a crash at any point: each batch and how far it came are one transaction, and the next run goes on.
    Between two batches it waits as long as the last one took, so that the writer is others' half of the time.
    Raises ``MaillonError(STORAGE | UNAVAILABLE)``: what was done stays done.
    """
    peppers, total = rotator.keyring.peppers, 0
    while peppers.is_rotating:
        began = clock()
        done = rotator.writer.run(lambda uow: step(uow, rotator.keyring, most))
        total += done
        if not done:
            # Counted on, not believed: the search narrows only when nothing is left anywhere in the index.
            if rotator.reads.run(lambda uow: uow.rotations.has_tokens_before(peppers.epoch)):
                rotator.writer.run(lambda uow: uow.rotations.start_over(peppers.epoch))
            else:
                rotator.writer.run(lambda uow: _end(uow, peppers))
                # What stood there before stands in the write-ahead log until it is emptied.
                rotator.writer.truncate_wal()
        wait(clock() - began)
    return total


def step(uow: UnitOfWork, keyring: Keyring, most: int = BATCH) -> int:
    """Re-wrap one batch; return how many records it was. The writer's thread only."""
    peppers = keyring.peppers
    _note_begun(uow, peppers)
    return uow.rotations.rewrap(peppers.epoch, partial(lift, peppers), most)


def _note_begun(uow: UnitOfWork, peppers: Peppers) -> None:
    """Write down each epoch that is in the keyring and not in the log: a crash came between, or an older database."""
    known = {event.epoch for event in uow.rotations.events(RotationStep.PEPPER_BEGUN)}
    for epoch in range(2, peppers.epoch + 1):
        if epoch not in known:
            uow.rotations.append(RotationStep.PEPPER_BEGUN, epoch, check=peppers.check(epoch).hex())


def _end(uow: UnitOfWork, peppers: Peppers) -> None:
    uow.rotations.append(RotationStep.PEPPER_ENDED, peppers.epoch)
    # Nothing is left that a narrower search could miss, whether or not this very commit succeeds.
    peppers.searched_from = peppers.epoch
