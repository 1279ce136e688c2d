"""When a known file is read again: a later one of its complete format took its place, and now it is given once more.

A register that loses its newest person again is, byte for byte, what it was a month ago. Passed over as known, it would
leave that person held for ever; so of a complete format the last file given is known only while no other was read
since. Those given before it in one go are passed over as ever: they are history, and reading them would repeat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import digest_of
from connectors.kit.partner import PartnerFolder, SourceFile


def read_superseded_again(files: Sequence[SourceFile], partner: PartnerFolder, store: EdgeStore, at: datetime) -> None:
    """Call before ``ingest``: it then reads the last of ``files`` of each complete format if another took its place.

    Raises ``MaillonError(STORAGE)`` when a file cannot be opened.
    """
    last = {file.format: file for file in files if partner.formats[file.format].complete}
    for format, file in last.items():
        digest, name = digest_of(file.path), f"{format}: file given last"
        with store.batch():
            if store.archive.cursor(name) not in (None, digest.hex()):
                store.archive.forget_file(digest)
            store.archive.set_cursor(name, digest.hex(), at)
