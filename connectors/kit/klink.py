"""``K_link``, the connectors' shared token key: one epoch after another, two in use while edges go over."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from connectors.kit import seal
from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import HmacTokeniser


@dataclass(frozen=True, slots=True)
class KLink:
    """The connectors' shared token key of one epoch. The hub never holds one."""

    epoch: int
    key: bytes = field(repr=False)
    retired: bool = False
    """Whether it only proves any more whom agreements of its days are about: nobody is registered under it."""


def open_klink(token: str, seal_key: SealKey, slug: str, root_public_jwk: Mapping[str, str]) -> tuple[KLink, ...]:
    """Return the K_link the root sealed to this edge: every epoch of it, the newest last.

    Raises ``MaillonError(BAD_SEAL | BAD_SIGNATURE | MALFORMED)`` or ``WRONG_RECIPIENT`` when it was made for another
    partner.
    """
    inner = seal.unseal(token, Typ.SEALED_KLINK, seal_key).decode("ascii", "replace")
    payload = seal.verify(inner, Typ.KLINK, root_public_jwk)
    if payload.get("slug") != slug:
        raise MaillonError(ErrorKind.WRONG_RECIPIENT, f"{Typ.KLINK}: slug")
    former = payload.get("former", [])
    if payload.get("v") != 1 or not isinstance(former, list):
        raise MaillonError(ErrorKind.MALFORMED, f"{Typ.KLINK}: epoch or key")
    found = tuple(klink_of(each) for each in (*former, payload))
    if any(one.epoch >= other.epoch for one, other in pairwise(found)) or found[-1].retired:
        raise MaillonError(ErrorKind.MALFORMED, f"{Typ.KLINK}: order of epochs")
    return found


def klink_of(row: object) -> KLink:
    """Return what :func:`said` wrote; ``MaillonError(MALFORMED)`` for anything else."""
    match row:
        case {"epoch": int(epoch), "key": str(key), **more} if type(epoch) is int and epoch >= 1:
            return KLink(epoch, b64url.decode(key, what="klink", length=32), more.get("retired") is True)
        case _:
            raise MaillonError(ErrorKind.MALFORMED, f"{Typ.KLINK}: epoch or key")


def said(klink: KLink) -> dict[str, Any]:
    """Return an epoch as the root's file and the sealed K_link have it: the key is in it."""
    retired = {"retired": True} if klink.retired else {}
    return {"epoch": klink.epoch, "key": b64url.encode(klink.key), **retired}


def with_new(klinks: Sequence[KLink]) -> list[KLink]:
    """Return ``klinks`` (oldest first) and one more; while two are in use, those: begun again, it goes on."""
    if sum(not klink.retired for klink in klinks) > 1:
        return list(klinks)
    return [*klinks, KLink(klinks[-1].epoch + 1, secrets.token_bytes(32))]


def with_retired(klinks: Sequence[KLink], epoch: int) -> list[KLink]:
    """Return ``klinks`` (oldest first), ``epoch`` among them for proofs alone.

    Raises ``MaillonError(CONFLICT)`` for the newest epoch, or one there is not.
    """
    if epoch not in {klink.epoch for klink in klinks[:-1]}:
        raise MaillonError(ErrorKind.CONFLICT, f"no K_link epoch {epoch} before the newest")
    return [replace(klink, retired=klink.retired or klink.epoch == epoch) for klink in klinks]


def tokeniser_of(klinks: Sequence[KLink]) -> HmacTokeniser:
    """Return what makes tokens under every epoch of ``klinks`` (oldest first)."""
    former = [HmacTokeniser(klink.key, klink.epoch, proves_only=klink.retired) for klink in klinks[:-1]]
    return HmacTokeniser(klinks[-1].key, klinks[-1].epoch, former=former)
