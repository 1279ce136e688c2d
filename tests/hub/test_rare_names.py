"""Two edges that ingest real files, a hub that knows no name: a rare name links two records, a common one does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import ingest
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.rarity import read_shares
from connectors.kit.registration import register_pending
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser
from tests.hub.conftest import World

TOKENISER = HmacTokeniser(b"l" * 32, 1)
TABLE = "kind,name,share\nS,Quéméner,0.00001\nS,Martin,0.004\nG,Solenn,0.002\nG,Marie,0.02\n"
FOLLOWED = (
    "id_si_departement;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;code_pays_naissance;"
    "phase;parcours;orientation;organisme_referent;referent;date_contrat;heures_contrat;rendez_vous;date_maj;nir\n"
)
AIDED = (
    "numero;nom_naissance;nom_usage;prenoms;sexe;date_naissance;code_commune_naissance;aide;montant;decision;"
    "date_decision\n"
)


@dataclass
class Registrar:
    """Registers at the hub of the test, over its own HTTP face, as one partner."""

    world: World
    slug: str

    def register(self, records: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
        answer: list[dict[str, str]] = self.world.ok(self.slug, "/v1/registrations", {"records": list(records)})[
            "registrations"
        ]
        return answer


class Edges:
    """The edges of departement and ccas, each with its own store and its own files."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.partners = {slug: PartnerFolder.load(bundled_directory() / slug) for slug in ("departement", "ccas")}
        self.stores = {slug: EdgeStore.open(folder / f"{slug}.db", b"k" * 32) for slug in self.partners}

    def name(self, table: str) -> None:
        path = self.folder / "noms.csv"
        path.write_text(table, "utf-8")
        for store in self.stores.values():
            store.names.keep(read_shares(path), 0, source=path.name, at=self.world.clock.now())

    def hold(self, slug: str, file: str, content: str) -> None:
        path = self.folder / file
        path.write_text(content, "utf-8")
        partner, store = self.partners[slug], self.stores[slug]
        report = ingest([partner.source_file(path)], partner, store, TOKENISER, FakeClock())
        assert not report.quarantined, report.quarantined
        register_pending(store, Registrar(self.world, slug))

    def both_know(self, surname: str, given: str) -> None:
        """The département knows no birthplace and the CCAS no sex: name, given name and date are all they share."""
        self.hold(
            "departement",
            "a.accompagnement.csv",
            FOLLOWED + f"D-1;{surname};;{given};F;1980-02-09;;;Accueil;;;;;;;;2026-01-05;\n",
        )
        self.hold(
            "ccas", "b.aides.csv", AIDED + f"7;{surname};;{given};;09/02/1980;45234;Secours;150,00;Accordé;2025-11-04\n"
        )


@pytest.fixture
def edges(world: World, tmp_path: Path) -> Edges:
    return Edges(world, tmp_path)


def stats(world: World) -> dict[str, Any]:
    asked = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('dpo')}"})
    found: dict[str, Any] = asked.get_json()
    return found


def test_a_rare_name_and_a_date_are_one_person_and_no_other_rule_says_so(world: World, edges: Edges) -> None:
    edges.name(TABLE)
    edges.both_know("Quéméner", "Solenn")
    found = stats(world)
    assert (found["persons"], found["links"]) == (1, {"R3": 1, "new": 1})


def test_a_common_name_and_a_date_are_for_a_human(world: World, edges: Edges) -> None:
    edges.name(TABLE)
    edges.both_know("Martin", "Marie")
    found = stats(world)
    assert (found["persons"], found["links"]) == (2, {"new": 1, "review": 1})


def test_without_a_table_the_same_records_are_for_a_human(world: World, edges: Edges) -> None:
    edges.both_know("Quéméner", "Solenn")
    found = stats(world)
    assert (found["persons"], found["links"]) == (2, {"new": 1, "review": 1})


def test_a_table_that_comes_later_counts_from_then_on_and_moves_nobody(world: World, edges: Edges) -> None:
    edges.both_know("Quéméner", "Solenn")
    edges.name(TABLE)
    for slug, store in edges.stores.items():
        assert store.names.apply() == 1
        register_pending(store, Registrar(world, slug))
    assert stats(world)["persons"] == 2
    # The third record meets two persons by the rule, and is asked about; its class is known on every side.
    (review,) = world.ok("dpo", "/v1/reviews/search", {"decided": False})["reviews"]
    shown = world.ok("dpo", "/v1/reviews/show", {"review_id": review["review_id"]})
    assert [
        (pair["rules_say"], pair["record"]["flags"]["rarete"], pair["other"]["flags"]["rarete"])
        for pair in shown["pairs"]
    ] == [("R3", 14, 14)]
