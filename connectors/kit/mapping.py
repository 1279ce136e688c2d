"""A mapping applied: one record of a source becomes one fragment per person it speaks of.

``mapping.toml`` is compiled once to rules (``mapping_file``, ``mapping_rules``); a :class:`Run` applies them to the
records of one stream, and :meth:`FormatMapping.lineage` reads the same data back as rows anyone can check. The
language is described in ``docs/partners-guide.md`` and checked by ``mapping.schema.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from jmespath.exceptions import JMESPathError

from connectors.kit.expressions import Getter
from connectors.kit.households import Forms, Member, asked_about, links_of
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
        self._asked = traits(mapping.asked, self._doubt, stated=False)
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
            collected = (self._collected and said(self._collected, scope)) or self._now
            path = "as_of"
            as_of = (self._as_of and said(self._as_of, scope)) or collected
            if collected > self._latest or as_of > self._latest:
                raise Refused(Reason.BAD_DATE, "futur")
            instant, fits = self._instant(collected)
            path = "household"
            members = _members(self._groups, scope) if self._groups else []
            path = "subjects"
            for plan in self._plans:
                for member in _chosen(plan.subject, scope, members):
                    place, own, statements = member[0], scope.copy(), dict[str, Any]()
                    _, own["role"], own["it"] = member
                    if self._links is not None and isinstance(member, Member):
                        own["liens"] = links_of(member, members, self._links)
                    where = f"{position}, personne {place}" if place else position
                    doubt.raised = not fits
                    try:
                        own["identite"] = self._read(plan.identity, own, "identite", statements, instant)
                    except _At as at:
                        found.append(_entry(where, at.path, at.refusal))
                        continue
                    people.append((plan, own, where, statements, doubt.raised))
            if self._asked:
                self._find_asked(scope, [own for plan, own, *_ in people if plan.subject.asserts_identity])
        except _At as at:
            return [_entry(position, at.path, at.refusal)]
        except Refused as refusal:
            return [_entry(position, path, refusal)]
        for person in people:
            try:
                found += self._tell(person, instant, as_of)
            except _At as at:
                found.append(_entry(person[2], at.path, at.refusal))
        return found or [Quarantined(position, "subjects", Reason.NO_SUBJECT)]

    def _read(self, traits: Iterable[Trait], scope: Json, section: str, statements: Json, instant: str) -> Json:
        """Return the traits in ``scope``, and put those the source itself states among the ``statements``."""
        found, record = {}, scope["record"]
        frame = _frame(self._mapping.source, self._mapping.base_legale, None, instant)
        for trait, member, get, column, path, form in traits:
            try:
                raw = record.get(member) if member is not None else get(scope)  # as in ``said``, without its call
                value = None if raw is None else column[raw] if type(raw) is str else column.of(raw)
            except (Refused, JMESPathError) as error:
                raise _At(f"{section}.{trait}", _refusal(error)) from None
            if value is not None:
                found[trait] = value
                if path is not None:
                    statements[path] = statement = frame.copy()
                    statement["valeur"] = value if form is None else form(value)
        return found

    def _find_asked(self, scope: Json, people: list[Json]) -> None:
        """Mark the person the question was about, and complete their traits with those asked, if nothing differs.

        An answer that names no one is about the person asked; a question by number alone names no one to compare.
        """
        if not people:
            return
        asked = self._read(self._asked, scope, "demande", {}, "")
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
        plan, scope, position, statements, doubtful = person
        doubt, record, identity = self._doubt, scope["record"], scope["identite"]
        found: list[SubjectFragment | Quarantined] = []
        if str(identity.get("date_naissance") or "") > self._today:
            raise _At("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
        doubt.raised = doubtful
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
                            date = None if since is None else said(since, scope)
                            frame = frames[provenance] = _frame(self._mapping.source, base, date, instant)
                        statements[path] = statement = frame.copy()
                        statement["valeur"] = value
                    elif special is not None and special.absent is not None:
                        statements[path] = self._absent(special.absent, instant)
                elif absence:
                    statements[path] = self._absent(absence, instant)
                if special is not None and special.optional is not None and doubt.raised and path in statements:
                    special.optional.check(statements[path])
            except (Refused, JMESPathError, registry.SchemaViolation) as error:
                if special is None or special.optional is None:
                    raise _At(path, _refusal(error)) from None
                statements.pop(path, None)
                found.append(_entry(position, path, _refusal(error)))
        path = "issue"
        try:
            if plan.code is not None:
                absence = said(plan.code, scope)
                statements |= {each: self._absent(absence, instant) for each in plan.issue}
            path = "local_id"
            parts = [said(part, scope) for part in plan.local_id]
            if parts.count(None) == len(parts) or not statements:
                raise Refused(Reason.NO_SUBJECT)
        except Refused as refusal:
            raise _At(path, refusal) from None
        local_id = "|".join(["" if part is None else str(part) for part in parts])
        fragment, proven = {"v": 1, "statements": statements}, self._separable and not doubt.raised
        found.append(SubjectFragment(position, local_id, identity, fragment, as_of, proven))
        return found

    def _absent(self, absence: str, instant: str) -> Json:
        return {"absence": absence, "source": self._mapping.source, "date_collecte": instant}


_Person = tuple[Plan, Json, str, Json, bool]
"""Somebody a record speaks of: the rules, the scope with the traits read, the position, those traits that the source
states as statements, and whether one of these does not fit the dossier."""


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


def _frame(source: str, base_legale: str, date_effet: Any, instant: str) -> Json:
    """Return a value's statement without the value: copying it is twice as fast as making another."""
    return {
        "valeur": None,
        "date_effet": date_effet,
        "base_legale": base_legale,
        "source": source,
        "date_collecte": instant,
    }


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


def _groups(household: Household | None, doubt: Doubt) -> list[tuple[Getter, Place]]:
    return [(each, place(role, doubt)) for each, role in household.groups] if household else []


def _members(groups: Iterable[tuple[Getter, Place]], scope: Json) -> list[Member]:
    found: list[Member] = []
    for each, role in groups:
        for data in _evaluate(each, scope) or ():
            found.append(Member(len(found) + 1, str(said(role, scope | {"it": data})), data))
    return found


def _chosen(subject: Subject, scope: Json, members: list[Member]) -> Sequence[tuple[int, str, Any]]:
    """Return the (place, role, data) of those that ``subject`` is about, in ``scope``; raises ``Refused``, ``_At``."""
    if subject.when is not None and not _holds(subject.when, scope):
        return ()
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
