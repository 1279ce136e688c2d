"""A question asked in several ways, and what a question says of who asks: territory, school year."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.edge_home import EdgeHome, EdgeSettings
from connectors.kit.live.client import ApiClient, Exchange, Unanswered, parameters, school_year
from connectors.kit.live.edge_client import open_live
from connectors.kit.live.gate import Gate
from connectors.kit.live.spec import Limits, load_api
from connectors.kit.partner import PartnerFolder, bundled_directory
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.transport import INDISPONIBLE, RawReply, Transport
from hub.cli.main import cli
from tests.kit.world import AT, TOKENISER

PUPIL = {"nom_naissance": "MARTIN", "prenoms": ["EMMA"], "sexe": "F", "date_naissance": "2012-08-15"}
NOTHING = Unanswered(INDISPONIBLE, "HTTP 500")


@pytest.fixture(scope="module")
def men() -> PartnerFolder:
    return PartnerFolder.load(bundled_directory() / "men")


class Scripted(ApiClient):
    """Answers in order, and keeps what was asked."""

    def __init__(self, *answers: int | Unanswered) -> None:
        clock = FakeClock()
        super().__init__(
            Limits(), Transport(), Gate(Limits(), (), clock.now()), clock, time.sleep, "http://127.0.0.1:9",
            None, "222", ("029", "056"),
        )  # fmt: skip
        object.__setattr__(self, "answers", list(answers))
        object.__setattr__(self, "asked", [])

    def get(self, path: str, given: Any, *_: Any, **__: Any) -> RawReply | Unanswered:
        self.asked.append(given)  # type: ignore[attr-defined]
        answer = self.answers.pop(0)  # type: ignore[attr-defined]
        return answer if isinstance(answer, Unanswered) else RawReply(answer, "application/json", "", "", b"{}")


@pytest.mark.parametrize(
    ("answers", "expected", "calls"),
    [
        ([200], 200, 1),
        ([404, 200], 200, 2),
        ([404, 404], 404, 2),
        ([401, 200], 401, 1),
        # One way unanswered: nobody said that she is not found.
        ([404, NOTHING], NOTHING, 2),
        ([NOTHING, 200], NOTHING, 1),
    ],
)
def test_not_found_only_when_every_way_says_so(men: PartnerFolder, answers: Any, expected: Any, calls: int) -> None:
    assert men.api is not None
    client = Scripted(*answers)
    said = client.ask(men.api.endpoints["api_particulier_scolarite_v3"], PUPIL, AT + timedelta(seconds=9))
    assert (said.status if isinstance(said, Exchange) else said) == expected
    assert [given["degreEtablissement"] for given in client.asked] == ["2D", "1D"][:calls]  # type: ignore[attr-defined]
    assert all(given["codesBcnDepartements[]"] == ["029", "056"] for given in client.asked)  # type: ignore[attr-defined]
    if isinstance(said, Exchange):
        # Who asks, and for which territory, is nothing of the person: it is not kept with the answer.
        assert b"029" not in said.line
        assert b"222" not in said.line


@pytest.mark.parametrize(
    ("day", "year"), [("2026-01-15", 2025), ("2026-08-31", 2025), ("2026-09-01", 2026), ("2026-12-31", 2026)]
)
def test_a_school_year_begins_with_september(day: str, year: int) -> None:
    assert school_year(date.fromisoformat(day)) == year


def test_the_school_year_is_that_of_paris(men: PartnerFolder) -> None:
    assert men.api is not None
    endpoint = men.api.endpoints["api_particulier_scolarite_v3"]
    eve = datetime(2026, 8, 31, 22, 30, tzinfo=UTC)
    assert parameters(endpoint, PUPIL, "222", eve, ("029",))["anneeScolaire"] == "2026"


def test_an_api_that_asks_for_a_territory_needs_it_in_the_settings(men: PartnerFolder, tmp_path: Path) -> None:
    settings = EdgeSettings(slug="men", hub_url="http://127.0.0.1:9", mode="client", api_habilitation="222")
    home, people = EdgeHome(tmp_path), None
    with pytest.raises(MaillonError, match="api_perimeter") as refused:
        open_live(home, settings, men, people, TOKENISER, FakeClock())  # type: ignore[arg-type]
    assert refused.value.kind is ErrorKind.CONFIGURATION
    live = open_live(home, replace(settings, api_perimeter="029, 056"), men, people, TOKENISER, FakeClock())  # type: ignore[arg-type]
    assert live._client.perimeter == ("029", "056")
    live.close()


def test_a_variant_may_not_be_one_of_the_parameters() -> None:
    row = {"path": "/x", "variants": [{"nom": "y"}]}
    table = {
        "base_url": "https://x.example.fr", "purpose": "p", "params": {"nom": "nom_naissance"}, "endpoints": {"f": row},
    }  # fmt: skip
    with pytest.raises(MaillonError, match=r"endpoints\.f\.variants"):
        load_api(table, frozenset({"f"}))


def test_check_tells_what_cannot_be_asked_and_why() -> None:
    done = CliRunner().invoke(cli, ["connector", "check", "france_travail"])
    assert done.exit_code == 0
    assert "not asked live: api_particulier_statut_v3: l’API demande l’identifiant" in done.output
    assert "asked live: api_particulier_scolarite_v3" in CliRunner().invoke(cli, ["connector", "check", "men"]).output


def test_every_present_api_format_is_asked_or_says_why() -> None:
    """Of the published endpoints in force (v3 and later), none is left without a word."""
    from connectors.kit.partner import discover

    silent = [
        f"{slug}.{name}"
        for slug, partner in discover([bundled_directory()]).items()
        for name, each in partner.formats.items()
        if name.startswith("api_particulier_") and not name.endswith("_v2")
        and (name in partner.api_formats()) == bool(each.not_live)
    ]  # fmt: skip
    assert silent == []
