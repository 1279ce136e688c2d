"""A mapping read straight from its TOML, rule by rule, with the ``jmespath`` library and the whole fragment schema.

An oracle for ``connectors.kit.mapping``: as slow and as plain as can be. It compiles nothing, remembers nothing, and
judges every fragment whole. Of ours it takes the named transforms and the households' links, tried elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from connectors.kit import shared_parts
from connectors.kit.dates import parse_birth_date
from connectors.kit.households import Member, asked_about, links_of
from connectors.kit.partner import PartnerFolder, _plugin
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.transforms import BUILT_IN
from connectors.kit.transforms.base import Refused, is_blank
from connectors.kit.visible import is_misread
from schemas import registry

IDENTITY = ["nom_naissance", "nom_usage", "prenoms", "sexe", "date_naissance"]
IDENTITY += ["code_cog_insee_commune_naissance", "code_cog_insee_pays_naissance"]
TRAITS = {"prenoms": "texts", "date_naissance": "birth_date", "sexe": "sex", "nir": "nir"}
TRAITS |= {f"code_cog_insee_{place}_naissance": "insee_code" for place in ("commune", "pays")}


def same(one: str, other: str) -> bool:
    """The same text, or the same day as far as both tell it."""
    if one == other or one.isdigit() or other.isdigit():
        return one == other
    left, right = (parse_birth_date(text)[0] for text in (one, other))
    parts = [(left.year, right.year), (left.month, right.month), (left.day, right.day)]
    return bool(left.year and right.year) and not [1 for a, b in parts if a and b and a != b]


class Stop(Exception):  # noqa: N818
    """Why a person, or a record, goes no further."""

    def __init__(self, path: str, refusal: Refused) -> None:
        self.path, self.refusal = path, refusal


class Naive:
    """The mapping of one format, interpreted."""

    def __init__(self, partner: PartnerFolder, name: str) -> None:
        own = tomllib.loads((partner.path / "mapping.toml").read_text("utf-8"))
        parts = [tomllib.loads(shared_parts.text(part, "toml")) for part in shared_parts.names(own)]
        self.document = shared_parts.expand(own, parts)
        self.format = self.document["formats"][name]
        self.source = partner.slug
        self.transforms = {**BUILT_IN, **getattr(_plugin(partner.path), "TRANSFORMS", {})}

    def map(self, record: RawRecord, at: datetime) -> list[Any]:
        """Return what ``map_stream`` is to give for a record that fits its schema: tuples and ``Quarantined``."""
        try:
            return [judged(item) for item in self.record(record, at)] or [
                Quarantined(record.position, "subjects", Reason.NO_SUBJECT)
            ]
        except Stop as stop:
            return [entry(record.position, stop)]

    def record(self, record: RawRecord, at: datetime) -> Iterator[Any]:
        scope = {"record": record.data, "it": record.data, "role": None, "liens": [], "identite": None, "demande": None}
        collected = self.moment("collected", "instant", scope) or at.astimezone(UTC)
        as_of = self.moment("as_of", "calendar_date", scope) or collected
        if max(collected, as_of) > at + timedelta(days=31):
            raise Stop("as_of", Refused(Reason.BAD_DATE, "futur"))
        refused: list[Quarantined] = []
        try:
            people = self.people(scope, record.position, refused)
        except Stop as stop:
            yield from [*refused, entry(record.position, stop)]
            return
        yield from refused
        for spec, own, stated, position in people:
            try:
                if (own["identite"].get("date_naissance") or "") > at.date().isoformat():
                    raise Stop("identite.date_naissance", Refused(Reason.BAD_DATE, "futur"))
                yield from self.person(spec, own, stated, position, collected, as_of)
            except Stop as stop:
                yield entry(position, stop)

    def moment(self, key: str, default: str, scope: dict[str, Any]) -> datetime | None:
        if key not in self.format:
            return None
        written = located(key, lambda: self.value(self.format[key], default, scope))
        if written is None:
            return None
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def people(self, scope: dict[str, Any], position: str, refused: list[Quarantined]) -> list[Any]:
        members = located("household", lambda: self.members(scope))
        links = self.document["tables"][self.format["household"]["links"]] if "household" in self.format else {}
        found: list[Any] = []
        for spec in self.format["subjects"].values():
            if "when" in spec and not located("subjects", lambda spec=spec: holds(spec["when"], scope)):
                continue
            chosen = located("subjects", lambda spec=spec: self.chosen(spec, scope, members))
            for one, other in spec.get("same", []):
                left, right = search(one, scope), search(other, scope)
                if not is_blank(left) and not is_blank(right) and not same(str(left).strip(), str(right).strip()):
                    raise Stop("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))
            for member in chosen:
                place = f"{position}, personne {member.place}" if member.place else position
                own = scope | {"it": member.data, "role": member.role}
                own["liens"] = links_of(member, members, links) if member.place and "household" in self.format else []
                try:
                    own["identite"] = self.traits(spec["identity"], own, "identite")
                except Stop as stop:
                    refused.append(entry(place, stop))
                    continue
                stated = {} if isinstance(spec["identity"], str) else dict(own["identite"])
                found.append((spec, own, stated, place))
        if "asked" in self.format:
            self.find_asked(scope, [own for spec, own, _, _ in found if not isinstance(spec["identity"], str)])
        return found

    def members(self, scope: dict[str, Any]) -> list[Member]:
        found: list[Member] = []
        for group in self.format["household"]["members"] if "household" in self.format else []:
            for data in search(group["each"], scope) or []:
                role = self.value(group["role"], "text", scope | {"it": data})
                found.append(Member(len(found) + 1, str(role), data))
        return found

    def chosen(self, spec: Any, scope: dict[str, Any], members: list[Member]) -> list[Member]:
        if "roles" in spec:
            return [member for member in members if member.role in spec["roles"]]
        if "each" not in spec:
            return [Member(0, "", scope["record"])]
        found = search(spec["each"], scope)
        if isinstance(found, list):
            return [Member(number, "", data) for number, data in enumerate(found, 1)]
        return [] if found is None else [Member(0, "", found)]

    def traits(self, given: Any, scope: dict[str, Any], section: str) -> dict[str, Any]:
        specs = self.document["identities"][given] if isinstance(given, str) else given
        found = {}
        for trait, spec in specs.items():
            default = TRAITS.get(trait, "text")
            value = located(f"{section}.{trait}", lambda spec=spec, default=default: self.value(spec, default, scope))
            if value is not None:
                found[trait] = value
        return found

    def find_asked(self, scope: dict[str, Any], people: list[dict[str, Any]]) -> None:
        if not people:
            return
        asked = self.traits(self.format["asked"], scope, "demande")
        if not set(asked) & set(IDENTITY):
            return
        named = [own for own in people if own["identite"]] or people
        match = (0, True)
        if len(people) > 1 or people[0]["identite"]:
            found = asked_about(asked, [own["identite"] for own in named])
            if found is None:
                raise Stop("demande", Refused(Reason.ANSWER_ABOUT_ANOTHER))
            match = found
        own = named[match[0]]
        own["demande"] = asked
        if match[1]:
            own["identite"] = asked | own["identite"]

    def person(
        self, spec: Any, own: dict[str, Any], stated: Any, position: str, collected: datetime, as_of: datetime
    ) -> Iterator[Any]:
        origin = {"source": self.source, "date_collecte": collected.strftime("%Y-%m-%dT%H:%M:%SZ")}
        base = self.format["base_legale"]
        statements: dict[str, Any] = {}
        aside = []
        for trait in IDENTITY:
            if trait in stated:
                value = partial(stated[trait]) if trait == "date_naissance" else stated[trait]
                statements[f"identite.{trait}"] = {
                    "valeur": value, "date_effet": None, "base_legale": base, **origin
                }  # fmt: skip
        for path, rule in spec.get("fields", {}).items():
            rule = rule if isinstance(rule, dict) else {"from": rule}
            try:
                said = self.statement(rule, own, base)
                if said is not None and rule.get("optional"):
                    registry.statement_validator(path).check(said | origin)
            except (Refused, registry.SchemaViolation) as error:
                refusal = error if isinstance(error, Refused) else Refused(Reason.BAD_VALUE)
                if not rule.get("optional"):
                    raise Stop(path, refusal) from None
                statements.pop(path, None)
                aside.append(entry(position, Stop(path, refusal)))
                continue
            if said is not None:
                statements[path] = said | origin
        if "outcome" in spec:
            absence = located("issue", lambda: self.value(spec["outcome"], "code", own))
            statements |= {path: {"absence": absence, **origin} for path in spec["outcome"]["fields"]}
        parts = located("local_id", lambda: [self.value(part, "text", own) for part in spec["local_id"]])
        if aside and not statements:
            yield from aside
            return
        if not any(part is not None for part in parts) or not statements:
            raise Stop("local_id", Refused(Reason.NO_SUBJECT))
        yield from aside
        local_id = "|".join("" if part is None else str(part) for part in parts)
        yield position, local_id, own["identite"], {"v": 1, "statements": statements}, as_of

    def statement(self, rule: Any, own: dict[str, Any], base: str) -> dict[str, Any] | None:
        if "when" in rule and not holds(rule["when"], own):
            return None
        absences = rule.get("absences", [])
        for each in self.document["absences"][absences] if isinstance(absences, str) else absences:
            if holds(each["when"], own):
                return {"absence": each["code"]}
        value = self.value(rule, "as_is", own)
        if value is None:
            return {"absence": rule["absent"]} if "absent" in rule else None
        since = rule.get("date_effet", self.format.get("date_effet"))
        return {
            "valeur": value,
            "date_effet": None if since is None else self.value(since, "calendar_date", own),
            "base_legale": rule.get("base_legale", base),
        }

    def value(self, spec: Any, default: str, scope: dict[str, Any]) -> Any:
        rule = spec if isinstance(spec, dict) else {"from": spec}
        if "value" in rule:
            rule = self.document["values"][rule["value"]]
        given = rule["from"]
        raw = [search(each, scope) for each in given] if isinstance(given, list) else search(given, scope)
        if is_blank(raw):
            return None
        if any(isinstance(text, str) and is_misread(text) for text in (raw if isinstance(raw, list) else [raw])):
            raise Refused(Reason.ENCODING)
        name = rule.get("with", "code" if "table" in rule else default)
        return self.transforms[name](raw, self.document["tables"][rule["table"]] if "table" in rule else {})


def search(expression: str, scope: dict[str, Any]) -> Any:
    try:
        return jmespath.search(expression, scope)
    except (JMESPathError, TypeError):
        raise Refused(Reason.BAD_VALUE, "expression") from None


def holds(condition: str, scope: dict[str, Any]) -> bool:
    found = search(condition, scope)
    return not is_blank(found) and found is not False and found != {}


def located(path: str, read: Any) -> Any:
    try:
        return read()
    except Refused as refusal:
        raise Stop(path, refusal) from None


def partial(known: str) -> dict[str, str]:
    precision = {4: "annee", 7: "mois", 10: "jour"}[len(known)]
    return {"date": (known + "-00-00")[:10] if precision != "jour" else known, "precision": precision}


def entry(position: str, stop: Stop) -> Quarantined:
    return Quarantined(position, stop.path, stop.refusal.reason, stop.refusal.detail)


def judged(item: Any) -> Any:
    if isinstance(item, Quarantined):
        return item
    try:
        registry.validator("fragment").check(item[3])
    except registry.SchemaViolation as violation:
        return Quarantined(item[0], violation.pointer, Reason.FRAGMENT, violation.reason)
    return item
