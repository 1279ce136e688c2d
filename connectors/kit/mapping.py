"""A mapping applied: one record of a source becomes one fragment per person it speaks of.

``mapping.toml`` is compiled once to rules (``mapping_file``, ``mapping_rules``); a :class:`Run` applies them to the
records of one stream, and :meth:`FormatMapping.lineage` reads the same data back as rows anyone can check. The
language is described in ``docs/partners-guide.md`` and checked by ``mapping.schema.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

from jmespath.exceptions import JMESPathError

from connectors.kit.expressions import Expression, write_condition
from connectors.kit.households import Forms, Member, asked_about, links_of
from connectors.kit.mapping_code import (
    At,
    ReadTraits,
    TellFields,
    Written,
    entry,
    framed,
    holds,
    refusal,
    write_fields,
    write_traits,
)
from connectors.kit.mapping_columns import KEPT, Column, Doubt
from connectors.kit.mapping_rules import IDENTITY_FIELDS, Household, LineageRow, Subject, Value
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.transforms import Refused, is_blank
from schemas import registry

Applies = Callable[[Json], bool]
AHEAD: Final = timedelta(days=31)
"""A monthly file may bear the end of its month. Any later is a slip, which no true file could ever replace again."""


class SubjectFragment(NamedTuple):
    """What one record says of one person: the local id, the traits for the tokens, the fragment, true as of when.

    To be read, not changed: what a column says twice may be one object.
    """

    position: str
    local_id: str
    identity_traits: Json
    fragment: Json
    as_of: datetime
    proven: bool = False
    """Whether each member of each statement was judged by its own schema while it was read (ADR 0012)."""


@dataclass(frozen=True)
class FormatMapping:
    """The compiled mapping of one format of one partner."""

    name: str
    source: str
    base_legale: str
    subjects: tuple[Subject, ...]
    household: Household | None = None
    asked: tuple[tuple[str, Value], ...] = ()
    """The traits the question was about: an answer that states other persons only is nobody's."""
    collected: Value | None = None
    as_of: Value | None = None
    rows: tuple[LineageRow, ...] = field(default=(), repr=False)

    def targets(self) -> frozenset[str]:
        """Return the dossier paths this format can fill."""
        return frozenset(row.target for row in self.rows)

    def lineage(self) -> tuple[LineageRow, ...]:
        """Return the mapping as rows: partner field → transform → dossier field, with the rule for its absence."""
        return self.rows

    @cached_property
    def written(self) -> tuple[tuple[Subject, Applies | None, Written, Written], ...]:
        """Each subject with its condition, its traits and its fields as code, written when first used."""
        return tuple(
            (
                subject,
                None if subject.when is None else write_condition(subject.when, holds),
                write_traits(subject.identity, "identite", stated=subject.asserts_identity),
                write_fields(subject),
            )
            for subject in self.subjects
        )

    @cached_property
    def written_asked(self) -> Written | None:
        """The traits the question was about, as code."""
        return write_traits(self.asked, "demande", stated=False) if self.asked else None

    def members(self, record: RawRecord) -> list[Member]:
        """Return the household's members in ``record`` (their ``data`` is the record's own); raises ``Refused``."""
        return _members(_groups(self.household, Doubt()), {"record": record.data, "it": record.data})

    def apply(self, record: RawRecord, collected_at: datetime) -> list[SubjectFragment | Quarantined]:
        """Return what a :class:`Run` of this one record gives."""
        return Run(self, collected_at).apply(record)


class Run:
    """A mapping at work on one stream, fetched at ``collected_at`` unless its records say. Not for several threads."""

    def __init__(self, mapping: FormatMapping, collected_at: datetime) -> None:
        self._mapping = mapping
        self._doubt = Doubt()
        self.columns: list[Column] = []
        """What the rules read so far, each text once."""
        self._plans: tuple[_Plan, ...] = tuple(
            (subject, applies, self._bound(identity), self._bound(fields))
            for subject, applies, identity, fields in mapping.written
        )
        self._asked = None if mapping.written_asked is None else self._bound(mapping.written_asked)
        self._groups = _groups(mapping.household, self._doubt)
        self._collected = _moments(mapping.collected, self._doubt)
        self._as_of = _moments(mapping.as_of, self._doubt)
        self._now = collected_at.astimezone(UTC)
        self._latest = collected_at + AHEAD
        self._today = f"{collected_at:%Y-%m-%d}"
        bases = {rule.base_legale for subject in mapping.subjects for rule in subject.fields}
        self._separable = (
            registry.is_separable()
            and registry.provenance_validator("source").fits(mapping.source)
            and all(map(registry.provenance_validator("base_legale").fits, {mapping.base_legale, *bases}))
        )
        self._links = None if mapping.household is None else mapping.household.links
        self._instant = lru_cache(64)(_instant)
        self._forms = Forms(KEPT)

    def _bound(self, written: Written) -> Any:
        function, columns = written.bind(self._doubt, self._mapping.source)
        self.columns += columns
        return function

    def apply(self, record: RawRecord) -> list[SubjectFragment | Quarantined]:
        """Return one fragment per person of ``record``, and an entry for each person who cannot be mapped.

        Never empty.
        """
        data, position, doubt = record.data, record.position, self._doubt
        scope: Json = {"record": data, "it": data, "role": None, "liens": [], "identite": None, "demande": None}
        found: list[SubjectFragment | Quarantined] = []
        people: list[_Person] = []
        path = "collected"
        try:
            collected = (self._collected and _said(self._collected, scope)) or self._now
            path = "as_of"
            as_of = (self._as_of and _said(self._as_of, scope)) or collected
            if collected > self._latest or as_of > self._latest:
                raise Refused(Reason.BAD_DATE, "futur")
            instant, fits = self._instant(collected)
            path = "household"
            members = _members(self._groups, scope) if self._groups else []
            path = "subjects"
            for subject, applies, identity, fields in self._plans:
                if applies is not None and not applies(scope):
                    continue
                for member in _chosen(subject, scope, members):
                    place, own, statements = member[0], scope.copy(), dict[str, Any]()
                    _, own["role"], own["it"] = member
                    if self._links is not None and isinstance(member, Member):
                        own["liens"] = links_of(member, members, self._links)
                    where = f"{position}, personne {place}" if place else position
                    doubt.raised = not fits
                    try:
                        frame = framed(self._mapping.base_legale, self._mapping.source, None, instant)
                        own["identite"] = identity(own, statements, frame)
                    except At as at:
                        found.append(entry(where, at.path, at.refusal))
                        continue
                    people.append((fields, own, where, statements, doubt.raised, subject.asserts_identity))
            if self._asked is not None:
                self._find_asked(self._asked, scope, [own for _, own, *_, asserts in people if asserts])
        except At as at:
            return [entry(position, at.path, at.refusal)]
        except (Refused, JMESPathError) as error:
            return [entry(position, path, refusal(error))]
        for person in people:
            try:
                found += self._tell(person, instant, as_of)
            except At as at:
                found.append(entry(person[2], at.path, at.refusal))
        return found or [Quarantined(position, "subjects", Reason.NO_SUBJECT)]

    def _find_asked(self, read: ReadTraits, scope: Json, people: list[Json]) -> None:
        """Mark the person the question was about, and complete their traits with those asked, if nothing differs.

        An answer that names no one is about the person asked; a question by number alone names no one to compare.
        """
        if not people:
            return
        asked = read(scope, {}, {})
        if _IDENTITY.isdisjoint(asked):
            return
        named = [own for own in people if own["identite"]]
        traits = [own["identite"] for own in named]
        match = asked_about(asked, traits, self._forms) if named or len(people) > 1 else (0, True)
        people = named or people
        if match is None:
            raise _about_another()
        index, coherent = match
        people[index]["demande"] = asked
        if coherent:
            people[index]["identite"] = asked | people[index]["identite"]

    def _tell(self, person: _Person, instant: str, as_of: datetime) -> list[SubjectFragment | Quarantined]:
        """Return the person's fragment, after an entry for each of its optional fields that could not be read."""
        fields, scope, position, statements, doubtful, _ = person
        doubt, identity = self._doubt, scope["identite"]
        if str(identity.get("date_naissance") or "") > self._today:
            raise At("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
        doubt.raised = doubtful
        found: list[SubjectFragment | Quarantined] = []
        local_id = fields(scope, statements, instant, position, found)
        fragment, proven = {"v": 1, "statements": statements}, self._separable and not doubt.raised
        found.append(SubjectFragment(position, local_id, identity, fragment, as_of, proven))
        return found


_Plan = tuple[Subject, Applies | None, ReadTraits, TellFields]
_Person = tuple[TellFields, Json, str, Json, bool, bool]
"""Somebody a record speaks of: what reads the fields, the scope with the traits read, the position, those traits that
the source states as statements, whether one of these does not fit the dossier, and whether the source states them."""


_IDENTITY: Final = frozenset(IDENTITY_FIELDS)


def _about_another() -> At:
    return At("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))


_Place = tuple[Value, Column]


def _place(value: Value, doubt: Doubt, read: Callable[[Any], Any] | None = None) -> _Place:
    return value, Column(read or value.read, doubt)


def _said(where: _Place, scope: Json) -> Any:
    """Return what stands there in ``scope``, ``None`` when that is nothing; raises ``Refused``."""
    value, column = where
    try:
        raw = value.raw(scope)
    except JMESPathError as error:
        raise refusal(error) from None
    return None if raw is None else column.of(raw)


def _moments(value: Value | None, doubt: Doubt) -> _Place | None:
    """Return where a moment stands, its column giving aware UTC datetimes."""
    return None if value is None else _place(value, doubt, lambda raw: _aware(value.read(raw)))


def _instant(at: datetime) -> tuple[str, bool]:
    """Return ``at`` as the dossier writes it, and whether its schema takes that."""
    written = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return written, registry.provenance_validator("date_collecte").fits(written)


def _groups(household: Household | None, doubt: Doubt) -> list[tuple[Expression, _Place]]:
    return [(each, _place(role, doubt)) for each, role in household.groups] if household else []


def _members(groups: Iterable[tuple[Expression, _Place]], scope: Json) -> list[Member]:
    found: list[Member] = []
    for each, role in groups:
        for data in _evaluate(each, scope) or ():
            constant = role[0].sources[0].constant
            said = role[1][constant] if constant else _said(role, scope | {"it": data})
            found.append(Member(len(found) + 1, str(said), data))
    return found


def _chosen(subject: Subject, scope: Json, members: list[Member]) -> Sequence[tuple[int, str, Any]]:
    """Return the (place, role, data) of those that ``subject``, which applies, is about; raises ``Refused``, ``At``."""
    found: Sequence[tuple[int, str, Any]] = ((0, "", scope["record"]),)
    if subject.roles is not None:
        found = [member for member in members if member.role in subject.roles]
    elif subject.each is not None:
        each = _evaluate(subject.each, scope)
        found = [Member(place, "", data) for place, data in enumerate(each, 1)] if isinstance(each, list) else ()
        found = found if isinstance(each, list) or each is None else ((0, "", each),)
    for one, other in subject.same:
        if not _same(_evaluate(one, scope), _evaluate(other, scope)):
            raise _about_another()
    return found


def _evaluate(expression: Expression, scope: Json) -> Any:
    try:
        return expression.get(scope)
    except JMESPathError as error:
        raise refusal(error) from None


def _same(one: Any, other: Any) -> bool:
    return is_blank(one) or is_blank(other) or str(one).strip() == str(other).strip()


def _aware(written: Any) -> datetime | None:
    if written is None:
        return None
    at = datetime.fromisoformat(written)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
