"""Mapping as data: which field of the source feeds which field of the dossier, through which transform.

``mapping.toml`` is compiled once into closures; :meth:`FormatMapping.apply` then turns one record into one fragment
per person, and :meth:`FormatMapping.lineage` reads the same data back as rows anyone can check. The language is
described in ``docs/partners-guide.md`` and checked by ``mapping.schema.json``.

Expressions are JMESPath over: ``record`` (the whole record), ``it`` (the person's own part of it), ``role`` and
``liens`` (household), ``identite`` (the traits just read), ``demande`` (the traits asked, for that person alone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jmespath.exceptions import JMESPathError

from connectors.kit.expressions import Getter
from connectors.kit.households import Member, asked_about, links_of
from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.transforms import Refused, Table, Transform, is_blank, is_misread
from schemas import registry

SCOPE: Final = frozenset({"record", "it", "role", "liens", "identite", "demande"})
IDENTITY_FIELDS: Final = (
    *("nom_naissance", "nom_usage", "prenoms", "sexe", "date_naissance"),
    *("code_cog_insee_commune_naissance", "code_cog_insee_pays_naissance"),
)
"""Traits that are dossier fields too; ``nir`` is a trait only, unless a field of ``identifiants`` maps it."""
AHEAD: Final = timedelta(days=31)
"""A monthly file may bear the end of its month. Any later is a slip, which no true file could ever replace again."""


@dataclass(frozen=True, slots=True)
class LineageRow:
    """One line of "which partner field feeds which dossier field": paths, transform and rule, no value."""

    format: str
    subject: str
    source: str
    transform: str
    target: str
    absence: str


@dataclass(frozen=True, slots=True)
class SubjectFragment:
    """What one record says of one person: the local id, the traits for the tokens, the fragment, true as of when."""

    position: str
    local_id: str
    identity_traits: Json
    fragment: Json
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Value:
    """``from`` through ``with`` and a table: compiled."""

    sources: tuple[str, ...]
    getters: tuple[Getter, ...]
    several: bool
    transform_name: str
    transform: Transform
    table: Table

    def __call__(self, scope: Json) -> Any:
        """Return the value in ``scope``, ``None`` when the source says nothing; raises ``Refused``."""
        try:
            raw = [get(scope) for get in self.getters] if self.several else self.getters[0](scope)
        except JMESPathError:
            raise Refused(Reason.BAD_VALUE, "expression") from None
        if is_blank(raw):
            return None
        if isinstance(raw, str):  # almost all: without a generator, a third faster
            misread = is_misread(raw)
        else:
            misread = isinstance(raw, list) and any(isinstance(text, str) and is_misread(text) for text in raw)
        if misread:
            raise Refused(Reason.ENCODING)
        return self.transform(raw, self.table)


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one dossier field is filled, or why it is absent."""

    path: str
    value: Value
    base_legale: str
    date_effet: Value | None
    when: Getter | None
    absences: tuple[tuple[str, Getter, str], ...]
    """(condition's text, condition, absence code), the first that holds wins."""
    absent: str | None
    """The absence when the source says nothing; without it, there is no statement at all."""
    optional: registry.Validator | None = None
    """Set when a value that cannot be read sets aside this field alone, not the person: what its value must be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer that is no answer: every one of ``paths`` gets the absence that ``code`` gives."""

    code: Value
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of person a record speaks of."""

    name: str
    each: Getter | None
    roles: frozenset[str] | None
    when: Getter | None
    same: tuple[tuple[Getter, Getter], ...]
    """Pairs that must be equal where both say something: what was asked, and what was answered."""
    identity: tuple[tuple[str, Value], ...]
    asserts_identity: bool
    """Whether the source itself states the traits; not when they are only those it was asked about."""
    local_id: tuple[Value, ...]
    fields: tuple[FieldRule, ...]
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Household:
    """Where a record's members stand, and how roles tie them."""

    groups: tuple[tuple[Getter, Value], ...]
    links: Mapping[str, str]


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
        return self._members({"record": record.data, "it": record.data})

    def apply(self, record: RawRecord, collected_at: datetime) -> list[SubjectFragment | Quarantined]:
        """Return one fragment per person of ``record``, and an entry for each person who cannot be mapped.

        ``collected_at`` is when the record was fetched, unless the record itself says. The result is never empty.
        """
        scope: Json = dict.fromkeys(SCOPE)
        scope |= {"record": record.data, "it": record.data, "liens": []}
        try:
            with _locating("collected"):
                collected = _aware(self.collected(scope)) if self.collected else None
                collected = collected or collected_at.astimezone(UTC)
            with _locating("as_of"):
                as_of = (_aware(self.as_of(scope)) if self.as_of else None) or collected
                if max(collected, as_of) > collected_at + AHEAD:
                    raise Refused(Reason.BAD_DATE, "futur")
            people, refused = self._people(scope, record.position)
        except _At as at:
            return [_entry(record.position, at.path, at.refusal)]
        found: list[SubjectFragment | Quarantined] = list(refused)
        for subject, own, position in people:
            try:
                if str(own["identite"].get("date_naissance") or "") > f"{collected_at:%Y-%m-%d}":
                    raise _At("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
                found += self._one(subject, own, position, collected, as_of)
            except _At as at:
                found.append(_entry(position, at.path, at.refusal))
        return found or [Quarantined(record.position, "subjects", Reason.NO_SUBJECT)]

    def _people(self, scope: Json, position: str) -> tuple[list[tuple[Subject, Json, str]], list[Quarantined]]:
        """Return (subject rule, scope, position) of every person, traits read, and who was refused on the way."""
        with _locating("household"):
            members = self._members(scope)
        found: list[tuple[Subject, Json, str]] = []
        refused = []
        for subject in self.subjects:
            with _locating("subjects"):
                if subject.when is not None and not _holds(subject.when, scope):
                    continue
                chosen = _select(subject, scope, members)
            if not all(_same(one(scope), other(scope)) for one, other in subject.same):
                raise _about_another()
            for member in chosen:
                place = f"{position}, personne {member.place}" if member.place else position
                links = links_of(member, members, self.household.links) if self.household and member.place else []
                own = scope | {"it": member.data, "role": member.role, "liens": links}
                try:
                    own["identite"] = _read(subject.identity, own, "identite")
                    own["_stated"] = dict(own["identite"]) if subject.asserts_identity else {}
                    found.append((subject, own, place))
                except _At as at:
                    refused.append(_entry(place, at.path, at.refusal))
        if self.asked:
            self._find_asked(scope, [own for subject, own, _ in found if subject.asserts_identity])
        return found, refused

    def _find_asked(self, scope: Json, people: list[Json]) -> None:
        """Mark the person the question was about, and complete their traits with those asked, if nothing differs.

        An answer that names no one is about the person asked; a question by number alone names no one to compare.
        """
        if not people:
            return
        asked = _read(self.asked, scope, "demande")
        if not any(name in asked for name in IDENTITY_FIELDS):
            return
        named = [own for own in people if own["identite"]]
        match = asked_about(asked, [own["identite"] for own in named]) if named or len(people) > 1 else (0, True)
        people = named or people
        if match is None:
            raise _about_another()
        index, coherent = match
        people[index]["demande"] = asked
        if coherent:
            people[index]["identite"] = asked | people[index]["identite"]

    def _members(self, scope: Json) -> list[Member]:
        found: list[Member] = []
        for each, role in self.household.groups if self.household else ():
            for data in _evaluate(each, scope) or ():
                found.append(Member(len(found) + 1, str(role(scope | {"it": data})), data))
        return found

    def _one(
        self, subject: Subject, scope: Json, position: str, collected: datetime, as_of: datetime
    ) -> list[SubjectFragment | Quarantined]:
        """Return the person's fragment, after an entry for each of its optional fields that could not be read."""
        aside: list[SubjectFragment | Quarantined] = []
        instant = collected.strftime("%Y-%m-%dT%H:%M:%SZ")
        blank: Json = {"source": self.source, "date_collecte": instant}
        statements: Json = {}
        effects: dict[int, Any] = {}
        stated = scope["_stated"]
        for trait in IDENTITY_FIELDS:
            if (value := stated.get(trait)) is not None:
                statements[f"identite.{trait}"] = {
                    "valeur": _dossier_form(trait, value),
                    "date_effet": None,
                    "base_legale": self.base_legale,
                    **blank,
                }
        for rule in subject.fields:
            try:
                if (statement := _statement(rule, scope, effects)) is not None:
                    statements[rule.path] = statement | blank
                    if rule.optional is not None:
                        rule.optional.check(statements[rule.path])
            except (Refused, registry.SchemaViolation) as error:
                refusal = error if isinstance(error, Refused) else Refused(Reason.BAD_VALUE)
                if rule.optional is None:
                    raise _At(rule.path, refusal) from None
                statements.pop(rule.path, None)
                aside.append(_entry(position, rule.path, refusal))
        if subject.outcome is not None:
            with _locating("issue"):
                absence = subject.outcome.code(scope)
            statements |= {path: {"absence": absence, **blank} for path in subject.outcome.paths}
        with _locating("local_id"):
            parts = [part(scope) for part in subject.local_id]
            if all(part is None for part in parts) or not statements:
                raise Refused(Reason.NO_SUBJECT)
        local_id = "|".join("" if part is None else str(part) for part in parts)
        fragment = {"v": 1, "statements": statements}
        return [*aside, SubjectFragment(position, local_id, scope["identite"], fragment, as_of)]


class _At(Exception):  # noqa: N818 (never leaves this module: it carries a refusal to the place that reports it)
    def __init__(self, path: str, refusal: Refused) -> None:
        self.path = path
        self.refusal = refusal


def _about_another() -> _At:
    return _At("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))


class _locating:  # noqa: N801 (a context manager, used as one)
    """Give a ``Refused`` raised inside the path it was raised for. A class: a generator is ten times slower."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Refused):
            raise _At(self.path, error) from None


def _statement(rule: FieldRule, scope: Json, effects: dict[int, Any]) -> Json | None:
    """Return what ``rule`` says in ``scope``; ``effects`` keeps the dates that several of a person's rules share."""
    if rule.when is not None and not _holds(rule.when, scope):
        return None
    for _, condition, absence in rule.absences:
        if _holds(condition, scope):
            return {"absence": absence}
    value = rule.value(scope)
    if value is None:
        return None if rule.absent is None else {"absence": rule.absent}
    effect = None
    if rule.date_effet is not None and (effect := effects.get(id(rule.date_effet))) is None:
        effect = effects[id(rule.date_effet)] = rule.date_effet(scope)
    return {"valeur": value, "date_effet": effect, "base_legale": rule.base_legale}


def _dossier_form(trait: str, value: Any) -> Any:
    """A birth date has its precision beside it in the dossier; the other traits stand as they were written."""
    if trait != "date_naissance":
        return value
    precision = {4: "annee", 7: "mois", 10: "jour"}[len(value)]
    return {"date": value + "-00-00"[: 10 - len(value)], "precision": precision}


def _read(traits: Iterable[tuple[str, Value]], scope: Json, section: str) -> Json:
    found = {}
    for name, value in traits:
        with _locating(f"{section}.{name}"):
            if (read := value(scope)) is not None:
                found[name] = read
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
    except JMESPathError:
        raise Refused(Reason.BAD_VALUE, "expression") from None


def _holds(condition: Getter, scope: Json) -> bool:
    return not is_blank(found := _evaluate(condition, scope)) and found is not False and found != {}


def _same(one: Any, other: Any) -> bool:
    return is_blank(one) or is_blank(other) or str(one).strip() == str(other).strip()


def _aware(written: Any) -> datetime | None:
    if written is None:
        return None
    at = datetime.fromisoformat(written)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _entry(position: str, path: str, refusal: Refused) -> Quarantined:
    return Quarantined(position, path, refusal.reason, refusal.detail)
