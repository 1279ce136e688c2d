"""A hub in a folder: real SQLite, real keys, real signatures; only the clock and the edges' network are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from connectors.kit import seal, trust
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.consent_events import Collection, Previous, Template, sign_event
from connectors.kit.hub_client import ASSERTION_TYPE, client_assertion
from connectors.kit.pull_request import Ask, SentRequest, sign_request
from connectors.kit.runtime import b64url, keys
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.source_fragment import build_statements, seal_fragment
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import DirectoryPartner, Root, RotatingKeys
from consent.model import Attributes, EventKind
from hub.app import close_hub, create_app
from hub.home import HubHome
from hub.services.runtime import Hub
from hub.settings import Settings, load_settings
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.store.session import Writer
from tests.hub.stores import Store, open_secrets, open_sequencer

URL = "http://127.0.0.1:8400"
PURPOSE = "accompagnement_global"
RSA = ("droits.rsa.etat", "droits.rsa.date_debut_droit")
QF = ("ressources.quotient_familial",)
C2S = ("droits.c2s.etat",)
ROLES = ("referent_parcours", "accueil", "travailleur_social")
_AGENT, _SECOND, _CASE = (b64url.encode(bytes([n]) * 32) for n in (1, 2, 3))


def tokens(person: int, **flags: Any) -> TokenSet:
    """The tokens of an invented person: as opaque here as they are to the hub."""
    made = tuple((kind, bytes([n, person]) * 16) for n, kind in enumerate(("sgd", "insi", "gdp", "sdp", "sg_y")))
    usual = {"nir": "absent", "date_precision": "jour", "ne_a_l_etranger": False, "nombre_prenoms": 1}
    return TokenSet(made, usual | flags)


@dataclass
class Kit:
    """One partner of the test: its keys and what the directory says of it."""

    slug: str
    entry: DirectoryPartner
    identity: SigningKey
    operational: RotatingKeys
    seal_key: SealKey


@dataclass
class Edges:
    """The network: answers orders as a source would, with real seals. Tests hook in before an answer."""

    world: World | None = None
    before: Callable[[str], None] = lambda slug: None
    orders: list[dict[str, Any]] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    """What travelled beside each order: the ref its source knows the person by."""
    failing: dict[str, MaillonError] = field(default_factory=dict)
    replace: dict[str, str] = field(default_factory=dict)

    def send(self, endpoint: str, addressed: AddressedOrder) -> str:
        order = addressed.order
        assert self.world is not None
        slug = endpoint.rsplit("/", 1)[-1]
        kit, hub = self.world.partners[slug], self.world.directory.partner("hub")
        payload, _ = trust.open_certified(order, Typ.ORDER, "hub", hub.identity_key)
        assert payload["subject"] == addressed.subject
        self.orders.append(payload)
        self.refs.append(addressed.ref)
        self.before(slug)
        if slug in self.failing:
            raise self.failing[slug]
        if slug in self.replace:
            return self.replace[slug]
        _, certificate = trust.verify_certified(
            payload["request"], Typ.REQUEST, "requester", self.world.directory, self.world.clock.now()
        )
        statements = build_statements(None, payload["fields"], payload["fields"], slug, self.world.clock.now())
        return seal_fragment(
            statements,
            tokens(1),
            kit.operational(),
            payload,
            seal.jws_digest(order),
            seal.jws_digest(payload["request"]),
            certificate.seal_key,
            self.world.clock.now(),
        )


class World:
    """A consortium: its root, its partners, a hub that serves them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.clock = FakeClock()
        self.edges = Edges(self)
        self.home = HubHome(folder / "hub")
        self.root = Root.create(folder / "root.json")
        entry = self.home.create(url=URL, host="127.0.0.1", port=8400, operator="Département", clock=self.clock)
        self.entries = {"hub": entry}
        self.partners: dict[str, Kit] = {}
        self.version = 0
        every = (*RSA, *QF, *C2S, "contact.telephone", "accompagnement.phase", "droits.aah.etat")
        self.join("departement", "departement", roles=ROLES, can_collect=True, supplies=("accompagnement.phase",))
        self.join("caf", "caisse", supplies=tuple(path for path in every if path not in C2S), nir_autorise=True)
        self.join("cpam", "caisse", supplies=C2S, nir_autorise=True)
        self.join("ccas", "commune", roles=ROLES, can_collect=True)
        self.sign_directory()
        settings = replace(load_settings(self.home.path, {}), tick_ms=0, directory_seconds=0)
        self.settings: Settings = replace(settings, **changes)
        self.app: Flask = create_app(self.settings, clock=self.clock, sources=self.edges)
        self._tokens: dict[str, str] = {}

    @property
    def hub(self) -> Hub:
        found: Hub = self.app.extensions["hub"]
        return found

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    @property
    def directory(self) -> trust.Directory:
        return self.hub.directory.get()

    def join(self, slug: str, kind: str, **facts: Any) -> None:
        identity, seal_key = SigningKey.generate(), SealKey.generate()
        self.entries[slug] = DirectoryPartner(
            trust.PartnerSlug(slug),
            slug.upper(),
            kind,
            slug,
            "active",
            identity.public_jwk,
            seal_key.public_jwk,
            f"https://edges.example/{slug}",
            **facts,
        )
        self.partners[slug] = Kit(
            slug, self.entries[slug], identity, RotatingKeys(identity, slug, self.clock), seal_key
        )

    def sign_directory(self) -> None:
        self.version += 1
        token = self.root.sign_directory(self.entries.values(), self.version, self.clock.now())
        self.home.install_directory(token, self.root.public_jwk, self.clock)

    def principal(self, name: str) -> RotatingKeys:
        if name in self.partners:
            return self.partners[name].operational
        return RotatingKeys(keys.load_signing_key(self.home.path / f"{name}.jwk"), name, self.clock)

    def assertion(self, name: str) -> str:
        return client_assertion(self.principal(name)(), URL, self.clock.now())

    def sign_in(self, assertion: str) -> TestResponse:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return self.client.post("/oauth/token", data=form)

    def token(self, name: str) -> str:
        if name not in self._tokens:
            answer = self.sign_in(self.assertion(name))
            assert answer.status_code == 200, answer.text
            self._tokens[name] = answer.get_json()["access_token"]
        return self._tokens[name]

    def post(self, name: str, path: str, document: object) -> TestResponse:
        return self.client.post(path, json=document, headers={"Authorization": f"Bearer {self.token(name)}"})

    def ok(self, name: str, path: str, document: object) -> dict[str, Any]:
        answer = self.post(name, path, document)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def register(self, name: str, person: int, *, sections: Sequence[str] = (), key: int | None = None) -> str:
        record = {"record_key": record_key(person if key is None else key), "sections": list(sections)}
        document = {"records": [record | tokens(person).to_wire()]}
        ref: str = self.ok(name, "/v1/registrations", document)["registrations"][0]["ref"]
        return ref

    def event(self, ref: str, kind: EventKind, *, collector: str = "departement", **facts: Any) -> dict[str, str]:
        """A signed event; what the kind needs and the test does not care about is filled in."""
        policy = self.hub.policy.get()
        usual: dict[str, Any] = {
            "collection": Collection(evidence="E1", agent=_AGENT, second_agent=_SECOND),
            "controllers": ("Département",),
            "retention": "P2Y",
            "withdrawal_method": "au guichet",
        }
        if kind not in (EventKind.FROZEN, EventKind.UNFROZEN, EventKind.PROTECTED, EventKind.UNPROTECTED):
            usual |= {"purpose": PURPOSE}
        if kind in (EventKind.GRANTED, EventKind.NARROWED, EventKind.RENEWED, EventKind.INFORMED):
            usual |= {
                "fields": (*RSA, *QF),
                "sources": ("caf",),
                "recipients": (("departement", ()),),
                "end": self.clock.now() + timedelta(days=30),
            }
        if kind in (EventKind.GRANTED, EventKind.RENEWED):
            usual |= {"notice": (policy.notice("accompagnement_global", "1"), "fr")}
        if kind in (EventKind.PROTECTED, EventKind.FROZEN):
            usual |= {"actor": "institution"} if kind is EventKind.FROZEN else {}
        template = Template(kind=kind, **(usual | facts))
        operational = self.partners[collector].operational()
        signed = sign_event(template, ref, tokens(1), operational, policy, self.clock.now())
        return {"event": signed.jws, "ref": ref, "salt": signed.salt}

    def consent(self, ref: str, kind: EventKind, *, collector: str = "departement", **facts: Any) -> dict[str, Any]:
        return self.ok(collector, "/v1/consents", self.event(ref, kind, collector=collector, **facts))

    def follows(self, ref: str, record_id: str, collector: str = "departement") -> Previous:
        records = self.ok(collector, "/v1/consents/search", {"ref": ref})["records"]
        (record,) = [each for each in records if each["record_id"] == record_id]
        return Previous(record_id=record_id, seq=record["seq"], digest=record["last_event"])

    def request(
        self,
        ref: str,
        fields: Sequence[str] = (*RSA, *QF, *C2S),
        *,
        recipient: str = "departement",
        role: str = "referent_parcours",
        purpose: str = PURPOSE,
        attributes: Attributes | None = None,
    ) -> SentRequest:
        ask = Ask(purpose, role, attributes or Attributes(), _AGENT, _CASE, tuple(fields))
        return sign_request(ask, ref, tokens(1), self.partners[recipient].operational(), self.version, self.clock.now())

    def pull(self, ref: str, *args: Any, recipient: str = "departement", **kwargs: Any) -> dict[str, Any]:
        return self.ok(recipient, "/v1/pulls", body_of(self.request(ref, *args, recipient=recipient, **kwargs)))

    def log(self, view: str = "dpo", name: str = "dpo", **criteria: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ok(name, "/v1/access-log/search", {"view": view, **criteria})["rows"]
        return rows


def record_key(n: int) -> str:
    """A record key as an edge makes them: 16 bytes that say nothing."""
    return b64url.encode(n.to_bytes(16, "big"))


def body_of(sent: SentRequest) -> dict[str, str]:
    """The body of ``POST /v1/pulls``."""
    return {"request": sent.jws, "ref": sent.ref, "salt": sent.salt}


def problem(answer: TestResponse, kind: ErrorKind) -> Mapping[str, Any]:
    """The problem an answer carries, which must be of this kind."""
    found: Mapping[str, Any] = answer.get_json()
    assert answer.content_type == "application/problem+json"
    assert str(found["type"]).endswith(f"/{kind.value}"), found
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    close_hub(world.hub)


@pytest.fixture
def known(world: World) -> dict[str, str]:
    """One person, known to four partners; each has its own ref."""
    sections = {"departement": ["accompagnement"], "caf": ["droits", "ressources", "contact"], "cpam": ["droits"]}
    return {slug: world.register(slug, 1, sections=sections.get(slug, ())) for slug in world.partners}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(tmp_path / "hub.db")
    upgrade(engine, "hub")
    return engine


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[SecretStore]:
    secrets = open_secrets(tmp_path, FakeClock())
    yield secrets
    secrets.close()


@pytest.fixture
def writer(engine: Engine, secrets: SecretStore) -> Iterator[Writer]:
    writer = Writer(engine, secrets, open_sequencer(), FakeClock())
    yield writer
    writer.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.writer.close()
    store.secrets.close()
