"""Each thing a person may say, taken down with the command line against a real hub and a real edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kit.partner import PartnerFolder, bundled_directory
from hub.cli.demo.deployment import Deployment, must, run_command
from hub.cli.pull import statements

AGENTS = ("--agent", "a.martin", "--second-agent", "b.durand")


class Desk:
    """The département's desk: its own edge is the source too."""

    def __init__(self, deployment: Deployment) -> None:
        self.home = str(deployment.home("departement"))

    def say(self, verb: str, person: str, *arguments: str) -> str:
        answer = must("consent", verb, "--home", self.home, "--person", person, *arguments, *AGENTS)
        assert answer["state"] == self.records(person)[answer["record_id"]]
        return str(answer["record_id"])

    def records(self, person: str) -> dict[str, str]:
        rows = must("consent", "show", "--home", self.home, "--person", person)["records"]
        return {row["record_id"]: row["state"] for row in rows}

    def sees(self, person: str, purpose: str, role: str) -> set[str]:
        got = must(
            *("pull", "--home", self.home, "--person", person, "--purpose", purpose, "--role", role),
            *("--agent", "a.martin", "--case", "1"),
        )
        return {path for path, said in statements(got["dossier"]) if "valeur" in said}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    deployment = Deployment.create(tmp_path_factory.mktemp("verbs"), {"departement": "departement"})
    with deployment.fleet:
        deployment.start()
        folder = PartnerFolder.load(bundled_directory() / "departement")
        deployment.ingest("departement", [file.path for file in folder.samples("demo") if file.path.suffix == ".csv"])
        yield Desk(deployment)


def test_a_refusal_is_stronger_than_an_agreement_and_can_be_taken_back(desk: Desk) -> None:
    person, ask = "D29-000611", ("accompagnement_global", "referent_parcours")
    scope = ("--notice", "accompagnement_global", "--source", "departement")
    desk.say("grant", person, *scope)
    agreed = desk.sees(person, *ask)
    assert {"identite.prenoms", "accompagnement.phase"} <= agreed
    refusal = desk.say("deny", person, *scope, "--field", "accompagnement.*")
    assert desk.sees(person, *ask) == {path for path in agreed if not path.startswith("accompagnement.")}
    desk.say("withdraw", person, "--record", refusal)
    assert desk.sees(person, *ask) == agreed


def test_an_agreement_is_narrowed_then_withdrawn(desk: Desk) -> None:
    person, ask = "D29-000612", ("accompagnement_global", "referent_parcours")
    record = desk.say("grant", person, "--notice", "accompagnement_global", "--source", "departement")
    agreed = desk.sees(person, *ask)
    desk.say("narrow", person, "--record", record, "--remove", "identite.*")
    assert desk.sees(person, *ask) == {path for path in agreed if not path.startswith("identite.")} != agreed
    desk.say("withdraw", person, "--record", record)
    assert desk.sees(person, *ask) == set()
    again = run_command("consent", "withdraw", "--home", desk.home, "--person", person, "--record", record, *AGENTS)
    assert (again.code, again.error["error"]) == (1, "transition")


def test_an_information_is_objected_to_and_the_objection_taken_back(desk: Desk) -> None:
    person, ask = "D29-000502", ("acces_aux_droits", "instructeur")
    record = desk.say("inform", person, "--notice", "acces_aux_droits", "--source", "departement")
    told = desk.sees(person, *ask)
    assert "identite.prenoms" in told
    desk.say("object", person, "--record", record)
    assert desk.sees(person, *ask) == set()
    desk.say("withdraw", person, "--record", record)
    assert desk.sees(person, *ask) == told


def test_a_declared_agreement_without_proof_is_refused_by_name(desk: Desk) -> None:
    scope = ("--notice", "accompagnement_global", "--source", "departement", "--evidence", "E0")
    done = run_command("consent", "grant", "--home", desk.home, "--person", "D29-000503", *scope, "--agent", "a.martin")
    assert (done.code, done.error["error"]) == (1, "evidence")
    assert desk.records("D29-000503") == {}


def test_the_person_leaves_with_a_receipt_and_a_page(desk: Desk, tmp_path: Path) -> None:
    receipt, page, again, keys = (tmp_path / name for name in ("recu.json", "recu.pdf", "encore.json", "cles.json"))
    scope = ("--person", "D29-000611", "--notice", "accompagnement_global", "--source", "departement")
    given = must(
        *("consent", "grant", "--home", desk.home, *scope, *AGENTS, "--receipt", str(receipt), "--pdf", str(page))
    )
    assert page.read_bytes().startswith(b"%PDF-")
    assert {file.stat().st_mode & 0o777 for file in (receipt, page)} == {0o600}
    must("log", "keys", "--home", desk.home, "--out", str(keys))
    # No witness has seen it yet: that is said apart (4), and is no refusal.
    verdict = must("verify", str(receipt), "--keys", str(keys), also=(4,))
    assert verdict["is_witnessed"] is False
    assert (verdict["holds"], verdict["record"]["record_id"]) == (True, given["record_id"])
    must("consent", "receipt", given["receipt_id"], "--home", desk.home, "--receipt", str(again))
    must("log", "keys", "--home", desk.home, "--out", str(keys), "--no-witness")
    assert must("verify", str(again), "--keys", str(keys))["digest"] == verdict["digest"]
    # A file that is there stops the command before anything is said.
    before = desk.records("D29-000611")
    refused = run_command("consent", "grant", "--home", desk.home, *scope, *AGENTS, "--receipt", str(receipt))
    assert refused.code == 2
    assert desk.records("D29-000611") == before
