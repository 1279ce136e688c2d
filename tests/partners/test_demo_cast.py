"""The demonstration's cast, through the real mapping, tokens and match rules, in every order of registration."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ingest import ingest
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.clock import FakeClock
from connectors.kit.tokens import HmacTokeniser, TokenSet, match_subject, subject_proofs
from hub.index.rules import LOOKUP_KINDS, Candidate, IndexRecord, Link, Review, match

TOKENISER = HmacTokeniser(b"the consortium's link key, 32 b.", 1)
Held = dict[str, dict[str, TokenSet]]


def filled(partner: PartnerFolder, folder: Path) -> EdgeStore:
    """A store in ``folder`` with the partner's demo samples in it."""
    store = EdgeStore.open(folder / "edge.db", b"k" * 32)
    report = ingest(partner.samples("demo"), partner, store, TOKENISER, FakeClock())
    assert not report.quarantined
    return store


@pytest.fixture(scope="module")
def stores(partners: dict[str, PartnerFolder], tmp_path_factory: pytest.TempPathFactory) -> dict[str, EdgeStore]:
    """Each partner's demo samples, ingested: to be read, by every test of this module."""
    return {slug: filled(partner, tmp_path_factory.mktemp(slug)) for slug, partner in partners.items()}


@pytest.fixture(scope="module")
def held(stores: dict[str, EdgeStore]) -> Held:
    found: Held = {}
    for slug, store in stores.items():
        found[slug] = {row.local_id: row.tokens for row in store.pending(1000)}
    return found


def record(tokens: TokenSet) -> IndexRecord:
    kinds = {kind for kind, _ in tokens.tokens}
    return IndexRecord({kind: frozenset(tokens.of(kind)) for kind in kinds}, tokens.flags)


def meet(one: IndexRecord, other: IndexRecord) -> bool:
    return any(not one.tokens.get(k, frozenset()).isdisjoint(other.tokens.get(k, ())) for k in LOOKUP_KINDS)


def register(held: Held, order: tuple[str, ...]) -> tuple[dict[str, set[str]], list[tuple[str, list[str]]]]:
    """A hub without its storage: return persons as sets of ``slug:local id``, and the reviews asked for."""
    persons: dict[str, list[tuple[str, IndexRecord]]] = {}
    reviews = []
    for slug in order:
        for local_id, tokens in sorted(held[slug].items()):
            new, name = record(tokens), f"{slug}:{local_id}"
            near = [
                Candidate(person, tuple(r for _, r in records))
                for person, records in persons.items()
                if any(meet(new, known) for _, known in records)
            ]
            answer = match(new, near)
            if isinstance(answer, Link):
                persons[answer.person].append((name, new))
                continue
            persons[f"p{len(persons)}"] = [(name, new)]
            if isinstance(answer, Review):
                reviews.append((name, [n for p in answer.persons for n, _ in persons[p]]))
    return {person: {name for name, _ in records} for person, records in persons.items()}, reviews


@pytest.mark.parametrize("order", list(permutations(("caf", "cpam", "departement", "france_travail"))))
def test_links_in_any_order(held: Held, order: tuple[str, ...]) -> None:
    persons, reviews = register(held, order)
    groups = {frozenset(group) for group in persons.values()}
    assert (
        frozenset(
            {
                "caf:2917046|LEGOFFDUVAL/MAELLEANNE/1987-03-14/F/",
                "caf:LEGOFFDUVAL/MAELLEANNE/1987-03-14/F/29232",
                "cpam:LEGOFFDUVAL/MAELLEANNE/1987-03-14/F/29232",
                "departement:D29-000417",
                "france_travail:7301842K",
            }
        )
        in groups
    )
    for local_id, first in (("D29-000502", "LEO"), ("D29-000503", "THEO")):
        twin = next(group for group in groups if f"departement:{local_id}" in group)
        assert len(twin) == 3
        assert all(f"/{first}/" in name for name in twin if not name.startswith("departement"))
    for local_id, born in (("D29-000611", "1975-06-12"), ("D29-000612", "1982-09-30")):
        homonym = next(group for group in groups if f"departement:{local_id}" in group)
        assert len(homonym) == 3
        assert all(born in name for name in homonym if name.startswith(("caf", "cpam")))
    for local_id, name in (("D29-000730", "HADDAD/KARIM"), ("D29-000731", "BENALI/SOFIA")):
        spouse = next(group for group in groups if f"departement:{local_id}" in group)
        assert len(spouse) == 3
        assert all(name in each for each in spouse if not each.startswith("departement"))
    assert frozenset({"departement:D29-000844"}) in groups
    assert frozenset({"cpam:DIALLO/AMINATA/1990/F/99341"}) in groups
    asked = {frozenset([name, *others]) for name, others in reviews}
    assert asked == {frozenset({"departement:D29-000844", "cpam:DIALLO/AMINATA/1990/F/99341"})}


def test_every_source_proves_the_subject_to_the_departement(held: Held) -> None:
    mine = held["departement"]["D29-000417"]
    for slug in ("caf", "cpam", "france_travail"):
        theirs = [tokens for local_id, tokens in held[slug].items() if "MAELLE" in local_id or local_id == "7301842K"]
        assert theirs
        for tokens in theirs:
            assert match_subject(subject_proofs(tokens, "order"), mine, "order")
    twin = held["departement"]["D29-000502"]
    other = next(tokens for local_id, tokens in held["cpam"].items() if "/THEO/" in local_id)
    assert not match_subject(subject_proofs(other, "order"), twin, "order")


def test_the_protected_spouse_never_stands_in_the_other_fragment(stores: dict[str, EdgeStore]) -> None:
    caf = stores["caf"]
    karim = caf.fragment_of("2917240|HADDAD/KARIM/1984-02-19/M/")
    sofia = caf.fragment_of("2917240|BENALI/SOFIA/1988-11-05/F/")
    assert karim is not None
    assert sofia is not None
    assert karim["statements"]["foyer.membres"]["valeur"] == [{"lien": "CJT"}, {"lien": "ENF"}]
    for trait in ("BENALI", "SOFIA", "1988-11-05", "2881138185022", "92.3", "130"):
        assert trait not in str(karim)
    assert not [path for path in sofia["statements"] if path.startswith("contact.")]


def test_two_records_of_one_person_answer_as_one(partners: dict[str, PartnerFolder], tmp_path: Path) -> None:
    caf = filled(partners["caf"], tmp_path)  # its own: it is told refs
    stream, api = "2917046|LEGOFFDUVAL/MAELLEANNE/1987-03-14/F/", "LEGOFFDUVAL/MAELLEANNE/1987-03-14/F/29232"
    before = caf.fragment_of(stream)
    caf.set_ref(stream, "ref-of-maelle")
    caf.set_ref(api, "ref-of-maelle")
    whole = caf.fragment_of(stream)
    assert before is not None
    assert whole is not None
    assert whole == caf.fragment_of(api)
    assert {"ressources.quotient_familial", "droits.rsa.etat", "droits.prime_activite.etat"} <= set(whole["statements"])
    assert "ressources.quotient_familial" not in before["statements"]
    assert whole["statements"]["droits.prime_activite.etat"]["absence"] == "sans_droit"
    assert caf.local_of("ref-of-maelle") in {stream, api}
