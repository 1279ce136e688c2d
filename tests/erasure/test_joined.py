"""Whoever was joined or split is erased too: she goes with all she turned out to be, and the other stays whole.

A walk over everything that can happen to two persons' records, in any order, and after each erasure a naive reader's
look at every file: what is hers is unreadable, whatever copies there are, and what is another's reads as before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.runtime.ids import PersonId, new_uuid
from connectors.kit.tokens import TokenSet
from consent.model import EventKind
from hub.app import close_hub
from hub.services.register import resolve
from hub.store import tables
from hub.store.access import AccessFilter
from tests.erasure.attacker import contents, copy_of_secrets, files_of, keys_in, readers_of
from tests.erasure.conftest import NOTHING_KEPT, PROOF_KEPT, decision, is_whole, later, rows_with
from tests.hub.conftest import RSA, World, record_key, tokens

SLUGS = ("departement", "caf", "cpam", "ccas")
COLLECTORS = ("departement", "ccas")
Key = tuple[str, int]
"""A record: its partner, and that one's number for it."""


def half(person: int) -> TokenSet:
    """Enough in common with the person to be shown to a reviewer, not enough to be linked."""
    made = tokens(person)
    return TokenSet(tuple(each for each in made.tokens if each[0] == "sgd"), made.flags)


@dataclass(frozen=True)
class Seen:
    """What is read of one person: her agreements and her accesses, by sequence number, as they open."""

    consents: dict[int, tuple[str, bool, str]]
    accesses: dict[int, str]


@dataclass
class Town:
    """Four partners' records of a few people, and who is who."""

    world: World
    folder: Path
    refs: dict[Key, str] = field(default_factory=dict)
    ids: dict[Key, str] = field(default_factory=dict)
    records: int = 0

    def register(self, slug: str, number: int, person: int, *, whole: bool) -> None:
        held = tokens(person) if whole else half(person)
        record = {"record_key": record_key(number), "sections": ["droits", "ressources"], **held.to_wire()}
        made = self.world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"][0]
        self.refs[slug, number] = made["ref"]
        later(self.world, seconds=1)

    def whom(self, key: Key) -> PersonId:
        found = self.world.hub.reads.run(lambda uow: resolve(uow, self.world.hub.keyring, key[0], self.refs[key]))
        assert found is not None, key
        return found

    def people(self) -> dict[PersonId, list[Key]]:
        found: dict[PersonId, list[Key]] = {}
        for key in sorted(self.refs):
            found.setdefault(self.whom(key), []).append(key)
        return found

    def living(self) -> list[PersonId]:
        """Everybody with a record: some under no ref known here, until their partner registers again."""
        query = select(tables.link.c.person_id).where(tables.link.c.until.is_(None)).distinct()
        found = self.world.hub.reads.run(lambda uow: uow.connection.execute(query).scalars().all())
        return sorted(map(PersonId, found))

    def family(self, person: PersonId) -> tuple[PersonId, ...]:
        return self.world.hub.reads.run(lambda uow: uow.identity.family(person))

    def reviews(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.ok("dpo", "/v1/reviews/search", {"decided": True})["reviews"]
        return found

    def decide(self, review_id: str, made: str) -> None:
        later(self.world, seconds=1)
        body = {"review_id": review_id, "decision": made, "reason": "x"}
        # 404: of two doubts about one pair, an earlier decision left one.
        assert self.world.post("dpo", "/v1/reviews/decide", body).status_code in (200, 404, 409)

    def join_all(self) -> None:
        for review in self.reviews():
            self.decide(review["review_id"], "link")

    def split(self, key: Key, going: list[str]) -> None:
        """Give the records of the partners ``going`` to a person of their own."""
        shown = {"partner": key[0], "ref": self.refs[key], "complaint": "x"}
        held = self.world.ok("dpo", "/v1/persons/records", shown)["records"]
        self.split_records(key, [record["record_id"] for record in held if record["partner"] in going])

    def split_records(self, key: Key, record_ids: list[str]) -> None:
        later(self.world, seconds=1)
        body = {"partner": key[0], "ref": self.refs[key], "records": record_ids, "complaint": "x", "reason": "x"}
        assert self.world.post("dpo", "/v1/persons/split", body).status_code in (200, 409)
        later(self.world, seconds=1)

    def say(self, key: Key, kind: EventKind, **facts: Any) -> bool:
        facts = {"fields": RSA, "sources": ("caf",), "recipients": (("departement", ()), ("ccas", ())), **facts}
        event = self.world.event(self.refs[key], kind, collector=key[0], **facts)
        later(self.world, seconds=1)
        return self.world.post(key[0], "/v1/consents", event).status_code == 201

    def seen(self, person: PersonId) -> Seen:
        def look(uow: Any) -> Seen:
            consents = {each.seq: (each.jws, each.gives, each.receipt_id) for each in uow.consents.of(person)}
            where = AccessFilter(owner=person, also=uow.identity.family(person)[1:])
            accesses = {row.seq: str(row.payload) for row in uow.access.search(where, 10_000)[0]}
            return Seen(consents, accesses)

        return self.world.hub.reads.run(look)

    def marks(self, person: PersonId) -> dict[str, bytes]:
        """What of her a search of the files would find."""
        found: dict[str, bytes] = {}
        family = self.family(person)
        keyring = self.world.hub.keyring

        def look(uow: Any) -> None:
            made_by = select(tables.person_ref.c.secret_of).where(tables.person_ref.c.person_id == person)
            for each in (*family, *uow.connection.execute(made_by).scalars()):
                found[f"id {each}"] = each.encode()
            for linked in uow.identity.records_of(person):
                found[f"record {linked.record_id}"] = linked.record_id.encode()

        self.world.hub.reads.run(look)
        for key, ref in self.refs.items():
            if self.whom(key) == person:
                found[f"ref {key}"] = keyring.ref_lookup(key[0], ref)
        assert len(family) >= 1
        return found

    def erase(self, key: Key, reason: str = NOTHING_KEPT) -> dict[str, Any]:
        """Erase whom a ref means, and look at everything afterwards."""
        world, person = self.world, self.whom(key)
        others = [each for each in self.living() if each != person]
        before = {each: self.seen(each) for each in (person, *others)}
        theirs = {seq for each in others for seq in before[each].consents}
        alone = set(before[person].consents) - theirs
        old, marks, family = contents(world), self.marks(person), self.family(person)
        hers = {seq: old[seq] for seq in alone}
        copy = copy_of_secrets(world, self.folder / "copies")
        keys_before = list(keys_in(copy, world))
        assert all(readers_of(content, keys_before) for content in hers.values())
        found_before = files_of(world.home.path, self.folder / "files")
        assert {name for name, mark in marks.items() if mark in found_before} >= {f"id {each}" for each in family}

        decided = decision(world, self.refs[key], reason, partner=key[0])
        receipt = world.ok("dpo", "/v1/erasures", decided)

        erasure_id = receipt["erasure"]["erasure_id"]
        found_after = files_of(world.home.path, self.folder / "files")
        left = {name for name, mark in marks.items() if mark in found_after}
        files = [path.name for path in world.home.path.iterdir() if any(marks[n] in path.read_bytes() for n in left)]
        assert left == set(), ([rows_with(world, name.split()[-1]) for name in left], files)
        assert [rows_with(world, each) for each in family] == [{} for _ in family]
        # Whatever copies of hub.db there are: no key of today opens what was hers alone, but the proof's.
        keeps = {erasure_id} if reason == PROOF_KEPT else set()
        today = list(keys_in(world.home.secrets, world))
        assert all(readers_of(content, today) <= keeps for content in hers.values())
        # Nor does one of any copy of secrets.db made before, with the wrapping keys of today.
        for earlier in sorted((self.folder / "copies").iterdir()):
            opened = list(keys_in(earlier, world))
            assert all(readers_of(content, opened) == set() for content in hers.values())
        for seq, content in hers.items():
            assert (content.sealed in found_after) is (reason == PROOF_KEPT), seq
        kept = world.ok("dpo", "/v1/erasures/agreements", {"erasure_id": erasure_id, "complaint": "x"})["agreements"]
        shown = sorted(before[person].consents[seq][0] for seq in alone)
        assert sorted(kept) == (shown if reason == PROOF_KEPT else [])
        # What the law keeps is found through the receipt, whole.
        through = world.log(erasure_id=erasure_id, complaint="x", limit=500)
        assert len(through) == len(before[person].accesses)
        # Everybody else's opens, and is what it was.
        for each in others:
            assert self.seen(each) == before[each]
        gone = [other for other in self.refs if self._means_no_one(other)]
        assert key in gone
        for other in gone:
            del self.refs[other]
        assert self.living() == others
        assert is_whole(world)
        return receipt

    def _means_no_one(self, key: Key) -> bool:
        keyring, ref = self.world.hub.keyring, self.refs[key]
        return self.world.hub.reads.run(lambda uow: resolve(uow, keyring, key[0], ref)) is None


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    world = World(tmp_path)
    yield Town(world, tmp_path)
    close_hub(world.hub)


def two(town: Town) -> None:
    """Two persons with agreements and accesses of their own: the desk's and the town hall's."""
    town.register("departement", 1, 1, whole=True)
    town.register("caf", 1, 1, whole=True)
    town.register("ccas", 2, 1, whole=False)
    assert len(town.people()) == 2
    for key in (("departement", 1), ("ccas", 2)):
        assert town.say(key, EventKind.GRANTED)
        town.world.pull(town.refs[key], RSA, recipient=key[0])


@pytest.mark.parametrize("reason", [NOTHING_KEPT, PROOF_KEPT])
def test_who_turned_out_to_be_one_goes_as_one(town: Town, reason: str) -> None:
    two(town)
    town.join_all()
    assert town.say(("ccas", 2), EventKind.DENIED)
    town.world.pull(town.refs["departement", 1], RSA)
    (person,) = town.people()
    assert len(town.family(person)) == 2
    receipt = town.erase(("departement", 1), reason)
    assert receipt["erasure"]["rows"]["person"] == 2
    assert receipt["erasure"]["rows"]["consent_event"] == 3
    assert town.people() == {}


@pytest.mark.parametrize("first", ["who stayed", "who was separated"])
@pytest.mark.parametrize("reason", [NOTHING_KEPT, PROOF_KEPT])
def test_of_two_that_were_split_one_goes_and_the_other_stays_whole(town: Town, first: str, reason: str) -> None:
    for slug in SLUGS:
        town.register(slug, 1, 1, whole=True)
    for key in (("departement", 1), ("ccas", 1)):
        assert town.say(key, EventKind.GRANTED)
        town.world.pull(town.refs[key], RSA, recipient=key[0])
    town.split(("departement", 1), ["caf", "ccas"])
    for key in (("departement", 1), ("ccas", 1)):
        assert town.say(key, EventKind.DENIED)
    going, staying = (("departement", 1), ("ccas", 1)) if first == "who stayed" else (("ccas", 1), ("departement", 1))
    history = len(town.seen(town.whom(staying)).accesses)
    assert history >= 2
    town.erase(going, reason)
    assert len(town.seen(town.whom(staying)).accesses) == history
    # Her agreements are there for her partner, and go on; so does her history, and her receipts.
    records = town.world.ok(staying[0], "/v1/consents/search", {"ref": town.refs[staying]})["records"]
    assert {record["state"] for record in records} == {"granted", "denied"}
    (given,) = [record for record in records if record["state"] == "granted"]
    for _, _, receipt_id in town.seen(town.whom(staying)).consents.values():
        headers = {"Authorization": f"Bearer {town.world.token(staying[0])}"}
        assert town.world.client.get(f"/log/receipts/{receipt_id}", headers=headers).status_code == 200
    assert town.say(
        staying, EventKind.REVOKED, follows=town.world.follows(town.refs[staying], given["record_id"], staying[0])
    )
    assert town.world.log("usager", staying[0], ref=town.refs[staying])
    town.erase(staying, reason)


def test_an_agreement_of_whom_nobody_can_tell_stays_the_others(town: Town) -> None:
    """What it refuses stands for the one that stays; it goes with the last of the two."""
    for number in (1, 2):
        town.register("departement", number, 1, whole=True)
    town.register("caf", 1, 1, whole=True)
    town.register("cpam", 1, 1, whole=True)
    assert town.say(("departement", 1), EventKind.DENIED)
    shown = {"partner": "caf", "ref": town.refs["caf", 1], "complaint": "x"}
    held = town.world.ok("dpo", "/v1/persons/records", shown)["records"]
    own = [record["record_id"] for record in held if record["partner"] == "departement"]
    town.split_records(("caf", 1), [own[0], *(r["record_id"] for r in held if r["partner"] == "caf")])
    one, other = town.people()
    assert set(town.seen(one).consents) == set(town.seen(other).consents) != set()
    town.erase(("caf", 1))
    (left,) = town.people()
    assert [gives for _, gives, _ in town.seen(left).consents.values()] == [False]
    receipt = town.erase(("cpam", 1))
    assert receipt["erasure"]["emptied"]["count"] == 1


def test_the_audit_follows_what_was_said_while_two_were_one(town: Town) -> None:
    """Under a ref that means the other again: nothing was erased, and nothing is wrong."""
    two(town)
    town.join_all()
    for key in (("ccas", 2), ("departement", 1)):
        assert town.say(key, EventKind.DENIED)
    town.split(("departement", 1), ["ccas"])
    assert len(town.people()) == 2
    assert is_whole(town.world)


def test_what_was_said_under_a_ref_of_the_erased_and_is_anothers_is_named_by_the_erasure(town: Town) -> None:
    """The town hall has records of both, and said it under the ref the erased person's secret makes."""
    two(town)
    town.register("ccas", 7, 1, whole=True)
    town.join_all()
    assert town.say(("ccas", 2), EventKind.DENIED)
    shown = {"partner": "caf", "ref": town.refs["caf", 1], "complaint": "x"}
    held = town.world.ok("dpo", "/v1/persons/records", shown)["records"]
    town.split_records(("caf", 1), [record["record_id"] for record in held if record["rule"] == "review"])
    assert town.whom(("ccas", 2)) != town.whom(("caf", 1))
    receipt = town.erase(("ccas", 2))
    assert receipt["erasure"]["unnamed"]["count"] == 1
    assert [gives for _, gives, _ in town.seen(town.whom(("caf", 1))).consents.values()].count(False) == 1


def test_a_person_of_many_pasts(town: Town) -> None:
    """Joined, split, joined again, split otherwise, one erased, the rest joined with a third, and erased."""
    two(town)
    town.register("cpam", 3, 1, whole=False)
    assert len(town.people()) == 3
    town.join_all()
    assert town.say(("departement", 1), EventKind.GRANTED)
    town.split(("departement", 1), ["ccas"])
    assert town.say(("ccas", 2), EventKind.DENIED)
    town.join_all()
    town.world.pull(town.refs["ccas", 2], RSA, recipient="ccas")
    town.split(("departement", 1), ["caf", "cpam"])
    town.erase(("caf", 1), PROOF_KEPT)
    town.register("caf", 9, 1, whole=True)
    town.join_all()
    town.erase(("ccas", 2))
    while town.refs:
        town.erase(sorted(town.refs)[0], PROOF_KEPT)


def test_a_copy_whose_split_never_was_goes_with_the_original(town: Town) -> None:
    """Made durable before the split that needs it, which a crash then undid: it makes nobody's ref."""
    two(town)
    person, copy = town.whom(("departement", 1)), PersonId(new_uuid())
    town.world.hub.writer.run(lambda uow: uow.secrets.copy(person, copy))
    assert town.world.hub.secrets.refs([copy]).keys() == {copy}
    second = PersonId(new_uuid())
    town.world.hub.writer.run(lambda uow: uow.secrets.copy(copy, second))
    other = town.whom(("ccas", 2))
    town.erase(("departement", 1))
    assert town.world.hub.secrets.refs([copy, second, other]).keys() == {other}
    assert not any(each.encode() in files_of(town.world.home.path, town.folder / "files") for each in (copy, second))


def test_the_same_decision_again_erases_nobody_else(town: Town) -> None:
    two(town)
    town.join_all()
    sent = decision(town.world, town.refs["departement", 1])
    first = town.world.ok("dpo", "/v1/erasures", sent)
    assert town.world.ok("dpo", "/v1/erasures", sent)["erasure"] == first["erasure"]
    assert is_whole(town.world)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happened_before_every_erasure_ends(town: Town, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (a walk, not a secret)
    number = 0
    erased = 0
    for _ in range(45):
        chance = rng.random()
        if not town.refs or chance < 0.25:
            number += 1
            town.register(rng.choice(SLUGS), number, rng.choice((1, 2)), whole=rng.random() < 0.5)
        elif chance < 0.45:
            waiting = town.reviews()
            if waiting:
                town.decide(rng.choice(waiting)["review_id"], rng.choice(("link", "link", "different")))
        elif chance < 0.60:
            key = rng.choice(sorted(town.refs))
            shown = {"partner": key[0], "ref": town.refs[key], "complaint": "x"}
            held = town.world.ok("dpo", "/v1/persons/records", shown)["records"]
            going = [record["record_id"] for record in held if rng.random() < 0.5]
            if going:
                town.split_records(key, going)
        elif chance < 0.80:
            collecting = [key for key in sorted(town.refs) if key[0] in COLLECTORS]
            if collecting:
                town.say(rng.choice(collecting), rng.choice((EventKind.GRANTED, EventKind.DENIED)))
        elif chance < 0.90:
            asking = [key for key in sorted(town.refs) if key[0] in COLLECTORS]
            if asking:
                key = rng.choice(asking)
                town.world.pull(town.refs[key], RSA, recipient=key[0])
        else:
            town.erase(rng.choice(sorted(town.refs)), rng.choice((NOTHING_KEPT, PROOF_KEPT)))
            erased += 1
    while town.refs:
        town.erase(rng.choice(sorted(town.refs)), rng.choice((NOTHING_KEPT, PROOF_KEPT)))
        erased += 1
    assert erased >= 2
