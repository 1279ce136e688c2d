"""New refs for one partner while everybody works: offered, taken by its edge, then the old ones mean no one.

A partner's refs of an epoch are made by the same secrets under another key, so the hub alone can say which old one is
which new one; it says so to that partner's edge only, sealed. Until the edge has them all and says so, the hub goes on
using the old ones towards it, and understands both. A person the partner did not know before has a new one at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from connectors.kit import seal
from connectors.kit.ref_map import REF_MAP_LIFETIME
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import instant, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ
from connectors.kit.trust import DirectoryPartner
from hub.keyring import Keyring
from hub.ref_epochs import RefEpochs
from hub.services.runtime import Hub
from hub.store.persons import RefRow
from hub.store.rotation import RotationEvent, RotationStep
from hub.store.session import UnitOfWork

PAGE: Final = 200
"""Refs in one answer: some 20 ms of the writer, and 10 KB."""
_LOOKUP: Final = 16


def recognise(uow: UnitOfWork, epochs: RefEpochs) -> None:
    """Set at the start which epochs there are and which each partner's edge is known to use.

    Any keyring of these partners will do: a ref's epoch is only a number its key is derived with.
    """
    for begun in uow.rotations.events(RotationStep.REFS_BEGUN):
        if begun.partner is not None and begun.epoch > epochs.newest(begun.partner):
            epochs.begin(begun.partner, begun.epoch)
    for taken in uow.rotations.events(RotationStep.REFS_TAKEN):
        if taken.partner is not None:
            epochs.take(taken.partner, taken.epoch)


def begin(uow: UnitOfWork, keyring: Keyring, slug: str) -> None:
    """Offer ``slug`` new refs, unless some wait for it already. The writer's thread only.

    Raises ``MaillonError(UNKNOWN_PARTNER)`` for one that has no refs at all.
    """
    keyring.check_partner(slug)
    if not keyring.epochs.is_offered(slug):
        keyring.begin_refs(slug)
    _note_begun(uow, keyring.epochs, slug)


def offer(hub: Hub, partner: DirectoryPartner, after: str | None) -> dict[str, Any]:
    """Return one page of the map from old refs to new for ``partner`` (schema ``ref_map_answer``), sealed to it.

    ``after`` is the page's name, as the page before gave it. Asking again changes nothing. Raises
    ``MaillonError(SCHEMA)`` for a name that is none.
    """
    epochs, slug = hub.keyring.epochs, partner.slug
    nothing: dict[str, Any] = {"epoch": epochs.newest(slug), "map": None, "next": None}
    if not epochs.is_offered(slug):
        return nothing
    start = b"" if after is None else b64url.decode(after, what="after", length=_LOOKUP)
    epoch, pairs, last = hub.writer.run(lambda uow: _page(uow, hub.keyring, slug, start))
    now = hub.clock.now()
    content = {
        "v": 1,
        "partner": slug,
        "epoch": epoch,
        "pairs": pairs,
        "iat": to_epoch(now),
        "exp": to_epoch(now + REF_MAP_LIFETIME),
    }
    signed = hub.operational().sign(content, Typ.REF_MAP)
    sealed = seal.seal(signed.encode("ascii"), Typ.SEALED_REF_MAP, partner.seal_key)
    return {"epoch": epoch, "map": sealed, "next": None if last is None else b64url.encode(last)}


def acknowledge(hub: Hub, slug: str, epoch: int) -> dict[str, Any]:
    """Take ``slug``'s word that its edge has the refs of ``epoch``; return ``{epoch, until}``: how long old ones count.

    Raises ``MaillonError(CONFLICT)`` when it cannot have them all, or they were not offered: it asks for the map again.
    """
    epochs = hub.keyring.epochs
    if epoch != epochs.newest(slug) or not hub.reads.run(lambda uow: uow.ref_rows.all_have(slug, epoch)):
        raise MaillonError(ErrorKind.CONFLICT, "not all of these refs were asked for yet", pointer="/epoch")

    def take(uow: UnitOfWork) -> RotationEvent:
        if epochs.is_offered(slug):
            _note_begun(uow, epochs, slug)
            uow.rotations.append(RotationStep.REFS_TAKEN, epoch, partner=slug)
            epochs.take(slug, epoch)
        return _last(uow, RotationStep.REFS_TAKEN, slug, epoch)

    taken = hub.writer.run(take)
    return {"epoch": epoch, "until": instant(taken.at + _old_refs(hub))}


def status(uow: UnitOfWork, keyring: Keyring) -> list[dict[str, Any]]:
    """Return ``{partner, epoch, state, since, refs, old_refs}`` of every partner whose refs were ever rotated.

    ``offered``: its edge has not taken them all yet; ``taken``: old ones still count; ``done``: they mean no one.
    """
    counts, standing = uow.ref_rows.counts(), []
    ended = {(each.partner, each.epoch) for each in uow.rotations.events(RotationStep.REFS_ENDED)}
    for slug in keyring.epochs.rotated():
        epoch = keyring.epochs.newest(slug)
        state = "offered" if keyring.epochs.is_offered(slug) else "done" if (slug, epoch) in ended else "taken"
        step = {"offered": RotationStep.REFS_BEGUN, "taken": RotationStep.REFS_TAKEN, "done": RotationStep.REFS_ENDED}
        moments = [e.at for e in uow.rotations.events(step[state]) if (e.partner, e.epoch) == (slug, epoch)]
        of = counts.get(slug, {})
        standing.append(
            {
                "partner": slug,
                "epoch": epoch,
                "state": state,
                "since": instant(moments[-1]) if moments else None,
                "refs": of.get(epoch, 0),
                "old_refs": sum(count for each, count in of.items() if each < epoch),
            }
        )
    return standing


def _page(
    uow: UnitOfWork, keyring: Keyring, slug: str, after: bytes
) -> tuple[int, list[tuple[str, str]], bytes | None]:
    epoch = keyring.epochs.newest(slug)
    _note_begun(uow, keyring.epochs, slug)
    old = uow.ref_rows.before(slug, epoch, after, PAGE)
    secrets = uow.secrets.refs({each.secret_of for each in old})
    rows, pairs = [], []
    for each in old:
        secret = secrets.get(each.secret_of)
        if secret is None:  # erased a moment ago, and its rows go with it
            continue
        new = keyring.ref(slug, secret, epoch)
        rows.append(RefRow(each.person_id, slug, epoch, keyring.ref_lookup(slug, new), each.secret_of))
        # Of whichever epoch the old one is, this very row says it.
        pairs += [
            (ref, new)
            for ref in (keyring.ref(slug, secret, e) for e in range(1, epoch))
            if keyring.ref_lookup(slug, ref) == each.lookup
        ]
    uow.persons.add_refs(rows)
    # In the order of what is told: the stored order stays the hub's.
    return epoch, sorted(pairs), old[-1].lookup if len(old) == PAGE else None


def _note_begun(uow: UnitOfWork, epochs: RefEpochs, slug: str) -> None:
    """Write down what is in the keyring and not in the log: a crash came between, or an older database."""
    epoch = epochs.newest(slug)
    begun = uow.rotations.events(RotationStep.REFS_BEGUN)
    if not any((each.partner, each.epoch) == (slug, epoch) for each in begun):
        uow.rotations.append(RotationStep.REFS_BEGUN, epoch, partner=slug)


def _last(uow: UnitOfWork, step: RotationStep, slug: str, epoch: int) -> RotationEvent:
    return [each for each in uow.rotations.events(step) if (each.partner, each.epoch) == (slug, epoch)][-1]


def _old_refs(hub: Hub) -> timedelta:
    return timedelta(days=hub.deadlines.old_refs_days)
