"""A hub with a history of every kind, its files closed: what the owner of the database then does to copies of them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from connectors.kit.runtime.ids import new_uuid
from connectors.kit.tokens import TokenSet
from connectors.kit.trust import Directory
from consent.ledger.note import KeyType, SignerKey, split_note
from consent.model import EventKind
from hub.app import close_hub
from hub.log_check.finding import Finding, Wrong
from hub.log_check.fsck import Report, fsck
from hub.log_check.trust import trust_of_home
from hub.services import log
from hub.store.matches import Match, MatchKind
from hub.store.rotation import RotationStep
from hub.store.session import UnitOfWork
from hub.store.tables import Instant
from tests.hub.conftest import World, record_key, tokens


@dataclass(frozen=True)
class Kept:
    """The files of a hub that has stopped, and a checkpoint somebody else keeps."""

    home: Path
    directory: Directory
    outside: bytes
    witness: SignerKey

    def copy(self, folder: Path) -> Path:
        """Return a copy of the home in ``folder``."""
        return Path(shutil.copytree(self.home, folder / "home"))

    def audit(self, home: Path, *, against: bool = True) -> Finding | None:
        """Return the first thing wrong with the hub of ``home``."""
        try:
            return self.report(home, against=against).finding
        except Wrong as found:
            return found.finding

    def report(self, home: Path, *, against: bool = True) -> Report:
        """Return what the audit says of the hub of ``home``; raises ``Wrong`` for keys that do not follow."""
        trust = trust_of_home(home / "hub.db", self.directory, [self.outside] if against else [])
        return fsck(home / "hub.db", trust, home=home)


@contextmanager
def owner(home: Path, *, keep_triggers: bool = True) -> Iterator[sqlite3.Connection]:
    """The database as its owner opens it: no trigger stands in the way, and all are back in place afterwards."""
    connection = sqlite3.connect(home / "hub.db", isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for pragma in ("foreign_keys=OFF", "synchronous=OFF", "journal_mode=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    if keep_triggers:
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def live_through(world: World) -> None:
    """Persons, agreements, refusals, a withdrawal, pulls, readings, a suspension: a row in every event table."""
    for person in (1, 2, 3):
        refs = {slug: world.register(slug, person, sections=["droits"]) for slug in ("departement", "caf", "cpam")}
        if person == 2:
            continue
        desk = refs["departement"]
        granted = world.consent(desk, EventKind.GRANTED)
        world.consent(desk, EventKind.DENIED, fields=("contact.telephone",), notice=None)
        world.pull(desk)
        world.log("usager", "departement", ref=desk)
        follows = world.follows(desk, granted["record_id"])
        world.consent(desk, EventKind.REVOKED, follows=follows)
        world.pull(desk)
    decide_who_is_whom(world)
    for suspended in (True, False):
        world.ok("operator", "/v1/partners/suspend", {"slug": "ccas", "suspended": suspended, "reason": "essai"})
    world.hub.writer.run(_what_no_request_causes)
    world.log()


def decide_who_is_whom(world: World) -> None:
    """Two persons joined by a review and split again, others joined for good: a row in every table of who is whom."""
    for person in (11, 12):
        half = TokenSet(tuple(each for each in tokens(person).tokens if each[0] == "sgd"), tokens(person).flags)
        desk = world.register("departement", person, sections=["accompagnement"])
        world.consent(desk, EventKind.DENIED, fields=("contact.telephone",), notice=None)
        for slug in ("caf", "ccas"):
            world.clock.advance(timedelta(seconds=1))
            record = {"record_key": record_key(person), "sections": ["droits", "ressources"], **half.to_wire()}
            known = world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"][0]["ref"]
            if slug == "ccas":
                world.consent(known, EventKind.DENIED, collector=slug, fields=("contact.telephone",), notice=None)
        for review in world.ok("dpo", "/v1/reviews/search", {"decided": False})["reviews"]:
            decision = {"review_id": review["review_id"], "decision": "link", "reason": "pièce vue"}
            world.post("dpo", "/v1/reviews/decide", decision)  # the second may be settled by the first
        world.consent(desk, EventKind.GRANTED)
        world.pull(desk)
        if person == 11:
            named = {"partner": "departement", "ref": desk, "complaint": "R-1"}
            held = world.ok("dpo", "/v1/persons/records", named)["records"]
            going = [each["record_id"] for each in held if each["partner"] != "departement"]
            world.ok("dpo", "/v1/persons/split", {**named, "records": going, "reason": "homonymes"})


def _what_no_request_causes(uow: UnitOfWork) -> None:
    """A policy taken, a rotation, a decision about whose a record is."""
    uow.in_force.take_policy("f" * 64)
    uow.rotations.append(RotationStep.PEPPER_BEGUN, 2, partner="caf", check="c" * 32)
    person = uow.connection.exec_driver_sql("SELECT min(person_id) FROM person").scalar_one()
    uow.matches.append_all([Match(kind, person, new_uuid(), "caf", {"rule": "nir"}) for kind in MatchKind])


def cosign(uow: UnitOfWork, witness: SignerKey) -> None:
    """Have the newest checkpoint cosigned, as the hub keeps what a witness answers."""
    newest = uow.log.newest()
    assert newest is not None
    time = int(newest.at.timestamp()) + 1
    uow.log.cosign(newest.size, [(witness.name, witness.sign(split_note(newest.note)[0], time))])


def build(folder: Path) -> Kept:
    """Live through it, a witness cosigning now and then, stop, and keep the newest checkpoint outside."""
    world = World(folder)
    witness = SignerKey.from_seed("caf.example/witness/caf", b"w" * 32, KeyType.COSIGNATURE_V1)
    world.entries["caf"] = replace(world.entries["caf"], witness_key=witness.verifier.vkey)
    world.sign_directory()
    world.hub.directory.refresh()
    world.register("departement", 9)
    world.hub.writer.run(lambda uow: cosign(uow, witness))
    live_through(world)
    world.hub.writer.run(lambda uow: cosign(uow, witness))
    world.log()  # witnesses are always a little behind
    kept = Kept(world.home.path, world.directory, world.hub.reads.run(log.checkpoint), witness)
    close_hub(world.hub)
    for name in ("hub.db", "secrets.db"):  # into one file each, so that a copy is a whole one
        connection = sqlite3.connect(kept.home / name)
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
        assert not busy
    return kept


Mutation = Callable[[sqlite3.Connection], None]
RECOUNT = "UPDATE person SET version = (SELECT count(*) FROM consent_event e WHERE e.person_id = person.person_id)"


class Scene:
    """One copy of the files, set back before each mutation."""

    def __init__(self, kept: Kept, folder: Path) -> None:
        self.kept = kept
        self.home = kept.copy(folder)
        self.tried = 0

    def missed(self, mutation: Mutation, *, against: bool = True, keep_triggers: bool = True) -> bool:
        """Make the mutation on fresh files; say whether the audit overlooked it."""
        for file in self.home.glob("hub.db*"):
            file.unlink()
        shutil.copy(self.kept.home / "hub.db", self.home / "hub.db")
        with owner(self.home, keep_triggers=keep_triggers) as connection:
            mutation(connection)
        self.tried += 1
        return self.kept.audit(self.home, against=against) is None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.kept.home / "hub.db")
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self.rows(f"PRAGMA table_info({table})")]


def spread(rows: list[Any], most: int) -> list[Any]:
    """Return the first, the last and some between."""
    step = max(1, (len(rows) - 1) // max(1, most - 1))
    return rows[::step][: most - 1] + rows[-1:] if len(rows) > most else rows


def differs(scene: Scene, table: str) -> bool:
    """Whether the mutation changed the table at all (a constraint may have refused it)."""
    connection = sqlite3.connect(scene.home / "hub.db")
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall() != scene.rows(f"SELECT * FROM {table}")
    finally:
        connection.close()


def typed(row: sqlite3.Row) -> dict[str, Any]:
    values = dict(row)
    at_us = values["at"]
    values["at"] = Instant().process_result_value(at_us, None)
    return values | {"at_us": at_us}
