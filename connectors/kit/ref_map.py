"""A partner's new refs: the map from old to new, as the hub seals it to the partner's edge, and the edge taking it.

The hub understands both until the edge has said that it has them all, and the edge until the hub has forgotten the old
ones; so it does not matter in which order they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from connectors.kit import seal
from connectors.kit.edge_refs import Refs
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.seal import Typ
from connectors.kit.transport import ProblemError
from connectors.kit.trust import HUB, Directory, open_certified

REF_MAP_LIFETIME: Final = timedelta(minutes=10)


class Offers(Protocol):
    """The part of the hub's client that this needs."""

    def ref_map(self, after: str | None = None) -> Mapping[str, Any]:
        """Return ``{epoch, map, next}``."""
        ...

    def acknowledge_refs(self, epoch: int) -> Mapping[str, Any]:
        """Say that this edge has the refs of ``epoch``; return ``{epoch, until}``."""
        ...


def open_ref_map(
    token: str, epoch: int, slug: str, seal_key: SealKey, directory: Directory, at: datetime
) -> list[tuple[str, str]]:
    """Return the pairs (old, new) the hub sealed to this edge.

    Raises ``MaillonError``: ``BAD_SEAL``, ``BAD_SIGNATURE``, ``UNTRUSTED_KEY``, ``EXPIRED``, ``WRONG_RECIPIENT`` for
    another partner's, ``MALFORMED``.
    """
    inner = seal.unseal(token, Typ.SEALED_REF_MAP, seal_key).decode("ascii", "replace")
    payload, certificate = open_certified(inner, Typ.REF_MAP, HUB, directory.partner(HUB).identity_key)
    certificate.check_alive(at)
    seal.check_lifetime(payload, at, REF_MAP_LIFETIME, Typ.REF_MAP)
    if payload.get("partner") != slug:
        raise MaillonError(ErrorKind.WRONG_RECIPIENT, f"{Typ.REF_MAP}: partner")
    pairs = payload.get("pairs")
    if payload.get("v") != 1 or payload.get("epoch") != epoch or not isinstance(pairs, list):
        raise MaillonError(ErrorKind.MALFORMED, f"{Typ.REF_MAP}: epoch or pairs")
    found = []
    for pair in pairs:
        match pair:
            case [str(old), str(new)] if old and new:
                found.append((old, new))
            case _:
                raise MaillonError(ErrorKind.MALFORMED, f"{Typ.REF_MAP}: pairs")
    return found


def take_new_refs(
    hub: Offers, refs: Refs, slug: str, seal_key: SealKey, directory: Directory, now: Callable[[], datetime]
) -> int:
    """Take the new refs the hub offers, if any, page by page, and say so; return how many this edge had.

    Cut short anywhere it begins again and comes to the same. Raises as the hub's client and :func:`open_ref_map`.
    """
    offered, taken = hub.ref_map(), 0
    epoch = offered["epoch"]
    if offered["map"] is None:
        return 0
    while True:
        pairs = open_ref_map(offered["map"], epoch, slug, seal_key, directory, now())
        taken += refs.replace(pairs)
        if offered["next"] is None:
            break
        offered = hub.ref_map(offered["next"])
        if offered["map"] is None or offered["epoch"] != epoch:
            return taken  # another of this edge's processes has said so, or there are newer ones: next time
    try:
        said = hub.acknowledge_refs(epoch)
    except ProblemError as problem:
        if problem.kind is not ErrorKind.CONFLICT:
            raise
        return taken  # newer ones meanwhile: next time
    refs.keep_old_until(datetime.fromisoformat(said["until"]))
    return taken
