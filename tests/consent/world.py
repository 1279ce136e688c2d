"""A small invented world for the tests: twelve fields, four roles, five purposes, and events as wire payloads."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from consent.lifecycle import PersonState, fold
from consent.model import Attributes, FieldIndex, Question
from consent.policy import Policy, load_policy
from consent.records import ConsentEvent, parse_event

FIELDS: dict[str, str] = {
    "moi.nom": "C1",
    "moi.tel": "C1",
    "moi.nir": "C3",
    "droits.rsa.etat": "C2",
    "droits.rsa.date": "C2",
    "droits.aah.etat": "C5",
    "argent.revenu": "C2",
    "argent.dettes": "C4",
    "notes.synthese": "C4",
    "sante.gir": "C5",
    "enfance.mesure": "C6",
    "offre.lieu": "C0",
}
PATHS = tuple(FIELDS)
INDEX = FieldIndex(PATHS, tuple(FIELDS.values()))

ROLES = """
[roles.referent]
libelle = "Référent"
permet = ["classe:C0", "classe:C1", "classe:C2", "classe:C5"]
[[roles.referent.variantes]]
id = "siens"
si = { own = true }
permet = ["classe:C4"]
[[roles.referent.variantes]]
id = "nomme"
si = { assigned = true, mission = ["enfance"] }
permet = ["classe:C6"]

[roles.instructeur]
libelle = "Instructeur"
permet = ["moi.nom", "argent.revenu", "sante.gir"]
[[roles.instructeur.variantes]]
id = "rsa"
si = { aid = ["rsa"] }
permet = ["droits.rsa.*"]
[[roles.instructeur.variantes]]
id = "nir"
si = { mission = ["nir"] }
permet = ["moi.nir"]

[roles.tout]
libelle = "Voit tout"
permet = ["*"]

[roles.dpo]
libelle = "DPO"
traces_seulement = true
"""

RULES = """
[attributs]
missions = ["nir", "enfance"]
aides = ["rsa", "aah"]
[preuves]
C0 = "E1"
C1 = "E1"
C2 = "E1"
C3 = "E1"
C4 = "E2"
C5 = "E2"
C6 = "E2"
[[interdits]]
id = "sante"
roles = ["instructeur"]
champs = ["classe:C5"]
texte = "Jamais la santé"
[[interdits]]
id = "traces"
sauf = ["referent", "instructeur", "tout"]
champs = ["*"]
texte = "Traces seulement"
"""

PURPOSES = """
[purposes.suivi]
libelle = "Suivi"
base_art6 = "6-1-a"
condition_art9 = "9-2-a"
preuve_minimale = "E1"
acte_usuel = true
plafond = ["moi.nom", "moi.tel", "droits.*", "argent.*", "notes.*", "sante.*", "enfance.*", "moi.nir"]
[[purposes.suivi.regles]]
id = "accord"
regime = "accord"
sources = ["caisse", "commune"]
destinataires = ["departement", "commune"]
champs = ["*"]
texte = "Texte de l'accord"

[purposes.grave]
libelle = "Acte non usuel"
base_art6 = "6-1-a"
condition_art9 = "9-2-a"
preuve_minimale = "E2"
acte_usuel = false
plafond = ["*"]
[[purposes.grave.regles]]
id = "accord"
regime = "accord"
sources = ["caisse"]
destinataires = ["departement"]
champs = ["classe:C1", "classe:C2", "classe:C5", "classe:C6"]
texte = "Texte grave"

[purposes.droits]
libelle = "Droits"
base_art6 = "6-1-e"
condition_art9 = "9-2-a"
preuve_minimale = "E1"
acte_usuel = true
plafond = ["moi.*", "droits.*", "argent.*"]
[[purposes.droits.regles]]
id = "opposable"
regime = "information"
opposable = true
sources = ["caisse"]
destinataires = ["departement", "commune"]
champs = ["moi.nom", "droits.rsa.*"]
texte = "On peut s'opposer"
[[purposes.droits.regles]]
id = "sans_opposition"
regime = "information"
opposable = false
sources = ["caisse"]
destinataires = ["departement"]
champs = ["argent.revenu", "moi.nir"]
texte = "On ne peut pas s'opposer"
[[purposes.droits.regles]]
id = "sante"
regime = "accord"
sources = ["caisse"]
destinataires = ["departement"]
champs = ["droits.aah.*", "moi.tel"]
texte = "Accord pour la santé"
[[purposes.droits.regles]]
id = "loi"
regime = "obligation"
sources = ["partenaire:caf"]
destinataires = ["departement"]
champs = ["droits.rsa.etat", "moi.tel"]
texte = "La loi prévoit"

[purposes.loi]
libelle = "Loi"
base_art6 = "6-1-c"
acte_usuel = true
plafond = ["moi.nom", "droits.rsa.*"]
[[purposes.loi.regles]]
id = "obligation"
regime = "obligation"
sources = ["caisse", "commune"]
destinataires = ["departement"]
champs = ["*"]
texte = "La loi prévoit"

[purposes.stats]
libelle = "Statistiques"
base_art6 = "6-1-e"
anonyme = true
texte = "Rien d'identifiant"
"""

TEXT = b"Le texte exact.\n"
TEXT_SHA256 = hashlib.sha256(TEXT).hexdigest()
NOTICES = {"suivi": "accord", "grave": "accord", "droits": "information", "droits_accord": "accord"}
"""Notice id (the purpose's code before the underscore) and its regime; ``loi`` has none."""


def files() -> dict[str, bytes]:
    """Return this world's ``config/``."""
    found = {"roles.toml": ROLES.encode(), "rules.toml": RULES.encode(), "purposes.toml": PURPOSES.encode()}
    for notice, regime in NOTICES.items():
        manifest = f'id = "{notice}"\nversion = "1"\npurpose = "{notice.split("_")[0]}"\n'
        manifest += f'regime = "{regime}"\nlanguages = ["fr"]\n'
        found |= {f"notices/{notice}/1/notice.toml": manifest.encode(), f"notices/{notice}/1/fr.md": TEXT}
    return found


def policy() -> Policy:
    """Return this world's policy, compiled."""
    return load_policy(files(), INDEX)


START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    """Return the moment ``hours`` after the world began."""
    return START + timedelta(hours=hours)


def instant(hours: float) -> str:
    """Return that moment as events write it."""
    return at(hours).isoformat().replace("+00:00", "Z")


def mandate(nature: str, holder: str = "holder-1", **changed: Any) -> dict[str, Any]:
    """Return a mandate over the person, on every field, from hour 0 to 100."""
    return {
        "nature": nature,
        "mandatary": holder,
        "champ": ["personne", "biens"],
        "scope": ["*"],
        "valid_from": instant(0),
        "valid_to": instant(100),
    } | changed


def payload(kind: str, record: str = "r1", **changed: Any) -> dict[str, Any]:
    """Return one event's payload: by default about ``moi.nom`` from caf to departement under ``suivi``, hours 0–10."""
    whole_person = kind in ("frozen", "unfrozen", "protected", "unprotected")
    purpose = changed.get("purpose", None if whole_person else "suivi")
    notice = f"{purpose}_accord" if purpose == "droits" and kind in ("granted", "renewed") else purpose
    event = {
        "v": 1,
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record}/{changed.get('seq', 0)}")),
        "record_id": record,
        "kind": kind,
        "seq": 0,
        "prev": None,
        "at": instant(0),
        "certificate": "not read here",
        "collector": "departement",
        "subject": "s",
        "subject_proofs": [],
        "purpose": purpose,
        "pii_information": [] if whole_person and kind != "protected" else ["moi.nom"],
        "sources": [] if whole_person else ["caf"],
        "recipients": [] if whole_person else [{"partner": "departement", "roles": []}],
        "notice": {"id": notice, "version": "1", "language": "fr", "sha256": TEXT_SHA256}
        if kind in ("granted", "renewed", "informed")
        else None,
        "validity": {"from": instant(0), "to": instant(10)},
        "collection": {"channel": "guichet", "evidence": "E2", "agent": "a", "second_agent": "b", "evidence_hash": "h"},
        "actor": "representant" if changed.get("mandate") else "personne",
        "mandate": None,
        "supersedes": None,
    }
    return event | changed


def payload_digest(event: dict[str, Any]) -> str:
    """Return an event's digest without the code under test: for ASCII and whole numbers this is JCS too."""
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def chain(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the payloads with ``seq`` and ``prev`` filled in, per record."""
    last: dict[str, dict[str, Any]] = {}
    done = []
    for event in events:
        before = last.get(event["record_id"])
        if before is not None:
            event = event | {"seq": before["seq"] + 1, "prev": payload_digest(before)}
        last[event["record_id"]] = event
        done.append(event)
    return done


def parsed(*events: dict[str, Any]) -> list[ConsentEvent]:
    """Return the chained payloads, parsed."""
    return [parse_event(event, INDEX) for event in chain(*events)]


def state(*events: dict[str, Any]) -> PersonState:
    """Return the person's state after the payloads, chained."""
    return fold(parsed(*events))


def question(*wanted: str, hours: float = 5, **changed: Any) -> Question:
    """Return a question: by default the all-seeing role of departement asks caf under ``suivi`` at hour 5."""
    asked: dict[str, Any] = {
        "purpose": "suivi",
        "role": "tout",
        "attributes": Attributes(),
        "source": "caf",
        "source_kind": "caisse",
        "recipient": "departement",
        "recipient_kind": "departement",
        "wanted": INDEX.mask(wanted or PATHS),
        "at": at(hours),
    }
    return Question(**asked | changed)
