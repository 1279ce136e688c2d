"""Errors that cross a boundary: a stable kind, and a detail that never holds a personal value.

The hub turns each kind into an RFC 9457 problem in one exhaustive table (``hub.problems``); an edge answers in
the same shape. Each kind has its page under ``docs/problems/``.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """Every refusal the system can name. The value is the last part of the problem's ``type``."""

    # The message itself
    MALFORMED = "malformed"
    """Not the JSON, XML or CSV it should be; a duplicate key; over a size or depth limit."""
    SCHEMA = "schema"
    """Well-formed, but not what the schema asks; ``pointer`` names the place."""
    UNKNOWN_FIELD = "unknown-field"
    UNKNOWN_PURPOSE = "unknown-purpose"
    UNKNOWN_ROLE = "unknown-role"
    UNKNOWN_NOTICE = "unknown-notice"
    UNKNOWN_PARTNER = "unknown-partner"
    UNKNOWN_SUBJECT = "unknown-subject"
    UNKNOWN_RECORD = "unknown-record"
    NOT_FOUND = "not-found"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    """More requests without a token than the hub answers in a second."""
    # Who is asking
    AUTHENTICATION = "authentication"
    """The detail names the failing claim: signature, alg, aud, exp, iat, jti, iss, sub, typ."""
    FORBIDDEN = "forbidden"
    SUSPENDED = "suspended"
    REPLAYED = "replayed"
    EXPIRED = "expired"
    # Trust
    UNTRUSTED_DIRECTORY = "untrusted-directory"
    UNTRUSTED_KEY = "untrusted-key"
    BAD_SIGNATURE = "bad-signature"
    BAD_SEAL = "bad-seal"
    WRONG_RECIPIENT = "wrong-recipient"
    WRONG_SUBJECT = "wrong-subject"
    ORDER_REFUSED = "order-refused"
    FRAGMENT_REFUSED = "fragment-refused"
    # State
    CONFLICT = "conflict"
    TRANSITION = "transition"
    """The consent record's state does not allow this event."""
    EVIDENCE = "evidence"
    """The proof collected is weaker than the purpose asks for."""
    # The far side
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    # Configuration and this machine
    CONFIGURATION = "configuration"
    TLS_REQUIRED = "tls-required"
    STORAGE = "storage"
    LOG_STOPPED = "log-stopped"
    """A witness knows a tree the hub's own key signed and its log does not contain: nothing is signed any more."""
    INTERNAL = "internal"


class MaillonError(Exception):
    """A refusal with a stable kind and a detail fit for a stranger's eyes.

    ``detail`` names the failing thing (a claim, a JSON pointer, a setting, a line number) and never a personal
    value; ``pointer`` is an RFC 6901 pointer where there is one.
    """

    def __init__(self, kind: ErrorKind, detail: str, *, pointer: str | None = None) -> None:
        super().__init__(f"{kind.value}: {detail}" + (f" (at {pointer})" if pointer else ""))
        self.kind = kind
        self.detail = detail
        self.pointer = pointer
