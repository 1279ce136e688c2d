"""Real edges in real homes: joining, answering over HTTP, pulling through an in-process hub, new directories."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.assembly import Finding
from connectors.kit.edge import Edge
from connectors.kit.edge_app import MAX_ORDER_BYTES
from connectors.kit.identity import parse_identity
from connectors.kit.pull import pull
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import tokens_of
from schemas.registry import validator
from tests.kit.consortium import IDENTITY, Consortium, ask
from tests.kit.world import PURPOSE, ROLE, new_ref

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


def test_the_page_lists_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs" / "edge.md").read_text("utf-8")
    table = page.split("| Finding |")[1]
    named = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert {code for cell in named for code in re.findall(r"`([\w-]+)`", cell)} == {each.value for each in Finding}
