"""What somebody could still read after an erasure: every key there is tried on every content there was, naively."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.kit.runtime.errors import MaillonError
from consent.ledger.leaf import Leaf
from hub.store import erasure_tables, tables
from hub.store.backup import copy_database
from hub.store.engine import open_engine
from hub.store.journal import leaf_of
from hub.store.sealing import open_alone, open_event
from hub.wrapping import WrappingKeys
from tests.hub.conftest import World


@dataclass(frozen=True)
class Sealed:
    """A content as an old copy of ``hub.db`` has it."""

    event_id: str
    leaf: Leaf
    sealed: bytes


def contents(world: World) -> dict[int, Sealed]:
    """Every content there is now, by sequence number."""
    rows = world.hub.reads.run(lambda uow: uow.connection.execute(tables.journal.select()).all())
    return {row.seq: Sealed(row.event_id, leaf_of(row), row.sealed) for row in rows if row.sealed is not None}


def copy_of_secrets(world: World, folder: Path) -> Path:
    """Copy ``secrets.db`` as it is now, as a thief or a backup would."""
    folder.mkdir(exist_ok=True)
    target = folder / f"secrets-{len(list(folder.iterdir()))}.db"
    engine = open_engine(world.home.secrets)
    copy_database(engine, target)
    engine.dispose()
    return target


def keys_in(secrets: Path, world: World) -> Iterator[tuple[str, str, bytes, bool]]:
    """Every key of a ``secrets.db`` that today's wrapping keys open: (owner, use, key, whether of one event)."""
    wrapping = WrappingKeys.load(world.home.wrapping)
    engine = open_engine(secrets, read_only=True)
    try:
        with engine.connect() as connection:
            rows = [
                *((r.person_id, r.use, r.wrapped) for r in connection.execute(tables.person_secret.select())),
                *((r.owner_id, f"k_trace/{r.month}", r.wrapped) for r in connection.execute(tables.trace_key.select())),
                *(
                    (r.owner_id, f"k_event/{r.event_id}", r.wrapped)
                    for r in connection.execute(erasure_tables.event_key.select())
                ),
            ]
    finally:
        engine.dispose()
    for owner, use, wrapped in rows:
        try:
            yield owner, use, wrapping.unwrap(owner, use, wrapped), use.startswith("k_event/")
        except MaillonError:
            continue


def readers_of(content: Sealed, keys: list[tuple[str, str, bytes, bool]]) -> set[str]:
    """Whose keys open a content."""
    found = set()
    for owner, _, key, is_alone in keys:
        try:
            (open_alone if is_alone else open_event)(key, content.leaf, content.sealed)
        except MaillonError:
            continue
        found.add(owner)
    return found


def without_gaps(database: bytes) -> bytes:
    """A SQLite file without what lies between the cells of its pages and the list of them: a row that was moved to
    another page may have left a copy of itself there, which is in no table any more (the threat model says so).

    Only b-tree pages have such a gap; whatever else a page holds stays as it is.
    """
    size = int.from_bytes(database[16:18], "big")
    assert size == 4096
    pages = []
    for at in range(0, len(database), size):
        page, header = database[at : at + size], 100 if at == 0 else 0
        if page[header] in (2, 5, 10, 13):
            cells = int.from_bytes(page[header + 3 : header + 5], "big")
            first = header + (12 if page[header] in (2, 5) else 8) + 2 * cells
            content = int.from_bytes(page[header + 5 : header + 7], "big") or 65536
            page = page[:first] + bytes(max(0, content - first)) + page[content:]
        pages.append(page)
    return b"".join(pages)


def files_of(home: Path, aside: Path) -> bytes:
    """Every byte of a home, put together from a copy of it; of ``hub.db`` what is in its tables."""
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(home, aside)
    files = {path: path.read_bytes() for path in sorted(aside.rglob("*")) if path.is_file()}
    return b"\0".join(without_gaps(held) if path.name == "hub.db" else held for path, held in files.items())
