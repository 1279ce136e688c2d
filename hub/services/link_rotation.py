"""A new ``K_link`` while the hub serves: the partners' edges send their records under both epochs, then one ends.

The hub never has a ``K_link``, so it cannot re-wrap: each edge tells it the tokens of both epochs (``sgd`` and
``sgd.2``), side by side in one record. Every comparison is within one epoch both sides have
(:func:`hub.index.evidence.side_by_side`), so records of partners that have gone over, and of partners that have not,
link as ever. When every record is under the newest, the operator retires the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from connectors.kit.link_epochs import epoch_of
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.services.pepper_rotation import Rotator
from hub.services.registration import Registration
from hub.store.rotation import RotationStep
from hub.store.session import UnitOfWork

BATCH: Final = 16
_LOWEST: Final = -(2**63)


def begin(uow: UnitOfWork) -> None:
    """Take one more epoch from now on, unless two are in use already. Before any edge has its key: what came under
    an epoch that was not begun would be refused."""
    newest = _newest(uow)
    if len(_live(uow)) == 1:
        uow.rotations.append(RotationStep.LINK_BEGUN, newest + 1)


def retire(uow: UnitOfWork, epoch: int, *, force: bool) -> None:
    """Take nothing under ``epoch`` any more, and delete in the background (:func:`run`) what is.

    Raises ``MaillonError(CONFLICT)`` for an epoch that is not the older of two in use, and, without ``force``, while
    partners hold records that are not under the newest: the detail names them.
    """
    live = _live(uow)
    if len(live) != 2 or epoch != live[0]:
        raise MaillonError(ErrorKind.CONFLICT, f"K_link epoch {epoch} is not the older of two", pointer="/epoch")
    behind = uow.rotations.records_without_link(live[1])
    if behind and not force:
        told = ", ".join(f"{partner} ({count})" for partner, count in sorted(behind.items()))
        raise MaillonError(
            ErrorKind.CONFLICT, f"records not under K_link epoch {live[1]} yet: {told}", pointer="/epoch"
        )
    uow.rotations.append(RotationStep.LINK_RETIRED, epoch)


def status(uow: UnitOfWork) -> dict[str, Any]:
    """Return ``{epoch, state, behind}``: the newest epoch; ``two_epochs`` while both are in use, ``deleting`` what a
    retired one left, ``done``; and how many records of each partner are not under the newest."""
    live, newest = _live(uow), _newest(uow)
    state = "two_epochs" if len(live) > 1 else "deleting" if _to_delete(uow) else "done"
    behind = uow.rotations.records_without_link(newest) if state == "two_epochs" else {}
    return {
        "epoch": newest,
        "state": state,
        "behind": [{"partner": partner, "records": count} for partner, count in sorted(behind.items())],
    }


def in_use(uow: UnitOfWork, registrations: Sequence[Registration]) -> list[Registration]:
    """Return ``registrations`` without what is of a retired epoch.

    Raises ``MaillonError(CONFLICT)`` for tokens of an epoch that was not begun here, or of a retired one alone: the
    edge keeps them, and tells them again when it has its new ``klink.jwe``.
    """
    live = _live(uow)
    found = []
    for i, each in enumerate(registrations):
        epochs = {epoch_of(token.kind) for token in each.tokens}
        if max(epochs, default=1) > live[-1]:
            raise MaillonError(
                ErrorKind.CONFLICT, "tokens under an epoch of K_link not begun here", pointer=f"/records/{i}/tokens"
            )
        if epochs and epochs.isdisjoint(live):
            raise MaillonError(
                ErrorKind.CONFLICT,
                "tokens under a retired epoch of K_link alone: install the new klink.jwe",
                pointer=f"/records/{i}/tokens",
            )
        if not epochs <= set(live):
            kept = tuple(token for token in each.tokens if epoch_of(token.kind) in live)
            each = replace(each, tokens=kept, earlier={old: now for old, now in each.earlier.items() if now in kept})
        found.append(each)
    return found


def run(rotator: Rotator, *, most: int = BATCH, wait: Callable[[float], None], clock: Callable[[], float]) -> int:
    """Delete what retired epochs left; return how many records had any. Begun again, it starts over and loses nothing.

    Between two batches it waits as long as the last one took. Raises ``MaillonError(STORAGE | UNAVAILABLE)``.
    """
    total = 0
    for epoch in rotator.reads.run(_to_delete):
        after: int | None = _LOWEST
        while after is not None:
            began, place = clock(), after
            after, done = rotator.writer.run(partial(_forget, epoch=epoch, place=place, most=most))
            total += done
            wait(clock() - began)
        rotator.writer.run(partial(_end, epoch=epoch))
        # What stood there before stands in the write-ahead log until it is emptied.
        rotator.writer.truncate_wal()
    return total


def _forget(uow: UnitOfWork, *, epoch: int, place: int, most: int) -> tuple[int | None, int]:
    return uow.rotations.forget_link(epoch, place, most)


def _end(uow: UnitOfWork, *, epoch: int) -> None:
    uow.rotations.append(RotationStep.LINK_ENDED, epoch)


def _epochs(uow: UnitOfWork, step: RotationStep) -> set[int]:
    return {event.epoch for event in uow.rotations.events(step)}


def _newest(uow: UnitOfWork) -> int:
    return max(_epochs(uow, RotationStep.LINK_BEGUN), default=1)


def _live(uow: UnitOfWork) -> list[int]:
    """The epochs taken, oldest first: one, or two."""
    return sorted({*range(1, _newest(uow) + 1)} - _epochs(uow, RotationStep.LINK_RETIRED))


def _to_delete(uow: UnitOfWork) -> list[int]:
    return sorted(_epochs(uow, RotationStep.LINK_RETIRED) - _epochs(uow, RotationStep.LINK_ENDED))
