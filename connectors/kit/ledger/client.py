"""The public part of the hub's log over HTTP (``/log/…``): what anyone may ask, and must not believe unverified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.transport import FarSideError, ProblemError, Transport
from consent.ledger.exact import HASH_BYTES, LedgerError, from_base64
from consent.ledger.note import MAX_NOTE
from consent.ledger.proof import MAX_HASHES, LogProof

TEXT: Final = "text/plain"


class LogView(Protocol):
    """Where the log is asked. Each method raises ``MaillonError`` when there is no proper answer."""

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, a signed note."""
        ...

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of ``new`` leaves adds to that of ``old``."""
        ...

    def inclusion(self, leaf_hash: bytes, size: int) -> LogProof | None:
        """Return where the leaf stands in the tree of ``size`` leaves, ``None`` when the log has no such leaf."""
        ...


class HttpLog:
    """The log of the hub at ``hub_url``, without trailing slash. Thread-safe."""

    def __init__(self, hub_url: str, transport: Transport) -> None:
        self._url = hub_url.rstrip("/")
        self._transport = transport

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint; raises as ``Transport.call``."""
        reply = self._transport.call("GET", f"{self._url}/log/checkpoint", accept=TEXT, max_bytes=MAX_NOTE)
        return reply.body

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof's hashes; raises as ``Transport.call``, and ``FarSideError(MALFORMED)``."""
        answer = self._transport.call_json("GET", f"{self._url}/log/proof/consistency?old={old}&new={new}")
        try:
            return _hashes(answer)
        except (LedgerError, KeyError, TypeError):
            raise FarSideError(ErrorKind.MALFORMED, "consistency proof") from None

    def inclusion(self, leaf_hash: bytes, size: int) -> LogProof | None:
        """Return the proof, unverified, or ``None``; raises as ``Transport.call``, and ``FarSideError(MALFORMED)``."""
        url = f"{self._url}/log/proof/inclusion?leaf={b64url.encode(leaf_hash)}&size={size}"
        try:
            reply = self._transport.call("GET", url, accept=TEXT, max_bytes=MAX_NOTE)
        except ProblemError as error:
            # A plain 404 is no answer: a proxy, or a hub without these routes.
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        try:
            return LogProof.parse(reply.body)
        except LedgerError:
            raise FarSideError(ErrorKind.MALFORMED, "inclusion proof") from None


def _hashes(answer: Mapping[str, Any]) -> tuple[bytes, ...]:
    rows = answer["hashes"]
    if not isinstance(rows, list) or len(rows) > MAX_HASHES or not all(isinstance(row, str) for row in rows):
        raise TypeError
    return tuple(from_base64(row, "proof_hash", HASH_BYTES) for row in rows)
