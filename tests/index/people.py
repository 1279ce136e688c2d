"""Records as the index sees them, made of traits people could have; a question put to the rules."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kit.identity import parse_identity
from connectors.kit.rarity import NameShares
from connectors.kit.tokens import KINDS, HmacTokeniser, tokens_of
from hub.index.rules import Candidate, IndexRecord, Link, New, Review, match

TOKENISER = HmacTokeniser(bytes(range(32)), 1)
Traits = dict[str, object]


def record(traits: Traits) -> IndexRecord:
    made = tokens_of(parse_identity(traits), TOKENISER)
    return IndexRecord({kind: frozenset(made.of(kind)) for kind in KINDS}, made.flags)


def candidate(person: str, *records: Traits, settled: Sequence[str] = ()) -> Candidate:
    return Candidate(person, tuple(map(record, records)), frozenset(settled))


def answer(incoming: Traits, *known: Traits) -> Link | New | Review:
    return match(record(incoming), [candidate(f"p{n}", traits) for n, traits in enumerate(known)])


ANNE: Traits = {
    "nom_naissance": "Dupont",
    "prenoms": ["Anne", "Rozenn"],
    "sexe": "F",
    "date_naissance": "1980-02-03",
    "code_cog_insee_commune_naissance": "45234",
    "nir": "2800245234001",
}
NO_NIR = {"nir": None}
NO_PLACE = {"code_cog_insee_commune_naissance": None}
ABROAD = {"code_cog_insee_commune_naissance": None, "code_cog_insee_pays_naissance": "99350"}


def anne(**changes: object) -> Traits:
    return ANNE | changes


NEW = New()


RARE = NameShares({"DUPONT": 1e-6, "MARTIN": 4e-3}, {"ANNE": 0.01, "ROZENN": 0.001}, 1e-6, complete_givens=True)


def rare(traits: Traits, **changes: object) -> IndexRecord:
    made = tokens_of(parse_identity(traits | changes), TOKENISER, RARE)
    return IndexRecord({kind: frozenset(made.of(kind)) for kind in KINDS}, made.flags)
