"""One question put to the law of release, and what is read out of its answer."""

from __future__ import annotations

from typing import Any

from consent.decide import decide
from consent.lifecycle import authority
from consent.model import Decision, Reason
from tests.consent import world
from tests.consent.world import INDEX, PATHS, payload, question

POLICY = world.policy()
NOM, TEL, NIR, RSA, RSA_DATE, AAH, REVENU, DETTES, NOTES, GIR, MESURE, LIEU = PATHS


def ask(*events: dict[str, Any], **asked: Any) -> Decision:
    """Return the decision on ``wanted`` (every field by default) after ``events``."""
    wanted = asked.pop("wanted", ())
    what = question(*wanted, **asked)
    return decide(POLICY, what, authority(world.state(*events), POLICY, what))


def reason(decision: Decision, path: str) -> Reason:
    """Return the one reason of ``path``."""
    found = [why for why, mask in decision.masks() if mask & INDEX.mask([path])]
    assert len(found) == 1, found
    return found[0]


def released(decision: Decision) -> tuple[str, ...]:
    """Return the released paths."""
    return INDEX.paths(decision.allowed)


def grant(*paths: str, **changed: Any) -> dict[str, Any]:
    """Return a grant of ``paths``."""
    return payload("granted", **{"pii_information": list(paths)} | changed)


def deny(*paths: str, **changed: Any) -> dict[str, Any]:
    """Return a refusal of ``paths``, under its own record."""
    return payload(
        "denied", **{"record": "no", "pii_information": list(paths), "sources": [], "recipients": []} | changed
    )


def proof(level: str) -> dict[str, Any]:
    """Return a collection proven at ``level``."""
    return {"channel": "guichet", "evidence": level, "agent": "a", "second_agent": "b", "evidence_hash": "h"}


def inform(*paths: str, **changed: Any) -> dict[str, Any]:
    """Return an information about ``paths`` under ``droits``."""
    return payload("informed", **{"record": "i", "purpose": "droits", "pii_information": list(paths)} | changed)


def objection(*paths: str, **changed: Any) -> dict[str, Any]:
    """Return an objection to ``paths``, in its own record and against everyone."""
    more: dict[str, Any] = {"record": "o", "purpose": "droits", "sources": [], "recipients": []}
    return payload("objected", **more | {"pii_information": list(paths)} | changed)


def rights(*events: dict[str, Any], **asked: Any) -> Decision:
    """Ask cpam under ``droits``."""
    return ask(*events, **{"purpose": "droits", "source": "cpam"} | asked)


INFORMED = inform(*PATHS, sources=["cpam"], validity={"from": world.instant(0), "to": None})
