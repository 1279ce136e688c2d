"""What :mod:`hub.services.witnesses` needs of the world: the hub's own log, witnesses over HTTP, who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.kit.ledger.keys import witness_keys
from connectors.kit.transport import Transport
from connectors.kit.trust import Directory
from consent.ledger.checkpoint import Signature, SignedCheckpoint, VerifierKey, open_note
from consent.ledger.merkle import consistency_proof
from consent.ledger.tile import TileReader, restore
from hub.services.witnesses import Answer, Named
from hub.store.session import Reads, UnitOfWork, Writer

_MAX_ANSWER: Final = 256 * 1024


class HubLog:
    """The log of the hub's database. ``own_keys`` are its public keys."""

    def __init__(self, reads: Reads, writer: Writer, own_keys: frozenset[VerifierKey]) -> None:
        self._reads = reads
        self._writer = writer
        self._own_keys = own_keys

    def newest(self) -> SignedCheckpoint | None:
        """Return the newest checkpoint, ``None`` before the first event."""
        stored = self._reads.run(lambda uow: uow.log.newest())
        return None if stored is None else open_note(stored.note, self._own_keys)

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` leaves, from the tiles."""
        return self._reads.run(lambda uow: restore(size, uow.log.tile).root())

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of ``new`` leaves adds to that of ``old``."""
        return self._reads.run(lambda uow: consistency_proof(old, new, TileReader(new, uow.log.tile)))

    def cosigned(self, names: Sequence[str]) -> dict[str, int]:
        """Return the largest size each of the witnesses ``names`` cosigned."""
        return self._reads.run(lambda uow: uow.log.cosigned(names))

    def keep(self, size: int, cosignatures: Sequence[Signature]) -> None:
        """Keep verified cosignatures under the checkpoint of ``size``."""
        lines = [(each.key.name, each.line) for each in cosignatures]

        def write(uow: UnitOfWork) -> None:
            uow.log.cosign(size, lines)

        self._writer.run(write)


class HttpWitnesses:
    """Witnesses over HTTP, where the directory says they are."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add_checkpoint(self, endpoint: str, body: bytes) -> Answer:
        """``POST`` the request; raises as ``Transport.ask``."""
        return self._answer(f"{endpoint.rstrip('/')}/witness/add-checkpoint", body)

    def latest(self, endpoint: str) -> Answer:
        """``GET`` the largest checkpoint known; raises as ``Transport.ask``."""
        return self._answer(f"{endpoint.rstrip('/')}/witness/checkpoint")

    def _answer(self, url: str, body: bytes | None = None) -> Answer:
        reply = self._transport.ask(url, body=body, max_bytes=_MAX_ANSWER)
        return Answer(reply.status, reply.media_type, reply.body)


def named_witnesses(directory: Directory, slugs: Sequence[str]) -> Mapping[str, Named]:
    """Return those of ``slugs`` that the directory names as witnesses: active, with a key and an address."""
    known = witness_keys(directory.partners())
    return {
        slug: Named(slug, endpoint, known[slug])
        for slug in slugs
        if slug in known and (endpoint := directory.partner(slug).endpoint)
    }
