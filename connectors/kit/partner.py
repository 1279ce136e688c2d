"""A partner is a folder: ``manifest.toml``, ``mapping.toml``, ``record.schema.json``, ``samples/``, at need a plugin.

Opening it checks everything that can be checked without data, and names what is wrong. Nothing else in the product
knows a partner by name, so a folder is all it takes to add one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final, Self, TypeVar

import jsonschema
import jsonschema_rs

from connectors.kit import shared_parts
from connectors.kit.live.spec import ApiSpec, FeedSpec, load_api, load_feed
from connectors.kit.mapping.file import check_shape, load_mapping, read_toml
from connectors.kit.mapping.rules import LineageRow
from connectors.kit.mapping.run import FormatMapping
from connectors.kit.policy_folder import field_index
from connectors.kit.port import Json, Quarantined, RawRecord, Reader, Reason
from connectors.kit.readers import BUILT_IN as BUILT_IN_READERS
from connectors.kit.readers import ReaderFactory
from connectors.kit.runtime import strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transforms import BUILT_IN as BUILT_IN_TRANSFORMS
from consent.model import UnknownField
from schemas import registry

T = TypeVar("T")

SAMPLE_SETS = ("sample", "demo", "hostile")
"""``sample.<format>.…``: ordinary; ``demo.<format>.…``: the demonstration's cast; ``hostile.<format>.…``: bad input."""


_MEMBER_BY_MEMBER: Final = frozenset({"title", "description", "type", "required", "properties", "additionalProperties"})
"""Keywords of a record's schema that look at each member by itself, and at which there are."""

_ELSEWHERE: Final = frozenset({"$id", "$anchor", "$dynamicRef", "$dynamicAnchor"})
"""Keywords that say another thing where a schema stands in another."""


class RecordSchema:
    """A partner's own schema of one record, compiled. Explains without ever showing the record."""

    def __init__(self, name: str, shapes: Mapping[str, Any]) -> None:
        """Compile the shape called ``name``; ``shapes`` are the schemas it may refer to, and itself."""
        self._shape: Json | bool = shapes[name]
        self._shapes = shapes
        self._judges: dict[str, Callable[[Any], bool]] = {}
        schema = {"$ref": f"#/$defs/{name}", "$defs": shapes}
        self._gate = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._members = frozenset(_members(schema))
        self._movable = _is_movable(shapes)

    def check(self, record: RawRecord) -> Quarantined | None:
        """Return ``None`` when the record fits, else the entry that says where and which rule of the schema."""
        try:
            if self._gate.is_valid(record.data):
                return None
            error = next(self._gate.iter_errors(record.data))
        except ValueError:  # a number or a text no JSON holds
            return Quarantined(record.position, "", Reason.SCHEMA, "not a JSON value")
        path = _known_path(error.instance_path, self._members)
        return Quarantined(record.position, path, Reason.SCHEMA, _rule(error))

    def by_member(self, names: Collection[str]) -> Mapping[str, Callable[[Any], bool]] | None:
        """Return what judges each member of a record that has just ``names``, each by itself.

        A record is then valid exactly when all of them are. ``None`` where the schema ties one member to another, or
        refuses every record of those names.
        """
        shape = self._shape
        if isinstance(shape, bool) or not self._movable:
            return None
        members, others = shape.get("properties", {}), shape.get("additionalProperties", True)
        if not shape.keys() <= _MEMBER_BY_MEMBER or shape.get("type") != "object" or not isinstance(others, bool):
            return None
        if not {*shape.get("required", ())} <= {*names} or not (others or {*names} <= members.keys()):
            return None
        return {name: self._judge(name, members.get(name, True)) for name in names}

    def _judge(self, name: str, member: Json | bool) -> Callable[[Any], bool]:
        if name not in self._judges:
            alone = member if isinstance(member, bool) else {**member, "$defs": self._shapes}
            self._judges[name] = jsonschema_rs.Draft202012Validator(alone, validate_formats=True).is_valid
        return self._judges[name]

    def refused(self, data: Json) -> frozenset[str]:
        """Return the members of ``data`` whose own values do not fit, whatever is missing beside them."""
        return frozenset(str(error.instance_path[0]) for error in self._gate.iter_errors(data) if error.instance_path)


@dataclass(frozen=True, slots=True)
class Format:
    """One native format of a partner, ready to read."""

    name: str
    description: str
    media: tuple[str, ...]
    reader: Reader
    schema: RecordSchema
    mapping: FormatMapping
    complete: bool = False
    """Whether each file holds everyone: who is missing from the next one is gone."""
    not_live: str = ""
    """Why the API behind this format cannot be asked about a person, where that is so."""


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """What the partner itself lets go: to these kinds of recipient, for these purposes, these fields."""

    recipient_kinds: frozenset[str]
    purposes: frozenset[str]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and the format it is in."""

    path: Path
    format: str


@dataclass(frozen=True, slots=True)
class PartnerFolder:
    """A partner, from its folder. ``version`` changes with anything that could change a fragment."""

    path: Path
    slug: str
    name: str
    kind: str
    operator: str
    local_id: str
    nir_autorise: bool
    can_collect: bool
    roles: tuple[str, ...]
    declares_sections: bool
    """Whether the hub may know which sections are held; no, where their mere existence says too much."""
    formats: Mapping[str, Format]
    release: tuple[ReleaseRow, ...]
    supplies: tuple[str, ...]
    version: str = field(repr=False)
    api: ApiSpec | None = None
    """How to ask this partner's API about one person; only edges in mode ``client`` do."""
    feed: FeedSpec | None = None
    """Where to fetch what is new; only edges told to (``poll_seconds``) do."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open the folder ``path``.

        Raises ``MaillonError(CONFIGURATION)`` naming the file, the place and what is wrong.
        """
        manifest_bytes = _bytes(path, "manifest.toml")
        manifest = read_toml(manifest_bytes, f"{path.name}/manifest.toml")
        check_shape(manifest, "manifest", f"{path.name}/manifest.toml")
        slug = manifest["slug"]
        if path.name != slug:
            raise _wrong(path, "manifest.toml: slug", "is not the folder's name")
        plugin = _plugin(path)
        readers = {**BUILT_IN_READERS, **getattr(plugin, "READERS", {})}
        transforms = {**BUILT_IN_TRANSFORMS, **getattr(plugin, "TRANSFORMS", {})}
        mapping_bytes, schema_bytes = _bytes(path, "mapping.toml"), _bytes(path, "record.schema.json")
        mappings = _located(path, lambda: load_mapping(mapping_bytes, slug, transforms))
        if unmatched := sorted(set(mappings) ^ set(manifest["formats"])):
            raise _wrong(path, f"formats.{unmatched[0]}", "stands in only one of manifest.toml and mapping.toml")
        schema = _located(path, lambda: strict_json.loads_object(schema_bytes))
        _check_meta(path, schema)
        shared = shared_parts.names(read_toml(mapping_bytes, "mapping.toml"))
        own_shapes = schema.get("$defs")
        schema = {"$defs": shared_parts.definitions(shared) | (own_shapes if isinstance(own_shapes, dict) else {})}
        formats = {
            name: _format(path, name, spec, readers, schema, mappings[name])
            for name, spec in manifest["formats"].items()
        }
        targets = frozenset(target for each in formats.values() for target in each.mapping.targets())
        digest = hashlib.sha256()
        own = (manifest_bytes, mapping_bytes, schema_bytes, _optional(path, "reader.py"))
        for part in (*own, shared_parts.content(shared)):
            digest.update(hashlib.sha256(part).digest())
        return cls(
            path=path,
            slug=slug,
            name=manifest["name"],
            kind=manifest["kind"],
            operator=manifest["operator"],
            local_id=manifest["local_id"],
            nir_autorise=manifest["nir_autorise"],
            can_collect=manifest["can_collect"],
            roles=tuple(manifest["roles"]),
            declares_sections=manifest.get("declares_sections", True),
            formats=MappingProxyType(formats),
            release=tuple(_release(path, row) for row in manifest.get("release", [])),
            supplies=tuple(known.path for known in registry.fields() if known.path in targets),
            version=digest.hexdigest(),
            api=_located(path, lambda: load_api(manifest["api"], frozenset(formats))) if "api" in manifest else None,
            feed=_located(path, lambda: load_feed(manifest["feed"], frozenset(formats)))
            if "feed" in manifest
            else None,
        )

    def api_formats(self) -> tuple[str, ...]:
        """Return the formats its ``[api]`` can be asked for; none without one."""
        return tuple(self.api.endpoints) if self.api else ()

    def suppliable(self, formats: Iterable[str]) -> tuple[str, ...]:
        """Return what those formats alone can supply, in the order of the dossier."""
        targets = frozenset().union(*(self.formats[name].mapping.targets() for name in formats))
        return tuple(path for path in self.supplies if path in targets)

    def releases(self, recipient_kind: str, purpose: str) -> frozenset[str]:
        """Return the fields this partner's own policy lets go to that kind of recipient for that purpose."""
        return frozenset().union(
            *(
                row.paths
                for row in self.release
                if recipient_kind in row.recipient_kinds and (purpose in row.purposes or "*" in row.purposes)
            )
        )

    def lineage(self) -> tuple[LineageRow, ...]:
        """Return every row "partner field → transform → dossier field" of every format."""
        return tuple(row for each in self.formats.values() for row in each.mapping.lineage())

    def samples(self, *sets: str) -> list[SourceFile]:
        """Return the files of ``samples/`` that belong to the named sets (all when none is named), sorted by name."""
        files = sorted(file for file in (self.path / "samples").glob("*.*") if file.is_file())
        wanted = sets or SAMPLE_SETS
        return [self.source_file(file) for file in files if file.name.split(".", 1)[0] in wanted]

    def source_file(self, path: Path, format: str | None = None) -> SourceFile:
        """Return ``path`` with its format: the one named, the one its name contains (``demo.rsa_mensuel.xml``), or
        the partner's only one.

        Raises ``MaillonError(CONFIGURATION)`` when that leaves none, or names one this partner has not.
        """
        named = [format] if format else [part for part in path.name.split(".") if part in self.formats]
        named = named or (list(self.formats) if len(self.formats) == 1 else [])
        if len(named) != 1 or named[0] not in self.formats:
            known = ", ".join(self.formats)
            raise MaillonError(ErrorKind.CONFIGURATION, f"{self.slug}: which format? one of {known}")
        return SourceFile(path, named[0])


def discover(directories: Iterable[Path]) -> dict[str, PartnerFolder]:
    """Open every partner folder (a folder with a ``manifest.toml``) in ``directories``, by slug.

    Raises ``MaillonError(CONFIGURATION)`` for a bad folder or a slug that stands twice.
    """
    found: dict[str, PartnerFolder] = {}
    for directory in directories:
        for manifest in sorted(directory.glob("*/manifest.toml")):
            partner = PartnerFolder.load(manifest.parent)
            if partner.slug in found:
                raise _wrong(manifest.parent, "manifest.toml: slug", "stands twice")
            found[partner.slug] = partner
    return found


def bundled_directory() -> Path:
    """Return the directory of the partners that come with Maillon."""
    return Path(__file__).parent.parent / "partners"


def _format(
    path: Path,
    name: str,
    spec: Json,
    readers: Mapping[str, ReaderFactory],
    schema: Json,
    mapping: FormatMapping,
) -> Format:
    if spec["reader"] not in readers:
        raise _wrong(path, f"manifest.toml: formats.{name}.reader", f"{spec['reader']} is not a known reader")
    if spec["record"] not in schema.get("$defs", {}):
        raise _wrong(path, f"manifest.toml: formats.{name}.record", "is not one of the $defs of record.schema.json")
    try:
        reader = readers[spec["reader"]](spec.get("options", {}))
    except MaillonError as error:
        raise _wrong(path, f"manifest.toml: formats.{name}.options", error.detail) from None
    try:
        record_schema = RecordSchema(spec["record"], schema["$defs"])
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _wrong(path, f"record.schema.json: {spec['record']}", type(error).__name__) from None
    return Format(
        *(name, spec["description"], tuple(spec["media"]), reader, record_schema, mapping),
        complete=spec.get("complete", False),
        not_live=spec.get("not_live", ""),
    )


def _check_meta(path: Path, schema: Json) -> None:
    """Raise unless ``schema`` is a JSON Schema 2020-12, naming the place: an analyst writes it by hand."""
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    error = jsonschema.exceptions.best_match(meta.iter_errors(schema))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "/"
        raise _wrong(path, f"record.schema.json: {place}", f"is not JSON Schema 2020-12 ({error.validator})")


def _release(path: Path, row: Json) -> ReleaseRow:
    index = field_index()
    try:
        paths = frozenset(each for selector in row["fields"] for each in index.paths(index.select(selector)))
    except UnknownField as error:
        raise _wrong(path, "manifest.toml: release", str(error)) from None
    return ReleaseRow(frozenset(row["recipient_kinds"]), frozenset(row["purposes"]), paths)


def _plugin(path: Path) -> ModuleType | None:
    """Import ``reader.py`` of a partner's folder: ``READERS`` and ``TRANSFORMS`` by name, both optional."""
    file = path / "reader.py"
    if not file.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"maillon_partner_{path.name}", file)
    if spec is None or spec.loader is None:
        raise _wrong(path, "reader.py", "cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _wrong(path, "reader.py", type(error).__name__) from error
    return module


def _members(schema: object) -> Iterator[str]:
    """Yield every member name a schema declares, wherever it stands."""
    if isinstance(schema, Mapping):
        declared = schema.get("properties")
        if isinstance(declared, Mapping):
            yield from declared
        for part in schema.values():
            yield from _members(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _members(part)


def _is_movable(schema: object) -> bool:
    """Say whether a part of ``schema`` says the same wherever it stands, beside the same ``$defs``."""
    if isinstance(schema, Mapping):
        if not _ELSEWHERE.isdisjoint(schema) or not str(schema.get("$ref", "#/$defs/")).startswith("#/$defs/"):
            return False
        return all(map(_is_movable, schema.values()))
    return not isinstance(schema, list) or all(map(_is_movable, schema))


def _known_path(instance: Iterable[str | int], declared: Collection[str]) -> str:
    """Write where in the record, in the schema's words: a member name that is only the record's becomes ``*``."""
    return "".join(f"/{part if isinstance(part, int) or part in declared else '*'}" for part in instance)


def _rule(error: jsonschema_rs.ValidationError) -> str:
    missing = getattr(error.kind, "property", None)
    return f"required: {missing}" if missing is not None else error.kind.name


def _located(path: Path, build: Callable[[], T]) -> T:
    try:
        return build()
    except MaillonError as error:
        raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name}/{error.detail}") from None


def _bytes(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError:
        raise _wrong(path, name, "cannot be read") from None


def _optional(path: Path, name: str) -> bytes:
    return (path / name).read_bytes() if (path / name).exists() else b""


def _wrong(path: Path, where: str, what: str) -> MaillonError:
    return MaillonError(ErrorKind.CONFIGURATION, f"{path.name}/{where}: {what}")
