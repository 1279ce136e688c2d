"""A mapping applied: one record of a source becomes one fragment per person it speaks of.

``mapping.toml`` is compiled once to rules (``file``, ``rules``); a :class:`Run` applies them to the
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

from connectors.kit.households import Forms, Member, asked_about, links_of, same_written
from connectors.kit.mapping.code import (
    Applies,
    At,
    ReadMoment,
    ReadTraits,
    TellFields,
    Written,
    entry,
    refusal,
    write_applies,
    write_fields,
    write_moment,
    write_traits,
)
from connectors.kit.mapping.columns import KEPT, Column, Doubt
from connectors.kit.mapping.expressions import Expression
from connectors.kit.mapping.rules import IDENTITY_FIELDS, Household, LineageRow, Subject, Value
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.transforms.base import Refused, is_blank
from schemas import registry

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
                None if subject.when is None else write_applies(subject.when),
                write_traits(subject.identity, "identite", self.base_legale, stated=subject.asserts_identity),
                write_fields(subject),
            )
            for subject in self.subjects
        )

    @cached_property
    def written_asked(self) -> Written | None:
        """The traits the question was about, as code."""
        return write_traits(self.asked, "demande", self.base_legale, stated=False) if self.asked else None

    @cached_property
    def written_moments(self) -> tuple[Written | None, Written | None]:
        """When a record was collected, and as of when it is true, as code."""
        collected, as_of = (None if value is None else write_moment(value) for value in (self.collected, self.as_of))
        return collected, as_of

    def members(self, record: RawRecord) -> list[Member]:
        """Return the household's members in ``record`` (their ``data`` is the record's own); raises ``Refused``."""
        return _members(_groups(self.household, Doubt()), record.data)

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
        self._asked: ReadTraits | None = self._bound(mapping.written_asked)
        self._groups = _groups(mapping.household, self._doubt)
        self._collected: ReadMoment | None
        self._as_of: ReadMoment | None
        self._collected, self._as_of = map(self._bound, mapping.written_moments)
        self.now = collected_at.astimezone(UTC)
        """When a record was collected that does not say."""
        self.latest = self.now + AHEAD
        self.today = f"{collected_at:%Y-%m-%d}"
        bases = {rule.base_legale for subject in mapping.subjects for rule in subject.fields}
        self.separable = (
            registry.is_separable()
            and registry.provenance_validator("source").fits(mapping.source)
            and all(map(registry.provenance_validator("base_legale").fits, {mapping.base_legale, *bases}))
        )
        self._links = None if mapping.household is None else mapping.household.links
        self.instant = lru_cache(64)(_instant)
        self._forms = Forms(KEPT)

    def _bound(self, written: Written | None) -> Any:
        if written is None:
            return None
        function, columns = written.bind(self._doubt, self._mapping.source)
        self.columns += columns
        return function

    def apply(self, record: RawRecord) -> list[SubjectFragment | Quarantined]:
        """Return one fragment per person of ``record``, and an entry for each person who cannot be mapped.

        Never empty.
        """
        position, data = record
        doubt = self._doubt
        found: list[SubjectFragment | Quarantined] = []
        people: list[_Person] = []
        asserted: list[_About] = []
        path = "collected"
        try:
            collected = (self._collected and self._collected(data)) or self.now
            path = "as_of"
            as_of = (self._as_of and self._as_of(data)) or collected
            if collected > self.latest or as_of > self.latest:
                raise Refused(Reason.BAD_DATE, "futur")
            instant, fits = self.instant(collected)
            path = "household"
            members = _members(self._groups, data) if self._groups else []
            path = "subjects"
            for subject, applies, identity, fields in self._plans:
                if applies is not None and not applies(data):
                    continue
                for member in _chosen(subject, data, members):
                    place, role, it = member
                    liens = links_of(member, members, self._links) if self._links and isinstance(member, Member) else []
                    where = f"{position}, personne {place}" if place else position
                    statements: Json = {}
                    doubt.raised = not fits
                    try:
                        traits = identity(data, it, role, liens, statements, instant)
                    except At as at:
                        found.append(entry(where, at.path, at.refusal))
                        continue
                    about = _About(traits, None)
                    people.append((fields, where, it, role, liens, about, statements, doubt.raised))
                    if subject.asserts_identity:
                        asserted.append(about)
            if self._asked is not None and asserted:
                self._find_asked(self._asked(data, data, None, [], {}, ""), asserted)
        except At as at:  # whose own entries are told too: the person asked about may be one of those not read
            return [*found, entry(position, at.path, at.refusal)]
        except (Refused, JMESPathError) as error:
            return [*found, entry(position, path, refusal(error))]
        for person in people:
            try:
                found += self._tell(data, person, instant, as_of)
            except At as at:
                found.append(entry(person[1], at.path, at.refusal))
        return found or [Quarantined(position, "subjects", Reason.NO_SUBJECT)]

    def _find_asked(self, asked: Json, people: list[_About]) -> None:
        """Mark the person the question was about, and complete their traits with those asked, if nothing differs.

        An answer that names no one is about the person asked; a question by number alone names no one to compare.
        """
        if _IDENTITY.isdisjoint(asked):
            return
        named = [person for person in people if person.identite]
        traits = [person.identite for person in named]
        match = asked_about(asked, traits, self._forms) if named or len(people) > 1 else (0, True)
        if match is None:
            raise _about_another()
        index, coherent = match
        person = (named or people)[index]
        person.demande = asked
        if coherent:
            person.identite = asked | person.identite

    def _tell(
        self, record: Json, person: _Person, instant: str, as_of: datetime
    ) -> list[SubjectFragment | Quarantined]:
        """Return the person's fragment, after an entry for each of its optional fields that could not be read."""
        fields, position, it, role, liens, about, statements, doubtful = person
        doubt, identity = self._doubt, about.identite
        if str(identity.get("date_naissance") or "") > self.today:
            raise At("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
        doubt.raised = doubtful
        found: list[SubjectFragment | Quarantined] = []
        try:
            local_id = fields(record, it, role, liens, identity, about.demande, statements, instant, position, found)
        except At as at:
            if at.refusal.reason is Reason.NO_SUBJECT and found and not statements:
                return found  # why there is nothing to tell of them
            raise
        fragment, proven = {"v": 1, "statements": statements}, self.separable and not doubt.raised
        found.append(SubjectFragment(position, local_id, identity, fragment, as_of, proven))
        return found


class _About:
    """Who somebody is, and what was asked of them if the question was about them."""

    __slots__ = ("demande", "identite")

    def __init__(self, identite: Json, demande: Json | None) -> None:
        self.identite = identite
        self.demande = demande


_Plan = tuple[Subject, Applies | None, ReadTraits, TellFields]
_Person = tuple[TellFields, str, Any, str, list[dict[str, str]], _About, Json, bool]
"""Somebody a record speaks of: what reads the fields, the position, their part of the record, their role and links,
who they are, those traits that the source states as statements, and whether one of these does not fit the dossier."""
_IDENTITY: Final = frozenset(IDENTITY_FIELDS)


def _about_another() -> At:
    return At("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))


def _instant(at: datetime) -> tuple[str, bool]:
    """Return ``at`` as the dossier writes it, and whether its schema takes that."""
    written = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return written, registry.provenance_validator("date_collecte").fits(written)


_Group = tuple[Expression, Value, Column]
"""What gives the members of one kind, and their role, its texts each read once."""


def _groups(household: Household | None, doubt: Doubt) -> list[_Group]:
    return [(each, role, Column(role.read, doubt)) for each, role in household.groups] if household else []


def _members(groups: Iterable[_Group], record: Json) -> list[Member]:
    found: list[Member] = []
    for each, role, roles in groups:
        constant = role.sources[0].constant
        for data in _evaluate(each.get, record) or ():
            raw = constant or _evaluate(role.raw, record, it=data)
            found.append(Member(len(found) + 1, str(None if raw is None else roles.of(raw)), data))
    return found


def _chosen(subject: Subject, record: Json, members: list[Member]) -> Sequence[tuple[int, str, Any]]:
    """Return the (place, role, data) of those that ``subject``, which applies, is about; raises ``Refused``, ``At``."""
    found: Sequence[tuple[int, str, Any]] = ((0, "", record),)
    if subject.roles is not None:
        found = [member for member in members if member.role in subject.roles]
    elif subject.each is not None:
        each = _evaluate(subject.each.get, record)
        found = [Member(place, "", data) for place, data in enumerate(each, 1)] if isinstance(each, list) else ()
        found = found if isinstance(each, list) or each is None else ((0, "", each),)
    for one, other in subject.same:
        if not _same(_evaluate(one.get, record), _evaluate(other.get, record)):
            raise _about_another()
    return found


def _evaluate(get: Callable[[Json], Any], record: Json, **own: Any) -> Any:
    """Return what ``get`` says of the record as a whole, or of what is its ``own`` in it."""
    whole: Json = {"record": record, "it": record, "role": None, "liens": [], "identite": None, "demande": None}
    try:
        return get(whole | own if own else whole)
    except JMESPathError as error:
        raise refusal(error) from None


def _same(one: Any, other: Any) -> bool:
    return is_blank(one) or is_blank(other) or same_written(str(one).strip(), str(other).strip())
