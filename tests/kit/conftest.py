"""Fixtures of the kit's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kit.edge import Edge
from connectors.kit.edge_home import EdgeHome
from connectors.kit.identity import parse_identity
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.tokens import tokens_of
from connectors.kit.trust import HUB, DirectoryPartner, Root
from tests.kit.consortium import IDENTITY, LOCAL, QUOTIENT, START, Consortium, FakeHub, agreement, folder, settings
from tests.kit.world import AT, World, new_ref, said


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    clock = FakeClock(AT)
    root, hub_identity = Root.create(tmp_path / "root.json"), SigningKey.generate()
    hub = DirectoryPartner(
        HUB,
        "Maillon",
        "hub",
        "dep",
        "active",
        hub_identity.public_jwk,
        SealKey.generate().public_jwk,
        "http://127.0.0.1:1",
    )
    homes = {slug: EdgeHome(tmp_path / slug) for slug in LOCAL}
    rows = [hub, *(home.create(folder(slug), settings(slug)) for slug, home in homes.items())]
    token = root.sign_directory(rows, 1, AT)
    edges = {}
    for slug, home in homes.items():
        klink = root.seal_klink(slug, next(row for row in rows if row.slug == slug).seal_key)
        home.join(root.public_jwk, root.fingerprint.upper(), token + "\n", klink + "\n", AT)
        edges[slug] = Edge.open(home.path, clock)
    tokens = tokens_of(parse_identity(IDENTITY), edges["caf"].tokeniser)
    refs = {slug: new_ref() for slug in LOCAL}
    made = Consortium(root, hub_identity, homes, rows, clock, edges, refs, tokens)
    for slug, local_id in LOCAL.items():
        edges[slug].store.upsert_subject(local_id, IDENTITY, tokens)
        edges[slug].store.set_ref(local_id, refs[slug])
    statements = {
        START: said("2024-03-01"),
        QUOTIENT: said({"fournisseur": "CNAF", "valeur": 512, "annee": 2025, "mois": 12}),
    }
    edges["caf"].store.put_fragment(LOCAL["caf"], {"v": 1, "statements": statements}, b"f" * 32)
    made.consent = agreement(made)
    edges["departement"].hub = FakeHub(made)  # type: ignore[assignment]
    yield made
    for edge in edges.values():
        edge.close()
