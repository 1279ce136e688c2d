"""A person's own copy: everything about her, made as her next event, with what is missing in sight (docs/ledger.md)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.kit.receipts.keys_file import keys_file
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.seal import Typ, peek
from consent.ledger.envelope import first_gap
from consent.ledger.jws import to_base64url
from consent.ledger.merkle import leaf_hash
from consent.ledger.person import Shown
from consent.ledger.person_check import PersonVerdict, verify_person
from consent.ledger.verify import TrustedKeys
from consent.model import EventKind
from hub.app import close_hub
from hub.cli import log_person
from hub.cli.main import cli
from hub.jobs.retention import keep
from hub.services import log
from hub.services.register import resolve
from schemas.registry import validator
from tests.erasure.conftest import NOTHING_KEPT, decision, later
from tests.hub.conftest import World, problem
from tests.hub.reviewing import decide, doubted, split_off

Document = dict[str, Any]


def made(world: World, ref: str, slug: str = "departement", **asked: Any) -> Document:
    """The answer of the hub, which must follow its schema."""
    answer = world.ok("dpo", "/v1/persons/copy", {"partner": slug, "ref": ref, "complaint": "R-1", **asked})
    validator("person_copy").check(answer)
    return answer


def copied(world: World, ref: str, slug: str = "departement", **asked: Any) -> Document:
    found: Document = made(world, ref, slug, **asked)["copy"]
    return found


def keys_of(world: World) -> TrustedKeys:
    return TrustedKeys.parse(keys_file(world.directory, world.root.public_jwk))


def judged(world: World, document: Document) -> PersonVerdict:
    return verify_person(json.loads(json.dumps(document)), keys_of(world))


def live(world: World, person: int) -> dict[str, str]:
    refs = {slug: world.register(slug, person, sections=["droits"]) for slug in ("departement", "caf", "cpam")}
    granted = world.consent(refs["departement"], EventKind.GRANTED)
    world.pull(refs["departement"])
    world.log("usager", "departement", ref=refs["departement"])
    follows = world.follows(refs["departement"], granted["record_id"])
    world.consent(refs["departement"], EventKind.REVOKED, follows=follows)
    world.pull(refs["departement"])
    return refs


def names(chain: list[Document]) -> list[str]:
    """What each shown event of a chain is: the kind of an agreement, the name of anything else."""
    bodies = [event["envelope"]["body"] for event in chain if "envelope" in event]
    return [peek(body, Typ.CONSENT)["kind"] if isinstance(body, str) else body["event"] for body in bodies]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, Document, TrustedKeys]:
    """Copies of two persons of one hub, which no test changes, and the keys."""
    world = World(tmp_path_factory.mktemp("hub"))
    refs = [live(world, person) for person in (1, 2)]
    one, other = (copied(world, each["departement"]) for each in refs)
    keys = keys_of(world)
    close_hub(world.hub)
    return one, other, keys


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


def closed_of(event: Document, removal: int | None = None) -> Document:
    """The same event with its leaf alone, which is what anybody can read in the public log."""
    shown = Shown.parse(event)
    n = shown.link.n if shown.link else 1
    kept = {name: event[name] for name in ("class", "event_id", "at", "ciphertext_digest", "index", "path")}
    return kept | {"commitment": to_base64url(shown.leaf.commitment), "first": n, "n": n, "removal": removal}


# --- tampering --------------------------------------------------------------------------------------------------


def test_every_event_taken_out_is_found_and_named(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for at in range(len(chain)):
        altered = {**one, "chains": [chain[:at] + chain[at + 1 :]]}
        verdict = verify_person(altered, keys)
        assert verdict.code == ("head" if at == len(chain) - 1 else "gap")
        assert (verdict.chain, verdict.n) == (1, at if verdict.code == "head" else at + 1)
        assert f"{verdict.n} :" in verdict.reason("fr")


def test_the_tail_cut_anywhere_is_found(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for end in range(len(chain)):
        assert verify_person({**one, "chains": [chain[:end]]}, keys).code == ("head" if end else "gap")
    assert verify_person({**one, "chains": []}, keys).code == "head"
    # An older reading of the log is no making of a copy: the end cannot be put there.
    reads = [at for at, name in enumerate(names(chain)) if name == "access:log:read"]
    assert len(reads) == 2
    assert verify_person({**one, "chains": [chain[: reads[0] + 1]]}, keys).code == "head"


def test_every_two_events_exchanged_are_found(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for i in range(len(chain)):
        for j in range(i):
            swapped = list(chain)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            verdict = verify_person({**one, "chains": [swapped]}, keys)
            assert verdict.code == "gap"
            assert verdict.n == j + 1


def test_another_persons_events_never_fit(shared: tuple[Document, Document, TrustedKeys]) -> None:
    one, other, keys = shared
    mine, theirs = one["chains"][0], other["chains"][0]
    note = other["checkpoint"]  # the later tree: it holds the leaves of both, under other paths
    assert verify_person({**one, "checkpoint": note}, keys).code == "root"
    for at in range(1, len(theirs)):
        mixed = {**other, "chains": [[*theirs[:at], *_repathed(mine[at:], theirs)]]}
        assert verify_person(mixed, keys).code in ("root", "index", "proof_length", "chain")
    # Even proved to be in the same tree: the chain tells.
    assert verify_person({**other, "chains": [theirs, theirs]}, keys).code == "heads"


def _repathed(events: list[Document], like: list[Document]) -> list[Document]:
    return [{**event, "path": like[-1]["path"]} for event in events]


def test_two_chains_mixed_under_one_checkpoint(world: World) -> None:
    """Both persons' events proved under the same tree: nothing but the chain can tell them apart."""
    refs = [live(world, person)["departement"] for person in (1, 2)]
    readings = [made(world, ref)["reading"] for ref in refs]
    one, other = (copied(world, ref, reading=each) for ref, each in zip(refs, readings, strict=True))
    assert one["checkpoint"] == other["checkpoint"]
    mine, theirs = one["chains"][0], other["chains"][0]
    for at in range(1, len(mine)):
        mixed = {**one, "chains": [[*mine[:at], *theirs[at:]]]}
        verdict = judged(world, mixed)
        assert (verdict.code, verdict.n) == ("chain", at + 1)
        one_event = {**one, "chains": [[*mine[:at], theirs[at], *mine[at + 1 :]]]}
        verdict = judged(world, one_event)
        assert (verdict.code, verdict.n) == ("chain", at + 1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_can_be_altered_anywhere(shared: tuple[Document, Document, TrustedKeys], data: st.DataObject) -> None:
    """One leaf of the JSON, changed into anything of its kind: refused, or it says exactly the same."""
    one, _, keys = shared
    altered = copy.deepcopy(one)
    node: Any = altered
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or not node[key]:
            break
        node = node[key]
    old = node[key]
    node[key] = data.draw(_other(old))
    verdict = verify_person(altered, keys)
    assert verdict.code is not None, (key, old, node[key])


def _other(old: Any) -> st.SearchStrategy[Any]:
    if isinstance(old, bool):
        return st.just(not old)
    if isinstance(old, int):
        return st.integers(-2, 2**40).filter(lambda new: new != old)
    if isinstance(old, str):
        at = st.integers(0, max(0, len(old) - 1))
        return st.one_of(
            at.map(lambda i: old[:i] + ("A" if old[i : i + 1] != "A" else "B") + old[i + 1 :]), st.just(None)
        )
    return st.sampled_from([1, "x", {}, [0]])


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


def test_an_event_that_is_not_opened_is_counted_and_holds_its_place(
    shared: tuple[Document, Document, TrustedKeys],
) -> None:
    one, _, keys = shared
    chain = one["chains"][0]
    for at in range(len(chain) - 1):
        hidden = {**one, "chains": [[*chain[:at], closed_of(chain[at]), *chain[at + 1 :]]]}
        verdict = verify_person(hidden, keys)
        assert (verdict.code, verdict.closed) == (None, 1)
    at = 3
    # Another leaf of the log in its place does not hold it.
    stranger = closed_of(chain[0]) | {"first": at + 1, "n": at + 1}
    verdict = verify_person({**one, "chains": [[*chain[:at], stranger, *chain[at + 1 :]]]}, keys)
    assert (verdict.code, verdict.n) == ("chain", at + 2)


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
