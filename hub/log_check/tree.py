"""The tree again from its leaves: journal, entries, tiles, checkpoints, and those held outside."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from consent.ledger import tile as tiles
from consent.ledger.checkpoint import SignedCheckpoint, open_note
from consent.ledger.exact import HASH_BYTES, LedgerError
from consent.ledger.keychange import KeyHistory
from consent.ledger.leaf import CLASS_BYTES, TAG
from consent.ledger.note import VerifierKey
from consent.ledger.replay import SKEW_US
from consent.ledger.tile import WIDTH, Frontier, TileId
from hub.log_check.finding import wrong
from hub.log_check.snapshot import Row, Snapshot

Progress = Callable[[int, int], None]
"""Called with how many leaves are done, of how many."""

_LEAVES: Final = """SELECT e.leaf_index, e.seq, e.leaf_hash, j.event_id, j.class, j.at,
j.commitment, j.ciphertext_digest FROM entry e LEFT JOIN journal j ON j.seq = e.seq ORDER BY e.leaf_index"""
_LOST: Final = "SELECT min(j.seq) FROM journal j LEFT JOIN entry e ON e.seq = j.seq WHERE e.seq IS NULL"
_HEADER: Final = struct.Struct(f">{len(TAG)}sB16sq")
_BYTES: Final = {event_class.value: byte for event_class, byte in CLASS_BYTES.items()}


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count: the log's keys, its witnesses', and checkpoints somebody kept outside."""

    history: KeyHistory
    witnesses: frozenset[VerifierKey] = frozenset()
    against: Sequence[bytes] = ()


@dataclass(slots=True)
class Tree:
    """What was computed: its size, the root at each size that was asked for, and the largest size each witness (by its
    key's name) has verifiably cosigned."""

    size: int = 0
    roots: dict[int, bytes] = field(default_factory=dict)
    cosigned: dict[str, int] = field(default_factory=dict)


def check_tree(snapshot: Snapshot, trust: Trust, progress: Progress) -> Tree:
    """Return the tree computed from the journal; raises :class:`hub.log_check.finding.Wrong` at the first difference.

    Checks that every event is a leaf and every leaf an event, entries and tiles against the leaves, every stored
    checkpoint and cosignature, the head, and every checkpoint held outside.
    """
    outside = [_open_outside(note, trust) for note in trust.against]
    stored = _stored_checkpoints(snapshot)
    sizes = sorted({size for size, _, _, _ in stored} | {each.checkpoint.size for each in outside})
    tree = _grow(snapshot, sizes, progress)
    _check_all_logged(snapshot)
    _check_outside(outside, tree)
    _check_head(snapshot, stored, tree)
    _check_checkpoints(stored, trust, tree)
    _check_cosignatures(snapshot, {size: note for size, _, note, _ in stored}, trust, tree)
    return tree


def _grow(snapshot: Snapshot, sizes: Iterable[int], progress: Progress) -> Tree:
    count = (snapshot.one("SELECT count(*) FROM entry") or (0,))[0]
    grown = _Growing(snapshot)
    stops = [size for size in sizes if 0 <= size <= count]
    tree = Tree()
    if stops and stops[0] == 0:
        tree.roots[0] = grown.frontier.root()
    latest = -(2**63)
    for batch in snapshot.batches(_LEAVES):
        hashes, latest = _hash_batch(batch, grown.frontier.size, latest)
        if len(hashes) < len(batch):
            _name_leaf(snapshot, batch[len(hashes)], grown.frontier.size + len(hashes), latest)
        start = grown.frontier.size
        for stop in [each for each in stops if start < each < start + len(hashes)]:
            at = grown.frontier.size - start
            grown.append(hashes[at : stop - start])
            tree.roots[stop] = grown.frontier.root()
        grown.append(hashes[grown.frontier.size - start :])
        tree.roots[grown.frontier.size] = grown.frontier.root()
        progress(grown.frontier.size, count)
    grown.finish()
    tree.size = grown.frontier.size
    tree.roots.setdefault(tree.size, grown.frontier.root())
    return tree


class _Growing:
    """Grows the tree and holds each tile, as it fills up, against the stored one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.frontier = Frontier()
        self._partial: dict[int, tuple[TileId, bytes]] = {}
        self._full = 0

    def append(self, hashes: Sequence[bytes]) -> None:
        if not hashes:
            return
        self.frontier, changed = tiles.append(self.frontier, hashes)
        for tile, data in changed:
            if tile.width == WIDTH:
                self._full += 1
                self._partial.pop(tile.level, None)
                self._compare(tile, data)
            else:
                self._partial[tile.level] = (tile, data)

    def finish(self) -> None:
        for tile, data in self._partial.values():
            self._compare(tile, data)
        expected = self._full + len(self._partial)
        found = self._snapshot.one("SELECT count(*) FROM tile") or (0,)
        if found[0] != expected:
            self._name_extra()

    def _compare(self, tile: TileId, data: bytes) -> None:
        row = self._snapshot.one("SELECT hashes FROM tile WHERE level = ? AND idx = ?", (tile.level, tile.index))
        place = f"level {tile.level} index {tile.index}"
        if row is None:
            wrong("tile", place, "missing")
        if row[0] != data:
            wrong("tile", place, "hashes")

    def _name_extra(self) -> None:
        for level, index in self._snapshot.rows("SELECT level, idx FROM tile ORDER BY level, idx"):
            try:
                tiles.tile_at(level, index, self.frontier.size)
            except (LedgerError, TypeError):
                wrong("tile", f"level {level} index {index}", "extra")
        wrong("tile", "-", "extra")


def _hash_batch(batch: list[Row], start: int, latest: int) -> tuple[list[bytes], int]:
    """Return the leaf hashes of ``batch``, computed from the journal, up to the first row that does not hold; and the
    latest time seen."""
    sha256, pack, classes, hashes = hashlib.sha256, _HEADER.pack, _BYTES, []
    try:
        for index, (leaf_index, _, leaf_hash, event_id, name, at, commitment, digest) in enumerate(batch, start):
            header = pack(TAG, classes[name], bytes.fromhex(event_id.replace("-", "")), at)
            computed = sha256(b"\x00" + header + commitment + digest).digest()
            if (
                computed != leaf_hash
                or leaf_index != index
                or len(event_id) != 36
                or len(digest) != HASH_BYTES
                or at < latest - SKEW_US
            ):
                break
            latest = max(latest, at)
            hashes.append(computed)
    except (TypeError, ValueError, KeyError, AttributeError, struct.error):
        pass
    return hashes, latest


def _name_leaf(snapshot: Snapshot, row: Row, index: int, latest: int) -> NoReturn:
    """Raise the finding of the first row of a batch that does not hold."""
    leaf_index, seq, leaf_hash, event_id, name, at, commitment, digest = row
    if leaf_index != index:
        wrong("entry", f"leaf {index}", "gap")
    if event_id is None and name is None:
        wrong("journal", f"seq {seq}", "missing")
    try:
        header = _HEADER.pack(TAG, _BYTES[name], bytes.fromhex(event_id.replace("-", "")), at)
        computed = hashlib.sha256(b"\x00" + header + commitment + digest).digest()
        is_formed = len(event_id) == 36 and len(commitment) == HASH_BYTES and len(digest) == HASH_BYTES
    except (TypeError, ValueError, KeyError, AttributeError, struct.error):
        wrong("journal", f"seq {seq}", "form")
    if not is_formed:
        wrong("journal", f"seq {seq}", "form")
    if computed == leaf_hash and at < latest - SKEW_US:
        wrong("journal", f"seq {seq}", "order")
    stored = snapshot.one("SELECT hashes FROM tile WHERE level = 0 AND idx = ?", (index // WIDTH,))
    slot = index % WIDTH * HASH_BYTES
    if stored is not None and isinstance(stored[0], bytes) and stored[0][slot : slot + HASH_BYTES] == computed:
        wrong("entry", f"leaf {index}", "leaf_hash")
    wrong("journal", f"seq {seq}", "leaf")


def _check_all_logged(snapshot: Snapshot) -> None:
    # Entries have distinct events by the schema, which was compared: as many of one as of the other is all of them.
    counts = [snapshot.one(f"SELECT count(*) FROM {table}") for table in ("journal", "entry")]  # noqa: S608
    lost = None if counts[0] == counts[1] else snapshot.one(_LOST)
    if lost is not None and lost[0] is not None:
        is_waiting = snapshot.one("SELECT 1 FROM inbox WHERE seq = ?", (lost[0],))
        wrong("journal", f"seq {lost[0]}", "waiting" if is_waiting else "not_logged")
    waiting = snapshot.one("SELECT min(seq) FROM inbox")
    if waiting is not None and waiting[0] is not None:
        wrong("inbox", f"seq {waiting[0]}", "extra")
    hexadecimal = "[0-9a-f]" * 4
    spelling = "-".join((hexadecimal * 2, *([hexadecimal] * 3), hexadecimal * 3))
    # The bytes are the leaf's; another spelling of them is another id to whoever looks it up.
    other = snapshot.one("SELECT min(seq) FROM journal WHERE event_id NOT GLOB ?", (spelling,))
    if other is not None and other[0] is not None:
        wrong("journal", f"seq {other[0]}", "form")


Stored = tuple[int, bytes, bytes, int]
"""Size, root, note, time of a stored checkpoint."""


def _stored_checkpoints(snapshot: Snapshot) -> list[Stored]:
    found = []
    for size, root, note, at in snapshot.rows("SELECT size, root, note, at FROM checkpoint ORDER BY size"):
        if type(size) is not int or not isinstance(root, bytes) or not isinstance(note, bytes) or type(at) is not int:
            wrong("checkpoint", f"size {size}", "form")
        found.append((size, root, note, at))
    return found


def _check_head(snapshot: Snapshot, stored: Sequence[Stored], tree: Tree) -> None:
    heads = list(snapshot.rows("SELECT id, size FROM tree_head"))
    if heads != [(1, tree.size)]:
        wrong("tree_head", "id 1", "size")
    if tree.size and (not stored or stored[-1][0] != tree.size):
        wrong("checkpoint", f"size {stored[-1][0]}" if stored else "-", "size")


def _check_checkpoints(stored: Sequence[Stored], trust: Trust, tree: Tree) -> None:
    before = -(2**63)
    for size, root, note, at in stored:
        place = f"size {size}"
        try:
            signed = open_note(note, trust.history.at(size))
        except LedgerError:
            wrong("checkpoint", place, "signature")
        keys = trust.history.at(size)
        if signed.checkpoint.origin != trust.history.origin or len(signed.signed_by(keys)) != len(keys):
            wrong("checkpoint", place, "signature")
        if signed.checkpoint.size != size:
            wrong("checkpoint", place, "size")
        if not signed.checkpoint.root == root == tree.roots.get(size):
            wrong("checkpoint", place, "root")
        if at < before - SKEW_US:
            wrong("checkpoint", place, "order")
        before = max(before, at)


def _check_cosignatures(snapshot: Snapshot, notes: dict[int, bytes], trust: Trust, tree: Tree) -> None:
    """Every cosignature there is must be its witness's. One that is gone is no alteration of the log: witnesses sign
    when they can, and what each has signed by now is told (``tree.cosigned``)."""
    keys = {key.vkey: key for key in trust.witnesses} | {key.name: key for key in trust.witnesses}
    for size, name, line, at in snapshot.rows("SELECT size, witness, line, at FROM cosignature ORDER BY size, witness"):
        place = f"size {size} witness {name}"
        note, key = notes.get(size), keys.get(name)
        if note is None:
            wrong("cosignature", place, "extra")
        if type(at) is not int or not isinstance(line, bytes):
            wrong("cosignature", place, "form")
        if not isinstance(name, str) or not line.startswith(f"\u2014 {name} ".encode()):
            wrong("cosignature", place, "cosignature")
        if key is None:
            continue  # of a witness that has left the directory: nobody counts it
        try:
            signed = open_note(note + line, [key])
        except LedgerError:
            wrong("cosignature", place, "cosignature")
        if len(signed.signatures) != 1 or (note + line).count(b"\n\xe2\x80\x94") != note.count(b"\n\xe2\x80\x94") + 1:
            wrong("cosignature", place, "cosignature")
        tree.cosigned[key.name] = size


def _open_outside(note: bytes, trust: Trust) -> SignedCheckpoint:
    """Return a checkpoint somebody kept, signed by the log's keys of its size (witnesses that signed it hold too)."""
    every = frozenset(span.key for span in trust.history.spans)
    try:
        signed = open_note(note, every | trust.witnesses)
    except LedgerError:
        wrong("against", "-", "against")
    if signed.checkpoint.origin != trust.history.origin or not signed.signed_by(every):
        wrong("against", f"size {signed.checkpoint.size}", "against")
    return signed


def _check_outside(outside: Sequence[SignedCheckpoint], tree: Tree) -> None:
    for signed in outside:
        size = signed.checkpoint.size
        if size > tree.size:
            wrong("against", f"size {size}", "truncated")
        if signed.checkpoint.root != tree.roots.get(size):
            wrong("against", f"size {size}", "rewritten")
