"""What is missing, and by whose leave: an erasure or retention event names exactly what was emptied under it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from consent.ledger.jws import to_base64url
from consent.ledger.opening import instant
from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot

_WENT = "SELECT event_id FROM journal WHERE emptied_by = ? ORDER BY seq"
_ERASURE = "SELECT erasure_id, decision, at, kept_until FROM erasure WHERE seq = ?"
_BACK = """SELECT 1 FROM erasure_pending e JOIN person p ON p.person_id = e.owner_id
WHERE e.erasure_id = ? AND e.part_id IS NOT NULL"""
_UNNAMED = """SELECT j.event_id FROM unnamed_consent u JOIN journal j ON j.seq = u.seq
WHERE u.erasure_id = ? ORDER BY u.seq"""
_KEPT = """SELECT count(*) FROM journal j JOIN kept_consent k ON k.seq = j.seq WHERE k.erasure_id = ?"""


def check_leave(snapshot: Snapshot, seq: int, name: str, body: Any, at: int) -> None:
    """Check that the erasure or retention event ``seq`` (class ``name``) names what went under it, and its row.

    Raises ``Wrong``: ``emptied``, ``missing``, ``row``.
    """
    place = f"seq {seq}"
    ids = [row[0] for row in snapshot.rows(_WENT, (seq,))]
    if not isinstance(body, Mapping) or body.get("emptied") != _named(ids):
        wrong("journal", place, "emptied")
    row = snapshot.one(_ERASURE, (seq,))
    if name != "erasure":
        if row is not None:
            wrong("erasure", place, "extra")
        return
    if row is None:
        wrong("erasure", place, "missing")
    erasure_id, decision, written, kept_until = row
    said = to_base64url(hashlib.sha256(str(body.get("decision")).encode()).digest())
    if (erasure_id, decision, written) != (body.get("erasure_id"), said, at):
        wrong("erasure", place, "row")
    until = body.get("proof_until")
    if (until is None) is not (kept_until is None) or (kept_until is not None and instant(kept_until) != until):
        wrong("erasure", place, "row")
    unnamed = [row[0] for row in snapshot.rows(_UNNAMED, (erasure_id,))]
    if body.get("unnamed", _named(())) != _named(unnamed):
        wrong("unnamed_consent", place, "row")
    if snapshot.one(_BACK, (erasure_id,)) is not None:
        wrong("erasure", place, "row")
    kept = (snapshot.one(_KEPT, (erasure_id,)) or (0,))[0]
    if kept > (0 if until is None else body["rows"].get("consent_event", 0)):
        wrong("kept_consent", place, "extra")


def _named(event_ids: Sequence[str]) -> dict[str, Any]:
    ids = [bytes.fromhex(event_id.replace("-", "")) for event_id in event_ids]
    return {"count": len(ids), "digest": to_base64url(hashlib.sha256(b"".join(ids)).digest())}


def kept_by(snapshot: Snapshot) -> dict[int, str]:
    """Return which consent events are kept as proof, and in whose chain: an erasure's, that of a part of one, or of
    the person for whom it was accepted."""
    return dict(snapshot.rows("SELECT seq, part_id FROM kept_consent"))
