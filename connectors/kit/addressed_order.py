"""A release order on its way to one source, with what only that source may see: the ref it knows the person by.

The order itself is also shown to the requester, who checks the fragment against it. It names the person by a salted
digest alone, so two recipients served by one source have nothing in their orders to join on (docs/protocol.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import orjson

from connectors.kit.runtime import b64url, strict_json
from connectors.kit.runtime.schema import check_schema
from connectors.kit.trust import subject_digest

SCHEMA = "addressed_order"
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True, repr=False)
class AddressedOrder:
    """``order``: the JWS. ``ref``: the person, as the source knows them. ``salt``: 16 bytes, base64url."""

    order: str
    ref: str
    salt: str

    @property
    def subject(self) -> str:
        """The digest the order must name the person by."""
        return subject_digest(self.ref, b64url.decode(self.salt, length=_SALT_BYTES))

    def to_body(self) -> bytes:
        """Return the body of ``POST /v1/orders``."""
        return orjson.dumps({"order": self.order, "ref": self.ref, "salt": self.salt})

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read what ``to_body`` wrote; raises ``MaillonError(MALFORMED | SCHEMA)`` for anything else."""
        content = strict_json.loads_object(body)
        check_schema(SCHEMA, content, "order")
        order, ref, salt = (str(content[name]) for name in ("order", "ref", "salt"))
        return cls(order, ref, salt)
