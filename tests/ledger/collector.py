"""A collector that signs consent records, and the log that proves them: receipts made by hand.

Its JWS are written here from docs/protocol.md, not by the library the edges use.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.ledger import envelope
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, SignerKey
from consent.ledger.envelope import Link
from consent.ledger.jws import thumbprint
from consent.ledger.keychange import KeyHistory, KeySpan
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.merkle import inclusion_proof
from consent.ledger.note import split_note
from consent.ledger.proof import LogProof
from consent.ledger.receipt import Receipt
from consent.ledger.verify import TrustedKeys
from consent.ledger.witness import cosign
from tests.ledger.world import LOG, ORIGIN, START_US, WITNESSES, Log, make_leaf, seed

ISSUED = START_US // 1_000_000
NOTICE = "ab" * 32
SALT = hashlib.sha256(b"r32").digest()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(name))


def public_of(name: str) -> bytes:
    return key_of(name).public_key().public_bytes_raw()


def jwk(name: str, curve: str = "Ed25519") -> dict[str, str]:
    return {"kty": "OKP", "crv": curve, "x": b64(public_of(name))}


def sign_jws(payload: object, typ: str, signer: str, header: dict[str, Any] | None = None) -> str:
    head = {"alg": "Ed25519", "typ": typ, "kid": thumbprint(public_of(signer))} | (header or {})
    text = (
        payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()
    )
    signed = f"{b64(json.dumps(head).encode())}.{b64(text)}"
    return f"{signed}.{b64(key_of(signer).sign(signed.encode()))}"


def certificate(signer: str = "identity", **members: Any) -> str:
    said = {
        "v": 1,
        "slug": "departement",
        "sign_key": jwk("operational"),
        "seal_key": jwk("seal", "X25519"),
        "iat": ISSUED,
        "exp": ISSUED + 1800,
    }
    return sign_jws(said | members, "maillon-cert+jws", signer)


def record(**members: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "granted",
        "collector": "departement",
        "certificate": certificate(),
        "at": "2026-01-21T12:53:20Z",
        "notice": {"id": "accompagnement_global", "version": "1", "language": "fr", "sha256": NOTICE},
        "pii_information": ["droits.rsa.etat"],
    } | members


def sign_record(**members: Any) -> str:
    return sign_jws(record(**members), "maillon-consent+jws", "operational")


@dataclass(frozen=True)
class Story:
    """One consent event in a log of nine, and how its receipt is made."""

    jws: str = ""
    at_us: int = START_US + 5_000
    event_class: EventClass = EventClass.CONSENT
    link: Link | None = None
    notice: str | None = NOTICE
    cosigners: int = 4
    time: int = ISSUED + 60
    signers: tuple[SignerKey, ...] = (LOG,)

    def receipt(self) -> Receipt:
        jws = self.jws or sign_record()
        bound = commitment(SALT, envelope.encode(jws, self.link))
        leaf = Leaf(self.event_class, b"consent event id", self.at_us, bound, hashlib.sha256(b"sealed").digest())
        log = Log([*(make_leaf(i) for i in range(5)), leaf, *(make_leaf(i) for i in range(6, 9))], self.signers)
        return Receipt(jws, self.notice, leaf, SALT, self.link, self.prove(log, 5).encode())

    def prove(self, log: Log, index: int) -> LogProof:
        return prove(log, index, self.cosigners, self.time)

    def value(self) -> dict[str, Any]:
        return dict(json.loads(self.receipt().encode()))


def prove(log: Log, index: int, cosigners: int = 4, time: int = ISSUED + 60) -> LogProof:
    note = log.note()
    text, _ = split_note(note)
    signed = SignedCheckpoint(Checkpoint.parse(text), note, text, ())
    lines = [cosign(signed, key, time) for key in WITNESSES[:cosigners]]
    return LogProof(index, inclusion_proof(index, log.size, log.reader()), note + b"".join(lines))


KEYS = TrustedKeys(
    KeyHistory(ORIGIN, (KeySpan(LOG.verifier),)),
    frozenset(key.verifier for key in WITNESSES),
    quorum=4,
    faulty=1,
    collectors={"departement": frozenset({public_of("identity"), public_of("identity of last year")})},
)
ALONE = replace(KEYS, witnesses=frozenset(), quorum=0, faulty=0)
