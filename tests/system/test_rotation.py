"""The drill of the runbook with real processes: each rotation while partners register, pull and take agreements down.

Every answer has to be right, and whatever was acknowledged has to be there afterwards. The hub is killed in the middle.
"""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors.kit.edge import Edge
from connectors.kit.identity import parse_identity
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.pull import pull
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import tokens_of
from hub.cli.demo.deployment import Deployment, must, run_command
from hub.cli.pull import statements
from hub.cli.root import RootFolder

SECONDS = 120.0
BEFORE = 400
"""Persons known before anything turns: enough to be in the middle of for a while."""
PERSON = "D29-000417"
AWAY = {ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT}


@dataclass
class Traffic:
    """Partners at work, from threads of this process, each loop until told to stop."""

    departement: Edge
    caf: Edge
    home: str
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refs: dict[str, set[str]] = field(default_factory=dict)
    """Record key → every ref the hub ever gave for it."""
    agreements: list[str] = field(default_factory=list)
    pulls: int = 0
    strangers: int = 0
    """Persons of the demonstration, beside those registered here."""
    expected: dict[str, Any] = field(default_factory=dict)

    def loop(self, step: Callable[[], None]) -> None:
        while not self.stop.is_set():
            try:
                step()
            except MaillonError as error:
                # The hub is killed on purpose: no answer is no wrong answer.
                if error.kind not in AWAY:
                    self.wrong.append(f"{step.__name__}: {error.kind.value}: {error.detail}")
                time.sleep(0.2)

    def start(self) -> None:
        self.threads = [
            threading.Thread(target=self.loop, args=(step,)) for step in (self.register, self.pull, self.grant)
        ]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Return when each has done what it was at."""
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def register(self) -> None:
        """A new person at both partners, and somebody met before, whose ref has to be one of those it had."""
        number = len(self.refs)
        self.add([number])
        known = secrets.choice(list(self.refs))
        for ref in list(self.refs[known]):
            self.departement.hub.search_consents(ref)
        time.sleep(0.02)

    def add(self, numbers: list[int]) -> None:
        records = [_record(self.departement, number) for number in numbers]
        ours = self._asked(self.departement, records)
        theirs = self._asked(self.caf, records)
        for key, ref in ours.items():
            if ref == theirs[key]:
                self.wrong.append("two partners share a ref")
            self.refs.setdefault(key, set()).add(ref)

    @staticmethod
    def _asked(edge: Edge, records: list[dict[str, Any]]) -> dict[str, str]:
        while True:
            try:
                return {row["record_key"]: row["ref"] for row in edge.hub.register(records)}
            except MaillonError as error:
                # Asked again until it is acknowledged: the same record is the same record.
                if error.kind not in AWAY:
                    raise
                time.sleep(0.2)

    def pull(self) -> None:
        got = self.seen()
        if got != self.expected and not got["away"]:
            self.wrong.append(f"pull: {sorted(got['fields'])}, {got['gaps']}, {got['found_wanting']}")
        self.pulls += got == self.expected
        time.sleep(0.05)

    def seen(self) -> dict[str, Any]:
        ask = {"purpose": "accompagnement_global", "role": "referent_parcours", "agent": "a.martin", "case": "1"}
        answer = pull(self.departement, PERSON, **ask)
        held = {path for path, said in statements(answer.dossier) if "valeur" in said}
        gaps = sorted((gap["source"], gap["outcome"]) for gap in answer.dossier["gaps"])
        away = any(outcome == "indisponible" for _, outcome in gaps)
        return {"fields": held, "gaps": gaps, "found_wanting": len(answer.reports), "away": away}

    def grant(self) -> None:
        """An agreement taken down with the command, as a desk does."""
        said = run_command(
            *("consent", "grant", "--home", self.home, "--person", "D29-000612", "--notice", "accompagnement_global"),
            *("--source", "caf", "--recipient", "departement:referent_parcours"),
            *("--evidence", "E1", "--agent", "a.martin", "--second-agent", "b.durand"),
        )
        if said.code == 0:
            self.agreements.append(said.document["record_id"])
        elif said.code != 3:
            self.wrong.append(f"grant: {said.code} {said.error}")


def _record(edge: Edge, number: int) -> dict[str, Any]:
    letters = "".join(chr(ord("A") + (number // 20**place) % 20) for place in range(4))
    traits = {
        "nom_naissance": f"Kervran{letters}",
        "prenoms": ["Nolwenn", f"Brieuc{letters[::-1]}"],
        "sexe": "F",
        "date_naissance": f"19{50 + number % 40}-0{1 + number % 9}-1{number % 10}",
        "code_cog_insee_commune_naissance": "29019",
    }
    made = tokens_of(parse_identity(traits), edge.tokeniser)
    return {"record_key": b64url.encode(number.to_bytes(16, "big")), "sections": [], **made.to_wire()}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment.create(tmp_path_factory.mktemp("rotation"), {"departement": "departement", "caf": "caf"})
    for slug in made.partners:
        settings = made.home(slug) / "edge.toml"
        changed = settings.read_text("utf-8").replace("refresh_seconds = 60", "refresh_seconds = 1")
        settings.write_text(changed, "utf-8")
    with made.fleet:
        made.start()
        for slug in made.partners:
            folder = PartnerFolder.load(bundled_directory() / slug)
            made.ingest(slug, [file.path for file in folder.samples("demo")])
        yield made


@pytest.fixture
def traffic(deployment: Deployment) -> Iterator[Traffic]:
    home = deployment.home("departement")
    must(
        *("consent", "grant", "--home", str(home), "--person", PERSON, "--notice", "accompagnement_global"),
        *("--source", "caf", "--source", "departement", "--recipient", "departement:referent_parcours"),
        *("--evidence", "E1", "--agent", "a.martin", "--second-agent", "b.durand"),
    )
    edges = Edge.open(home, SystemClock()), Edge.open(deployment.home("caf"), SystemClock())
    made = Traffic(*edges, str(home))
    made.strangers = must("index", "stats", "--home", str(deployment.home("hub")))["persons"]
    made.add(list(range(BEFORE)))
    made.expected = made.seen()
    assert made.expected["fields"]
    assert not made.expected["found_wanting"]
    made.start()
    yield made
    made.end()
    for edge in edges:
        edge.close()


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_a_new_klink_while_dossiers_are_pulled(deployment: Deployment) -> None:
    """Edges go over one after the other, one of them killed on the way; every dossier asked for meanwhile is whole."""
    hub, root, home = (str(deployment.home(name)) for name in ("hub", "root", "departement"))
    must(
        *("consent", "grant", "--home", home, "--person", PERSON, "--notice", "accompagnement_global"),
        *("--source", "caf", "--source", "departement", "--recipient", "departement:referent_parcours"),
        *("--evidence", "E1", "--agent", "a.martin", "--second-agent", "b.durand"),
    )
    seen: list[tuple[set[str], list[Any], int]] = []

    def look() -> None:
        edge = Edge.open(deployment.home("departement"), SystemClock())
        try:
            ask = {"purpose": "accompagnement_global", "role": "referent_parcours", "agent": "a.martin", "case": "1"}
            answer = pull(edge, PERSON, **ask)
        finally:
            edge.close()
        held = {path for path, said in statements(answer.dossier) if "valeur" in said}
        gaps = sorted((gap["source"], gap["outcome"]) for gap in answer.dossier["gaps"])
        seen.append((held, gaps, len(answer.reports)))

    def link() -> dict[str, Any]:
        found: dict[str, Any] = must("index", "rotate", "--status", "--home", hub)["link"]
        return found

    def install(slug: str) -> None:
        folder = deployment.home("root")
        fingerprint = RootFolder.load(folder).root.fingerprint
        must(
            *("edge", "join", "--home", str(deployment.home(slug)), "--root-key", str(folder / "root.pub.jwk")),
            *("--fingerprint", fingerprint, "--directory", str(folder / "directory.jws")),
            *("--klink", str(folder / f"{slug}.klink.jwe")),
        )
        deployment.fleet.stop(slug, signal.SIGKILL)
        deployment.start(slug)

    look()
    before = must("index", "stats", "--home", hub)
    must("index", "rotate", "--link", "--home", hub)
    must("rotate-link", root)
    look()
    for slug in ("caf", "departement"):
        install(slug)
        look()
        deployment.fleet.stop(slug, signal.SIGKILL)
        deployment.start(slug)
        _until(lambda slug=slug: slug not in {each["partner"] for each in link()["behind"]})  # type: ignore[misc]
        if slug == "caf":
            assert run_command("index", "rotate", "--retire-link-epoch", "1", "--home", hub).code == 1
        look()
    must("index", "rotate", "--retire-link-epoch", "1", "--home", hub)
    _until(lambda: link()["state"] == "done")
    look()
    must("rotate-link", root, "--retire", "1")
    for slug in ("departement", "caf"):
        install(slug)
        look()
    # The agreement of before, proved under the retired epoch, is still found to be hers.
    assert seen[0][0]
    assert seen[0][2] == 0
    assert seen == [seen[0]] * len(seen)
    after = must("index", "stats", "--home", hub)
    assert {**after, "at": None} == {**before, "at": None}


def test_every_rotation_under_traffic(deployment: Deployment, traffic: Traffic) -> None:
    hub = str(deployment.home("hub"))

    def standing() -> dict[str, Any]:
        said = run_command("index", "rotate", "--status", "--home", hub)
        return said.document if said.code == 0 else {"pepper": {"state": "away"}, "refs": []}

    def of(slug: str) -> str:
        return next((each["state"] for each in standing()["refs"] if each["partner"] == slug), "none")

    # The pepper; the hub dies in the middle of it, and goes on by itself.
    begun = must("index", "rotate", "--pepper", "--no-wait", "--home", hub)
    assert begun["pepper"]["state"] == "running"
    deployment.fleet.stop("hub", signal.SIGKILL)
    time.sleep(1)
    deployment.start("hub")
    _until(lambda: standing()["pepper"]["state"] == "done")
    # The refs of both partners; their edges take them by themselves.
    pulls = traffic.pulls
    for slug in ("departement", "caf"):
        must("index", "rotate", "--refs", slug, "--home", hub)
        _until(lambda slug=slug: of(slug) == "taken")  # type: ignore[misc]
    _until(lambda: traffic.pulls > pulls + 5)
    assert must("edge", "refs", "--home", traffic.home)["taken"] == 0
    traffic.end()
    assert traffic.wrong == []
    assert len(traffic.refs) > BEFORE
    assert traffic.agreements
    # Each person registered at two partners is one; everybody met before the rotations was met again.
    numbers = list(range(len(traffic.refs)))
    for at in range(0, len(numbers), 200):
        traffic.add(numbers[at : at + 200])
    stats = must("index", "stats", "--home", hub)
    assert stats["persons"] == traffic.strangers + len(numbers)
    assert stats["epochs"] == [{"epoch": 2, "records": sum(stats["records"].values())}]
    # Whoever was known when the refs turned has two by now, and no more.
    assert {len(refs) for refs in traffic.refs.values()} <= {1, 2}
    shown = must("consent", "show", "--home", traffic.home, "--person", "D29-000612")["records"]
    assert {record["record_id"] for record in shown} >= set(traffic.agreements)
    log = must("log", "fsck", "--home", hub)
    assert log.get("finding") is None
