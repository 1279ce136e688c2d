"""Real edges in real homes: joining, answering over HTTP, pulling through an in-process hub, new directories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.assembly import Finding
from connectors.kit.consent_events import Collection, Template, sign_event
from connectors.kit.edge import Edge
from connectors.kit.edge_app import MAX_ORDER_BYTES, create_app
from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.identity import parse_identity
from connectors.kit.klink import with_new
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.pull import pull
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import FakeClock, to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PartnerSlug, new_trace_id, new_uuid
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet, tokens_of
from connectors.kit.transport import FarSideError
from connectors.kit.trust import HUB, DirectoryPartner, OperationalKeys, Root, subject_digest
from consent.model import EventKind
from schemas.registry import validator
from tests.kit.world import AT, PURPOSE, ROLE, new_leaf, new_ref, said

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


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    clock = FakeClock(AT)
    root, hub_identity = Root.create(tmp_path / "root.json"), SigningKey.generate()
    hub = DirectoryPartner(
        HUB,
        "Maillon",
        "hub",
        "dep",
        "active",
        hub_identity.public_jwk,
        SealKey.generate().public_jwk,
        "http://127.0.0.1:1",
    )
    homes = {slug: EdgeHome(tmp_path / slug) for slug in LOCAL}
    rows = [hub, *(home.create(folder(slug), settings(slug)) for slug, home in homes.items())]
    token = root.sign_directory(rows, 1, AT)
    edges = {}
    for slug, home in homes.items():
        klink = root.seal_klink(slug, next(row for row in rows if row.slug == slug).seal_key)
        home.join(root.public_jwk, root.fingerprint.upper(), token + "\n", klink + "\n", AT)
        edges[slug] = Edge.open(home.path, clock)
    tokens = tokens_of(parse_identity(IDENTITY), edges["caf"].tokeniser)
    refs = {slug: new_ref() for slug in LOCAL}
    made = Consortium(root, hub_identity, homes, rows, clock, edges, refs, tokens)
    for slug, local_id in LOCAL.items():
        edges[slug].store.upsert_subject(local_id, IDENTITY, tokens)
        edges[slug].store.set_ref(local_id, refs[slug])
    statements = {
        START: said("2024-03-01"),
        QUOTIENT: said({"fournisseur": "CNAF", "valeur": 512, "annee": 2025, "mois": 12}),
    }
    edges["caf"].store.put_fragment(LOCAL["caf"], {"v": 1, "statements": statements}, b"f" * 32)
    made.consent = agreement(made)
    edges["departement"].hub = FakeHub(made)  # type: ignore[assignment]
    yield made
    for edge in edges.values():
        edge.close()


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


# A pull ---------------------------------------------------------------------------------------------------------


def test_a_pull_from_edge_to_edge(consortium: Consortium) -> None:
    got = ask(consortium)
    sections = got.dossier["sections"]
    assert sections["droits"]["rsa"]["date_debut_droit"][0]["valeur"] == "2024-03-01"
    assert sections["ressources"]["quotient_familial"][0]["source"] == "caf"
    assert got.reports == ()
    validator("dossier").check(got.dossier)
    assert consortium.edges["caf"].store.log.count_unproven() == 1, "to be asked about in the log"


def test_the_fields_asked_for_are_selected(consortium: Consortium) -> None:
    got = ask(consortium, fields=("droits.rsa.*",))
    assert set(got.dossier["sections"]) == {"droits"}
    with pytest.raises(MaillonError) as caught:
        ask(consortium, fields=("droits.rsa.*", "inconnu.x"))
    assert caught.value.kind is ErrorKind.UNKNOWN_FIELD


def test_agent_and_case_leave_only_as_keyed_digests(consortium: Consortium) -> None:
    seen: list[str] = []
    hub = consortium.edges["departement"].hub
    honest = hub.pull

    def spy(request: str, ref: str, salt: str) -> dict[str, Any]:
        seen.append(str(seal.peek(request, Typ.REQUEST)))
        return honest(request, ref, salt)

    hub.pull = spy  # type: ignore[method-assign]
    ask(consortium)
    assert "martin" not in seen[0]
    assert "2026-17" not in seen[0]
    assert consortium.refs["departement"] not in seen[0], "the ref travels beside the request, to the hub alone"
    edges = consortium.edges
    assert edges["departement"].tag("agent", "martin") in seen[0]
    assert edges["departement"].tag("agent", "martin") != edges["caf"].tag("agent", "martin")
    assert edges["departement"].tag("agent", "x") != edges["departement"].tag("case", "x")


def test_someone_this_edge_has_not_registered_cannot_be_asked_about(consortium: Consortium) -> None:
    edge = consortium.edges["departement"]
    edge.store.upsert_subject("D-2", IDENTITY, consortium.tokens)
    for local_id in ("D-2", "D-3"):
        with pytest.raises(MaillonError) as caught:
            pull(edge, local_id, purpose=PURPOSE, role=ROLE, agent="a", case="c")
        assert caught.value.kind is ErrorKind.UNKNOWN_SUBJECT


def test_a_source_that_refuses_is_a_stated_gap(consortium: Consortium) -> None:
    hub: Any = consortium.edges["departement"].hub
    hub.changes = {"authorities": []}
    got = ask(consortium)
    assert hub.replies == [403]
    assert got.dossier["sections"] == {}
    assert got.dossier["gaps"] == [{"source": "caf", "outcome": "non_autorise"}]


def test_a_wrong_link_is_caught_by_source_or_recipient(consortium: Consortium) -> None:
    """The hub believes that the département's D-1 is caf's person; the département's traits say otherwise."""
    edge = consortium.edges["departement"]
    other = tokens_of(parse_identity(IDENTITY | {"prenoms": ["Zoé"], "nom_naissance": "AUTRE"}), edge.tokeniser)
    edge.store.upsert_subject("D-9", IDENTITY, other)
    edge.store.set_ref("D-9", new_ref())
    got = pull(edge, "D-9", purpose=PURPOSE, role=ROLE, agent="a", case="c")
    assert edge.hub.replies == [403]  # type: ignore[attr-defined]
    assert got.dossier["sections"] == {}


def test_a_swapped_fragment_is_reported_by_the_pull(consortium: Consortium) -> None:
    hub: Any = consortium.edges["departement"].hub
    honest, kept = hub.pull, []

    def swap(request: str, ref: str, salt: str) -> dict[str, Any]:
        answer: dict[str, Any] = honest(request, ref, salt)
        kept.append(answer["fragments"][0])
        return answer | {"fragments": [kept[0]]}

    hub.pull = swap
    assert ask(consortium).reports == ()
    (report,) = ask(consortium).reports
    # Another request's fragment: its certified seal key is the same, its order is not.
    assert report.finding is Finding.WRONG_ORDER


# The HTTP face --------------------------------------------------------------------------------------------------


def test_health_says_who_runs_it_and_that_it_is_co_hosted(consortium: Consortium) -> None:
    reply = consortium.caf.get("/health")
    assert reply.get_json() == {
        "status": "ok",
        "slug": "caf",
        "operator": "departement",
        "co_hosted": True,
        "witness": True,
        "alarms": {},
    }


def addressed(order: str, ref: str = "A" * 22) -> bytes:
    return AddressedOrder(order, ref, "A" * 22).to_body()


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "kind"),
    [
        ("post", "/v1/orders", addressed("not a jws"), "application/json", 403, "order-refused"),
        ("post", "/v1/orders", addressed("a.b.c"), "application/jose", 400, "malformed"),
        ("post", "/v1/orders", addressed("é.b.c"), "application/json", 403, "order-refused"),
        ("post", "/v1/orders", b"not json", "application/json", 400, "malformed"),
        ("post", "/v1/orders", addressed("a.b.c", ref="short"), "application/json", 422, "schema"),
        ("post", "/v1/orders", b"a" * (MAX_ORDER_BYTES + 1), "application/json", 413, "too-large"),
        ("get", "/v1/orders", b"", "application/json", 404, "not-found"),
        ("get", "/v1/orders/secret-ref", b"", "application/json", 404, "not-found"),
        ("get", "/", b"", "application/jose", 404, "not-found"),
    ],
)
def test_bad_requests_get_a_problem(
    consortium: Consortium, method: str, path: str, body: bytes, content_type: str, status: int, kind: str
) -> None:
    reply = getattr(consortium.caf, method)(path, data=body, content_type=content_type)
    assert reply.status_code == status
    assert reply.mimetype == "application/problem+json"
    problem = reply.get_json(force=True)
    assert problem["type"].endswith("/" + kind)
    assert "secret-ref" not in reply.text
    validator("problem").check(problem)


def test_a_refusal_names_its_reason(consortium: Consortium) -> None:
    reply = consortium.caf.post("/v1/orders", data=addressed("a.b.c"), content_type="application/json")
    assert reply.get_json(force=True)["reason"] == "signature"


def test_an_unforeseen_failure_says_nothing_of_what_it_held(consortium: Consortium) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("LEBRUN Léa 512")

    consortium.edges["caf"].partner = Broken()  # type: ignore[assignment]
    reply = consortium.caf.get("/health")
    assert reply.status_code == 500
    assert "LEBRUN" not in reply.text
    assert reply.get_json(force=True)["type"].endswith("/internal")


# The directory --------------------------------------------------------------------------------------------------


def test_a_newer_directory_is_taken_and_kept(consortium: Consortium) -> None:
    edge = consortium.edges["departement"]
    hub: Any = edge.hub
    assert edge.directory.version == 1
    hub.offered = consortium.directory(5)
    assert edge.refresh_directory() is True
    assert edge.refresh_directory() is False
    assert edge.directory.version == 5
    assert consortium.homes["departement"].version_seen() == 5


def test_an_older_or_forged_directory_is_refused_and_the_one_in_force_stays(consortium: Consortium) -> None:
    edge = consortium.edges["departement"]
    hub: Any = edge.hub
    older, newer = consortium.directory(4), consortium.directory(5)
    hub.offered = newer
    edge.refresh_directory()
    swapped = [replace(row, identity_key=SigningKey.generate().public_jwk) for row in consortium.rows]
    payload = seal.peek(consortium.directory(6, *swapped), Typ.DIRECTORY)
    forged = seal.sign(payload, Typ.DIRECTORY, consortium.hub_identity)
    for bad, detail in ((older, "version"), (forged, f"{Typ.DIRECTORY}: kid"), ("x", f"{Typ.DIRECTORY}: form")):
        hub.offered = bad
        with pytest.raises(MaillonError) as caught:
            edge.refresh_directory()
        assert (caught.value.kind, caught.value.detail) == (ErrorKind.UNTRUSTED_DIRECTORY, detail)
        assert edge.directory.version == 5
        assert consortium.homes["departement"].directory_token() == newer


def test_what_was_seen_is_remembered_across_a_restart(consortium: Consortium) -> None:
    edge = consortium.edges["departement"]
    hub: Any = edge.hub
    hub.offered = consortium.directory(7)
    edge.refresh_directory()
    again = Edge.open(consortium.homes["departement"].path, consortium.clock)
    hub.offered = consortium.directory(6)
    again.hub = hub
    with pytest.raises(MaillonError):
        again.refresh_directory()
    assert again.directory.version == 7
    again.close()


def test_a_directory_that_ran_out_stops_the_edge_until_a_new_one_comes(consortium: Consortium) -> None:
    edge = consortium.edges["departement"]
    hub: Any = edge.hub
    assert edge.directory
    consortium.clock.advance(timedelta(days=91))
    with pytest.raises(MaillonError) as caught:
        _ = edge.directory
    assert caught.value.kind is ErrorKind.UNTRUSTED_DIRECTORY
    edge.upkeep()  # the hub is down: logged, not raised
    hub.offered = consortium.directory(2)
    edge.upkeep()
    assert edge.directory.version == 2


def test_a_suspended_requester_gets_nothing_once_the_directory_says_so(consortium: Consortium) -> None:
    caf = consortium.edges["caf"]
    caf.hub = consortium.edges["departement"].hub
    suspended = [replace(r, status="suspended") if r.slug == "departement" else r for r in consortium.rows]
    caf.hub.offered = consortium.directory(2, *suspended)  # type: ignore[attr-defined]
    caf.refresh_directory()
    assert ask(consortium).dossier["sections"] == {}


# The home -------------------------------------------------------------------------------------------------------


def test_an_edge_is_made_once(consortium: Consortium) -> None:
    before = consortium.homes["caf"].identity.read_bytes()
    with pytest.raises(MaillonError) as caught:
        consortium.homes["caf"].create(folder("caf"), settings("caf"))
    assert caught.value.kind is ErrorKind.CONFLICT
    assert consortium.homes["caf"].identity.read_bytes() == before


def test_secrets_are_private(consortium: Consortium) -> None:
    home = consortium.homes["caf"]
    for secret in (home.identity, home.seal, home.store_key, home.store):
        assert secret.stat().st_mode & 0o077 == 0, secret.name


def join(c: Consortium, slug: str = "caf", **changes: Any) -> MaillonError:
    given: dict[str, Any] = {
        "root": c.root.public_jwk,
        "root_fingerprint": c.root.fingerprint,
        "directory": c.directory(2),
        "klink": c.root.seal_klink(slug, next(r for r in c.rows if r.slug == slug).seal_key),
        "at": AT,
    }
    with pytest.raises(MaillonError) as caught:
        c.homes[slug].join(**{**given, **changes})
    return caught.value


def test_joining_checks_everything(consortium: Consortium, tmp_path: Path) -> None:
    c = consortium
    evil = Root.create(tmp_path / "evil.json")
    assert join(c, root_fingerprint=evil.fingerprint).kind is ErrorKind.UNTRUSTED_KEY
    pinned = join(c, root=evil.public_jwk, root_fingerprint=evil.fingerprint)
    assert (pinned.kind, pinned.detail) == (ErrorKind.UNTRUSTED_KEY, "another root than the one pinned")
    assert join(c, directory=evil.sign_directory(c.rows, 2, AT)).kind is ErrorKind.UNTRUSTED_DIRECTORY
    other = next(row for row in c.rows if row.slug == "departement")
    assert join(c, klink=c.root.seal_klink("caf", other.seal_key)).kind is ErrorKind.BAD_SEAL
    assert join(c, directory=c.directory(2, *(r for r in c.rows if r.slug != "caf"))).kind is ErrorKind.UNKNOWN_PARTNER
    swapped = [replace(r, identity_key=other.identity_key) if r.slug == "caf" else r for r in c.rows]
    assert join(c, directory=c.directory(2, *swapped)).kind is ErrorKind.UNTRUSTED_KEY
    unwitnessed = [replace(r, witness_key="") if r.slug == "caf" else r for r in c.rows]
    assert (
        join(c, directory=c.directory(2, *unwitnessed)).detail == "the directory has another witness key for this edge"
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("colour = 1", "colour"),
        ("threads = 0", "threads"),
        ('threads = "8"', "threads"),
        ("co_hosted = 1", "co_hosted"),
        ('listen_host = "0.0.0.0"', "tls_cert"),
        ('hub_url = "http://hub.example.org"', "https"),
        ("not toml", "edge.toml"),
    ],
)
def test_a_setting_that_cannot_work_is_named(consortium: Consortium, line: str, named: str) -> None:
    home = consortium.homes["caf"]
    key = line.split(" ")[0]
    kept = [row for row in home.settings_file.read_text().splitlines() if not row.startswith(key + " ")]
    home.settings_file.write_text("\n".join([*kept, line]))
    with pytest.raises(MaillonError) as caught:
        home.settings()
    assert caught.value.kind in (ErrorKind.CONFIGURATION, ErrorKind.TLS_REQUIRED)
    assert named in caught.value.detail


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "edge.md").read_text("utf-8")
    table = page.split("## Settings")[1].split("## ")[0]
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|", table, re.MULTILINE))
    listed = {name: cell for names, cell in rows.items() for name in re.findall(r"`(\w+)`", names)}
    assert list(listed) == [field.name for field in fields(EdgeSettings)]
    for field in fields(EdgeSettings):
        if field.default not in (MISSING, ""):
            assert f"`{str(field.default).lower()}`" in listed[field.name], field.name


def test_the_page_lists_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs" / "edge.md").read_text("utf-8")
    table = page.split("| Finding |")[1]
    named = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert {code for cell in named for code in re.findall(r"`([\w-]+)`", cell)} == {each.value for each in Finding}


def test_an_edge_that_has_not_joined_says_so(tmp_path: Path) -> None:
    home = EdgeHome(tmp_path / "caf")
    home.create(folder("caf"), settings("caf"))
    with pytest.raises(MaillonError) as caught:
        Edge.open(home.path, FakeClock(AT))
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "joined" in caught.value.detail


def test_another_partners_folder_is_refused(consortium: Consortium, tmp_path: Path) -> None:
    with pytest.raises(MaillonError):
        Edge.open(consortium.homes["caf"].path, consortium.clock, folder("cpam"))
    with pytest.raises(MaillonError):
        EdgeHome(tmp_path / "x").create(folder("cpam"), settings("caf"))
    assert PartnerSlug("caf") == consortium.edges["caf"].slug


def test_a_new_klink_is_taken_beside_the_old_one_and_never_undone(consortium: Consortium) -> None:
    """The edge then makes tokens under both; a file that lacks a key it has would leave records nobody finds."""
    c = consortium
    home, seal_key = c.homes["caf"], next(r for r in c.rows if r.slug == "caf").seal_key
    before = c.root.seal_klink("caf", seal_key)
    two = c.root.with_klinks(with_new(c.root.epochs))
    home.join(c.root.public_jwk, c.root.fingerprint, c.directory(2), two.seal_klink("caf", seal_key), AT)
    edge = Edge.open(home.path, FakeClock(AT))
    try:
        assert [each.epoch for each in (*edge.tokeniser.former, edge.tokeniser)] == [1, 2]
        assert edge.store.links.standing().live == (1, 2)
    finally:
        edge.close()
    assert join(c, klink=before).kind is ErrorKind.CONFLICT
    other = c.root.with_klinks(with_new(c.root.epochs))
    assert join(c, klink=other.seal_klink("caf", seal_key)).kind is ErrorKind.CONFLICT
