"""Two files, registered one after the other as two partners' records are, and what came of it.

Connector tokens → hub rules, by the same code as a running hub. The token key and the hub's keyring are drawn for the
run and vanish with it; no trait reaches the index.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from connectors.kit.rarity import read_shares
from connectors.kit.runtime import b64url
from connectors.kit.runtime.ids import PartnerSlug
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from connectors.kit.trust import DirectoryPartner
from hub.cli.index_files import RecordFile, Refused
from hub.cli.index_memory import MemoryRegistry
from hub.cli.index_pairs import A, B, Pair, Registry
from hub.cli.index_store import StoreRegistry
from hub.keyring import Keyring
from hub.services.register import FLOOD, prepare

NOTHING_TO_COMPARE = "sans_empreinte"
"""Reason of a row no trait of which can be compared."""
IN_MEMORY = 200_000
"""Rows of both files up to which the index is in memory: some 6 KB a row."""
_BATCH = 500
_PARTNERS = {
    slug: DirectoryPartner(PartnerSlug(slug), slug, "partner", slug, "active", {}, {}, "", nir_autorise=True)
    for slug in (A, B)
}

Progress = Callable[[int, int, str], None]


class Linkage:
    """One comparison of two files. A context manager: what it knows goes with it."""

    def __init__(self, *, on_disk: bool) -> None:
        """Draw the keys; the index is in memory, or ``on_disk`` in the hub's store."""
        self.registered: dict[str, int] = {}
        self.refused: list[Refused] = []
        self.warnings: Counter[str] = Counter()
        folder = tempfile.TemporaryDirectory(prefix="maillon-link-")
        self._folder = folder
        self._keyring = Keyring.create(Path(folder.name) / "keyring.json")
        self._registry: Registry = StoreRegistry(folder, self._keyring) if on_disk else MemoryRegistry()
        self._tokeniser = HmacTokeniser(secrets.token_bytes(32), 1)

    def __enter__(self) -> Linkage:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget everything."""
        self._registry.close()
        self._folder.cleanup()

    def run(self, files: Mapping[str, RecordFile], freq: Path | None, progress: Progress) -> None:
        """Register file ``a``, then file ``b``. Raises ``MaillonError`` for a file that is no CSV, or no shares."""
        listed = None if freq is None else read_shares(freq)
        total, done = sum(file.size() for file in files.values()), 0
        for slug, file in files.items():
            shares = file.shares(listed)
            lines: dict[str, int] = {}
            batch: list[tuple[str, TokenSet]] = []
            for row in file.rows():
                done += 1
                if isinstance(row, Refused):
                    self.refused.append(row)
                    continue
                self.warnings.update(row.identity.warnings)
                tokens = tokens_of(row.identity, self._tokeniser, shares)
                if not tokens.tokens:
                    self.refused.append(Refused(file.path.name, row.line, NOTHING_TO_COMPARE))
                    continue
                lines[row.rec_id] = row.line
                batch.append((row.rec_id, tokens))
                if len(batch) == _BATCH:
                    self._register(slug, batch)
                    batch = []
                    progress(done, total, f"{done} rows")
            self._register(slug, batch)
            self.registered[slug] = len(lines)
            flooded = (lines[rec_id] for rec_id in self._registry.flooded(slug))
            self.refused += [Refused(file.path.name, line, FLOOD) for line in flooded]
        progress(total, total, f"{done} rows")

    def pairs(self, *, explain: bool) -> Iterator[Pair]:
        """Yield every pair of a row of each file that is linked, or before a reviewer."""
        return self._registry.pairs(explain=explain)

    def _register(self, slug: str, batch: list[tuple[str, TokenSet]]) -> None:
        records = [
            {"record_key": b64url.encode(hashlib.sha256(rec_id.encode()).digest()[:16]), "sections": []}
            | tokens.to_wire()
            for rec_id, tokens in batch
        ]
        prepared = prepare(self._keyring, _PARTNERS[slug], records)
        named = zip((rec_id for rec_id, _ in batch), prepared, strict=True)
        self._registry.register(slug, list(named))
