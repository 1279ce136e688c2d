"""A partner's files into its edge store: read, check, map, check again, keep.

Every record ends in exactly one place: a fragment in the store, or an entry of the quarantine. Work is committed in
batches, and only what is committed is reported; a file counts as known once its last batch is. Whatever stops the
process, running it again over the same file goes on from the last commit (``resume``) and changes nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.intake import Intake
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, SourceFile
from connectors.kit.port import Quarantined, Reason
from connectors.kit.resume import Bookmark
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import Tokeniser

MOST_GONE: Final = 0.1
"""Share of a format's records a complete file may take away unasked."""
BATCH: Final = 500
"""Subjects per transaction."""


@dataclass
class IngestReport:
    """What became of the files. Counts only."""

    files: int = 0
    known_files: int = 0
    """Files already ingested under the same mapping, and not opened again."""
    records: int = 0
    resumed: int = 0
    """Records and entries an earlier, interrupted run had committed, and passed over."""
    bytes_read: int = 0
    bytes_total: int = 0
    """Of the files opened so far: how far reading is."""
    subjects: Counter[Change] = field(default_factory=Counter)
    quarantined: Counter[Reason] = field(default_factory=Counter)
    digests: list[bytes] = field(default_factory=list)
    """Of every file given, in order: what the store calls it by."""
    warnings: Counter[str] = field(default_factory=Counter)
    """Identity traits left out of the tokens, as ``<trait>:<reason>`` (``nir:cle``): the person is kept without."""
    joined: int = 0
    """Answers by number alone, set aside before, whose person is known now."""
    removed: int = 0
    """Records a complete file no longer has, taken away."""
    removals_held: int = 0
    """Records a complete file no longer has, too many to take away unasked: nothing was removed."""
    classed: int = 0
    """Records gone through since the edge knows how common their names are: once, after the first large file."""

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain JSON, codes in alphabetical order."""
        return {
            "files": self.files,
            "known_files": self.known_files,
            "records": self.records,
            "resumed": self.resumed,
            "subjects": {change.value: self.subjects[change] for change in sorted(self.subjects)},
            "quarantined": {reason.value: self.quarantined[reason] for reason in sorted(self.quarantined)},
            "warnings": dict(sorted(self.warnings.items())),
            "joined": self.joined,
            "removed": self.removed,
            "removals_held": self.removals_held,
        }


Progress = Callable[[IngestReport], None]


def ingest(
    files: Iterable[SourceFile],
    partner: PartnerFolder,
    store: EdgeStore,
    tokeniser: Tokeniser,
    clock: Clock,
    progress: Progress | None = None,
    *,
    confirm_removals: bool = False,
) -> IngestReport:
    """Bring ``files`` into ``store``; returns the counts. Talks to no one.

    Records missing from a ``complete`` format's file go. When they are more than :data:`MOST_GONE` of all, or when
    anything of the file was set aside (they may be in it), none goes without ``confirm_removals``, and the file does
    not count as known.

    ``progress`` is called after each commit with the counts so far. Raises ``MaillonError(STORAGE)`` when a file
    cannot be opened or the store refuses; what was committed before stays.
    """
    report = IngestReport()
    for file in files:
        digest = digest_of(file.path)
        report.files += 1
        report.digests.append(digest)
        mapping = f"{file.format}/{partner.version}"
        if store.has_file(digest, mapping):
            report.known_files += 1
            continue
        bookmark = Bookmark.of(store, digest, mapping)
        if bookmark.found()[0] == 0:
            store.forget_quarantined(digest)  # an earlier mapping set other things aside
        report.bytes_total += file.path.stat().st_size
        with _opened(file.path) as stream:
            latest = ingest_stream(
                *(stream, digest, partner, file.format, store, tokeniser, clock, report, progress), bookmark=bookmark
            )
        if latest is not None and partner.formats[file.format].complete:
            most = 1.0 if confirm_removals else 0.0 if store.quarantined(digest, 1) else MOST_GONE
            with store.batch():
                removed, held = store.archive.settle(file.format, digest, latest, most)
            report.removed += removed
            report.removals_held += held
            if held:
                bookmark.drop()
                with store.batch():
                    store.waiting.ask_removal(file.format, digest, mapping, latest, clock.now())
                continue
            with store.batch():
                store.waiting.drop_removal(file.format)
        with store.batch():
            store.remember_file(digest, mapping, clock.now())
            bookmark.drop()

    def classed(through: int) -> None:
        report.classed = through
        if progress is not None:
            progress(report)

    settle_names(store, clock, classed)
    return report


def settle_names(store: EdgeStore, clock: Clock, progress: Callable[[int], None] = lambda _: None) -> None:
    """Count how common names are once there is enough to count, before the hub is told of anybody.

    ``progress`` is called after each commit with the records gone through.
    """
    store.names.count_once(clock.now())
    store.names.apply(progress)


def ingest_stream(
    stream: BinaryIO,
    digest: bytes,
    partner: PartnerFolder,
    format_name: str,
    store: EdgeStore,
    tokeniser: Tokeniser,
    clock: Clock,
    report: IngestReport,
    progress: Progress | None = None,
    *,
    bookmark: Bookmark | None = None,
) -> datetime | None:
    """Bring one open stream into ``store``, adding to ``report``. ``digest`` names the file in the store.

    With a ``bookmark``, begins where it stands and moves it with every commit. Returns the latest moment the stream's
    records are true as of; ``None`` when there are none.
    """
    at, before = clock.now(), report.bytes_read
    skip, latest = bookmark.found() if bookmark is not None else (0, None)
    report.resumed += skip
    counted: Counter[str] = Counter()
    found = map_stream(stream, partner.formats[format_name], at, counted, skip)
    intake = Intake(store, tokeniser, digest, format_name, partner.nir_autorise, at)
    while batch := list(islice(found, BATCH)):
        changes: Counter[Change] = Counter()
        entries: Counter[Reason] = Counter()
        warnings: Counter[str] = Counter()
        joined = 0
        with store.batch():
            for item in batch:
                taken = intake.take(item)
                if isinstance(taken, Quarantined):
                    entries[taken.reason] += 1
                    continue
                latest = taken.as_of if latest is None else max(latest, taken.as_of)
                changes[taken.change] += 1
                warnings.update(taken.warnings)
                joined += taken.joined
            if bookmark is not None:  # the last record may have more persons than this batch took: it is read again
                bookmark.keep(counted["read"] - 1, latest, at)
        report.bytes_read = before + (stream.tell() if stream.seekable() else 0)
        report.records += counted.pop("records", 0)
        report.subjects.update(changes)
        report.quarantined.update(entries)
        report.warnings.update(warnings)
        report.joined += joined
        if progress is not None:
            progress(report)
    return latest


def digest_of(path: Path) -> bytes:
    """Return the SHA-256 of a file: what the store calls it by. Raises ``MaillonError(STORAGE)`` when it cannot."""
    with _opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"cannot open the file: {error.strerror}") from None
