"""The request a recipient signs: who asks, why, for which fields, about whom (docs/protocol.md)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.kit import seal
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.ids import new_nonce
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, subject_proofs
from connectors.kit.trust import OperationalKeys, subject_digest
from consent.model import Attributes

REQUEST_LIFETIME: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for and why. ``agent`` and ``case`` are already the edge's HMACs (``Edge.tag``)."""

    purpose: str
    role: str
    attributes: Attributes
    agent: str
    case: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A signed request with what goes to the hub beside it, and the keys that will open the answer."""

    jws: str
    ref: str
    salt: str
    ask: Ask
    keys: OperationalKeys

    @property
    def digest(self) -> str:
        """The digest a fragment must repeat."""
        return seal.jws_digest(self.jws)


def sign_request(
    ask: Ask, ref: str, tokens: TokenSet, keys: OperationalKeys, directory: int, at: datetime
) -> SentRequest:
    """Return the request about the person behind ``ref``, whose ``tokens`` this edge holds; it lives 60 s.

    ``directory`` is the version this edge has: whoever answers learns whether its own is behind.
    """
    nonce, salt = new_nonce(), secrets.token_bytes(16)
    payload = {
        "v": 1,
        "requester": keys.slug,
        "nonce": nonce,
        "iat": to_epoch(at),
        "exp": to_epoch(at + REQUEST_LIFETIME),
        "purpose": ask.purpose,
        "role": ask.role,
        "attributes": attributes_to_wire(ask.attributes),
        "agent": ask.agent,
        "case": ask.case,
        "fields": list(ask.fields),
        "subject": subject_digest(ref, salt),
        "subject_proofs": subject_proofs(tokens, nonce),
        "seal_key": keys.seal_key.thumbprint,
        "directory": directory,
    }
    return SentRequest(keys.sign(payload, Typ.REQUEST), ref, b64url.encode(salt), ask, keys)


def attributes_to_wire(attributes: Attributes) -> dict[str, Any]:
    """Return the JSON object of ``attributes``: ``assigned`` and ``own`` always, ``mission`` and ``aid`` when given."""
    wire: dict[str, Any] = {"assigned": attributes.assigned, "own": attributes.own}
    return wire | {name: code for name in ("mission", "aid") if (code := getattr(attributes, name)) is not None}
