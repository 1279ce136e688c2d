"""The contract every partner's folder keeps, tried on the folder's own samples (``maillon connector check``, tests).

Ordinary and demo samples map whole; hostile ones are set aside and break nothing; a fragment speaks of one person;
the same file twice changes nothing; no entry, ever, quotes what it refused.
"""

from __future__ import annotations

import copy
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from connectors.kit import shared_parts
from connectors.kit.edge_store import Change, EdgeStore
from connectors.kit.ingest import IngestReport, ingest_stream
from connectors.kit.mapping.file import read_toml
from connectors.kit.mapping.run import FormatMapping, SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, SourceFile
from connectors.kit.policy_folder import PACKAGED_CONFIG, load_policy_folder
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.reasons import Reason as TraitReason
from connectors.kit.review.masks import PURPOSE
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import MaillonError
from connectors.kit.tokens import HmacTokeniser
from consent.policy import Policy
from schemas import registry

AT: Final = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
_WORD: Final = re.compile(r"[^\W_]{3,}")
_PLACE: Final = re.compile(
    r"(?:(?<=line )|(?<=record )|(?<=personne )|(?<=column )|(?<=sheet )|(?<=/))[0-9]{1,9}(?![^/,])"
)
_SHARED_SECTION: Final = "foyer."
"""What a member's fragment may owe to the others: how many they are and what ties them (DESIGN §5)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: which check, where (file and position), what is wrong. Never a value."""

    check: str
    where: str
    problem: str


def check_partner(partner: PartnerFolder, config_dir: Path = PACKAGED_CONFIG) -> list[Finding]:
    """Return every breach of the contract by ``partner``, whose folder has already opened; none is the good answer.

    ``config_dir`` holds the roles and purposes its manifest may name.
    """
    checks: tuple[Callable[[PartnerFolder], Iterator[Finding]], ...] = (
        lambda partner: _names_are_known(partner, load_policy_folder(config_dir)),
        _samples_exist,
        _only_allowed_numbers,
        _samples_map,
        _one_subject_each,
        _nothing_foreign,
        _ingests_once,
        _hostile_is_set_aside,
        _entries_quote_nothing,
    )
    return [finding for check in checks for finding in _tried(check, partner)]


def _tried(check: Callable[[PartnerFolder], Iterator[Finding]], partner: PartnerFolder) -> list[Finding]:
    try:
        return list(check(partner))
    except Exception as error:  # a plugin may raise anything: that too is a breach, and the other checks go on
        return [Finding(check.__name__.strip("_").replace("_", " "), partner.slug, f"raises {type(error).__name__}")]


def check_folder(path: Path) -> list[Finding]:
    """Open the folder at ``path`` and return every breach; a folder that does not open is one."""
    try:
        partner = PartnerFolder.load(path)
    except MaillonError as error:
        return [Finding("opens", path.name, error.detail)]
    return check_partner(partner)


def _names_are_known(partner: PartnerFolder, policy: Policy) -> Iterator[Finding]:
    """A name that no rule knows would only ever show as a refusal, in front of a person."""
    for role in sorted(set(partner.roles) - set(policy.roles)):
        yield Finding("names", f"manifest.toml, roles: {role}", "is not a role of config/roles.toml")
    for number, row in enumerate(partner.release, 1):
        for purpose in sorted(row.purposes - {*policy.purposes, "*", PURPOSE}):
            yield Finding(
                "names", f"manifest.toml, release {number}: {purpose}", "is not a purpose of config/purposes.toml"
            )


def _samples_exist(partner: PartnerFolder) -> Iterator[Finding]:
    ordinary = {file.format for file in partner.samples("sample")}
    for name in partner.formats:
        if name not in ordinary:
            yield Finding("samples", name, "no sample.* file of this format")
    if not partner.samples("hostile"):
        yield Finding("samples", partner.slug, "no hostile.* file")


def _only_allowed_numbers(partner: PartnerFolder) -> Iterator[Finding]:
    if not partner.nir_autorise and (
        numbers := {"identifiants.nir", "identifiants.identifiant_msa"} & {*partner.supplies}
    ):
        yield Finding("nir", sorted(numbers)[0], "mapped by a partner that is not nir_autorise")


def _samples_map(partner: PartnerFolder) -> Iterator[Finding]:
    for file in partner.samples("sample", "demo"):
        found = _mapped(partner, file)
        if not found:
            yield Finding("maps", file.path.name, "holds nothing")
        for item in found:
            if isinstance(item, Quarantined):
                why = " ".join(filter(None, [item.path, item.reason.value, item.detail]))
                yield Finding("maps", f"{file.path.name}, {item.position}", why)


def _one_subject_each(partner: PartnerFolder) -> Iterator[Finding]:
    for file in partner.samples("sample", "demo"):
        seen: dict[str, SubjectFragment] = {}
        for item in _mapped(partner, file):
            if isinstance(item, Quarantined):
                continue
            twin = seen.setdefault(item.local_id, item)
            if twin.identity_traits != item.identity_traits:
                yield Finding("one subject", f"{file.path.name}, {item.position}", "two persons under one local id")


def _nothing_foreign(partner: PartnerFolder) -> Iterator[Finding]:
    """Change each detail of one member in turn: nothing may change in another member's fragment but the links."""
    for file in partner.samples("sample", "demo"):
        native = partner.formats[file.format]
        if native.mapping.household is None:
            continue
        with file.path.open("rb") as stream:
            records = [item for item in native.reader.read(stream) if isinstance(item, RawRecord)]
        for record in records:
            for place, path in _foreign_details(native.mapping, record):
                yield Finding("nothing foreign", f"{file.path.name}, {record.position}", f"personne {place}: {path}")


def _foreign_details(mapping: FormatMapping, record: RawRecord) -> Iterator[tuple[int, str]]:
    before = _by_place(mapping, record)
    if len(before) < 2:
        return
    for place in before:
        altered = RawRecord(record.position, copy.deepcopy(record.data))
        member = next((m for m in mapping.members(altered) if m.place == place), None)
        for holder, key in list(_leaves(member.data)) if member is not None else []:
            kept = holder[key]
            holder[key] = _other(kept)
            after = _by_place(mapping, altered)
            holder[key] = kept
            for other, statements in before.items():
                if other == place or other not in after:
                    continue
                for path, statement in statements.items():
                    if not path.startswith(_SHARED_SECTION) and after[other].get(path) != statement:
                        yield other, path


def _by_place(mapping: FormatMapping, record: RawRecord) -> dict[int, Json]:
    found = {}
    for item in mapping.apply(record, AT):
        place = re.search(r"personne ([0-9]+)", item.position)
        if isinstance(item, SubjectFragment) and place:
            found[int(place[1])] = item.fragment["statements"]
    return found


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        if isinstance(child, dict | list):
            yield from _leaves(child)
        else:
            yield value, key


def _other(value: Any) -> Any:
    """Another value of the same form, so that what read the first reads this one too."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if not isinstance(value, str) or not value:
        return "Z"
    return value[:-1] + (str((int(value[-1]) + 1) % 10) if value[-1].isdigit() else "Q" if value[-1] != "Q" else "R")


def _ingests_once(partner: PartnerFolder) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as scratch:
        store = EdgeStore.open(Path(scratch) / "edge.db", secrets.token_bytes(32))
        tokeniser = HmacTokeniser(secrets.token_bytes(32), 1)
        files = partner.samples("sample", "demo")
        for turn in (1, 2):
            for file in files:
                report = IngestReport()
                with file.path.open("rb") as stream:
                    ingest_stream(stream, b"", partner, file.format, store, tokeniser, FakeClock(AT), report)
                moved = sum(
                    n for change, n in report.subjects.items() if change not in (Change.UNCHANGED, Change.OLDER)
                )
                if turn == 1 and not moved:
                    yield Finding("ingests", file.path.name, "gives no subject")
                if turn == 2 and moved:
                    yield Finding("ingests", file.path.name, f"{moved} fragment(s) changed by the same file")
                for reason in report.quarantined:
                    yield Finding("ingests", file.path.name, reason.value)
        store.close()


def _hostile_is_set_aside(partner: PartnerFolder) -> Iterator[Finding]:
    for file in partner.samples("hostile"):
        try:
            found = _mapped(partner, file)
        except Exception as error:
            yield Finding("hostile", file.path.name, f"raises {type(error).__name__}")
            continue
        if not any(isinstance(item, Quarantined) for item in found):
            yield Finding("hostile", file.path.name, "nothing was set aside")


def _entries_quote_nothing(partner: PartnerFolder) -> Iterator[Finding]:
    for file in partner.samples():
        for item in _mapped(partner, file):
            if isinstance(item, Quarantined) and foreign_words(partner, item):
                yield Finding("quotes nothing", file.path.name, f"{item.reason.value}: a word that is not ours")


def foreign_words(partner: PartnerFolder, entry: Quarantined) -> frozenset[str]:
    """Return the words of ``entry`` that are not ours: neither of the folder's own data files, nor of the schemas, nor
    a reason, nor the number of a line, record, person, column or item.
    """
    said = (_PLACE.sub("", text) for text in (entry.position, entry.path, entry.detail))
    return _words(*said) - _vocabulary(partner.path, partner.version)


@cache
def _vocabulary(folder: Path, _version: str) -> frozenset[str]:
    mapping = (folder / "mapping.toml").read_bytes()
    return _our_words() | _words(
        *((folder / name).read_text("utf-8") for name in ("manifest.toml", "mapping.toml", "record.schema.json")),
        shared_parts.content(shared_parts.names(read_toml(mapping, "mapping.toml"))).decode(),
    )


@cache
def _our_words() -> frozenset[str]:
    positions = "line record document personne after column header collected household subjects demande"
    details = "centimes booleen telephone matricule expression fuseau sexe issue aucun trait exploitable en tête "
    details += "sheet classeur xls protégé compression number date time error"
    keywords = "type required not oneOf anyOf allOf enum const pattern format value JSON additionalProperties"
    limits = (
        "minLength maxLength minimum maximum minItems maxItems uniqueItems multipleOf falseSchema dependentRequired"
    )
    codes = " ".join([*Reason, *TraitReason])
    dossier = (resources.files("schemas") / "dossier.schema.json").read_text("utf-8")
    paths = " ".join(known.path for known in registry.fields())
    return frozenset(_words(positions, details, keywords, limits, codes, dossier, paths, "statements valeur absence"))


def _words(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in _WORD.findall(text))


def _mapped(partner: PartnerFolder, file: SourceFile) -> list[SubjectFragment | Quarantined]:
    with file.path.open("rb") as stream:
        return list(map_stream(stream, partner.formats[file.format], AT))
