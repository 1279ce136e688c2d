"""A consortium with a log and three witnesses: consent events really signed, receipts as a hub gives them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.kit.consent_events import SignedEvent
from connectors.kit.receipts.keys_file import keys_file
from consent.ledger import envelope, witness
from consent.ledger.checkpoint import Checkpoint, open_note, sign
from consent.ledger.envelope import Link
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.merkle import inclusion_proof, leaf_hash, node_hash
from consent.ledger.note import SignerKey
from consent.ledger.proof import LogProof
from consent.ledger.receipt import Receipt
from consent.ledger.verify import TrustedKeys
from tests.kit import world as kit
from tests.ledger.world import Log, log_key, make_leaf, witness_key

ORIGIN = "hub.maillon.departement-45.example/log"
WITNESSES = {slug: witness_key(slug) for slug in ("caf", "cpam", "departement")}


class World(kit.World):
    """``receipt_of`` an event is what an honest hub answers, once ``after`` more events were logged."""

    def __init__(self, folder: Path, witnesses: Sequence[str] = ("caf", "cpam", "departement")) -> None:
        super().__init__(folder)
        self.log_key = log_key("log", ORIGIN)
        self.witnesses = [WITNESSES[slug] for slug in witnesses]
        self.log = Log([make_leaf(n) for n in range(5)], [self.log_key], ORIGIN)
        self.partners["hub"] = replace(self.partners["hub"], log_key=self.log_key.verifier.vkey)
        for slug in witnesses:
            self.partners[slug] = replace(self.partners[slug], witness_key=WITNESSES[slug].verifier.vkey)
        self.directory = self.sign_directory()

    @property
    def keys_content(self) -> dict[str, Any]:
        return keys_file(self.directory, self.root.public_jwk)

    @property
    def trusted(self) -> TrustedKeys:
        return TrustedKeys.parse(self.keys_content)

    def receipt_of(
        self,
        event: SignedEvent,
        *,
        at: datetime | None = None,
        link: Link | None = None,
        after: int = 7,
        cosigned: int = 3,
        signers: Sequence[SignerKey] | None = None,
    ) -> Receipt:
        """Log ``event`` half a minute after it was said, and ``after`` others; return its receipt."""
        said = datetime.fromisoformat(event.payload["at"]) if at is None else at
        at_us = int((said + timedelta(seconds=30)).timestamp() * 1_000_000)
        r32, link = secrets.token_bytes(32), link or Link(1, None)
        bound = commitment(r32, envelope.encode(event.jws, link))
        sealed = hashlib.sha256(secrets.token_bytes(8)).digest()
        leaf = Leaf(EventClass.CONSENT, secrets.token_bytes(16), at_us, bound, sealed)
        index = self.log.size
        self.log.append([leaf, *(make_leaf(index + n, "after") for n in range(after))])
        return Receipt(event.jws, _notice(event), leaf, r32, link, self.proof(index, cosigned, signers).encode())

    def proof(self, index: int, cosigned: int = 3, signers: Sequence[SignerKey] | None = None) -> LogProof:
        """The proof of leaf ``index`` under the newest checkpoint, cosigned by the first so many witnesses."""
        note = self.log.note(signers=signers)
        size = self.log.size
        if cosigned:
            signed = open_note(note, [key.verifier for key in (signers or self.log.signers)])
            time = 1_800_000_000
            note += b"".join(witness.cosign(signed, key, time) for key in self.witnesses[:cosigned])
        return LogProof(index, inclusion_proof(index, size, self.log.reader()), note)

    def deep_receipt(self, event: SignedEvent, leaves: int = 1_000_000) -> Receipt:
        """As :meth:`receipt_of`, in a log of ``leaves``: the sizes are those of a real log that large."""
        receipt = self.receipt_of(event, after=0)
        return replace(receipt, proof=_deep(self, leaf_hash(receipt.leaf.encode()), leaves).encode())

    def write(self, folder: Path, receipt: Receipt) -> tuple[Path, Path]:
        """Put the receipt and the keys into files; return both paths."""
        files = folder / "recu.json", folder / "cles.json"
        files[0].write_bytes(receipt.encode())
        files[1].write_text(json.dumps(self.keys_content))
        return files


def _notice(event: SignedEvent) -> str | None:
    notice = event.payload["notice"]
    return None if notice is None else str(notice["sha256"])


def _deep(world: World, hashed: bytes, leaves: int) -> LogProof:
    """A proof and a checkpoint that hold: a real tree would hash a million leaves to give bytes of the same length."""
    index = leaves // 3  # far from the right-hand edge, where paths are shorter
    path, top, node, last = [], hashed, index, leaves - 1
    while last:
        if node & 1 or node < last:
            sibling = secrets.token_bytes(32)
            path.append(sibling)
            top = node_hash(sibling, top) if node & 1 else node_hash(top, sibling)
        node, last = node >> 1, last >> 1
    note = sign(Checkpoint(ORIGIN, leaves, top), [world.log_key])
    signed = open_note(note, [world.log_key.verifier])
    note += b"".join(witness.cosign(signed, key, 1_800_000_000) for key in world.witnesses)
    return LogProof(index, tuple(path), note)
