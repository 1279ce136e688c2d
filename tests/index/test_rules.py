"""The match rules on cases a DPO can read, then against an oracle written from the text (DESIGN §4, docs/index.md)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.identity import parse_identity
from connectors.kit.tokens import KINDS, HmacTokeniser, tokens_of
from hub.index.rules import LOOKUP_KINDS, Candidate, Doubt, IndexRecord, Link, New, Review, Rule, match

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


# --- the traps, one by one -------------------------------------------------------------------------------------------

LINK_1, LINK_2, NEW = Link("p0", Rule.NIR), Link("p0", Rule.CIVIL_STATUS), New()


@pytest.mark.parametrize(
    ("incoming", "known", "expected"),
    [
        pytest.param(anne(), anne(), LINK_1, id="the same record"),
        pytest.param(anne(nom_naissance="Kervella"), anne(), LINK_1, id="changed surname, same NIR, given and date"),
        pytest.param(anne(**NO_PLACE, sexe=""), anne(), LINK_1, id="same NIR, place and sex missing"),
        pytest.param(anne(prenoms="ANNE"), anne(), LINK_1, id="same NIR, fewer given names"),
        pytest.param(anne(**NO_NIR), anne(), LINK_2, id="no NIR on one side, full civil status"),
        pytest.param(anne(**NO_NIR, nom_naissance="DU PONT"), anne(**NO_NIR), LINK_2, id="particle apart"),
        pytest.param(anne(**NO_NIR, prenoms="ANNE"), anne(), LINK_2, id="full civil status, fewer given names"),
        pytest.param(anne(date_naissance="2015-09-02"), anne(date_naissance="2015-09-02", nir=None), LINK_2,
                     id="a child under a parent's NIR, known by itself"),
        pytest.param(anne(nom_naissance="Le Roux", nom_usage="Dupont", nir=None), anne(**NO_NIR), LINK_2,
                     id="birth name here, usage name there"),
        pytest.param(anne(prenoms=["Claire"], nir="2800245234002"), anne(), NEW, id="twins, each a NIR"),
        pytest.param(anne(prenoms=["Claire"], nir=None), anne(**NO_NIR), NEW, id="twins without NIR"),
        pytest.param(anne(prenoms=["Claire", "Rozenn"], nir=None), anne(**NO_NIR), NEW, id="twins, one second name"),
        pytest.param(anne(nom_naissance="Le Roux", nir=None), anne(**NO_NIR), NEW, id="same given, date, place"),
        pytest.param(anne(code_cog_insee_commune_naissance="29019", nir="2800229019001"), anne(), NEW,
                     id="homonyms of one day, each a NIR and a birthplace"),
        pytest.param(anne(**NO_NIR, prenoms="MARIEANNE CLAIRE"), anne(**NO_NIR, prenoms=["Marie-Anne"]), LINK_2,
                     id="a compound name typed in one word, then a second name"),
        pytest.param(anne(date_naissance="1980-02-00", nir="2800245234002"), anne(), NEW,
                     id="a partial date against another NIR"),
        pytest.param(anne(date_naissance="1981-02-03", nir="2810245234001"), anne(), NEW, id="homonyms a year apart"),
        pytest.param({}, {}, NEW, id="nothing on both sides"),
        pytest.param(anne(**NO_NIR, nom_naissance="X"), anne(**NO_NIR, nom_naissance="X"), NEW, id="placeholders"),
    ],
)  # fmt: skip
def test_links_and_strangers(incoming: Traits, known: Traits, expected: Link | New) -> None:
    assert answer(incoming, known) == expected
    assert answer(known, incoming) == expected


@pytest.mark.parametrize(
    ("incoming", "known", "doubt"),
    [
        pytest.param(anne(nir="2800245234002"), anne(), Doubt.NIR_CONFLICT, id="two coherent NIR, one civil status"),
        pytest.param(anne(prenoms="MARIE CLAIRE", nir=None), anne(prenoms="MARIE ANNE", nir=None), Doubt.GIVEN_CONFLICT,
                     id="compound-named twins typed without hyphen"),
        pytest.param(anne(prenoms=["Louis"], sexe="M", date_naissance="2015-09-02"), anne(), Doubt.NIR_ALONE,
                     id="a child under a parent's NIR"),
        pytest.param(anne(prenoms=["Annie"]), anne(), Doubt.NIR_ALONE, id="same NIR, given name misspelt"),
        pytest.param(anne(date_naissance="1980-03-02"), anne(), Doubt.NIR_ALONE, id="same NIR, day and month swapped"),
        pytest.param(anne(date_naissance="1980-02-00"), anne(), Doubt.NIR_ALONE, id="same NIR, partial date"),
        pytest.param(anne(sexe="M"), anne(), Doubt.NIR_ALONE, id="same NIR, against the sex on one side"),
        pytest.param(anne(**NO_NIR, **NO_PLACE), anne(), Doubt.NAME_AND_DATE, id="birthplace missing"),
        pytest.param(anne(**NO_PLACE, nir="2800245234002"), anne(), Doubt.NAME_AND_DATE,
                     id="two coherent NIR, birthplace missing: homonyms, or one number wrong"),
        pytest.param(anne(**NO_NIR, sexe="0"), anne(), Doubt.NAME_AND_DATE, id="sex missing"),
        pytest.param(anne(**NO_NIR, code_cog_insee_commune_naissance="29019"), anne(**NO_NIR), Doubt.NAME_AND_DATE,
                     id="homonyms of one day without NIR"),
        pytest.param(anne(**NO_NIR, **ABROAD), anne(**NO_NIR, **ABROAD), Doubt.NAME_AND_DATE, id="born abroad"),
        pytest.param(anne(**NO_NIR, **ABROAD, date_naissance="1980-01-01"),
                     anne(**NO_NIR, **ABROAD, date_naissance="1980-01-01"), Doubt.NAME_AND_DATE,
                     id="born abroad on a 1 January"),
        pytest.param(anne(**NO_NIR, date_naissance="1980-02-00"), anne(**NO_NIR), Doubt.PARTIAL_DATE, id="day unknown"),
        pytest.param(anne(**NO_NIR, date_naissance="1980"), anne(), Doubt.PARTIAL_DATE, id="month unknown"),
        pytest.param(anne(**NO_NIR, date_naissance="1980"), anne(**NO_NIR, date_naissance="1980-02"),
                     Doubt.PARTIAL_DATE, id="both partial"),
    ],
)  # fmt: skip
def test_doubts(incoming: Traits, known: Traits, doubt: Doubt) -> None:
    for one, other in ((incoming, known), (known, incoming)):
        result = answer(one, other)
        assert isinstance(result, Review)
        assert [pattern.doubt for pattern in result.pattern] == [doubt]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"date_naissance": "1980-02-00"}, {"date_naissance": "1980-03-14"}),
        ({"date_naissance": "1980-02-00"}, {"date_naissance": "1980-03-00"}),
        ({"date_naissance": "1980"}, {"date_naissance": "1981-02-03"}),
        ({"date_naissance": ""}, {}),
        ({"date_naissance": "1980-02-04"}, {}),  # two full dates are compared as full dates
    ],
)
def test_dates_compare_at_the_lower_precision(one: Traits, other: Traits) -> None:
    assert answer(anne(**NO_NIR) | one, anne(**NO_NIR) | other) == New()


def test_the_reviewer_sees_the_pattern_and_no_token() -> None:
    result = answer(anne(**NO_NIR, **NO_PLACE), anne())
    assert isinstance(result, Review)
    (shown,) = result.pattern
    assert shown.kinds == ("sg2d", "sg_y", "sg_ym", "sgd")
    assert (shown.flags["nir"], shown.other_flags["nir"]) == ("absent", "coherent")
    assert result.persons == ("p0",) == (shown.person,)


# --- several candidates ----------------------------------------------------------------------------------------------


def test_two_automatic_candidates_are_a_review() -> None:
    result = match(record(anne()), [candidate("q", anne(**NO_NIR)), candidate("p", anne(nom_naissance="Kervella"))])
    assert isinstance(result, Review)
    assert [(p.person, p.doubt) for p in result.pattern] == [("p", Doubt.SEVERAL), ("q", Doubt.SEVERAL)]


def test_a_doubtful_person_beside_the_automatic_one_is_a_review() -> None:
    homonym = anne(**NO_NIR, **NO_PLACE)
    result = match(record(anne()), [candidate("p", anne()), candidate("q", homonym)])
    assert isinstance(result, Review)
    assert [(p.person, p.doubt) for p in result.pattern] == [("p", Doubt.SEVERAL), ("q", Doubt.NAME_AND_DATE)]


def test_a_doubt_already_before_a_reviewer_is_not_raised_again() -> None:
    homonym = anne(**NO_NIR, **NO_PLACE)
    candidates = [candidate("p", anne(), settled=["q"]), candidate("q", homonym, settled=["p"])]
    assert match(record(anne()), candidates) == Link("p", Rule.NIR)


def test_a_settled_person_who_agrees_on_something_more_is_a_doubt_again() -> None:
    """Met in the training files: a homonym's NIR, typed on the record of the other one."""
    hers = anne(**ABROAD, date_naissance="1980-01-01", nir="2800199350001")
    homonym = hers | {"prenoms": ["Anne"], "nir": "2800199350002"}
    mistyped = hers | {"nir": "2800199350002"}
    candidates = [candidate("p", homonym, settled=["q"]), candidate("q", hers, settled=["p"])]
    result = match(record(mistyped), candidates)
    assert isinstance(result, Review)
    assert result.persons == ("p", "q")


def test_two_automatic_candidates_stay_a_review_even_when_settled() -> None:
    candidates = [candidate("p", anne(), settled=["q"]), candidate("q", anne(), settled=["p"])]
    assert isinstance(match(record(anne()), candidates), Review)


def test_a_person_is_all_its_records() -> None:
    two = candidate("p", anne(**NO_NIR, **NO_PLACE), anne())
    assert match(record(anne(**NO_NIR)), [two]) == Link("p", Rule.CIVIL_STATUS)
    other_nir = record(anne(nir="2800245234002"))
    assert isinstance(match(other_nir, [candidate("p", anne(**NO_NIR), anne(nom_naissance="Kervella"))]), Review)


def test_the_order_of_candidates_does_not_matter() -> None:
    candidates = [
        candidate("p", anne()),
        candidate("q", anne(**NO_NIR, **NO_PLACE)),
        candidate("r", anne(prenoms=["Zoé"])),
    ]
    assert match(record(anne()), candidates) == match(record(anne()), candidates[::-1])


# --- the oracle ------------------------------------------------------------------------------------------------------
# Tables of facts first, then the sentences of docs/index.md one by one; shares no code with the rules.

ORDER = ["plusieurs_candidats", "conflit_nir", "conflit_prenoms", "nir_seul", "nom_prenom_date", "date_partielle"]


def facts(mine: IndexRecord, theirs: IndexRecord, person: Candidate) -> dict[str, bool]:
    def shares(kind: str) -> bool:
        return any(a == b for a in mine.tokens.get(kind, ()) for b in theirs.tokens.get(kind, ()))

    def have(kind: str) -> bool:
        return len(mine.tokens.get(kind, ())) > 0 and len(theirs.tokens.get(kind, ())) > 0

    numbers = [n for r in person.records if r.flags.get("nir") == "coherent" for n in r.tokens.get("nir", ())]
    own = list(mine.tokens.get("nir", ())) if mine.flags.get("nir") == "coherent" else []
    counts = (mine.flags.get("nombre_prenoms", 0), theirs.flags.get("nombre_prenoms", 0))
    precisions = {mine.flags.get("date_precision"), theirs.flags.get("date_precision")}
    table = {f"same_{kind}": shares(kind) for kind in KINDS} | {f"have_{kind}": have(kind) for kind in KINDS}
    table["two_numbers"] = bool(numbers) and bool(own) and not any(n in numbers for n in own)
    table["both_coherent"] = mine.flags.get("nir") == theirs.flags.get("nir") == "coherent"
    table["both_full"] = precisions == {"jour"}
    table["to_the_month"] = precisions in ({"mois"}, {"mois", "jour"})
    table["to_the_year"] = precisions in ({"annee"}, {"annee", "mois"}, {"annee", "jour"})
    table["both_in_france"] = (
        mine.flags.get("ne_a_l_etranger") is False and theirs.flags.get("ne_a_l_etranger") is False
    )
    table["givens_differ"] = min(counts) > 1 and have("sg2d") and not shares("sg2d")  # type: ignore[type-var,operator]
    return table


def oracle(mine: IndexRecord, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    automatic: dict[str, str] = {}
    doubts: dict[str, str] = {}
    agreed: dict[str, set[str]] = {}
    for person in candidates:
        for theirs in person.records:
            f = facts(mine, theirs, person)
            agreed.setdefault(person.person, set()).update(kind for kind in KINDS if f[f"same_{kind}"])
            status = f["same_insi"] and f["both_full"] and f["both_in_france"] and not f["givens_differ"]
            rules = []
            if not f["two_numbers"] and f["same_nir"] and f["same_nir_gd"] and f["both_coherent"]:
                rules.append("R1")
            if not f["two_numbers"] and status:
                rules.append("R2")
            if rules:
                automatic[person.person] = min([*rules, automatic.get(person.person, "R9")])
            found = []
            if f["same_insi"] and f["two_numbers"]:
                found.append("conflit_nir")
            if f["same_insi"] and f["givens_differ"]:
                found.append("conflit_prenoms")
            if f["same_nir"]:
                found.append("nir_seul")
            if f["same_sgd"] and not (f["two_numbers"] and f["have_insi"] and not f["same_insi"]):
                found.append("nom_prenom_date")
            if f["to_the_month"] and f["same_sg_ym"] and not f["two_numbers"]:
                found.append("date_partielle")
            if f["to_the_year"] and f["same_sg_y"] and not f["two_numbers"]:
                found.append("date_partielle")
            for doubt in found:
                doubts[person.person] = min(doubt, doubts.get(person.person, doubt), key=ORDER.index)
    doubts |= dict.fromkeys(automatic, "plusieurs_candidats")
    if len(automatic) == 1:
        ((who, rule),) = automatic.items()
        settled = next(c.settled for c in candidates if c.person == who)
        if not [p for p in doubts if p != who and (p not in settled or agreed[p] - agreed[who])]:
            return ("link", who, rule)
    return ("review", *sorted(f"{p} {d}" for p, d in doubts.items())) if doubts else ("new",)


def plain(result: Link | New | Review) -> tuple[str, ...]:
    if isinstance(result, Link):
        return ("link", result.person, result.rule.value)
    if isinstance(result, Review):
        return ("review", *(f"{p.person} {p.doubt.value}" for p in result.pattern))
    return ("new",)


# Few values, mostly there and mostly the same, so that agreement is common and conflict not rare.
VALUES = st.sampled_from([frozenset(values) for values in ([b"0"], [b"0"], [b"0"], [b"1"], [b"1"], [b"0", b"1"], [])])
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "nir": st.sampled_from(["absent", "coherent", "coherent", "incoherent"]),
        "date_precision": st.sampled_from(["jour", "jour", "jour", "mois", "annee", "inconnue"]),
        "ne_a_l_etranger": st.sampled_from([False, False, True]),
        "nombre_prenoms": st.integers(0, 3),
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
        )
        for person in PERSONS[: draw(st.integers(0, 3))]
    ]


@settings(max_examples=1500)
@given(RECORDS, several())
def test_match_is_what_the_text_says(mine: IndexRecord, candidates: list[Candidate]) -> None:
    assert plain(match(mine, candidates)) == oracle(mine, candidates)


TRAITS = st.fixed_dictionaries(
    {
        "nom_naissance": st.sampled_from(["Dupont", "Du Pont", "Le Roux", "X"]),
        "prenoms": st.sampled_from(["Marie-Anne", "MARIE ANNE", "MARIE CLAIRE", ["Anne"], ["Anne", "Marie"], ""]),
        "sexe": st.sampled_from(["F", "M", ""]),
        "date_naissance": st.sampled_from(["1980-02-03", "1980-01-01", "1980-02-00", "1980", ""]),
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


def test_unknown_kinds_and_flags_are_no_evidence() -> None:
    odd = IndexRecord({"phonetic": frozenset([b"0"])}, {"nombre_prenoms": "beaucoup", "nir": 3, "rareté": True})
    assert match(odd, [Candidate("p", (odd,))]) == New()
    assert match(odd, [Candidate("p", ())]) == New()
