"""Two edges in two homes, one person both hold, one agreement; the hub's part is played."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.consent_events import Collection, Template, sign_event
from connectors.kit.edge import Edge
from connectors.kit.edge_app import create_app
from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.pull import pull
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import FakeClock, to_epoch
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import new_trace_id, new_uuid
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet
from connectors.kit.transport import FarSideError
from connectors.kit.trust import HUB, DirectoryPartner, OperationalKeys, Root, subject_digest
from consent.model import EventKind
from tests.kit.world import AT, PURPOSE, ROLE, new_leaf

START, QUOTIENT = "droits.rsa.date_debut_droit", "ressources.quotient_familial"
LOCAL = {"caf": "0123456", "departement": "D-1"}


class FakeHub:
    """The hub's part of a pull, honest unless told otherwise; stands where ``Edge.hub`` does."""

    def __init__(self, consortium: Consortium) -> None:
        self.c = consortium
        self.keys = OperationalKeys.mint(consortium.hub_identity, HUB, AT)
        self.offered = ""
        self.changes: dict[str, Any] = {}
        self.replies: list[int] = []

    def directory(self) -> str:
        if not self.offered:
            raise FarSideError(ErrorKind.UNAVAILABLE, "down")
        return self.offered

    def ref_map(self, after: str | None = None) -> dict[str, Any]:
        return {"epoch": 1, "map": None, "next": None}

    def pull(self, request: str, ref: str, salt: str) -> dict[str, Any]:
        asked = seal.peek(request, Typ.REQUEST)
        now = to_epoch(self.c.clock.now())
        fields = [path for path in (START, QUOTIENT) if path in asked["fields"]]
        salt = bytes(16)
        order = self.keys.sign(
            {
                "v": 1,
                "order_id": new_uuid(),
                "source": "caf",
                "subject": subject_digest(self.c.refs["caf"], salt),
                "recipient": asked["requester"],
                "fields": fields,
                "request": request,
                "authorities": [self.c.consent],
                "policy_version": self.c.edges["caf"].policy.version,
                "leaf": b64url.encode(new_leaf(self.c.clock.now()).encode()),
                "iat": now,
                "exp": now + 10,
                **self.changes,
            },
            Typ.ORDER,
        )
        body = AddressedOrder(order, self.c.refs["caf"], b64url.encode(salt)).to_body()
        reply = self.c.caf.post("/v1/orders", data=body, content_type="application/json")
        self.replies.append(reply.status_code)
        sent = reply.status_code == 200
        return {
            "trace_id": new_trace_id(),
            "purpose": asked["purpose"],
            "statuses": dict.fromkeys(fields, "communique"),
            "fragments": [{"source": "caf", "order": order, "fragment": reply.text}] if sent else [],
            "gaps": [] if sent else [{"source": "caf", "outcome": "non_autorise"}],
            "legal": [],
            "padding": "",
        }


@dataclass
class Consortium:
    """caf and departement in two homes, one person held by both, one agreement."""

    root: Root
    hub_identity: SigningKey
    homes: dict[str, EdgeHome]
    rows: list[DirectoryPartner]
    clock: FakeClock
    edges: dict[str, Edge]
    refs: dict[str, str]
    tokens: TokenSet
    consent: str = ""

    @property
    def caf(self) -> FlaskClient:
        return create_app(self.edges["caf"]).test_client()

    def directory(self, version: int, *rows: DirectoryPartner) -> str:
        return self.root.sign_directory(rows or self.rows, version, self.clock.now())


def settings(slug: str, **changes: Any) -> EdgeSettings:
    base = EdgeSettings(slug=slug, hub_url="http://127.0.0.1:8400", url="http://127.0.0.1:8411", co_hosted=True)
    return replace(base, **changes)


def folder(slug: str) -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / slug)


IDENTITY = {
    "nom_naissance": "LEBRUN",
    "prenoms": ["Léa"],
    "sexe": "F",
    "date_naissance": "1988-04-12",
    "code_cog_insee_commune_naissance": "45234",
}


def agreement(c: Consortium) -> str:
    edge = c.edges["departement"]
    notice = next(n for n in edge.policy.notices if n.purpose == PURPOSE and n.regime == "accord")
    template = Template(
        kind=EventKind.GRANTED,
        purpose=PURPOSE,
        fields=(START, QUOTIENT),
        sources=("caf",),
        recipients=(("departement", (ROLE,)),),
        notice=(notice, "fr"),
        end=AT + timedelta(days=365),
        retention="P2Y",
        withdrawal_method="au guichet",
        collection=Collection(evidence="E2", agent=edge.tag("agent", "martin"), evidence_hash="0" * 64),
    )
    return sign_event(template, c.refs["departement"], c.tokens, edge.operational(), edge.policy, AT).jws


def ask(c: Consortium, **changes: Any) -> Any:
    options: dict[str, Any] = {"purpose": PURPOSE, "role": ROLE, "agent": "martin", "case": "2026-17"}
    return pull(c.edges["departement"], LOCAL["departement"], **{**options, **changes})
