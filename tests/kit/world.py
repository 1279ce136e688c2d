"""A small consortium with real keys, the real policy and invented persons: what the tests of orders and answers share.

``World.order`` plays an honest hub; every attack starts from one of its messages and changes one thing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.consent_events import Collection as Proof
from connectors.kit.consent_events import SignedEvent, Template, sign_event
from connectors.kit.identity import parse_identity
from connectors.kit.orders import OrderRefused, Reason, Source, answer_order
from connectors.kit.policy_folder import PACKAGED_CONFIG, load_policy_folder
from connectors.kit.pull_request import Ask, SentRequest, sign_request
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import PartnerSlug, new_trace_id, new_uuid
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import HmacTokeniser, TokenSet, tokens_of
from connectors.kit.trust import Directory, DirectoryPartner, OperationalKeys, Root, subject_digest
from consent.ledger.leaf import EventClass, Leaf
from consent.model import Attributes, EventKind
from consent.policy import Policy

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
PURPOSE = "accompagnement_global"
ROLE = "referent_parcours"
AMOUNT = "droits.rsa.montant"
START = "droits.rsa.date_debut_droit"
QUOTIENT = "ressources.quotient_familial"
EMAIL = "contact.email"
FIELDS = (START, QUOTIENT, EMAIL)
SALT = bytes(range(16))

TOKENISER = HmacTokeniser(b"k" * 32, 1)
LEA = tokens_of(
    parse_identity(
        {
            "nom_naissance": "LEBRUN",
            "prenoms": ["Léa"],
            "sexe": "F",
            "date_naissance": "1988-04-12",
            "code_cog_insee_commune_naissance": "45234",
        }
    ),
    TOKENISER,
)
NOA = tokens_of(
    parse_identity(
        {
            "nom_naissance": "MARCHAND",
            "prenoms": ["Noa"],
            "sexe": "M",
            "date_naissance": "1990-11-02",
            "code_cog_insee_commune_naissance": "92050",
        }
    ),
    TOKENISER,
)


def new_ref() -> str:
    return b64url.encode(secrets.token_bytes(16))


def said(valeur: object, source: str = "caf") -> dict[str, Any]:
    return {
        "valeur": valeur,
        "source": source,
        "date_effet": "2025-12-01",
        "date_collecte": "2026-01-02T03:04:05Z",
        "base_legale": "CASF L262-40",
    }


HELD = {
    START: said("2024-03-01"),
    QUOTIENT: said({"fournisseur": "CNAF", "valeur": 512, "annee": 2025, "mois": 12}),
    "contact.telephone": said("+33612345678"),
}


def answered(world: World, order: str, source: Source, at: datetime, ref: str | None = None) -> str:
    """What caf answers when the hub posts ``order``, and beside it that it is about ``ref`` (Léa's)."""
    return answer_order(AddressedOrder(order, world.ref if ref is None else ref, b64url.encode(SALT)), source, at)


def new_leaf(at: datetime = AT, event_class: EventClass = EventClass.ACCESS) -> Leaf:
    """A leaf of its own, as the hub's journal makes one for each event."""
    drawn = secrets.token_bytes(80)
    return Leaf(event_class, drawn[:16], int(at.timestamp() * 1_000_000), drawn[16:48], drawn[48:])


@dataclass
class FakeStore:
    """The part of ``EdgeStore`` an order needs, in memory."""

    people: dict[str, tuple[str, TokenSet, dict[str, Any]]] = field(default_factory=dict)
    orders: set[str] = field(default_factory=set)
    nonces: set[str] = field(default_factory=set)
    answered: list[str] = field(default_factory=list)
    leaves: set[bytes] = field(default_factory=set)

    def local_of(self, ref: str) -> str | None:
        return next((local for local, (its_ref, _, _) in self.people.items() if its_ref == ref), None)

    def tokens_of(self, local_id: str) -> TokenSet | None:
        return self.people[local_id][1] if local_id in self.people else None

    def fragment_of(self, local_id: str) -> dict[str, Any] | None:
        held = self.people[local_id][2]
        return {"v": 1, "statements": held} if held else None

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def remember_order(self, order_id: str, expires_at: datetime) -> bool:
        seen = order_id in self.orders
        self.orders.add(order_id)
        return not seen

    def remember_nonce(self, digest: str, expires_at: datetime) -> bool:
        seen = digest in self.nonces
        self.nonces.add(digest)
        return not seen

    def keep_order(self, leaf: bytes, order: str, ref: str, at: datetime) -> bool:
        if leaf in self.leaves:
            return False
        self.leaves.add(leaf)
        self.answered.append(seal.peek(order, Typ.ORDER)["order_id"])
        return True


@dataclass
class Release:
    """A partner that keeps the named paths to itself."""

    kept: frozenset[str] = frozenset()

    def releases(self, recipient_kind: str, purpose: str) -> Collection[str]:
        return frozenset((*FIELDS, *HELD, AMOUNT)) - self.kept


class World:
    """hub, caf (the source), departement (recipient and collector), and caf's store with Léa and Noa in it."""

    def __init__(self, folder: Path) -> None:
        self.root = Root.create(folder / "root.json")
        self.identities = {slug: SigningKey.generate() for slug in ("hub", "caf", "cpam", "departement")}
        self.seals = {slug: SealKey.generate() for slug in self.identities}
        self.policy: Policy = load_policy_folder(PACKAGED_CONFIG)
        self.partners = {
            slug: DirectoryPartner(
                slug=PartnerSlug(slug),
                name=slug,
                kind={"hub": "hub", "departement": "departement"}.get(slug, "caisse"),
                operator="departement" if slug == "caf" else slug,
                status="active",
                identity_key=self.identities[slug].public_jwk,
                seal_key=self.seals[slug].public_jwk,
                endpoint="http://127.0.0.1:1",
                roles=(ROLE, "accueil") if slug == "departement" else (),
                supplies=(),
                nir_autorise=True,
                can_collect=slug == "departement",
            )
            for slug in self.identities
        }
        self.directory = self.sign_directory()
        self.keys = {slug: OperationalKeys.mint(key, slug, AT) for slug, key in self.identities.items()}
        self.ref, self.other_ref, self.my_ref = new_ref(), new_ref(), new_ref()
        self.store = FakeStore({"L1": (self.ref, LEA, dict(HELD)), "N1": (self.other_ref, NOA, {})})

    def sign_directory(self, version: int = 1, **changes: dict[str, Any]) -> Directory:
        rows = [replace(partner, **changes.get(slug, {})) for slug, partner in self.partners.items()]
        return Directory.verify(self.root.sign_directory(rows, version, AT), self.root.public_jwk, AT, version)

    def source(self, **changes: Any) -> Source:
        return replace(Source("caf", self.directory, self.policy, self.store, Release(), self.keys["caf"]), **changes)

    def consent(self, at: datetime = AT - timedelta(days=3), tokens: TokenSet = LEA, **changes: Any) -> SignedEvent:
        """An agreement to caf's fields going to the département, three days old: its certificate ended long ago."""
        notice = next(n for n in self.policy.notices if n.purpose == PURPOSE and n.regime == "accord")
        template = Template(
            kind=EventKind.GRANTED,
            purpose=PURPOSE,
            fields=FIELDS,
            sources=("caf", "cpam"),
            recipients=(("departement", (ROLE,)),),
            controllers=("Département",),
            notice=(notice, "fr"),
            end=at + timedelta(days=365),
            retention="P2Y",
            withdrawal_method="au guichet, par courrier ou en ligne",
            collection=Proof(evidence="E2", agent=b64url.encode(b"a" * 32), evidence_hash="0" * 64),
        )
        keys = OperationalKeys.mint(self.identities["departement"], "departement", at)
        return sign_event(replace(template, **changes), self.my_ref, tokens, keys, self.policy, at)

    def request(self, at: datetime = AT, tokens: TokenSet = LEA, **changes: Any) -> SentRequest:
        ask = Ask(PURPOSE, ROLE, Attributes(), b64url.encode(b"a" * 32), b64url.encode(b"c" * 32), FIELDS)
        directory = int(changes.pop("directory", self.directory.version))
        ask = replace(ask, **changes)
        return sign_request(ask, self.my_ref, tokens, self.keys["departement"], directory, at)

    def order_payload(self, request: str, authorities: list[str], at: datetime = AT) -> dict[str, Any]:
        return {
            "v": 1,
            "order_id": new_uuid(),
            "source": "caf",
            "subject": subject_digest(self.ref, SALT),
            "recipient": "departement",
            "fields": list(FIELDS),
            "request": request,
            "authorities": authorities,
            "policy_version": self.policy.version,
            "leaf": b64url.encode(new_leaf(at).encode()),
            "iat": to_epoch(at),
            "exp": to_epoch(at) + 10,
        }

    def order(
        self, sent: SentRequest | None = None, *events: SignedEvent, ref: str | None = None, **changes: Any
    ) -> str:
        """An order of the honest hub about ``ref`` (Léa's), ``changes`` made to its payload before signing."""
        chosen = [event.jws for event in (events or (self.consent(),))]
        payload = self.order_payload((sent or self.request()).jws, chosen)
        payload["subject"] = subject_digest(self.ref if ref is None else ref, SALT)
        return self.keys["hub"].sign({**payload, **changes}, Typ.ORDER)

    def answer(self, *items: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
        """A pull answer of the honest hub with ``(source, order, fragment)`` items."""
        base: dict[str, Any] = {
            "trace_id": new_trace_id(),
            "purpose": PURPOSE,
            "statuses": dict.fromkeys(FIELDS, "communique"),
            "fragments": [{"source": s, "order": o, "fragment": f} for s, o, f in items],
            "gaps": [],
            "legal": [],
            "padding": "",
        }
        return base | changes

    def open(self, jwe: str) -> dict[str, Any]:
        """What the département reads in a fragment, unverified."""
        inner = seal.unseal(jwe, Typ.SEALED_FRAGMENT, self.keys["departement"].seal_key).decode()
        return dict(seal.peek(inner, Typ.FRAGMENT))

    def forge(self, payload: Mapping[str, Any], slug: str = "caf") -> str:
        """A fragment really signed by ``slug`` and sealed to the département, whatever ``payload`` says."""
        inner = self.keys[slug].sign({k: v for k, v in payload.items() if k != "certificate"}, Typ.FRAGMENT)
        return seal.seal(inner.encode(), Typ.SEALED_FRAGMENT, self.keys["departement"].seal_key.public_jwk)


SECOND = timedelta(seconds=1)


def refused(world: World, order: str, at: Any = AT, source: Source | None = None, ref: str | None = None) -> Reason:
    """The reason an order is refused; nothing must have been answered."""
    before = list(world.store.answered)
    with pytest.raises(OrderRefused) as caught:
        answered(world, order, source or world.source(), at, ref)
    assert world.store.answered == before
    assert caught.value.kind is ErrorKind.ORDER_REFUSED
    assert caught.value.detail == caught.value.reason.value
    return caught.value.reason
