"""What is kept no longer: traces of ended months, agreements kept as proof, former references of partners.

The periods are those of ``config/retention.toml``. Rows and contents go in batches, each beside one retention event in
the log, so that other writes go in between; then the keys, and with them what copies of ``hub.db`` still hold. It goes
by the clock alone: a hub that was off for months catches up, running twice does nothing, and a run that is cut short
leaves no content without its key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from connectors.kit.runtime.clock import instant
from hub.deadlines import Deadlines
from hub.keyring import Keyring
from hub.store.ref_rows import OldRef
from hub.store.rotation import RotationStep
from hub.store.secrets import SecretStore
from hub.store.session import UnitOfWork, Writer

BATCH: Final = 500
TRACES: Final = "retention:traces:ended"
PROOFS: Final = "retention:proofs:ended"
REFS: Final = "retention:refs:ended"


@dataclass(frozen=True, slots=True)
class Ended:
    """What one run ended: keys destroyed, events and references that went."""

    month_keys: int = 0
    proof_keys: int = 0
    traces: int = 0
    proofs: int = 0
    refs: int = 0

    @property
    def total(self) -> int:
        """Everything together; 0 when there was nothing to do."""
        return self.month_keys + self.proof_keys + self.traces + self.proofs + self.refs


@dataclass(frozen=True)
class Keeper:
    """What retention needs."""

    writer: Writer
    secrets: SecretStore
    keyring: Keyring
    deadlines: Deadlines


def first_month_kept(at: datetime, months: int) -> datetime:
    """Return the first instant of the oldest month whose traces still live at ``at``."""
    month = at.year * 12 + at.month - 1 - months
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def end_what_is_over(keeper: Keeper, at: datetime) -> Ended:
    """Destroy and delete everything whose time is over at ``at``; return how much.

    Raises ``MaillonError(STORAGE)`` when the disk refuses: what was done stays done, the next run goes on.
    """
    before = first_month_kept(at, keeper.deadlines.trace_months)
    month = f"{before:%Y-%m}"
    traces = _in_batches(keeper.writer, lambda uow: _end_traces(uow, before))
    # Months whose time was shorter when their keys were made.
    tags = keeper.secrets.expired_tags(at, months_before=month)
    for part in (tags[i : i + BATCH] for i in range(0, len(tags), BATCH)):
        traces += keeper.writer.run(partial(_end_tagged, tags=part, before=before))
    proofs = _in_batches(keeper.writer, _end_proofs)
    return Ended(
        month_keys=keeper.secrets.expire(at, months_before=month),
        proof_keys=keeper.secrets.end_proofs(at),
        traces=traces,
        proofs=proofs,
        refs=_end_refs(keeper, at),
    )


def _in_batches(writer: Writer, step: Callable[[UnitOfWork], int]) -> int:
    done = 0
    while part := writer.run(step):
        done += part
    return done


def _end_traces(uow: UnitOfWork, before: datetime) -> int:
    seqs = uow.erasures.overdue_traces(before, BATCH)
    if seqs:
        uow.erasures.end_traces(seqs, {"event": TRACES, "before": instant(before)})
    return len(seqs)


def _end_tagged(uow: UnitOfWork, tags: Sequence[bytes], before: datetime) -> int:
    seqs = uow.erasures.with_tags(tags)
    if seqs:
        uow.erasures.end_traces(seqs, {"event": TRACES, "before": instant(before)})
    return len(seqs)


def _end_proofs(uow: UnitOfWork) -> int:
    overdue = uow.erasures.overdue_proofs(BATCH)
    if overdue:
        uow.erasures.end_proofs(overdue, {"event": PROOFS, "until": instant(uow.at)})
    return len(overdue)


def _end_refs(keeper: Keeper, at: datetime) -> int:
    """Delete the former refs whose time is over, partner by partner; return how many."""
    over = at - timedelta(days=keeper.deadlines.old_refs_days)
    steps = keeper.writer.run(lambda uow: uow.rotations.events(RotationStep.REFS_TAKEN, RotationStep.REFS_ENDED))
    ended = {(each.partner, each.epoch) for each in steps if each.step is RotationStep.REFS_ENDED}
    done = 0
    for taken in steps:
        slug, epoch = taken.partner, taken.epoch
        if slug is None or taken.at > over or (slug, epoch) in ended or taken.step is RotationStep.REFS_ENDED:
            continue
        after = b""
        while part := keeper.writer.run(partial(_end_some_refs, slug=slug, epoch=epoch, after=after)):
            done += len(part)
            after = part[-1].lookup
        keeper.writer.run(partial(_note_refs_ended, slug=slug, epoch=epoch))
    return done


def _end_some_refs(uow: UnitOfWork, slug: str, epoch: int, after: bytes) -> list[OldRef]:
    found = uow.ref_rows.before(slug, epoch, after, BATCH)
    if found:
        uow.erasures.note({"event": REFS, "partner": slug, "before_epoch": epoch, "count": len(found)})
        uow.ref_rows.delete(found)
    return found


def _note_refs_ended(uow: UnitOfWork, slug: str, epoch: int) -> None:
    uow.rotations.append(RotationStep.REFS_ENDED, epoch, partner=slug)
