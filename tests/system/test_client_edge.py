"""A client edge among real processes: the simulator as the partner's API, the hub, the département that asks."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests

from hub.cli.demo.deployment import Deployment, Outcome, must, run_command
from hub.cli.output import EXIT_PARTIAL, EXIT_REFUSED
from hub.cli.pull import statements
from tests.live.caisse import HOUSEHOLD, QF, QUOTIENT, RIGHT, RSA, START, write_cases, write_partner

PURPOSE = "accompagnement_global"
SUIVI = (
    "id_si_departement;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;code_pays_naissance;"
    "phase;parcours;orientation;organisme_referent;referent;date_contrat;heures_contrat;rendez_vous;date_maj\n"
    "D29-1;Berthelot;;Anne, Lise;F;09/05/1984;08480;99100;Accueil;;;;;;;;2026-01-09\n"
    "D29-2;Roussel;;Elsa;F;06/05/1979;29019;99100;Accueil;;;;;;;;2026-01-09\n"
)


class WithClient(Deployment):
    """The edge ``caisse`` is a client of the API at ``api``."""

    api: str
    token: Path

    def _init_edge(self, slug: str) -> dict[str, Any]:
        if slug != "caisse":
            return super()._init_edge(slug)
        return must(
            *("edge", "init", str(self.home(slug)), "--partner", self.partners[slug], "--hub-url", self.url("hub")),
            *("--url", self.url(slug), "--port", str(self.ports[slug]), "--co-hosted"),
            *("--mode", "client", "--api-url", self.api, "--api-token", str(self.token)),
            *("--api-habilitation", "22290001400016"),
        )


@contextmanager
def simulator(partner: Path, cases: Path, port: str = "0") -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "simulate", str(partner), str(cases), "--port", port],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = next(found[1] for line in process.stderr if (found := re.match(r"(http://[^/]+)/", line)))
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_client_edge_from_end_to_end(tmp_path: Path) -> None:
    partner = write_partner(tmp_path / "partners", purpose=PURPOSE, ttl_seconds=2)
    cases = write_cases(tmp_path / "cases", **{QF: [HOUSEHOLD], RSA: [RIGHT]})
    suivi, token = tmp_path / "suivi.csv", tmp_path / "token"
    suivi.write_text(SUIVI, "utf-8")
    token.write_text("s3cr3t\n")
    token.chmod(0o600)
    with simulator(partner, cases) as url:
        WithClient.api, WithClient.token = url, token
        deployment = WithClient.create(tmp_path / "run", {"caisse": str(partner), "departement": "departement"})
        home = str(deployment.home("caisse"))
        with deployment.fleet:
            deployment.start()
            deployment.ingest("departement", [suivi])
            told = must("edge", "follow", str(suivi), "--home", home, "--of", "departement")
            assert (told["known"], told["registered"]) == (2, 2)
            again = must("edge", "follow", str(suivi), "--home", home, "--of", "departement")
            assert (again["known"], again["unchanged"], again["registered"]) == (0, 2, 0)
            refused = run_command("ingest", str(suivi), "--home", home)
            assert (refused.code, refused.error["error"]) == (EXIT_REFUSED, "forbidden")
            assert requests.get(f"{deployment.url('caisse')}/health", timeout=5).json() == {
                "status": "ok",
                "slug": "caisse",
                "operator": "departement",
                "co_hosted": True,
                "mode": "client",
                "api": "closed",
                "alarms": {},
                "witness": True,
            }

            def calls() -> int:
                return int(requests.get(f"{url}/_simulator", timeout=5).json()["counts"].get("requests", 0))

            def pull(person: str, purpose: str = PURPOSE) -> Outcome:
                return run_command(
                    *("pull", "--home", str(deployment.home("departement")), "--person", person),
                    *("--purpose", purpose, "--role", "referent_parcours", "--agent", "a", "--case", "c"),
                )

            def said(got: Outcome) -> dict[str, Any]:
                found = statements(got.document["dossier"])
                return {path: each for path, each in found if each["source"] == "caisse"}

            assert said(pull("D29-1")) == {}
            assert calls() == 0, "without an agreement nobody is asked about"
            for person in ("D29-1", "D29-2"):
                for notice in ("accompagnement_global", "logement_fsl"):
                    must(
                        *("consent", "grant", "--home", str(deployment.home("departement")), "--person", person),
                        *("--notice", notice, "--source", "caisse", "--agent", "a", "--second-agent", "b"),
                    )
            got = said(pull("D29-1"))
            assert got[QUOTIENT]["valeur"]["valeur"] == 412
            assert got[START]["valeur"] == "2024-03-01"
            assert calls() == 2
            assert got[QUOTIENT]["date_effet"] == "2026-01-01"
            assert got[QUOTIENT]["date_collecte"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            # 404 for a person the API does not know: told apart from "did not answer".
            unknown = pull("D29-2")
            assert said(unknown)[QUOTIENT]["absence"] == "sans_dossier"
            assert unknown.code == 0, "that there is nothing is an answer"
            # Another purpose, agreed to by the person: not the habilitation's, so the API is not even asked.
            before = calls()
            other = pull("D29-1", "prevention_expulsion_fsl")
            assert said(other) == {}
            assert other.document["dossier"]["gaps"] == [{"source": "caisse", "outcome": "non_autorise"}]
            assert calls() == before
    # The API is gone, and what it said has had its time.
    with deployment.fleet:
        deployment.start()
        time.sleep(2)
        gone = pull("D29-1")
        assert said(gone)[QUOTIENT]["absence"] == "indisponible"
        assert (gone.code, gone.document["dossier"]["gaps"]) == (EXIT_PARTIAL, [])
    with closing(sqlite3.connect(deployment.home("caisse") / "edge.db")) as db:
        assert db.execute("SELECT count(*) FROM fragment").fetchone() == (0,), "nothing of an answer is stored"
        assert db.execute("SELECT count(*) FROM subject").fetchone() == (2,)
    log = "".join(file.read_text("utf-8", "replace") for file in (tmp_path / "run" / "logs").iterdir())
    assert "live:unanswered" in log
    # Five digits turn up in an instant or an id now and then: alone they are a birthplace.
    assert not re.search(r"berthelot|s3cr3t|22290001400016|\b08480\b", log, re.IGNORECASE)
