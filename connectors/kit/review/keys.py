"""The reviewer's public key, as the root-signed directory names it on the entry ``hub``: nobody else is believed."""

from __future__ import annotations

from typing import Protocol

from connectors.kit.runtime import keys
from connectors.kit.runtime.keys import PublicJwk


class Entry(Protocol):
    """What is read of an entry of the directory."""

    @property
    def slug(self) -> str:
        """Whose entry it is."""
        ...

    @property
    def identity_key(self) -> PublicJwk:
        """The key of that entry's own certificates."""
        ...

    @property
    def reviewer_key(self) -> str:
        """The Ed25519 public key (JWK member ``x``) of the hub's reviewer; empty for none."""
        ...


def reviewer_jwk(entry: Entry) -> PublicJwk | None:
    """Return the identity key of the reviewer that the hub's ``entry`` names, ``None`` when it names none."""
    return {"kty": "OKP", "crv": "Ed25519", "x": entry.reviewer_key} if entry.reviewer_key else None


def check_reviewer(entry: Entry, hub: str) -> None:
    """Raise ``ValueError`` or ``MaillonError`` unless only the one named ``hub`` names a reviewer, and not itself."""
    named = reviewer_jwk(entry)
    if named is not None and (
        entry.slug != hub or keys.public_jwk(named, "Ed25519") == keys.public_jwk(entry.identity_key, "Ed25519")
    ):
        raise ValueError("reviewer_key")
