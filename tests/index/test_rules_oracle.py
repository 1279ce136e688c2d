"""The rules against what their text says, written again as naively as can be, on anything that can be told."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.tokens import KINDS
from hub.index.rules import LOOKUP_KINDS, Candidate, IndexRecord, Link, New, Review, match
from tests.index.people import Traits, candidate, record

# Tables of facts first, then the sentences of docs/index.md one by one; shares no code with the rules.

ORDER = [
    "plusieurs_candidats", "conflit_nir", "conflit_prenoms", "nir_seul", "nom_prenom_date", "autre_prenom",
    "une_lettre", "date_proche", "autre_nom", "date_partielle",
]  # fmt: skip


def facts(mine: IndexRecord, theirs: IndexRecord, person: Candidate) -> dict[str, bool]:
    """Everything docs/index.md gives a name to, of one record beside one other; ``k`` says that kind ``k`` agrees."""
    two = (mine, theirs)

    def shares(kind: str) -> bool:
        return any(a == b for a in mine.tokens.get(kind, ()) for b in theirs.tokens.get(kind, ()))

    def have(kind: str) -> bool:
        return len(mine.tokens.get(kind, ())) > 0 and len(theirs.tokens.get(kind, ())) > 0

    def told(flag: str) -> list[object]:
        return [record.flags.get(flag) for record in two]

    numbers = [n for r in person.records if r.flags.get("nir") == "coherent" for n in r.tokens.get("nir", ())]
    own = list(mine.tokens.get("nir", ())) if mine.flags.get("nir") == "coherent" else []
    counts = [record.flags.get("nombre_prenoms", 0) for record in two]
    precisions = set(told("date_precision"))
    f = {kind: shares(kind) for kind in KINDS}
    f["two_numbers"] = bool(numbers) and bool(own) and not any(n in numbers for n in own)
    f["both_coherent"] = told("nir") == ["coherent", "coherent"]
    f["full"] = precisions == {"jour"}
    f["to_the_month"] = precisions in ({"mois"}, {"mois", "jour"})
    f["to_the_year"] = precisions in ({"annee"}, {"annee", "mois"}, {"annee", "jour"})
    f["france"] = told("ne_a_l_etranger") == [False, False]
    f["both_jan"] = told("premier_janvier") == [True, True]
    f["one_jan"] = mine.flags.get("premier_janvier") is not theirs.flags.get("premier_janvier")
    f["place_missing"] = not have("sgp")
    f["name"] = f["sgd"] or f["sgd_x"]
    f["civil"] = f["name"] and (f["gdp"] or f["sgp"])
    f["sex_conflict"] = f["gdp"] and have("gxdp") and not f["gxdp"]
    f["halves"] = told("prenom_moitie") == [True, True]
    f["half_conflict"] = f["halves"] and max(counts) > 1 and not f["sg2d"]  # type: ignore[type-var,operator]
    several = min(counts) >= 2 and have("sg2d") and not f["sg2d"]  # type: ignore[type-var,operator]
    f["given_conflict"] = f["half_conflict"] or (several and (f["name"] or f["sgnd"]))
    f["misspelt"] = (mine.flags.get("prenom_connu") is False) != (theirs.flags.get("prenom_connu") is False)
    f["any_half"] = True in told("prenom_moitie")
    return f


def points(mine: IndexRecord, theirs: IndexRecord, f: dict[str, bool], *parts: int) -> int:
    rare = min(int(mine.flags.get("rarete", 0)), int(theirs.flags.get("rarete", 0)))
    return rare + (2 if f["sg2d"] else 0) + sum(parts) - 14


def oracle_rules(mine: IndexRecord, theirs: IndexRecord, f: dict[str, bool]) -> list[str]:
    if f["two_numbers"]:
        return []
    place = 4 if f["france"] else 3
    other_place = not f["place_missing"] and not (f["sgp"] or f["gdp"] or f["sdp"])
    found = []
    if f["nir"] and f["both_coherent"]:
        ways = (
            f["name"],
            f["sgp"] and (f["sg_ym"] or f["sg_y"] or f["sg_dm"] or f["sg_yd"]),
            f["nir_gd"] and not f["half_conflict"],
            (f["sg1d"] or f["sgd_phon"]) and f["misspelt"],
            f["sgnd"] and not f["sg2d"] and not f["halves"],
        )
        found += ["R1"] if any(ways) else []
    elif f["nir"] and f["nir_gd"] and not f["given_conflict"]:
        found += ["R1"] if not other_place or points(mine, theirs, f, 9) >= 4 else []
    clean = not f["sex_conflict"] and not f["given_conflict"]
    if f["civil"] and f["france"] and clean:
        found.append("R2")
    if not f["both_jan"] and clean:
        ways = (
            f["name"] and f["place_missing"] and points(mine, theirs, f, 9) >= 8,
            f["name"] and f["sgp"] and points(mine, theirs, f, 9, place) >= 8,
            not f["name"] and f["sgp"] and f["sg_dm"] and points(mine, theirs, f, 9, place) >= 8,
            not f["name"] and f["sgp"] and (f["sg_ym"] or f["sg_yd"]) and points(mine, theirs, f, 6, place) >= 8,
        )
        found += ["R3"] if any(ways) else []
    surname = f["gdp"] and (f["s1gd"] or f["sgd_phon"]) and not f["sex_conflict"]
    given = f["sdp"] and f["sg1d"] and f["misspelt"] and not f["any_half"]
    far = not f["both_jan"] and points(mine, theirs, f, 9, 3, -2) >= 8
    if (surname or given) and not f["given_conflict"] and (f["france"] or far):
        found.append("R4")
    return found


def oracle_doubts(f: dict[str, bool]) -> list[str]:
    if f["two_numbers"]:
        return ["conflit_nir"] if f["civil"] else ["nom_prenom_date"] if f["name"] and f["place_missing"] else []
    close = f["sg_yd"] or f["sg_dm"] or f["sg_ym"]
    found = {
        "conflit_prenoms": f["civil"] and f["given_conflict"],
        "nir_seul": f["nir"],
        "nom_prenom_date": f["name"],
        "autre_prenom": f["sgnd"],
        "une_lettre": f["s1gd"] or f["sg1d"] or f["sgd_phon"],
        "date_proche": f["full"] and ((f["sgp"] and (close or f["sg_md"])) or (f["place_missing"] and close)),
        "autre_nom": f["gdp"],
        "date_partielle": (f["to_the_month"] and f["sg_ym"])
        or (f["to_the_year"] and f["sg_y"])
        or (f["one_jan"] and f["sg_y"] and f["sgp"]),
    }
    return [doubt for doubt, holds in found.items() if holds]


def oracle(mine: IndexRecord, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    automatic: dict[str, str] = {}
    doubts: dict[str, str] = {}
    agreed: dict[str, set[str]] = {}
    for person in candidates:
        if person.barred:
            continue
        for theirs in person.records:
            f = facts(mine, theirs, person)
            agreed.setdefault(person.person, set()).update(kind for kind in KINDS if f[kind])
            for rule in oracle_rules(mine, theirs, f):
                automatic[person.person] = min(rule, automatic.get(person.person, rule))
            for doubt in oracle_doubts(f):
                doubts[person.person] = min(doubt, doubts.get(person.person, doubt), key=ORDER.index)
    doubts |= dict.fromkeys(automatic, "plusieurs_candidats")
    alone = []
    for who in automatic:
        settled = next(c.settled for c in candidates if c.person == who)
        others = [p for p in doubts if p != who]
        less = [
            p
            for p in others
            if p in settled and agreed[p] <= agreed[who] and (p not in automatic or agreed[p] < agreed[who])
        ]
        alone += [who] if less == others else []
    if len(alone) == 1:
        return ("link", alone[0], automatic[alone[0]])
    return ("review", *sorted(f"{p} {d}" for p, d in doubts.items())) if doubts else ("new",)


def plain(result: Link | New | Review) -> tuple[str, ...]:
    if isinstance(result, Link):
        return ("link", result.person, result.rule.value)
    if isinstance(result, Review):
        return ("review", *(f"{p.person} {p.doubt.value}" for p in result.pattern))
    return ("new",)


# Few values, mostly there and mostly the same, so that agreement is common and conflict not rare.
# Of eighteen kinds some must be missing or differ, or the first rule would hide the others.
VALUES = st.sampled_from([frozenset(v) for v in ([b"0"], [b"0"], [b"1"], [b"1"], [b"2"], [b"0", b"1"], [])])
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "nir": st.sampled_from(["absent", "coherent", "coherent", "incoherent"]),
        "date_precision": st.sampled_from(["jour", "jour", "jour", "mois", "annee", "inconnue"]),
        "ne_a_l_etranger": st.sampled_from([False, False, True]),
        "nombre_prenoms": st.integers(0, 3),
        "premier_janvier": st.sampled_from([False, False, True]),
        "prenom_moitie": st.sampled_from([False, False, True]),
        "prenom_connu": st.sampled_from([True, True, False]),
        "rarete": st.integers(0, 16),
    },
)
RECORDS = st.builds(IndexRecord, st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, VALUES)), FLAGS)
PERSONS = ["p", "q", "r"]


@st.composite
def several(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            person,
            tuple(draw(st.lists(RECORDS, min_size=1, max_size=2))),
            draw(st.frozensets(st.sampled_from(PERSONS), max_size=3)),
            draw(st.integers(0, 9)) == 0,
        )
        for person in PERSONS[: draw(st.integers(0, 3))]
    ]


@settings(max_examples=1500)
@given(RECORDS, several())
def test_match_is_what_the_text_says(mine: IndexRecord, candidates: list[Candidate]) -> None:
    assert plain(match(mine, candidates)) == oracle(mine, candidates)


TRAITS = st.fixed_dictionaries(
    {
        "nom_naissance": st.sampled_from(["Dupont", "Du Pont", "Dupond", "Dupont-Le Roux", "Le Roux", "Julie", "X"]),
        "prenoms": st.sampled_from(
            [
                "Marie-Anne",
                "MARIE ANNE",
                "MARIE CLAIRE",
                "MARIE",
                ["Anne"],
                ["Anne", "Marie"],
                "Julie",
                "Julien",
                "Dupont",
                "",
            ]
        ),
        "sexe": st.sampled_from(["F", "M", ""]),
        "date_naissance": st.sampled_from(
            ["1980-02-03", "1980-03-02", "1980-02-13", "1990-02-03", "1980-01-01", "1980-02-00", "1980", ""]
        ),
        "code_cog_insee_commune_naissance": st.sampled_from(["45234", "29019", "99350", ""]),
        "nir": st.sampled_from([None, "2800245234001", "2800245234002", "2800199350001"]),
    }
)
PEOPLE = st.builds(candidate, st.just("p"), TRAITS)


@settings(max_examples=500)
@given(TRAITS, st.lists(TRAITS, min_size=1, max_size=3))
def test_match_is_what_the_text_says_of_people(mine: Traits, known: list[Traits]) -> None:
    candidates = [candidate(f"p{n}", traits) for n, traits in enumerate(known)]
    assert plain(match(record(mine), candidates)) == oracle(record(mine), candidates)


@settings(max_examples=300)
@given(TRAITS, PEOPLE)
def test_whoever_is_not_new_shares_a_looked_up_kind(mine: Traits, person: Candidate) -> None:
    """So the hub misses nobody by looking up ``LOOKUP_KINDS`` alone."""
    incoming = record(mine)
    if match(incoming, [person]) != New():
        assert any(incoming.tokens[kind] & person.records[0].tokens[kind] for kind in LOOKUP_KINDS)
