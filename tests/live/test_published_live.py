"""The shipped ``[api]`` of every partner against the published cases: the live answer is what the file would give."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.identity import parse_identity
from connectors.kit.live.client import ApiClient, parameters
from connectors.kit.live.gate import Gate
from connectors.kit.live.holdings import LiveHoldings
from connectors.kit.live.spec import Limits
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, bundled_directory, discover
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.simulator.server import lay_out, serving
from connectors.kit.tokens import TokenSet, tokens_of
from connectors.kit.transport import Transport
from schemas import registry
from tests.kit.world import AT, TOKENISER

PARTNERS = {slug: partner for slug, partner in discover([bundled_directory()]).items() if partner.api}
LIMITS = Limits(rate=1000, burst=1000, failures=100, tries=1)


class People:
    def __init__(self) -> None:
        self.traits: dict[str, dict[str, Any]] = {}

    def identity_of(self, local_id: str) -> dict[str, Any] | None:
        return self.traits.get(local_id)

    def tokens_of(self, local_id: str) -> TokenSet | None:
        return tokens_of(parse_identity(self.traits[local_id]), TOKENISER)


def plain(statements: dict[str, Any]) -> dict[str, Any]:
    return {path: {k: v for k, v in said.items() if k != "date_collecte"} for path, said in statements.items()}


def test_some_partners_can_be_asked() -> None:
    assert len(PARTNERS) >= 6


@pytest.mark.parametrize("slug", PARTNERS)
def test_the_habilitation_s_purpose_releases_something(slug: str) -> None:
    partner = PARTNERS[slug]
    assert partner.api is not None
    free = partner.releases("departement", partner.api.purpose)
    assert free & set(partner.suppliable(partner.api_formats()))


@pytest.mark.parametrize("slug", PARTNERS)
def test_a_live_answer_is_what_the_file_would_give(slug: str, shared_data: Path) -> None:
    partner: PartnerFolder = PARTNERS[slug]
    assert partner.api is not None
    published = shared_data / "api_particulier"
    routes, unplayable = lay_out(published, partner.api)
    assert unplayable == []
    api, people, clock = serving(routes), People(), FakeClock(AT)  # most pupils of the cases are of that school year
    gate = Gate(LIMITS, (), clock.now())

    def sleep(seconds: float) -> None:
        """Published cases ask for peace too (429, 503): the clock the gate reads moves on, and nobody waits."""
        clock.advance(timedelta(seconds=seconds))

    client = ApiClient(LIMITS, Transport(), gate, clock, sleep, api.url, None, "222", ("029",))
    same = asked = 0
    try:
        for endpoint in partner.api.endpoints.values():
            native = partner.formats[endpoint.format]
            alone = replace(partner.api, endpoints={endpoint.format: endpoint})
            live = LiveHoldings(partner, alone, client, people, TOKENISER, clock)
            files = [file for name in endpoint.cases for file in sorted((published / name).glob("*"))]
            assert files, endpoint.format
            for file in files:
                with file.open("rb") as stream:
                    mapped = [each for each in map_stream(stream, native, AT) if isinstance(each, SubjectFragment)]
                for number, person in enumerate(mapped):
                    local_id = f"{endpoint.format}/{file.parent.name}/{file.name}/{number}"
                    people.traits[local_id] = dict(person.identity_traits)
                    given = parameters(endpoint, person.identity_traits, "222", AT, ("029",))
                    held = live.fragment_of(local_id, native.mapping.targets(), clock.now() + timedelta(seconds=9))
                    assert held is not None
                    registry.validator("fragment").check(held)
                    if not endpoint.required <= set(given):
                        assert {said.get("absence") for said in held["statements"].values()} == {"personne_inconnue"}
                        continue
                    asked += 1
                    same += plain(held["statements"]) == plain(person.fragment["statements"])
                    # Whatever came, it is this person's: some are asked as a household's other members, whom no
                    # published question is about; some published questions have two answers.
                    if "valeur" in (said := held["statements"].get("identite.nom_naissance", {})):
                        assert said["valeur"] == person.identity_traits["nom_naissance"]
    finally:
        api.stop()
    assert asked
    assert same >= 0.6 * asked, f"{same} of {asked}"
