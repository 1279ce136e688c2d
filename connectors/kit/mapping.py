"""A mapping applied: one record of a source becomes one fragment per person it speaks of.

``mapping.toml`` is compiled once to rules (``mapping_file``, ``mapping_rules``); a :class:`Run` applies them to the
records of one stream, and :meth:`FormatMapping.lineage` reads the same data back as rows anyone can check. The
language is described in ``docs/partners-guide.md`` and checked by ``mapping.schema.json``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from jmespath.exceptions import JMESPathError

from connectors.kit.expressions import Getter
from connectors.kit.households import Member, asked_about, first_names, links_of
from connectors.kit.mapping_columns import KEPT, Column, Doubt, Place, Plan, Trait, place, plan_of, said, traits
from connectors.kit.mapping_rules import IDENTITY_FIELDS, FieldRule, Household, LineageRow, Subject, Value
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.transforms import Refused, is_blank
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


@dataclass(frozen=True, slots=True)
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
        self._plans = tuple(plan_of(subject, self._doubt) for subject in mapping.subjects)
        self._asked = traits(mapping.asked, self._doubt, judged=False)
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
        self._instant = lru_cache(64)(_instant)
        self._first_names = lru_cache(KEPT)(first_names)

    def apply(self, record: RawRecord) -> list[SubjectFragment | Quarantined]:
        """Return one fragment per person of ``record``, and an entry for each person who cannot be mapped.

        Never empty.
        """
        data = record.data
        scope: Json = {"record": data, "it": data, "role": None, "liens": [], "identite": None, "demande": None}
        path = "collected"
        try:
            collected = (self._collected and said(self._collected, scope)) or self._now
            path = "as_of"
            as_of = (self._as_of and said(self._as_of, scope)) or collected
            if collected > self._latest or as_of > self._latest:
                raise Refused(Reason.BAD_DATE, "futur")
            path = "household"
            members = _members(self._groups, scope)
            people, found = self._people(scope, members, record.position)
        except _At as at:
            return [_entry(record.position, at.path, at.refusal)]
        except Refused as refusal:
            return [_entry(record.position, path, refusal)]
        for person in people:
            try:
                found += self._one(person, collected, as_of)
            except _At as at:
                found.append(_entry(person.position, at.path, at.refusal))
        return found or [Quarantined(record.position, "subjects", Reason.NO_SUBJECT)]

    def _people(
        self, scope: Json, members: list[Member], position: str
    ) -> tuple[list[_Person], list[SubjectFragment | Quarantined]]:
        """Return every person, traits read, and who was refused on the way."""
        household = self._mapping.household
        found: list[_Person] = []
        refused: list[SubjectFragment | Quarantined] = []
        for plan in self._plans:
            try:
                if plan.subject.when is not None and not _holds(plan.subject.when, scope):
                    continue
                chosen = _select(plan.subject, scope, members)
                for one, other in plan.subject.same:
                    if not _same(_evaluate(one, scope), _evaluate(other, scope)):
                        raise _about_another()
            except Refused as refusal:
                raise _At("subjects", refusal) from None
            for member in chosen:
                where = f"{position}, personne {member.place}" if member.place else position
                own = scope.copy()
                own["it"], own["role"] = member.data, member.role
                if household is not None and member.place:
                    own["liens"] = links_of(member, members, household.links)
                self._doubt.raised = False
                try:
                    own["identite"] = _read(plan.identity, own, "identite")
                except _At as at:
                    refused.append(_entry(where, at.path, at.refusal))
                    continue
                found.append(_Person(plan, own, where, own["identite"], self._doubt.raised))
        if self._mapping.asked:
            self._find_asked(scope, [person.scope for person in found if person.plan.subject.asserts_identity])
        return found, refused

    def _find_asked(self, scope: Json, people: list[Json]) -> None:
        """Mark the person the question was about, and complete their traits with those asked, if nothing differs.

        An answer that names no one is about the person asked; a question by number alone names no one to compare.
        """
        if not people:
            return
        asked = _read(self._asked, scope, "demande")
        if _IDENTITY.isdisjoint(asked):
            return
        named = [own for own in people if own["identite"]]
        traits = [own["identite"] for own in named]
        match = asked_about(asked, traits, self._first_names) if named or len(people) > 1 else (0, True)
        people = named or people
        if match is None:
            raise _about_another()
        index, coherent = match
        people[index]["demande"] = asked
        if coherent:
            people[index]["identite"] = asked | people[index]["identite"]

    def _one(self, person: _Person, collected: datetime, as_of: datetime) -> list[SubjectFragment | Quarantined]:
        """Return the person's fragment, after an entry for each of its optional fields that could not be read."""
        plan, scope, identity = person.plan, person.scope, person.scope["identite"]
        if str(identity.get("date_naissance") or "") > self._today:
            raise _At("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
        instant, fits = self._instant(collected)
        self._doubt.raised = person.doubtful or not fits
        found: list[SubjectFragment | Quarantined] = []
        statements = self._statements(person, instant, found)
        path = "issue"
        try:
            if plan.code is not None:
                absence = said(plan.code, scope)
                statements |= {each: self._absent(absence, instant) for each in plan.issue}
            path = "local_id"
            parts = [said(part, scope) for part in plan.local_id]
            local_id = "|".join(["" if part is None else str(part) for part in parts])
            if parts.count(None) == len(parts) or not statements:
                raise Refused(Reason.NO_SUBJECT)
        except Refused as refusal:
            raise _At(path, refusal) from None
        proven = self._separable and not self._doubt.raised
        fragment = {"v": 1, "statements": statements}
        found.append(SubjectFragment(person.position, local_id, identity, fragment, as_of, proven))
        return found

    def _statements(self, person: _Person, instant: str, aside: list[SubjectFragment | Quarantined]) -> Json:
        """Return what is said of the person; an optional field that cannot be read goes ``aside``."""
        plan, scope = person.plan, person.scope
        record, statements = scope["record"], dict[str, Any]()
        if person.stated:
            frame = self._frame(self._mapping.base_legale, None, instant)
            for trait, path, form in plan.stated:
                if (value := person.stated.get(trait)) is not None:
                    statements[path] = statement = frame.copy()
                    statement["valeur"] = value if form is None else form(value)
        frames: list[Json] = [{}] * len(plan.provenances)
        for path, member, get, column, provenance, special in plan.rows:
            try:
                absence = None if special is None else _decided(special, scope)
                if absence is None:
                    # As in ``said``, without its call: this is done for every cell of every table.
                    raw = record.get(member) if member is not None else get(scope)
                    value = None if raw is None else column[raw] if type(raw) is str else column.of(raw)
                    if value is not None:
                        frame = frames[provenance]
                        if not frame:
                            base, since = plan.provenances[provenance]
                            frame = frames[provenance] = self._frame(base, since and said(since, scope), instant)
                        statements[path] = statement = frame.copy()
                        statement["valeur"] = value
                    elif special is not None and special.absent is not None:
                        statements[path] = self._absent(special.absent, instant)
                elif absence:
                    statements[path] = self._absent(absence, instant)
                if special is not None and special.optional is not None and self._doubt.raised and path in statements:
                    special.optional.check(statements[path])
            except (Refused, JMESPathError, registry.SchemaViolation) as error:
                if special is None or special.optional is None:
                    raise _At(path, _refusal(error)) from None
                statements.pop(path, None)
                aside.append(_entry(person.position, path, _refusal(error)))
        return statements

    def _frame(self, base_legale: str, date_effet: str | None, instant: str) -> Json:
        """Return a value's statement without the value: several are copied from it, which is twice as fast."""
        return {
            "valeur": None,
            "date_effet": date_effet,
            "base_legale": base_legale,
            "source": self._mapping.source,
            "date_collecte": instant,
        }

    def _absent(self, absence: str, instant: str) -> Json:
        return {"absence": absence, "source": self._mapping.source, "date_collecte": instant}


@dataclass(slots=True)
class _Person:
    """Somebody a record speaks of, traits read."""

    plan: Plan
    scope: Json
    position: str
    stated: Json
    """The traits as the source gave them, before those asked were added."""
    doubtful: bool
    """Whether one of them does not fit the dossier."""


class _At(Exception):  # noqa: N818 (never leaves this module: it carries a refusal to the place that reports it)
    def __init__(self, path: str, refusal: Refused) -> None:
        self.path = path
        self.refusal = refusal


_IDENTITY: Final = frozenset(IDENTITY_FIELDS)
_NOTHING: Final = ""
"""What a rule decides whose condition does not hold: no statement."""


def _about_another() -> _At:
    return _At("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))


def _moments(value: Value | None, doubt: Doubt) -> Place | None:
    """Return where a moment stands, its column giving aware UTC datetimes."""
    if value is None:
        return None
    member, get, _ = place(value, doubt)
    return member, get, Column(lambda raw: _aware(value.read(raw)), doubt)


def _instant(at: datetime) -> tuple[str, bool]:
    """Return ``at`` as the dossier writes it, and whether its schema takes that."""
    written = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return written, registry.provenance_validator("date_collecte").fits(written)


def _decided(rule: FieldRule, scope: Json) -> str | None:
    """Return the absence that ``rule``'s conditions give in ``scope``, ``None`` when its value is to be read."""
    if rule.when is not None and not _holds(rule.when, scope):
        return _NOTHING
    for _, condition, absence in rule.absences:
        if _holds(condition, scope):
            return absence
    return None


def _read(traits: Iterable[Trait], scope: Json, section: str) -> Json:
    found, record = {}, scope["record"]
    for trait, member, get, column in traits:
        try:
            raw = record.get(member) if member is not None else get(scope)  # as in ``said``, without its call
            value = None if raw is None else column[raw] if type(raw) is str else column.of(raw)
        except (Refused, JMESPathError) as error:
            raise _At(f"{section}.{trait}", _refusal(error)) from None
        if value is not None:
            found[trait] = value
    return found


def _groups(household: Household | None, doubt: Doubt) -> list[tuple[Getter, Place]]:
    return [(each, place(role, doubt)) for each, role in household.groups] if household else []


def _members(groups: Iterable[tuple[Getter, Place]], scope: Json) -> list[Member]:
    found: list[Member] = []
    for each, role in groups:
        for data in _evaluate(each, scope) or ():
            found.append(Member(len(found) + 1, str(said(role, scope | {"it": data})), data))
    return found


def _select(subject: Subject, scope: Json, members: list[Member]) -> list[Member]:
    if subject.roles is not None:
        return [member for member in members if member.role in subject.roles]
    if subject.each is None:
        return [Member(0, "", scope["record"])]
    found = _evaluate(subject.each, scope)
    if isinstance(found, list):
        return [Member(place, "", data) for place, data in enumerate(found, 1)]
    return [] if found is None else [Member(0, "", found)]


def _evaluate(get: Getter, scope: Json) -> Any:
    try:
        return get(scope)
    except JMESPathError as error:
        raise _refusal(error) from None


def _holds(condition: Getter, scope: Json) -> bool:
    found = _evaluate(condition, scope)
    return found is True or not (found is False or found == {} or is_blank(found))


def _same(one: Any, other: Any) -> bool:
    return is_blank(one) or is_blank(other) or str(one).strip() == str(other).strip()


def _aware(written: Any) -> datetime | None:
    if written is None:
        return None
    at = datetime.fromisoformat(written)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _refusal(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    return Refused(Reason.BAD_VALUE, "expression" if isinstance(error, JMESPathError) else "")


def _entry(position: str, path: str, refusal: Refused) -> Quarantined:
    return Quarantined(position, path, refusal.reason, refusal.detail)
