"""The reviewer looks at masked traits: real edges check and answer, the hub relays what it cannot read (ADR 0021)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kit.addressed_order import AddressedOrder
from connectors.kit.ledger.store import OrderState
from connectors.kit.review.compare import Verdict, compare
from connectors.kit.review.masks import FIELDS, PURPOSE
from hub.cli import edge_looks, index_traits
from hub.cli.main import cli
from hub.store.access import AccessFilter
from schemas.registry import validator
from tests.hub.conftest import World
from tests.hub.looking import JULIE, Edges, Release, look, opened, review_of, twins


@pytest.fixture
def edges(world: World, tmp_path: Path) -> Edges:
    return twins(world, tmp_path)


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
    values = (
        "QUÉMÉNER",
        "QUEMENER",
        "JULIEN",
        "Julien",
        "1980-02-03",
        JULIE["code_cog_insee_commune_naissance"],
        *marks,
    )
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
