"""The reviewer looks at masked traits: real edges check and answer, the hub relays what it cannot read (ADR 0021)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit import seal
from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_store import EdgeStore
from connectors.kit.identity import parse_identity
from connectors.kit.ledger.store import OrderState
from connectors.kit.orders import OrderRefused, Reason
from connectors.kit.rarity import UNKNOWN_SHARES
from connectors.kit.review.compare import Verdict, compare
from connectors.kit.review.masks import FIELDS, PURPOSE
from connectors.kit.review.reviewer import Seen, SentLook, fields_in_doubt, open_side, sign_look
from connectors.kit.review.source import MOST_A_DAY, LookSource, answer_look
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.runtime.keys import SigningKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import HmacTokeniser, tokens_of
from connectors.kit.transport import ProblemError
from connectors.kit.trust import Directory, OperationalKeys, subject_digest
from hub.cli import edge_looks, index_traits
from hub.cli.main import cli
from hub.store.access import AccessFilter
from schemas.registry import validator
from tests.hub.conftest import World, problem, record_key
from tests.kit.world import new_leaf

K_LINK = HmacTokeniser(b"l" * 32, 1)
JULIE = {
    "nom_naissance": "QUÉMÉNER",
    "prenoms": ["Julie"],
    "sexe": "F",
    "date_naissance": "1980-02-03",
    "code_cog_insee_commune_naissance": "29232",
}
JULIEN = JULIE | {"prenoms": ["Julien"], "sexe": "M"}


class Release:
    """A partner's own ``[[release]]``: ``kept`` traits do not go to a reviewer."""

    def __init__(self, kept: Sequence[str] = ()) -> None:
        self.kept = kept

    def releases(self, recipient_kind: str, purpose: str) -> set[str]:
        return {*FIELDS} - {*self.kept} if (recipient_kind, purpose) == ("hub", PURPOSE) else set()


class Edges:
    """The edges of departement and caf, with a twin each; stand in the network's place."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.stores = {slug: EdgeStore.open(folder / f"{slug}.db", b"k" * 32) for slug in ("departement", "caf")}
        self.release: dict[str, Any] = dict.fromkeys(self.stores, Release())
        self.asked: list[tuple[str, AddressedOrder]] = []
        self.refusals: list[str] = []
        self.refs: dict[str, str] = {}
        self.change: Any = lambda order: order
        world.edges.send = self.send  # type: ignore[method-assign, assignment]

    def hold(self, slug: str, traits: Mapping[str, object], local_id: str = "L-1", key: int = 1) -> str:
        made = tokens_of(with_birthplace(parse_identity(traits)), K_LINK)
        self.stores[slug].upsert_subject(local_id, traits, made)
        record = {"record_key": record_key(key), "sections": ["droits"], **made.to_wire()}
        (said,) = self.world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"]
        self.stores[slug].set_ref(local_id, said["ref"])
        self.refs[slug] = said["ref"]
        return str(said["ref"])

    def source(self, slug: str, **changes: Any) -> LookSource:
        keys = self.world.partners[slug].operational()
        made = LookSource(
            slug, self.world.directory, self.stores[slug], self.release[slug], keys, K_LINK, UNKNOWN_SHARES
        )
        return replace(made, **changes)

    def send(self, endpoint: str, order: AddressedOrder) -> str:
        slug = endpoint.rsplit("/", 1)[-1]
        self.asked.append((slug, order))
        try:
            answer: str = self.change(answer_look(order, self.source(slug), self.world.clock.now()))
            return answer
        except OrderRefused as refused:
            self.refusals.append(refused.reason.value)
            raise ProblemError(ErrorKind.ORDER_REFUSED, refused.detail, 403, None, refused.reason.value) from None


@pytest.fixture
def edges(world: World, tmp_path: Path) -> Edges:
    made = Edges(world, tmp_path)
    made.hold("departement", JULIE)
    world.clock.advance(timedelta(seconds=1))
    made.hold("caf", JULIEN, local_id="0123456")
    return made


def review_of(world: World) -> dict[str, Any]:
    (found,) = world.ok("dpo", "/v1/reviews/search", {"decided": False})["reviews"]
    shown: dict[str, Any] = world.ok("dpo", "/v1/reviews/show", {"review_id": found["review_id"]})
    return shown


def sign(world: World, review: Mapping[str, Any], fields: Sequence[str] | None = None) -> SentLook:
    wanted = fields_in_doubt(review["pairs"]) if fields is None else fields
    return sign_look(review["review_id"], wanted, world.principal("dpo")(), world.clock.now())


def look(world: World, fields: Sequence[str] | None = None) -> tuple[dict[str, Any], SentLook]:
    sent = sign(world, review_of(world), fields)
    answer = world.ok("dpo", "/v1/reviews/traits", {"look": sent.jws})
    validator("review_traits").check(answer)
    return answer, sent


def opened(world: World, answer: Mapping[str, Any], sent: SentLook) -> tuple[Seen, Seen]:
    (one,) = open_side(answer["raised"], sent, world.directory, world.clock.now())
    (other,) = open_side(answer["candidate"], sent, world.directory, world.clock.now())
    return one, other


# --- the look ----------------------------------------------------------------------------------------------------


def test_the_reviewer_tells_twins_apart_without_reading_a_name(world: World, edges: Edges) -> None:
    answer, sent = look(world)
    assert sent.fields == ("identite.prenoms", "identite.sexe", "identifiants.nir")
    one, other = opened(world, answer, sent)
    assert (one.source, other.source, edges.refusals) == ("caf", "departement", [])
    told = {line.field: (line.verdict, line.says) for line in compare(one.records[0], other.records[0])}
    assert told["identite.prenoms"] == (
        Verdict.CLOSE,
        "1 lettre en moins à droite, à la fin ; les deux sont des prénoms portés",
    )
    assert told["identite.sexe"] == (Verdict.DIFFERENT, "différent")
    assert told["identifiants.nir"][0] is Verdict.MISSING


def test_the_hub_can_read_nothing_and_keeps_nothing(world: World, edges: Edges, tmp_path: Path) -> None:
    """What passes and what stays: no trait, no mask, in any file of the hub."""
    answer, sent = look(world, FIELDS)
    one, _ = opened(world, answer, sent)
    marks = one.records[0]["identite.nom_naissance"]["mots"][0]["debuts"]
    relayed = str(answer)
    values = ("QUÉMÉNER", "QUEMENER", "JULIEN", "Julien", "1980-02-03", "29232", *marks)
    assert not [value for value in values if value in relayed]
    for file in world.home.path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [value for value in values if value.encode() in content], file.name
    # The search finds what is there.
    (tmp_path / "left behind").write_text(f"… {marks[0]} …", "utf-8")
    assert marks[0].encode() in (tmp_path / "left behind").read_bytes()


def test_both_persons_read_it_in_their_history_and_neither_learns_of_the_other(world: World, edges: Edges) -> None:
    look(world)
    rows = {}
    for slug in ("departement", "caf"):
        reader = "departement" if slug == "departement" else "dpo"
        view: dict[str, Any] = {"view": "usager"} if slug == "departement" else {"view": "dpo", "complaint": "R-7"}
        asked = {"ref": edges.refs[slug], **view} | ({"partner": slug} if reader == "dpo" else {})
        found = world.ok(reader, "/v1/access-log/search", asked)["rows"]
        validator("access_log_rows").check({"rows": found, "next": None})
        (rows[slug],) = [row for row in found if row["kind"] == "shown"]
    for slug, row in rows.items():
        assert (row["partner"], row["purpose"], row["outcome"]) == ("dpo", PURPOSE, "masked")
        assert row["fields"]["released"] == ["identite.prenoms", "identite.sexe", "identifiants.nir"]
        assert [source["source"] for source in row["sources"]] == [slug]
    same = {name for name in rows["caf"] if rows["caf"][name] == rows["departement"][name]}
    assert not [name for name in same if name.endswith(("_id", "_digest")) and rows["caf"][name] is not None]
    # Nor does anything the log holds of each, which a person's own copy gives her; instants and names apart.
    known = {world.hub.policy.get().version, *FIELDS, "access:source:ordered", "access:traits:shown"}
    held: dict[str | None, set[str]] = {}
    for row in world.hub.reads.run(lambda uow: uow.access.search(AccessFilter(purpose=PURPOSE), 10)[0]):
        held.setdefault(row.person_id, set()).update(_texts(row.payload))
    one, other = held.values()
    assert len(one & known) > 1
    assert {text for text in one & other if len(text) >= 16 and not text.startswith("20")} <= known


def _texts(value: object) -> Iterator[str]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inside:
        yield from [each] if isinstance(each, str) else _texts(each)


def test_what_leaves_is_logged_before_any_source_hears_of_it(world: World, edges: Edges) -> None:
    before = edges.send

    def crash(endpoint: str, order: AddressedOrder) -> str:
        kinds = [row["kind"] for row in world.log() if row["purpose"] == PURPOSE]
        assert kinds == ["ordered", "ordered"]
        return before(endpoint, order)

    world.edges.send = crash  # type: ignore[method-assign, assignment]
    look(world)
    assert sorted(row["kind"] for row in world.log() if row["purpose"] == PURPOSE) == [
        *("ordered", "ordered", "shown", "shown"),
    ]


def test_each_edge_keeps_a_note_and_looks_for_the_order_in_the_log(world: World, edges: Edges) -> None:
    review = review_of(world)
    look(world)
    for slug, local_id in (("departement", "L-1"), ("caf", "0123456")):
        (noted,) = edges.stores[slug].looks.list()
        assert (noted.review_id, noted.local_ids) == (review["review_id"], (local_id,))
        assert noted.fields == ("identite.prenoms", "identite.sexe", "identifiants.nir")
        (kept,) = edges.stores[slug].log.unproven()
        assert kept.state is OrderState.WAITING
    for file in edges.world.home.path.parent.glob("*.db*"):
        assert review["review_id"].encode() not in file.read_bytes()


# --- what a source refuses ----------------------------------------------------------------------------------------


def order_of(world: World, edges: Edges, request: str, **changes: Any) -> AddressedOrder:
    """An order the hub could sign, with ``changes`` made to its payload."""
    salt, now = secrets.token_bytes(16), world.clock.now()
    payload = {
        "v": 1,
        "order_id": new_uuid(),
        "source": "caf",
        "subject": subject_digest(edges.refs["caf"], salt),
        "request": request,
        "leaf": b64url.encode(new_leaf(now).encode()),
        "iat": to_epoch(now),
        "exp": to_epoch(now) + 10,
    }
    signed = world.hub.operational().sign(payload | changes, Typ.LOOK_ORDER)
    return AddressedOrder(signed, edges.refs["caf"], b64url.encode(salt))


def refused(world: World, edges: Edges, order: AddressedOrder, **changes: Any) -> Reason:
    with pytest.raises(OrderRefused) as caught:
        answer_look(order, edges.source("caf", **changes), world.clock.now())
    assert edges.stores["caf"].looks.list() == []
    return caught.value.reason


def test_the_hubs_word_is_not_enough(world: World, edges: Edges) -> None:
    """A hub that signs the reviewer's request itself, or has any other key sign it."""
    review = review_of(world)
    for keys in (
        world.hub.operational(),
        world.partners["departement"].operational(),
        OperationalKeys.mint(SigningKey.generate(), "dpo", world.clock.now()),
        OperationalKeys.mint(SigningKey.generate(), "hub", world.clock.now()),
    ):
        sent = sign_look(review["review_id"], FIELDS, keys, world.clock.now())
        assert refused(world, edges, order_of(world, edges, sent.jws)) is Reason.REQUEST_SIGNATURE
    good = sign(world, review)
    assert answer_look(order_of(world, edges, good.jws), edges.source("caf"), world.clock.now())


def test_a_request_for_something_else_is_none(world: World, edges: Edges) -> None:
    keys = world.principal("dpo")()
    good = seal.peek(sign(world, review_of(world)).jws, Typ.LOOK)
    for change in ({"purpose": "controle"}, {"fields": ["contact.email"]}, {"seal_key": "A" * 43}, {"reviewer": "caf"}):
        payload = {name: value for name, value in (good | change).items() if name != "certificate"}
        order = order_of(world, edges, keys.sign(payload, Typ.LOOK))
        assert refused(world, edges, order) is Reason.REQUEST_SIGNATURE


def test_times_source_person_and_leaf_are_checked(world: World, edges: Edges) -> None:
    request = sign(world, review_of(world)).jws
    now = to_epoch(world.clock.now())
    assert refused(world, edges, order_of(world, edges, request, source="cpam")) is Reason.WRONG_SOURCE
    assert refused(world, edges, order_of(world, edges, request, exp=now + 11)) is Reason.EXPIRED
    assert refused(world, edges, order_of(world, edges, request, subject="A" * 43)) is Reason.WRONG_SUBJECT
    assert refused(world, edges, order_of(world, edges, request, leaf="A" * 140)) is Reason.LEAF
    nobody = replace(order_of(world, edges, request), ref=edges.refs["departement"])
    assert refused(world, edges, nobody) is Reason.WRONG_SUBJECT
    world.clock.advance(timedelta(seconds=61))
    assert refused(world, edges, order_of(world, edges, request)) is Reason.REQUEST_EXPIRED
    with pytest.raises(MaillonError) as caught:
        answer_look(order_of(world, edges, request, extra=1), edges.source("caf"), world.clock.now())
    assert caught.value.kind is ErrorKind.SCHEMA


def test_an_order_is_answered_once_and_a_request_twice_at_most(world: World, edges: Edges) -> None:
    """Twice: the same partner may hold both persons."""
    request = sign(world, review_of(world)).jws
    order, now = order_of(world, edges, request), world.clock.now()
    answer_look(order, edges.source("caf"), now)
    for again, reason in (
        (order, Reason.REPLAYED),
        (order_of(world, edges, request), None),
        (order_of(world, edges, request), Reason.REQUEST_REPLAYED),
    ):
        if reason is None:
            answer_look(again, edges.source("caf"), now)
            continue
        with pytest.raises(OrderRefused) as caught:
            answer_look(again, edges.source("caf"), now)
        assert caught.value.reason is reason


def test_a_partners_own_policy_keeps_traits_or_all_of_them(world: World, edges: Edges) -> None:
    edges.release["caf"] = Release(("identite.sexe",))
    edges.release["departement"] = Release(FIELDS)
    answer, sent = look(world)
    assert edges.refusals == [Reason.PARTNER_POLICY.value]
    one, other = opened(world, answer, sent)
    assert (other.records, other.outcome) == ((), "non_autorise")
    assert set(one.records[0]) == {"identite.prenoms", "identifiants.nir"}


def test_a_day_of_browsing_ends(world: World, edges: Edges, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reviewer, or a thief of the key, cannot go through everybody."""
    assert MOST_A_DAY == 200
    monkeypatch.setattr("connectors.kit.review.source.MOST_A_DAY", 2)
    for outcome in ("traits", "traits", "non_autorise"):
        answer, _ = look(world)
        assert {row["outcome"] for side in ("raised", "candidate") for row in answer[side]} == {outcome}
    world.clock.advance(timedelta(hours=25))
    world._tokens.clear()
    assert look(world)[0]["raised"][0]["outcome"] == "traits"


# --- what the hub refuses, and what the reviewer does not believe ---------------------------------------------------


def test_only_the_dpo_looks_and_once_a_request(world: World, edges: Edges) -> None:
    sent = sign(world, review_of(world))
    problem(world.post("caf", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.FORBIDDEN)
    world.ok("dpo", "/v1/reviews/traits", {"look": sent.jws})
    problem(world.post("dpo", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.REPLAYED)
    unknown = sign_look(new_uuid(), FIELDS, world.principal("dpo")(), world.clock.now())
    problem(world.post("dpo", "/v1/reviews/traits", {"look": unknown.jws}), ErrorKind.NOT_FOUND)
    other = sign_look(new_uuid(), FIELDS, world.principal("operator")(), world.clock.now())
    problem(world.post("dpo", "/v1/reviews/traits", {"look": other.jws}), ErrorKind.UNTRUSTED_KEY)


def test_what_is_one_person_already_is_looked_at_no_more(world: World, edges: Edges) -> None:
    review = review_of(world)
    decided = {"review_id": review["review_id"], "decision": "link", "reason": "pièce vue"}
    world.ok("dpo", "/v1/reviews/decide", decided)
    sent = sign(world, review)
    problem(world.post("dpo", "/v1/reviews/traits", {"look": sent.jws}), ErrorKind.CONFLICT)
    assert edges.asked == []


def test_a_suspended_or_silent_source_is_a_stated_gap(world: World, edges: Edges) -> None:
    world.ok("operator", "/v1/partners/suspend", {"slug": "caf", "suspended": True, "reason": "essai"})

    def silent(endpoint: str, order: AddressedOrder) -> str:
        raise RuntimeError("anything")

    world.edges.send = silent  # type: ignore[method-assign, assignment]
    answer, sent = look(world)
    one, other = opened(world, answer, sent)
    assert [(each.source, each.outcome) for each in (one, other)] == [
        ("caf", "indisponible"),
        ("departement", "indisponible"),
    ]
    shown = [row for row in world.log() if row["kind"] == "shown"]
    assert {row["outcome"] for row in shown} == {"nothing"}


def test_the_reviewer_believes_no_answer_that_proves_nothing(world: World, edges: Edges) -> None:
    first, earlier = look(world)
    answer, sent = look(world)
    caf, departement = answer["raised"][0], answer["candidate"][0]
    now = world.clock.now()

    def outcome(item: Mapping[str, Any], using: SentLook = sent) -> str:
        (seen,) = open_side([item], using, world.directory, now)
        assert seen.records == ()
        return seen.outcome

    assert outcome(caf | {"traits": departement["traits"]}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"order": departement["order"]}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"source": "departement"}) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(first["raised"][0]) == ErrorKind.FRAGMENT_REFUSED.value
    assert outcome(caf | {"traits": "a.b.c.d.e"}) == ErrorKind.BAD_SEAL.value
    assert outcome(caf | {"order": caf["order"][:-4] + "AAAA"}) == ErrorKind.BAD_SIGNATURE.value
    assert earlier.digest != sent.digest
    (seen,) = open_side([caf], sent, world.directory, now)
    assert seen.records


def test_a_source_that_answers_more_than_was_asked_is_not_heard(world: World, edges: Edges) -> None:
    answer, sent = look(world, FIELDS)
    narrower = replace(sent, fields=("identite.sexe",))
    (seen,) = open_side(answer["raised"], narrower, world.directory, world.clock.now())
    assert (seen.records, seen.outcome) == ((), ErrorKind.FRAGMENT_REFUSED.value)


def test_a_consortium_that_named_no_reviewer_shows_nothing(world: World, edges: Edges) -> None:
    sent = sign(world, review_of(world))
    rows = [*world.entries.values()]
    rows[0], now = replace(rows[0], reviewer_key=""), world.clock.now()
    none = Directory.verify(world.root.sign_directory(rows, 2, now), world.root.public_jwk, now, 2)
    assert refused(world, edges, order_of(world, edges, sent.jws), directory=none) is Reason.DIRECTORY


# --- at the terminal ----------------------------------------------------------------------------------------------


class Client:
    """The hub's client as the DPO's command uses it, on the test's own hub."""

    def __init__(self, world: World) -> None:
        self.world = world

    def directory(self) -> str:
        return self.world.directory.jws

    def ask_index(self, operation: str, document: dict[str, Any]) -> dict[str, Any]:
        return self.world.ok("dpo", f"/v1/{operation}", document)


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(index_traits, "hub_client", lambda home, principal: Client(world))
    monkeypatch.setattr(index_traits, "SystemClock", lambda: world.clock)
    review = review_of(world)["review_id"]

    def run(*options: str) -> Result:
        words = ["index", "review", "traits", review, "--home", str(world.home.path), *options]
        return CliRunner().invoke(cli, words)

    return run


def document(done: Result) -> Any:
    """The JSON a command printed, behind the log lines of the hub of this very process."""
    return json.loads(done.stdout[done.stdout.index("{\n") :])


def test_the_command_shows_a_human_what_tells_twins_and_no_name(edges: Edges, command: Callable[..., Result]) -> None:
    shown = command()
    assert shown.exit_code == 0, shown.output
    assert "1 lettre en moins à droite, à la fin ; les deux sont des prénoms portés" in shown.output
    assert "Déjà identiques, donc pas demandés : nom de naissance, nom d’usage, date de naissance" in shown.output
    told = document(command("--all", "--json"))
    assert told["fields"] == list(FIELDS)
    lines = {line["field"]: line for line in told["pairs"][0]["lines"]}
    assert (lines["identite.nom_naissance"]["verdict"], lines["identite.nom_naissance"]["one"]) == (
        "identique",
        "········",
    )
    assert (lines["identite.prenoms"]["one"], lines["identite.prenoms"]["other"]) == ("·····▮", "·····")
    assert "Julien" not in shown.output
    assert "QUEMENER" not in shown.output


def test_the_command_says_who_did_not_answer(edges: Edges, command: Callable[..., Result]) -> None:
    edges.release["departement"] = Release(FIELDS)
    shown = command()
    assert shown.exit_code == 4
    assert "departement : sa propre règle garde ces traits." in shown.output
    assert [seen["outcome"] for seen in document(command("--json"))["candidate"]] == ["non_autorise"]


def test_a_partner_reads_who_looked_and_what_its_own_records_lack(
    world: World, edges: Edges, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look(world)
    store = edges.stores["caf"]
    monkeypatch.setattr(edge_looks, "open_store", lambda home: nullcontext(store))

    def edge(name: str) -> Any:
        plain = CliRunner().invoke(cli, ["edge", name, "--home", str(tmp_path)])
        assert plain.exit_code == 0, plain.output
        assert "0123456" in plain.output
        return json.loads(CliRunner().invoke(cli, ["edge", name, "--home", str(tmp_path), "--json"]).stdout)

    (noted,) = edge("looks")["looks"]
    assert noted["local_ids"] == ["0123456"]
    before = edge("gaps")
    assert before == {
        "records": [{"local_id": "0123456", "lacks": ["prenoms", "nir"]}],
        "counts": {"nir": 1, "prenoms": 1},
    }
    # What a partner is asked depends on its own records alone: a decision to ask changes nothing of it.
    decided = {"review_id": review_of(world)["review_id"], "decision": "ask", "reason": "prénoms"}
    world.ok("dpo", "/v1/reviews/decide", decided)
    assert edge("gaps") == before
