"""The DPO's decision to erase somebody: signed on the DPO's own machine, so that the hub can erase no one by itself."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.seal import Typ
from connectors.kit.trust import OperationalKeys, subject_digest

LIFETIME: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """A decision (``maillon-erasure+jws``), and beside it the ref and the salt that open its subject."""

    jws: str
    ref: str
    salt: str


def sign_decision(
    partner: str, ref: str, reason: str, request_number: str, keys: OperationalKeys, at: datetime
) -> SignedDecision:
    """Return the decision that the person ``partner`` knows as ``ref`` is erased, good for 10 minutes.

    ``reason`` is one of ``config/retention.toml``; ``request_number`` the DPO's own number of the request, no name.
    """
    salt = secrets.token_bytes(16)
    payload = {
        "v": 1,
        "decided_by": keys.slug,
        "decision_id": new_uuid(),
        "partner": partner,
        "subject": subject_digest(ref, salt),
        "reason": reason,
        "request_number": request_number,
        "iat": to_epoch(at),
        "exp": to_epoch(at + LIFETIME),
    }
    return SignedDecision(keys.sign(payload, Typ.ERASURE), ref, b64url.encode(salt))
