"""A person's own copy: everything about her, made as her next event, with what is missing in sight (docs/ledger.md)."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.envelope import first_gap
from consent.ledger.merkle import leaf_hash
from consent.model import EventKind
from hub.cli import log_person
from hub.cli.main import cli
from hub.jobs.retention import keep
from hub.services import log
from hub.services.register import resolve
from tests.erasure.conftest import NOTHING_KEPT, decision, later
from tests.hub.conftest import World, problem
from tests.hub.copying import Document, closed_of, copied, judged, live, made, names
from tests.hub.reviewing import decide, doubted, split_off


def test_the_copy_holds_every_event_and_ends_with_its_making(world: World) -> None:
    ref = live(world, 1)["departement"]
    document = copied(world, ref)
    verdict = judged(world, document)
    assert verdict.code is None
    (chain,) = document["chains"]
    person = world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, "departement", ref))
    assert person is not None
    events = world.hub.reads.run(lambda uow: log.events_of(uow, person))
    assert verdict.shown == len(chain) == len(events) > 10
    assert [each["envelope"]["subject"]["n"] for each in chain] == list(range(1, len(events) + 1))
    assert names(chain)[-1] == "access:log:read"
    assert {"granted", "revoked", "access:answer:delivered", "match:record:created"} <= set(names(chain))
    assert chain[-1]["envelope"]["body"]["criteria"] == {"view": "person", "partner": "departement", "complaint": "R-1"}
    # What the store's own reading says: the same chain, to the same head.
    links = [(event.link, leaf_hash(event.leaf.encode())) for event in events if event.link is not None]
    head = world.hub.reads.run(lambda uow: log.subject_head(uow, person))
    assert first_gap(links, head.leaf_hash) is None
    assert person not in json.dumps(document)
    assert ref not in json.dumps(document)


def test_making_it_is_logged_and_asking_again_is_not(world: World) -> None:
    ref = live(world, 1)["departement"]
    first = made(world, ref)
    size = world.hub.reads.run(lambda uow: uow.log.size())
    world.pull(ref)  # later events are not in the copy made before
    again = made(world, ref, reading=first["reading"])
    assert again["reading"] == first["reading"]
    assert names(again["copy"]["chains"][0]) == names(first["copy"]["chains"][0])
    assert judged(world, again["copy"]).size > judged(world, first["copy"]).size == size
    newer = copied(world, ref)
    assert len(newer["chains"][0]) > len(first["copy"]["chains"][0])
    assert names(newer["chains"][0]).count("access:log:read") == 3  # hers at the desk, and two copies
    rows = [row for row in world.log() if row["event_id"] == first["reading"]]
    assert rows[0]["processing_activity"]["id"] == "consultation_du_journal"


def test_only_the_dpo_and_only_who_is_known(world: World) -> None:
    refs = live(world, 1)
    asked = {"partner": "departement", "ref": refs["departement"], "complaint": "R-1"}
    for name in ("departement", "operator"):
        problem(world.post(name, "/v1/persons/copy", asked), ErrorKind.FORBIDDEN)
    problem(world.post("dpo", "/v1/persons/copy", {**asked, "ref": "A" * 22}), ErrorKind.UNKNOWN_SUBJECT)
    without = {name: value for name, value in asked.items() if name != "complaint"}
    problem(world.post("dpo", "/v1/persons/copy", without), ErrorKind.SCHEMA)
    other = live(world, 2)["departement"]
    theirs = made(world, other)["reading"]
    # A reading of somebody else, and one of this person that made no copy.
    problem(world.post("dpo", "/v1/persons/copy", {**asked, "reading": theirs}), ErrorKind.NOT_FOUND)
    world.log("dpo", partner="departement", ref=refs["departement"], complaint="R-2")
    plain = world.log(outcome="read")[0]["event_id"]
    problem(world.post("dpo", "/v1/persons/copy", {**asked, "reading": plain}), ErrorKind.NOT_FOUND)


def test_what_was_removed_at_its_time_is_a_gap_with_a_name(world: World) -> None:
    ref = live(world, 1)["departement"]
    later(world, days=500)
    world.sign_directory()
    world.hub.directory.refresh()
    keep(world.hub)
    world.consent(ref, EventKind.DENIED, fields=("contact.telephone",), notice=None)
    document = copied(world, ref)
    verdict = judged(world, document)
    assert verdict.code is None
    assert [(gap.first, gap.last) for gap in verdict.gaps] == _runs(document)
    assert all(gap.event == "retention:traces:ended" for gap in verdict.gaps)
    assert names(document["chains"][0]) == ["granted", "revoked", "denied", "access:log:read"]
    assert len(document["removals"]) == 1
    assert len(verdict.proves("fr")) == 2 + len(verdict.gaps)
    # Claimed of an event that was not removed, or by another removal's list, it is refused.
    for change in (_claim_of_another, _other_ids, _wider):
        altered = copy.deepcopy(document)
        change(altered)
        assert judged(world, altered).code in ("removal", "order", "gap", "chain"), change.__name__


def _runs(document: Document) -> list[tuple[int, int]]:
    return [(e["first"], e["n"]) for e in document["chains"][0] if "envelope" not in e]


def _claim_of_another(document: Document) -> None:
    """A shown event is closed, and blamed on the removal."""
    chain = document["chains"][0]
    at = next(i for i, event in enumerate(chain) if "envelope" in event and i + 1 < len(chain))
    chain[at] = closed_of(chain[at], removal=0)


def _other_ids(document: Document) -> None:
    ids = document["removals"][0]["ids"]
    document["removals"][0]["ids"] = ids[:-8] + "A" * 8


def _wider(document: Document) -> None:
    """The gap swallows the event after it."""
    chain = document["chains"][0]
    at = next(i for i, event in enumerate(chain) if "envelope" not in event)
    chain[at]["n"] += 1
    del chain[at + 1]


# --- who is who -------------------------------------------------------------------------------------------------


def _joined(world: World) -> tuple[str, str]:
    """Two persons a review joined: (ref of the département, ref of the caisse)."""
    desk, caf, review_id = doubted(world)
    world.consent(desk, EventKind.DENIED, fields=("contact.telephone",), notice=None)
    decide(world, review_id, "link")
    return desk, caf


def test_of_two_who_are_one_both_chains_are_there(world: World) -> None:
    desk, caf = _joined(world)
    document = copied(world, desk)
    assert len(document["chains"]) == 2
    assert judged(world, document).code is None
    assert "match:record:absorbed" in names(document["chains"][1])
    assert judged(world, copied(world, caf, "caf")).code is None
    for altered in (
        {**document, "chains": document["chains"][:1]},
        {**document, "chains": [document["chains"][0], document["chains"][1][:-1]]},
        {**document, "chains": [document["chains"][0], []]},
        {**document, "chains": document["chains"][::-1]},
    ):
        assert judged(world, altered).code in ("heads", "gap", "head")


def test_the_end_of_a_former_persons_chain_may_be_removed_too(world: World) -> None:
    desk, _ = _joined(world)
    later(world, days=500)
    world.sign_directory()
    world.hub.directory.refresh()
    keep(world.hub)
    document = copied(world, desk)
    assert "envelope" not in document["chains"][1][-1]
    verdict = judged(world, document)
    assert verdict.code is None
    assert {gap.chain for gap in verdict.gaps} == {1, 2}
    cut = {**document, "chains": [document["chains"][0], document["chains"][1][:-1]]}
    assert judged(world, cut).code in ("gap", "heads")


def test_after_a_split_each_has_its_own_and_not_the_others_agreement(world: World) -> None:
    desk = world.register("departement", 1, sections=["accompagnement"])
    ccas = world.register("ccas", 1, sections=["accompagnement"])
    world.register("caf", 1, sections=["droits", "ressources"])
    world.consent(ccas, EventKind.GRANTED, collector="ccas")
    world.pull(desk)
    split_off(world, "departement", desk, "ccas")
    mine, theirs = copied(world, desk), copied(world, ccas, "ccas")
    for document in (mine, theirs):
        assert judged(world, document).code is None
    assert "granted" not in names(mine["chains"][0])
    closed = [event for event in mine["chains"][0] if "envelope" not in event]
    assert [(each["class"], each["removal"]) for each in closed] == [("consent", None)]
    assert "granted" in names(theirs["also"])
    verdict = judged(world, theirs)
    assert verdict.elsewhere == len(theirs["also"]) > 0
    assert len(verdict.does_not_prove("fr")) == len(judged(world, mine).does_not_prove("fr")) + 1
    altered = copy.deepcopy(theirs)
    altered["also"][0]["r32"] = mine["chains"][0][0]["r32"]
    assert judged(world, altered).code == "root"


def test_what_an_erasure_took_out_of_her_chain_tells_nothing_of_whom_it_was(world: World) -> None:
    """An agreement accepted under her name was the other's, who is erased: her copy holds, and says no more."""
    desk = world.register("departement", 1, sections=["accompagnement"])
    ccas = world.register("ccas", 1, sections=["accompagnement"])
    for _ in range(2):
        world.consent(ccas, EventKind.DENIED, collector="ccas", fields=("contact.telephone",), notice=None)
    world.pull(desk)
    split_off(world, "departement", desk, "ccas")
    decided = decision(world, ccas, NOTHING_KEPT, partner="ccas")
    receipt = world.ok("dpo", "/v1/erasures", decided)
    document = copied(world, desk)
    verdict = judged(world, document)
    assert verdict.code is None
    assert {gap.event for gap in verdict.gaps} == {"erasure"}
    assert sum(gap.last - gap.first + 1 for gap in verdict.gaps) == 2
    text = json.dumps(document)
    assert receipt["erasure"]["erasure_id"] not in text
    assert decided["decision"] not in text


def test_what_tells_of_a_protection_is_opened_only_on_request(world: World) -> None:
    ref = live(world, 1)["departement"]
    protection = world.consent(ref, EventKind.PROTECTED, fields=("contact.telephone",))
    world.pull(ref, fields=("contact.telephone",))
    document = copied(world, ref)
    assert judged(world, document).code is None
    text = json.dumps(document)
    assert "protected" not in text
    assert protection["record_id"] not in text
    closed = [event["class"] for event in document["chains"][0] if "envelope" not in event]
    assert closed[0] == "consent"
    whole = copied(world, ref, with_protection=True)
    assert judged(world, whole).code is None
    assert "protected" in names(whole["chains"][0])
    # Another copy asked for again under that reading stays what the reading says.
    assert "protected" in names(
        copied(world, ref, reading=whole["chains"][0][-1]["envelope"]["body"]["record"]["event_id"])["chains"][0]
    )


# --- the commands -----------------------------------------------------------------------------------------------


class InProcess:
    """The hub's client, without the network between."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[Document] = []
        self.quorum = 0

    def copy_person(self, asked: Document) -> Document:
        self.asked.append(asked)
        answer = self._world.ok("dpo", "/v1/persons/copy", asked)
        return answer | {"witnesses": len(self.asked) - 1}

    def health(self) -> Document:
        return {"witnesses": {"quorum": self.quorum}}


@pytest.fixture
def hub(world: World, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    made = InProcess(world)
    monkeypatch.setattr(log_person, "hub_client", lambda home, principal: made)
    monkeypatch.setattr(log_person, "_PAUSE", 0.0)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_it_waits_for_the_witnesses_a_hub_has_and_logs_one_reading(
    world: World, hub: InProcess, tmp_path: Path
) -> None:
    ref = live(world, 1)["departement"]
    hub.quorum = 2
    asked = ("log", "person", "--home", tmp_path, "--partner", "departement", "--complaint", "R-1", "--ref", ref)
    output = run(*asked, "--out", tmp_path / "a.json", "--json").output
    told = json.loads(output[output.index("{\n") :])  # after what the hub of the test says
    assert (told["witnesses"], len(hub.asked)) == (2, 3)
    assert "reading" not in hub.asked[0]
    assert {each["reading"] for each in hub.asked[1:]} == {told["reading"]}
    chain = json.loads((tmp_path / "a.json").read_text())["chains"][0]
    assert names(chain).count("access:log:read") == 2  # at the desk, and this one


def test_the_commands_make_it_and_check_it_offline(world: World, hub: InProcess, tmp_path: Path) -> None:
    ref = live(world, 1)["departement"]
    out, keys = tmp_path / "historique.json", tmp_path / "cles.json"
    asked = ("log", "person", "--home", tmp_path, "--partner", "departement", "--complaint", "R-1")
    told = run(*asked, "--ref", ref, "--out", out)
    assert told.exit_code == 0, told.output
    assert "0 removed at their time, 0 not opened" in told.output
    assert out.stat().st_mode & 0o777 == 0o600
    refused = run(*asked, "--ref", ref, "--out", out).exception
    assert isinstance(refused, MaillonError)
    assert refused.kind is ErrorKind.CONFLICT
    keys.write_text(json.dumps(keys_file(world.directory, world.root.public_jwk)))
    checked = run("verify", out, "--keys", keys)
    assert checked.exit_code == 0, checked.output
    assert checked.output.startswith("COPIE ENTIÈRE\n")
    assert "se suivent depuis le premier" in checked.output
    assert "une copie plus récente le dirait" in checked.output
    document = json.loads(out.read_text())
    del document["chains"][0][4]
    out.write_text(json.dumps(document))
    checked = run("verify", out, "--keys", keys)
    assert checked.exit_code == 1
    assert "COPIE REFUSÉE" in checked.output
    assert "Suite 1, événement 5 : Il manque un événement" in checked.output
    told = json.loads(run("verify", out, "--keys", keys, "--json").output)
    assert (told["code"], told["chain"], told["n"], told["holds"]) == ("gap", 1, 5, False)
    english = run("verify", out, "--keys", keys, "--language", "en")
    assert "An event is missing at this place" in english.output
