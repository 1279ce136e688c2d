"""An independent reading of DESIGN §5–6: per field, with sets and loops, from the TOML and the wire payloads.

Shares no code with ``consent``: neither masks nor its parser, tables or enumerations. Slow and plain on purpose.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

NEXT = {
    "": {"granted", "denied", "informed", "objected", "frozen", "protected"},
    "granted": {"narrowed", "renewed", "revoked", "invalidated"},
    "denied": {"revoked", "invalidated"},
    "informed": {"objected", "invalidated"},
    "objected": {"objection_upheld", "objection_rejected", "revoked"},
    "objection_upheld": {"revoked"},
    "objection_rejected": {"objected", "invalidated"},
    "frozen": {"unfrozen"},
    "protected": {"protected", "unprotected"},
}
"""What may happen next, by what a record now is."""

KINDS = {"hub", "departement", "commune", "caisse", "etat", "sante", "bailleur", "association"}
DECIDING = {"tutelle", "habilitation_familiale", "mandat_protection_future", "autorite_parentale", "jugement"}


def selects(selector: str, path: str, classe: str) -> bool:
    """Say whether one selector of the configuration means this field."""
    for part in selector.split("&"):
        part = part.strip()
        if part == "*":
            continue
        if part.startswith("classe:"):
            if part != f"classe:{classe}":
                return False
        elif part.endswith(".*") and "*" not in part[:-2]:
            if not path.startswith(part[:-1]):
                return False
        elif "*" in part:
            ours, theirs = part.split("."), path.split(".")
            if len(ours) != len(theirs):
                return False
            for mine, its in zip(ours, theirs, strict=True):
                if mine not in ("*", its):
                    return False
        elif part != path:
            return False
    return True


class Law:
    """The configuration, re-read."""

    def __init__(self, files: Mapping[str, bytes], fields: Mapping[str, str]) -> None:
        self.fields = fields
        self.roles = tomllib.loads(files["roles.toml"].decode())["roles"]
        self.rules = tomllib.loads(files["rules.toml"].decode())
        self.purposes = tomllib.loads(files["purposes.toml"].decode())["purposes"]
        self.notices = [
            tomllib.loads(content.decode()) for name, content in files.items() if name.endswith("/notice.toml")
        ]
        self._meant: dict[tuple[str, ...], set[str]] = {}

    def means(self, selectors: Sequence[str], path: str) -> bool:
        """Say whether one of the selectors means this field (remembered, for the exhaustive checks)."""
        key = tuple(selectors)
        if key not in self._meant:
            self._meant[key] = {
                p for p, classe in self.fields.items() if any(selects(selector, p, classe) for selector in selectors)
            }
        return path in self._meant[key]

    def is_denied(self, role: str, path: str) -> bool:
        """Say whether a prohibition keeps the field from the role."""
        for row in self.rules.get("interdits", []):
            concerned = role in row["roles"] if "roles" in row else role not in row["sauf"]
            if role in self.roles and concerned and self.means(row["champs"], path):
                return True
        return False

    def is_permitted(self, role: str, attributes: Mapping[str, Any], path: str) -> bool:
        """Say whether the role may see the field, with attributes (unknown ones: as if none were given)."""
        if role not in self.roles:
            return False
        known = attributes
        if attributes["mission"] not in (None, *self.rules["attributs"]["missions"]):
            known = {"assigned": False, "own": False, "mission": None, "aid": None}
        if attributes["aid"] not in (None, *self.rules["attributs"]["aides"]):
            known = {"assigned": False, "own": False, "mission": None, "aid": None}
        table = self.roles[role]
        lists = [table["permet"]] if "permet" in table else []
        for variant in table.get("variantes", []):
            applies = True
            for name, needed in variant["si"].items():
                if isinstance(needed, list):
                    applies = applies and known[name] in needed
                else:
                    applies = applies and known[name] is True
            if applies:
                lists.append(variant["permet"])
        return any(self.means(selectors, path) for selectors in lists)

    def regime(
        self, purpose: str, source: str, source_kind: str, recipient_kind: str, path: str
    ) -> tuple[str, bool] | None:
        """Return (regime, opposable) of the field, or None when the purpose does not cover it."""
        table = self.purposes.get(purpose)
        if table is None or not self.means(table.get("plafond", []), path):
            return None
        if source_kind not in KINDS or recipient_kind not in KINDS:
            return None
        by_name, by_kind = [], []
        for row in table["regles"]:
            if recipient_kind in row["destinataires"] and self.means(row["champs"], path):
                found = (row["regime"], row.get("opposable", False))
                if f"partenaire:{source}" in row["sources"]:
                    by_name.append(found)
                elif source_kind in row["sources"]:
                    by_kind.append(found)
        assert len(by_name) <= 1
        assert by_name or len(by_kind) <= 1
        return (by_name + by_kind + [None])[0]

    def is_proven(self, purpose: str, level: str, path: str) -> bool:
        """Say whether this proof releases this field under this purpose. Levels compare as texts."""
        minimum = self.purposes[purpose].get("preuve_minimale", "E9")
        return level >= minimum and level >= self.rules["preuves"][self.fields[path]]


class Record:
    """One record, replayed from its payloads."""

    def __init__(self) -> None:
        self.now = ""
        self.seq = -1
        self.last_digest: str | None = None
        self.purpose: str | None = None
        self.given: dict[str, Any] | None = None
        self.refused: dict[str, Any] | None = None
        self.mandate: dict[str, Any] | None = None
        self.proof = "E0"
        self.notice: dict[str, Any] | None = None
        self.begin = ""
        self.end: str | None = None

    def problem(self, event: Mapping[str, Any]) -> str | None:
        """Return why the event may not come next, or None."""
        kind = event["kind"]
        if kind not in NEXT.get(self.now, set()):
            return "transition"
        if event["seq"] != self.seq + 1 or event["prev"] != self.last_digest:
            return "chain"
        if self.now and event["purpose"] is not None and event["purpose"] != self.purpose:
            return "purpose"
        if kind in ("narrowed", "renewed"):
            assert self.given is not None
            if not set(event["pii_information"]) <= set(self.given["pii_information"]):
                return "scope"
            if not set(event["sources"]) <= set(self.given["sources"]):
                return "scope"
            before = {row["partner"]: set(row["roles"]) for row in self.given["recipients"]}
            for row in event["recipients"]:
                if row["partner"] not in before:
                    return "scope"
                allowed = before[row["partner"]]
                if allowed and (not row["roles"] or not set(row["roles"]) <= allowed):
                    return "scope"
        said_by = event["mandate"]["mandatary"] if event["mandate"] else None
        owner = self.mandate["mandatary"] if self.mandate else None
        takes_back_a_refusal = kind == "revoked" and self.now in ("denied", "objected", "objection_upheld")
        if (kind == "renewed" or takes_back_a_refusal) and said_by != owner:
            return "voice"
        return None

    def take(self, event: Mapping[str, Any], digest: str) -> None:
        """Replay one event that has no problem."""
        kind = event["kind"]
        if not self.now:
            self.purpose, self.mandate, self.notice = event["purpose"], event["mandate"], event["notice"]
            self.begin, self.end = event["validity"]["from"], event["validity"]["to"]
        self.seq, self.last_digest = event["seq"], digest
        if kind == "granted":
            self.given, self.proof = dict(event), event["collection"]["evidence"]
        if kind == "informed":
            self.given = dict(event)
        if kind in ("denied", "objected"):
            self.refused = dict(event)
        if kind == "narrowed":
            self.given = dict(event)
            self.begin = max(self.begin, event["validity"]["from"])
            assert self.end is not None
            self.end = min(self.end, event["validity"]["to"] or self.end)
        if kind == "renewed":
            self.given, self.proof = dict(event), event["collection"]["evidence"]
            self.notice, self.mandate = event["notice"], event["mandate"]
            self.begin, self.end = event["validity"]["from"], event["validity"]["to"]
        if kind == "protected":
            already = self.refused["pii_information"] if self.refused else []
            self.refused = {"pii_information": [*already, *event["pii_information"]]}
        if kind == "objection_rejected":
            self.refused = None
        after = {"narrowed": "granted", "renewed": "granted", "unfrozen": "over", "unprotected": "over"}
        after |= {"invalidated": "over"}
        if kind == "revoked":
            if self.now in ("objected", "objection_upheld"):
                self.now, self.refused = "informed", None
            else:
                self.now = "over"
        else:
            self.now = after.get(kind, kind)


def moment(text: str) -> datetime:
    """Return the instant of a wire text."""
    return datetime.fromisoformat(text)


class Person:
    """All records of a person, and what they mean for one field."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def problem(self, event: Mapping[str, Any]) -> str | None:
        """Return why the event may not come next, or None."""
        return self.records.get(event["record_id"], Record()).problem(event)

    def take(self, event: Mapping[str, Any], digest: str) -> None:
        """Replay one event."""
        self.records.setdefault(event["record_id"], Record()).take(event, digest)


def in_scope(scope: Mapping[str, Any] | None, path: str, asked: Mapping[str, Any]) -> bool:
    """Say whether a statement speaks of this field, source, recipient and role. Empty lists mean everyone."""
    if scope is None or path not in scope["pii_information"]:
        return False
    if scope["sources"] and asked["source"] not in scope["sources"]:
        return False
    if not scope["recipients"]:
        return True
    for row in scope["recipients"]:
        if row["partner"] == asked["recipient"] and (not row["roles"] or asked["role"] in row["roles"]):
            return True
    return False


def has_a_say(record: Record, law: Law, path: str, at: datetime) -> bool:
    """Say whether whoever speaks in the record may speak about this field now."""
    mandate = record.mandate
    if mandate is None:
        return True
    return (
        mandate["nature"] in DECIDING
        and "personne" in mandate["champ"]
        and moment(mandate["valid_from"]) <= at < moment(mandate["valid_to"])
        and law.means(mandate["scope"], path)
    )


def is_live(record: Record, at: datetime) -> bool:
    """Say whether now stands in the record's time."""
    return moment(record.begin) <= at and (record.end is None or at < moment(record.end))


def text_is_known(record: Record, law: Law, regime: str, sha256: str) -> bool:
    """Say whether the text that was shown is one of the configuration's (all of which hash to ``sha256``)."""
    shown = record.notice
    if shown is None:
        return False
    return any(
        (notice["purpose"], notice["regime"], notice["id"], notice["version"])
        == (record.purpose, regime, shown["id"], shown["version"])
        and shown["language"] in notice["languages"]
        and shown["sha256"] == sha256
        for notice in law.notices
    )


def why(law: Law, person: Person, asked: Mapping[str, Any], path: str, sha256: str) -> str:
    """Return the reason of one field, in the words of DESIGN §6."""
    at = asked["at"]
    if law.is_denied(asked["role"], path):
        return "role_deny"
    if not law.is_permitted(asked["role"], asked["attributes"], path):
        return "no_rule"
    found = law.regime(asked["purpose"], asked["source"], asked["source_kind"], asked["recipient_kind"], path)
    if found is None:
        return "purpose_cap"
    for record in person.records.values():
        if record.now == "frozen":
            return "protected"
        if record.now == "protected" and record.refused and path in record.refused["pii_information"]:
            return "protected"
    regime, opposable = found
    if regime == "obligation":
        return "ok"
    mine = [r for r in person.records.values() if r.purpose == asked["purpose"] and has_a_say(r, law, path, at)]
    if regime == "information":
        for record in mine:
            opposed = record.now in ("objected", "objection_upheld") and in_scope(record.refused, path, asked)
            if opposed and opposable:
                return "objection"
        for record in mine:
            told = record.now in ("informed", "objected", "objection_upheld", "objection_rejected")
            covered = is_live(record, at) and in_scope(record.given, path, asked)
            if told and covered and text_is_known(record, law, "information", sha256):
                return "ok"
        return "no_consent"
    agreeing = [
        r
        for r in mine
        if r.now == "granted"
        and is_live(r, at)
        and in_scope(r.given, path, asked)
        and text_is_known(r, law, "accord", sha256)
    ]
    refusing = [r for r in mine if r.now == "denied" and is_live(r, at) and in_scope(r.refused, path, asked)]
    if judged_here(law, person, asked, path, sha256):
        agreeing = [r for r in agreeing if nature(r) != "autorite_parentale"]
        refusing = [r for r in refusing if nature(r) != "autorite_parentale"]
    if refusing:
        return "consent_deny"
    proven = [r for r in agreeing if law.is_proven(asked["purpose"], r.proof, path)]
    if suffices(law, asked["purpose"], proven):
        return "ok"
    if suffices(law, asked["purpose"], agreeing):
        return "evidence"
    return "no_consent"


def nature(record: Record) -> str | None:
    """Return the nature of the record's mandate."""
    return record.mandate["nature"] if record.mandate else None


def judged_here(law: Law, person: Person, asked: Mapping[str, Any], path: str, sha256: str) -> bool:
    """Say whether a judgment in use for this question covers the field: some field agreed or refused under it."""
    for record in person.records.values():
        if record.purpose != asked["purpose"] or nature(record) != "jugement":
            continue
        if not has_a_say(record, law, path, asked["at"]) or not is_live(record, asked["at"]):
            continue
        for other in law.fields:
            if not has_a_say(record, law, other, asked["at"]):
                continue
            if record.now == "denied" and in_scope(record.refused, other, asked):
                return True
            agreed = record.now == "granted" and in_scope(record.given, other, asked)
            if agreed and text_is_known(record, law, "accord", sha256):
                return True
    return False


def suffices(law: Law, purpose: str, agreeing: Sequence[Record]) -> bool:
    """Say whether these agreements are enough: anyone but a parent, or one parent, or two when the act is unusual."""
    parents = set()
    for record in agreeing:
        if nature(record) != "autorite_parentale":
            return True
        assert record.mandate is not None
        parents.add(record.mandate["mandatary"])
    return len(parents) >= (1 if law.purposes[purpose]["acte_usuel"] else 2)
