"""The hub's own store in a temporary folder: files too long for memory, and the proof that memory answers the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.kit.runtime.clock import SystemClock
from hub.cli.index_pairs import A, B, Pair
from hub.keyring import Keyring
from hub.services.register import register
from hub.services.registration import Registration
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.pairs import Pairs
from hub.store.secrets import SecretStore
from hub.store.session import UnitOfWork
from hub.wrapping import WrappingKeys


class StoreRegistry:
    """Registers records by the hub's service, into its tables; the folder goes when it is closed."""

    def __init__(self, folder: tempfile.TemporaryDirectory[str], keyring: Keyring) -> None:
        """Make the store in ``folder``."""
        home, clock = Path(folder.name), SystemClock()
        self._folder, self._keyring = folder, keyring
        self._keyring.add_partners((A, B))
        self._clock = clock
        self._engine = open_engine(home / "hub.db")
        upgrade(self._engine, "hub")
        wrapping = WrappingKeys.create(home / "wrapping.bin")
        self._secrets = SecretStore(home / "secrets.db", wrapping, clock, system_key=keyring.system_key)
        self._rec_ids: dict[bytes, str] = {}

    def register(self, partner: str, records: Sequence[tuple[str, Registration]]) -> None:
        """Place each of ``records`` (rec_id, registration), in order."""
        self._rec_ids |= {registration.stored_key: rec_id for rec_id, registration in records}
        placed = [registration for _, registration in records]
        with self._engine.begin() as connection:
            register(UnitOfWork(connection, self._secrets, self._clock.now()), self._keyring, partner, placed)
            self._secrets.flush()

    def pairs(self, *, explain: bool) -> Iterator[Pair]:
        """Yield every pair of a record of each file that is linked, or before a reviewer."""
        with self._engine.connect() as connection:
            yield from self._pairs(Pairs(connection), explain)

    def flooded(self, partner: str) -> Iterator[str]:
        """Yield the records set apart because of a crowd."""
        with self._engine.connect() as connection:
            for key in Pairs(connection).flooded(partner):
                yield self._rec_ids[key]

    def close(self) -> None:
        """Forget everything."""
        self._engine.dispose()
        self._secrets.close()
        self._folder.cleanup()

    def _pairs(self, view: Pairs, explain: bool) -> Iterator[Pair]:
        for decision, rows in (("auto", view.linked(A, B, agreed=explain)), ("review", view.doubted(A, B))):
            for row in rows:
                agreed = row.agreed if explain else ()
                yield Pair(self._rec_ids[row.key_a], self._rec_ids[row.key_b], decision, row.rule, agreed)
