"""A partner's files into its edge store: read, check, map, check again, keep; and tell the hub who is held.

Every record ends in exactly one place: a fragment in the store, or an entry of the quarantine. Work is committed in
batches, and only what is committed is reported; a file counts as known once its last batch is. Whatever stops the
process, running it again over the same file goes on from the last commit (``resume``) and changes nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.identity import Identity, IdentityRefused, differing, parse_identity
from connectors.kit.mapping import SubjectFragment
from connectors.kit.partner import Format, PartnerFolder, SourceFile
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.resume import Bookmark
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import Tokeniser, TokenSet, tokens_of
from schemas import registry

MOST_GONE: Final = 0.1
"""Share of a format's records a complete file may take away unasked."""
BATCH: Final = 500
"""Subjects per transaction, and records per registration request."""


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
    removed: int = 0
    """Records a complete file no longer has, taken away."""
    removals_held: int = 0
    """Records a complete file no longer has, too many to take away unasked: nothing was removed."""

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
            "removed": self.removed,
            "removals_held": self.removals_held,
        }


Progress = Callable[[IngestReport], None]


class Registrar(Protocol):
    """The part of the hub's client that registration needs."""

    def register(self, records: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, str]]:
        """Register ``{record_key, tokens, flags, sections}``; return ``{record_key, ref}`` in the same order."""
        ...


def map_stream(
    stream: BinaryIO, native: Format, collected_at: datetime, records: Counter[str] | None = None, skip: int = 0
) -> Iterator[SubjectFragment | Quarantined]:
    """Yield what a file holds, one person at a time: checked fragments, and an entry for all that is not one.

    ``collected_at`` is when the file was fetched, for records that do not say. ``records`` counts them under
    ``"records"``, and under ``"read"`` with the reader's own entries. The first ``skip`` of those are read and not
    looked at. Raises nothing for bad content.
    """
    fragment_schema, counted = registry.validator("fragment"), Counter() if records is None else records
    record: RawRecord | Quarantined | None = None
    for record in native.reader.read(stream):
        counted["read"] += 1
        if counted["read"] <= skip:
            continue
        if isinstance(record, RawRecord):
            counted["records"] += 1
            refused = native.schema.check(record)
            if refused is None:
                for found in native.mapping.apply(record, collected_at):
                    yield found if isinstance(found, Quarantined) else _checked(found, fragment_schema)
                continue
            yield refused
        else:
            yield record
    if record is None:
        yield Quarantined("document", "", Reason.EMPTY)


def _checked(found: SubjectFragment, schema: registry.Validator) -> SubjectFragment | Quarantined:
    try:
        schema.check(found.fragment)
    except registry.SchemaViolation as violation:
        return Quarantined(found.position, violation.pointer, Reason.FRAGMENT, violation.reason)
    return found


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
        digest = _digest(file.path)
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
                continue
        with store.batch():
            store.remember_file(digest, mapping, clock.now())
            bookmark.drop()
    return report


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
    while batch := list(islice(found, BATCH)):
        changes: Counter[Change] = Counter()
        entries: Counter[Reason] = Counter()
        warnings: Counter[str] = Counter()
        with store.batch():
            for item in batch:
                ready = _ready(item, partner.nir_autorise, tokeniser, at)
                if isinstance(ready, _Ready):
                    own = ready.item
                    if not ready.tokens.tokens and store.tokens_of(own.local_id) is None:
                        ready = Quarantined(own.position, "identite", Reason.IDENTITY, "aucun trait exploitable")
                if isinstance(ready, _Ready):
                    ready = _same_person(ready, store.stated(own.local_id, format_name, digest))
                if isinstance(ready, Quarantined):
                    store.quarantine(ready, digest, format_name, at)
                    entries[ready.reason] += 1
                    continue
                latest = own.as_of if latest is None else max(latest, own.as_of)
                change = store.put_fragment(own.local_id, own.fragment, digest, format=format_name, as_of=own.as_of)
                # Of an older record, the tokens would no longer be those of what is held.
                if ready.tokens.tokens and change is not Change.OLDER:
                    store.upsert_subject(own.local_id, ready.traits, ready.tokens, format=format_name)
                changes[change] += 1
                warnings.update(ready.identity.warnings)
            if bookmark is not None:  # the last record may have more persons than this batch took: it is read again
                bookmark.keep(counted["read"] - 1, latest, at)
        report.bytes_read = before + (stream.tell() if stream.seekable() else 0)
        report.records += counted.pop("records", 0)
        report.subjects.update(changes)
        report.quarantined.update(entries)
        report.warnings.update(warnings)
        if progress is not None:
            progress(report)
    return latest


@dataclass(frozen=True, slots=True)
class _Ready:
    item: SubjectFragment
    traits: Json
    tokens: TokenSet
    identity: Identity


def _ready(
    item: SubjectFragment | Quarantined, nir_autorise: bool, tokeniser: Tokeniser, at: datetime
) -> _Ready | Quarantined:
    """Return the person ready to be kept. Without any token, one whose number is already known can still be told of."""
    if isinstance(item, Quarantined):
        return item
    traits = dict(item.identity_traits)
    if not nir_autorise:
        # Décret 2019-341: no token is ever made of a NIR this partner may not use.
        traits.pop("nir", None)
    try:
        identity = with_birthplace(parse_identity(traits, at.date()))
        tokens = tokens_of(identity, tokeniser)
    except IdentityRefused as refusal:
        return Quarantined(item.position, refusal.pointer or "", Reason.IDENTITY, refusal.reason)
    return _Ready(item, traits, tokens, identity)


def _same_person(ready: _Ready, known: tuple[Json, bool] | None) -> _Ready | Quarantined:
    """Refuse a record that gives a known local id to someone else: they must not answer for one another.

    One trait may be put right from one file to the next; two at once are another person, as is any inside one file.
    """
    if known is None or known[0] == ready.traits:
        return ready
    traits, same_file = known
    apart = differing(parse_identity(traits), ready.identity)
    if len(apart) < (1 if same_file else 2):
        return ready
    detail = f"une autre personne sous ce numéro ({', '.join(apart)})"
    return Quarantined(ready.item.position, "local_id", Reason.IDENTITY, detail)


def register_pending(store: EdgeStore, hub: Registrar, *, declares_sections: bool = True, batch: int = BATCH) -> int:
    """Tell the hub of every subject it does not know in its present state; returns how many.

    Without ``declares_sections`` the hub hears of no section at all, for anyone: that ASE or MDPH holds a file is
    itself a secret, and leaving out only those would tell the rest (DOMAIN §3). A failure leaves the
    rest pending and what was answered registered. Raises what ``hub.register`` raises.
    """
    done = 0
    while pending := store.pending(batch):
        records = [
            {
                "record_key": subject.record_key,
                **subject.tokens.to_wire(),
                "sections": list(subject.sections) if declares_sections else [],
            }
            for subject in pending
        ]
        answers = hub.register(records)
        if [answer.get("record_key") for answer in answers] != [subject.record_key for subject in pending]:
            raise MaillonError(ErrorKind.MALFORMED, "registrations: not those that were asked")
        with store.batch():
            for subject, answer in zip(pending, answers, strict=True):
                store.set_ref(subject.local_id, answer["ref"], subject.changes)
        done += len(pending)
    return done


def _digest(path: Path) -> bytes:
    with _opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise MaillonError(ErrorKind.STORAGE, f"cannot open the file: {error.strerror}") from None
