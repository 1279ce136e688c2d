"""An exported log, checked from its files alone: every leaf, every tile, the checkpoint and who cosigned it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consent.ledger import tile
from consent.ledger.checkpoint import Checkpoint
from consent.ledger.exact import LedgerError
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import split_note
from consent.ledger.replay import Fault, replay
from consent.ledger.tile import ENTRIES, WIDTH, Frontier, TileId, decode_bundle, tile_at
from consent.ledger.verify import TrustedKeys

_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ExportVerdict:
    """What an exported log is worth: ``code`` None when it holds, else what is wrong first, at leaf ``index``."""

    code: str | None
    origin: str = ""
    size: int = 0
    index: int | None = None
    witnesses: tuple[str, ...] = ()
    is_witnessed: bool = True


def check_export(folder: Path, keys: TrustedKeys) -> ExportVerdict:
    """Return what the log in ``folder`` (C2SP tlog-tiles) is worth under ``keys``. Never raises for its content."""
    try:
        note = _read(folder / "checkpoint")
        size = Checkpoint.parse(split_note(note)[0]).size
        fault = replay(_leaves(folder, size), [note], keys.history, witnesses=keys.witnesses)
        if fault is not None:
            return ExportVerdict(fault.code, keys.history.origin, size, fault.index)
        _check_tiles(folder, size)
        witnesses, is_witnessed = _witnessed(note, size, keys)
        return ExportVerdict(None, keys.history.origin, size, None, witnesses, is_witnessed)
    except LedgerError as error:
        return ExportVerdict(error.code, keys.history.origin)
    except OSError:
        return ExportVerdict(Fault("file_missing").code, keys.history.origin)


def _leaves(folder: Path, size: int) -> Iterator[bytes]:
    for index in range(-(-size // WIDTH)):
        bundle = tile_at(ENTRIES, index, size)
        yield from decode_bundle(_read(folder / bundle.path), bundle.width)


def _check_tiles(folder: Path, size: int) -> None:
    tree, partial = Frontier(), dict[tuple[int, int], tuple[TileId, bytes]]()
    for index in range(-(-size // WIDTH)):
        bundle = tile_at(ENTRIES, index, size)
        hashes = [leaf_hash(leaf) for leaf in decode_bundle(_read(folder / bundle.path), bundle.width)]
        tree, changed = tile.append(tree, hashes)
        for each, data in changed:
            partial[each.level, each.index] = (each, data)
            if each.width == WIDTH:
                _compare(folder, *partial.pop((each.level, each.index)))
    for each, data in partial.values():
        _compare(folder, each, data)


def _compare(folder: Path, each: TileId, data: bytes) -> None:
    if _read(folder / each.path) != data:
        raise LedgerError("tile_hashes")


def _witnessed(note: bytes, size: int, keys: TrustedKeys) -> tuple[tuple[str, ...], bool]:
    policy = keys.policy(size)
    try:
        signed = policy.open(note)
    except LedgerError as error:
        if error.code != "quorum":
            raise
        return (), False
    return tuple(sorted(each.key.name for each in signed.signed_by(keys.witnesses))), True


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise LedgerError("file_size")
    return data
