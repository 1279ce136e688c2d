"""A person with a history, and her own copy of it, as the hub makes it and anybody judges it."""

from __future__ import annotations

import json
from typing import Any

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.seal import Typ, peek
from consent.ledger.jws import to_base64url
from consent.ledger.person import Shown
from consent.ledger.person_check import PersonVerdict, verify_person
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from schemas.registry import validator
from tests.hub.conftest import World

Document = dict[str, Any]


def made(world: World, ref: str, slug: str = "departement", **asked: Any) -> Document:
    """The answer of the hub, which must follow its schema."""
    answer = world.ok("dpo", "/v1/persons/copy", {"partner": slug, "ref": ref, "complaint": "R-1", **asked})
    validator("person_copy").check(answer)
    return answer


def copied(world: World, ref: str, slug: str = "departement", **asked: Any) -> Document:
    found: Document = made(world, ref, slug, **asked)["copy"]
    return found


def keys_of(world: World) -> TrustedKeys:
    return TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk))


def judged(world: World, document: Document) -> PersonVerdict:
    return verify_person(json.loads(json.dumps(document)), keys_of(world))


def live(world: World, person: int) -> dict[str, str]:
    refs = {slug: world.register(slug, person, sections=["droits"]) for slug in ("departement", "caf", "cpam")}
    granted = world.consent(refs["departement"], EventKind.GRANTED)
    world.pull(refs["departement"])
    world.log("usager", "departement", ref=refs["departement"])
    follows = world.follows(refs["departement"], granted["record_id"])
    world.consent(refs["departement"], EventKind.REVOKED, follows=follows)
    world.pull(refs["departement"])
    return refs


def names(chain: list[Document]) -> list[str]:
    """What each shown event of a chain is: the kind of an agreement, the name of anything else."""
    bodies = [event["envelope"]["body"] for event in chain if "envelope" in event]
    return [peek(body, Typ.CONSENT)["kind"] if isinstance(body, str) else body["event"] for body in bodies]


def closed_of(event: Document, removal: int | None = None) -> Document:
    """The same event with its leaf alone, which is what anybody can read in the public log."""
    shown = Shown.parse(event)
    n = shown.link.n if shown.link else 1
    kept = {name: event[name] for name in ("class", "event_id", "at", "ciphertext_digest", "index", "path")}
    return kept | {"commitment": to_base64url(shown.leaf.commitment), "first": n, "n": n, "removal": removal}
