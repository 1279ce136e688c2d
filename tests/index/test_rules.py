"""The match rules on cases a DPO can read (DESIGN §4, docs/index.md)."""

from __future__ import annotations

import pytest

from hub.index.rules import Candidate, Doubt, IndexRecord, Link, New, Review, Rule, match
from tests.index.people import ABROAD, ANNE, NEW, NO_NIR, NO_PLACE, Traits, anne, answer, candidate, rare, record

# --- the traps, one by one -------------------------------------------------------------------------------------------

LINK_1, LINK_2, LINK_4 = Link("p0", Rule.NIR), Link("p0", Rule.CIVIL_STATUS), Link("p0", Rule.ONE_EDIT)


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
        pytest.param(anne(prenoms=["Julie"], nir="2800245234002"), anne(prenoms=["Julien"], sexe="M",
                     nir="1800245234002"), NEW, id="twins a letter apart, each a NIR"),
        pytest.param(anne(nom_naissance="Le Roux", date_naissance="1980-02-09", nir=None), anne(**NO_NIR), NEW,
                     id="same given name and place"),
        pytest.param(anne(date_naissance="2008-02-03", nir=None), anne(**NO_NIR, **NO_PLACE), NEW,
                     id="mother and daughter of one name and birthday, birthplace missing"),
        pytest.param(anne(date_naissance="2008-05-19", nir=None), anne(**NO_NIR), NEW,
                     id="mother and daughter of one name"),
        pytest.param(anne(**NO_NIR, nom_naissance="Dupond"), anne(**NO_NIR), LINK_4, id="surname a letter off"),
        pytest.param(anne(**NO_NIR, nom_naissance="Dupon", prenoms=["Anne"]), anne(**NO_NIR), LINK_4,
                     id="surname a letter short"),
        pytest.param(anne(**NO_NIR, nom_naissance="Dupont-Kervella"), anne(**NO_NIR), LINK_2, id="half a surname"),
        pytest.param(anne(**NO_NIR, nom_naissance="DUPONT (DE)"), anne(**NO_NIR, nom_naissance="de Dupont"), LINK_2,
                     id="particle in brackets behind"),
        pytest.param(anne(**NO_NIR, nom_naissance="Anne", prenoms=["Dupont"]), anne(**NO_NIR), LINK_2,
                     id="surname and given name swapped"),
        pytest.param(anne(prenoms=["Rozenn"]), anne(), LINK_1, id="same NIR, the second given name in use"),
        pytest.param(anne(date_naissance="1980-02-00"), anne(), LINK_1, id="same NIR, partial date"),
        pytest.param(anne(date_naissance="1980-02-13"), anne(), LINK_1, id="same NIR, another day"),
        pytest.param(anne(sexe="M"), anne(), LINK_1, id="same NIR, all the rest, against the sex on one side"),
        pytest.param(anne(**NO_NIR, sexe="0"), anne(), LINK_2, id="sex missing"),
        pytest.param(anne(code_cog_insee_commune_naissance="29019", nir="2800229019001"), anne(), NEW,
                     id="homonyms of one day, each a NIR and a birthplace"),
        pytest.param(anne(**NO_NIR, prenoms="MARIEANNE CLAIRE"), anne(**NO_NIR, prenoms=["Marie-Anne"]), LINK_2,
                     id="a compound name typed in one word, then a second name"),
        pytest.param(anne(date_naissance="1980-02-00", nir="2800245234002"), anne(), NEW,
                     id="a partial date against another NIR"),
        pytest.param(anne(date_naissance="1981-02-03", nir="2810245234001"), anne(), NEW, id="homonyms a year apart"),
        pytest.param({}, {}, NEW, id="nothing on both sides"),
        pytest.param({"nom_naissance": "X", "prenoms": "X", "date_naissance": "1980-02-03"},
                     {"nom_naissance": "X", "prenoms": "X", "date_naissance": "1980-02-03"}, NEW, id="placeholders"),
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
        pytest.param(anne(**NO_PLACE, date_naissance="1980-02-13"), anne(), Doubt.NIR_ALONE,
                     id="same NIR, another day, birthplace missing"),
        pytest.param(anne(code_cog_insee_commune_naissance="29019", prenoms="ANNE"), anne(), Doubt.NIR_ALONE,
                     id="a homonym of the day with the other's NIR"),
        pytest.param(anne(prenoms=["Claire"], nir="2800245234001"), anne(), Doubt.NIR_ALONE, id="a twin, her NIR"),
        pytest.param(anne(prenoms=["Claire", "Rozenn"], nir=None), anne(**NO_NIR), Doubt.OTHER_GIVEN,
                     id="twins, one second name"),
        pytest.param(anne(prenoms=["Rozenn"], nir=None), anne(**NO_NIR), Doubt.OTHER_GIVEN, id="the second in use"),
        pytest.param(anne(prenoms=["Marie"], nir=None), anne(prenoms=["Marie-Laure"], nir=None), Doubt.OTHER_GIVEN,
                     id="half a compound given name"),
        pytest.param(anne(prenoms="MARIE", nir=None), anne(prenoms="MARIE LAURE", nir=None), Doubt.GIVEN_CONFLICT,
                     id="half a compound given name, typed without hyphen"),
        pytest.param(anne(prenoms=["Julien"], nir=None), anne(prenoms=["Julie"], nir=None), Doubt.ONE_LETTER,
                     id="twins a letter apart"),
        pytest.param(anne(nom_naissance="Dupond", nir=None), anne(**NO_NIR, **NO_PLACE), Doubt.ONE_LETTER,
                     id="surname a letter off, birthplace missing"),
        pytest.param(anne(nom_naissance="Kervella", nir=None), anne(**NO_NIR), Doubt.OTHER_SURNAME, id="new surname"),
        pytest.param(anne(nom_naissance="X", nir=None), anne(nom_naissance="X", nir=None), Doubt.OTHER_SURNAME,
                     id="surname not told on either side"),
        pytest.param(anne(date_naissance="1980-02-04", nir=None), anne(**NO_NIR), Doubt.CLOSE_DATE, id="another day"),
        pytest.param(anne(date_naissance="1980-03-02", nir=None), anne(**NO_NIR), Doubt.CLOSE_DATE,
                     id="day and month swapped"),
        pytest.param(anne(date_naissance="1990-02-03", nir=None), anne(**NO_NIR), Doubt.CLOSE_DATE, id="another year"),
        pytest.param(anne(date_naissance="1980-01-01", nir=None), anne(**NO_NIR), Doubt.PARTIAL_DATE,
                     id="1 January for a date not known"),
        pytest.param(anne(**NO_NIR, **NO_PLACE), anne(), Doubt.NAME_AND_DATE, id="birthplace missing"),
        pytest.param(anne(**NO_PLACE, nir="2800245234002"), anne(), Doubt.NAME_AND_DATE,
                     id="two coherent NIR, birthplace missing: homonyms, or one number wrong"),
        pytest.param(anne(**NO_NIR, sexe="M"), anne(**NO_NIR), Doubt.NAME_AND_DATE, id="sex differs"),
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
        ({"date_naissance": "1981-03-03"}, {}),  # two full dates are compared as full dates
    ],
)
def test_dates_compare_at_the_lower_precision(one: Traits, other: Traits) -> None:
    assert answer(anne(**NO_NIR) | one, anne(**NO_NIR) | other) == New()


def test_the_reviewer_sees_the_pattern_and_no_token() -> None:
    result = answer(anne(**NO_NIR, **NO_PLACE), anne())
    assert isinstance(result, Review)
    (shown,) = result.pattern
    assert shown.kinds == (
        "s1gd", "sg1d", "sg2d", "sg_dm", "sg_md", "sg_y", "sg_yd", "sg_ym", "sgd", "sgd_phon", "sgd_x", "sgnd",
    )  # fmt: skip
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


def test_a_person_the_record_was_judged_not_to_be_is_neither_linked_nor_shown() -> None:
    """Must-not-link, after a split or a reviewer's "different"."""
    barred = Candidate("p", (record(anne()),), barred=True)
    assert match(record(anne()), [barred]) == New()
    assert match(record(anne()), [barred, candidate("q", anne())]) == Link("q", Rule.NIR)


def test_two_records_of_a_person_do_not_add_up() -> None:
    """The name of one and the birthplace of the other are no civil status."""
    named, placed = anne(**NO_NIR, **NO_PLACE), anne(**NO_NIR, nom_naissance="Kervella")
    result = match(record(anne(**NO_NIR)), [candidate("p", named, placed)])
    assert isinstance(result, Review)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param({}, NO_PLACE, Link("p", Rule.RARE_NAME), id="birthplace missing"),
        pytest.param({"nom_naissance": "Martin"}, {"nom_naissance": "Martin"} | NO_PLACE, None, id="a common name"),
        pytest.param(ABROAD, ABROAD, Link("p", Rule.RARE_NAME), id="born abroad"),
        pytest.param(ABROAD | {"date_naissance": "1980-01-01"}, ABROAD | {"date_naissance": "1980-01-01"}, None,
                     id="born abroad on a 1 January"),
        pytest.param({}, {"date_naissance": "1980-02-13"}, Link("p", Rule.RARE_NAME), id="another day"),
        pytest.param({}, {"date_naissance": "1980-03-02"}, Link("p", Rule.RARE_NAME), id="day and month swapped"),
        pytest.param({}, {"date_naissance": "1990-02-03"}, None, id="another year: father and son"),
        pytest.param({}, {"code_cog_insee_commune_naissance": "29019"}, None, id="another birthplace"),
        pytest.param({"prenoms": ["Rozenn"]}, {"prenoms": ["Rozen"]}, Link("p", Rule.ONE_EDIT), id="slip of the pen"),
        pytest.param({"prenoms": ["Rozenn"]}, {"prenoms": ["Rozene"]}, Link("p", Rule.ONE_EDIT), id="another letter"),
        pytest.param({"prenoms": ["Anne"]}, {"prenoms": ["Anna"]}, None, id="half a compound name misspelt"),
    ],
)  # fmt: skip
def test_rare_names_and_slips(one: Traits, other: Traits, expected: Link | None) -> None:
    result = match(rare(ANNE, **NO_NIR | one), [Candidate("p", (rare(ANNE, **NO_NIR | other),))])
    assert result == expected if expected else isinstance(result, Review)


def test_unknown_kinds_and_flags_are_no_evidence() -> None:
    odd = IndexRecord({"phonetic": frozenset([b"0"])}, {"nombre_prenoms": "beaucoup", "nir": 3, "rareté": True})
    assert match(odd, [Candidate("p", (odd,))]) == New()
    assert match(odd, [Candidate("p", ())]) == New()
