"""Mapping: the data does what it says, nothing is guessed, nothing foreign slips in."""

from __future__ import annotations

import contextlib
import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.mapping.file import load_mapping
from connectors.kit.mapping.run import FormatMapping, Run, SubjectFragment
from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.transforms import BUILT_IN
from connectors.kit.visible import is_misread
from schemas import registry

AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)

MAPPING = """
[tables.issues]
"404" = "sans_dossier"
"504" = "indisponible"
[tables.liens]
"parent>enfant" = "ENF"
"*>parent" = "CJT"
[identities.demande]
nom_naissance = "record.q.nom"
prenoms = "record.q.prenom"
date_naissance = "record.q.ne"
code_cog_insee_commune_naissance = "record.q.lieu"
[formats.f]
base_legale = "CRPA L114-8"
as_of = "record.au"
asked = "demande"
[formats.f.household]
links = "liens"
[[formats.f.household.members]]
each = "record.parents"
role = "'parent'"
[[formats.f.household.members]]
each = "record.enfants"
role = "'enfant'"
[formats.f.subjects.parent]
when = "record.status == `200`"
roles = ["parent"]
local_id = [{ from = "identite", with = "civil_key" }]
[formats.f.subjects.parent.identity]
nom_naissance = "it.nom"
prenoms = "it.prenom"
date_naissance = "it.ne"
[formats.f.subjects.parent.fields]
"foyer.membres" = "liens"
"logement.loyer" = { from = "record.loyer", with = "money", absent = "indisponible", absences = [
  { when = "record.loyer == `-1`", code = "non_calculable" },
] }
"contact.code_postal" = { from = "record.cp", when = "demande" }
[formats.f.subjects.enfant]
when = "record.status == `200`"
roles = ["enfant"]
local_id = [{ from = "identite", with = "civil_key" }]
[formats.f.subjects.enfant.identity]
nom_naissance = "it.nom"
prenoms = "it.prenom"
date_naissance = "it.ne"
[formats.f.subjects.rien]
when = "record.status != `200`"
identity = "demande"
local_id = [{ from = "identite", with = "civil_key" }]
[formats.f.subjects.rien.outcome]
from = "record.status"
table = "issues"
fields = ["logement.loyer"]
"""
ANNE = {"nom": "LE BRAZ", "prenom": "Anne", "ne": "1980-02-03"}
PAUL = {"nom": "ROPARS", "prenom": "Paul", "ne": "1979-05-06"}
LENA = {"nom": "ROPARS", "prenom": "Léna", "ne": "2010-00-00"}


@pytest.fixture(scope="module")
def mapping() -> FormatMapping:
    return load_mapping(MAPPING.encode(), "essai", BUILT_IN)["f"]


def household(**changed: Any) -> RawRecord:
    data = {
        "q": ANNE | {"lieu": "29232"},
        "status": 200,
        "parents": [ANNE, PAUL],
        "enfants": [LENA],
        "loyer": 410,
        "cp": "29000",
        "au": "2026-01-01",
    }
    return RawRecord("record 1", data | changed)


def applied(mapping: FormatMapping, record: RawRecord) -> list[SubjectFragment]:
    found = mapping.apply(record, AT)
    assert all(isinstance(item, SubjectFragment) for item in found), found
    return [item for item in found if isinstance(item, SubjectFragment)]


def test_one_fragment_a_person(mapping: FormatMapping) -> None:
    anne, paul, lena = applied(mapping, household())
    assert anne.local_id == "LEBRAZ/ANNE/1980-02-03//29232"
    assert anne.as_of == datetime(2026, 1, 1, tzinfo=UTC)
    assert anne.fragment["statements"]["foyer.membres"]["valeur"] == [{"lien": "CJT"}, {"lien": "ENF"}]
    assert anne.fragment["statements"]["logement.loyer"] == {
        "valeur": 410,
        "date_effet": None,
        "base_legale": "CRPA L114-8",
        "source": "essai",
        "date_collecte": "2026-01-15T09:00:00Z",
    }
    assert "contact.code_postal" in anne.fragment["statements"]
    assert "contact.code_postal" not in paul.fragment["statements"]
    assert set(lena.fragment["statements"]) == {"identite.nom_naissance", "identite.prenoms", "identite.date_naissance"}
    assert lena.fragment["statements"]["identite.date_naissance"]["valeur"] == {
        "date": "2010-00-00",
        "precision": "annee",
    }
    assert "code_cog_insee_commune_naissance" not in paul.identity_traits


@pytest.mark.parametrize(
    ("loyer", "expected"),
    [(0, 0), (-1, "non_calculable"), (None, "indisponible"), ("  ", "indisponible"), ("0,00", 0)],
)
def test_absence_is_typed_and_zero_is_zero(mapping: FormatMapping, loyer: Any, expected: Any) -> None:
    statement = applied(mapping, household(loyer=loyer))[0].fragment["statements"]["logement.loyer"]
    assert statement.get("valeur", statement.get("absence")) == expected
    assert ("valeur" in statement) == (not isinstance(expected, str))


def test_where_all_of_somebody_is_set_aside_the_reasons_are_told() -> None:
    text = """
[formats.f]
base_legale = "CRPA L114-8"
[formats.f.subjects.usager]
identity = "demande"
local_id = ["record.cle"]
[formats.f.subjects.usager.fields]
"logement.loyer" = { from = "record.loyer", with = "money", optional = true }
"contact.code_postal" = { from = "record.cp", optional = true }
[identities.demande]
nom_naissance = "record.nom"
"""
    mapping = load_mapping(text.encode(), "essai", BUILT_IN)["f"]

    def told(**data: Any) -> list[tuple[str, Reason]]:
        found = mapping.apply(RawRecord("record 1", data), AT)
        return [(item.path, item.reason) for item in found if isinstance(item, Quarantined)]

    assert told(cle="1", nom="GAC", loyer="cher", cp=[]) == [("logement.loyer", Reason.BAD_NUMBER)]
    assert told(cle="1", nom="GAC", loyer="cher", cp={"a": 1}) == [
        ("logement.loyer", Reason.BAD_NUMBER),
        ("contact.code_postal", Reason.BAD_VALUE),
    ]
    assert told(cle="1", nom="GAC", loyer=None, cp=None) == [("local_id", Reason.NO_SUBJECT)]
    assert told(cle=None, nom="GAC", loyer="cher", cp="29000") == [("local_id", Reason.NO_SUBJECT)]


@pytest.mark.parametrize(("status", "absence"), [(404, "sans_dossier"), (504, "indisponible")])
def test_an_answer_that_is_none(mapping: FormatMapping, status: int, absence: str) -> None:
    (item,) = applied(mapping, household(status=status, parents=None, enfants=None))
    assert item.fragment["statements"] == {
        "logement.loyer": {"absence": absence, "source": "essai", "date_collecte": "2026-01-15T09:00:00Z"}
    }


@pytest.mark.parametrize(
    ("changed", "reason", "path"),
    [
        ({"q": {"nom": "AUTRE", "prenom": "Jean", "ne": "1960-01-01"}}, Reason.ANSWER_ABOUT_ANOTHER, "demande"),
        ({"q": {"nom": "LE BRAZ"}}, Reason.ANSWER_ABOUT_ANOTHER, "demande"),
        ({"parents": [], "enfants": []}, Reason.NO_SUBJECT, "subjects"),
        ({"status": 418}, Reason.UNKNOWN_CODE, "issue"),
        ({"au": "bientôt"}, Reason.BAD_DATE, "as_of"),
        ({"au": "2026-03-01"}, Reason.BAD_DATE, "as_of"),  # nothing true could ever replace it
        ({"q": ANNE | {"ne": "1980-02-31"}}, Reason.BAD_DATE, "demande.date_naissance"),
    ],
)
def test_a_record_that_cannot_be_mapped(
    mapping: FormatMapping, changed: dict[str, Any], reason: Reason, path: str
) -> None:
    found = mapping.apply(household(**changed), AT)
    assert [(item.reason, item.path) for item in found if isinstance(item, Quarantined)] == [(reason, path)]
    assert len(found) == 1


@pytest.mark.parametrize("since", [["2026-01-01"], {"le": "2026-01-01"}, 1, True, 1.0, "hier", "2026-01-01", None])
def test_a_date_of_effect_is_judged_whatever_the_source_made_of_it(since: Any) -> None:
    plain = '"contact.code_postal" = { from = "record.cp", when = "demande" }'
    dated = '"contact.code_postal" = { from = "record.cp", date_effet = { from = "record.depuis", with = "as_is" } }'
    run = Run(load_mapping(MAPPING.replace(plain, dated).encode(), "essai", BUILT_IN)["f"], AT)
    for _ in range(2):
        anne, paul, _lena = run.apply(household(depuis=since))
        for item in (anne, paul):
            assert isinstance(item, SubjectFragment)
            told = item.fragment["statements"]["contact.code_postal"]["date_effet"]
            assert repr(told) == repr(since)
            assert item.proven == (since in (None, "2026-01-01"))
            assert item.proven == registry.validator("fragment").fits(item.fragment)


def test_a_bad_member_leaves_the_others(mapping: FormatMapping) -> None:
    found = mapping.apply(household(parents=[ANNE, PAUL | {"ne": "1979-13-01"}]), AT)
    assert [item.position for item in found if isinstance(item, SubjectFragment)] == [
        "record 1, personne 1",
        "record 1, personne 3",
    ]
    refused = [item for item in found if isinstance(item, Quarantined)]
    assert [(item.position, item.path, item.reason) for item in refused] == [
        ("record 1, personne 2", "identite.date_naissance", Reason.BAD_DATE)
    ]


def test_why_the_person_asked_about_could_not_be_read_is_told(mapping: FormatMapping) -> None:
    """Nothing proves whose the rest is: it is set aside, but not as if the source had mixed persons up."""
    found = mapping.apply(household(parents=[ANNE | {"ne": "1980-02-31"}, PAUL]), AT)
    assert [(item.position, item.path, item.reason) for item in found if isinstance(item, Quarantined)] == [
        ("record 1, personne 1", "identite.date_naissance", Reason.BAD_DATE),
        ("record 1", "demande", Reason.ANSWER_ABOUT_ANOTHER),
    ]
    assert len(found) == 2


@pytest.mark.parametrize("born", ["2026-01-16", "2026-02", "2031"])
def test_no_one_is_born_tomorrow(mapping: FormatMapping, born: str) -> None:
    found = mapping.apply(household(enfants=[LENA | {"ne": born}]), AT)
    refused = [item for item in found if isinstance(item, Quarantined)]
    assert [(item.path, item.reason, item.detail) for item in refused] == [
        ("identite.date_naissance", Reason.BAD_DATE, "futur")
    ]
    assert len(found) == 3


@pytest.mark.parametrize("wrong", [("utf-8", "windows-1252"), ("utf-8", "latin-1")])
@pytest.mark.parametrize("name", ["Maëlle", "LÉA", "Noël ÇELIK", "Anaïs", "Zoë", "Œdipe"])
def test_a_text_in_the_wrong_encoding_is_refused(mapping: FormatMapping, name: str, wrong: tuple[str, str]) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # not every wrong reading goes through
        read = name.encode(wrong[0]).decode(wrong[1])
        found = mapping.apply(household(parents=[ANNE, PAUL | {"prenom": read}]), AT)
        refused = [item for item in found if isinstance(item, Quarantined)]
        assert [(item.position, item.path, item.reason) for item in refused] == [
            ("record 1, personne 2", "identite.prenoms", Reason.ENCODING)
        ]
    lost = mapping.apply(
        household(enfants=[LENA | {"nom": name.encode("latin-1", "replace").decode(errors="replace")}]), AT
    )
    assert name == "Œdipe" or any(isinstance(item, Quarantined) for item in lost)


def test_names_of_all_french_letters_are_not_misread() -> None:
    letters = "ÀÂÄÆÇÉÈÊËÎÏÔŒÙÛÜŸàâäæçéèêëîïôœùûüÿÑñÁáÍíÓóÚúÃãÕõŠšŽž°’«»·–—…€"
    pairs = {one + other for one in letters for other in letters + "aA -'"}
    misread = {pair for pair in pairs if is_misread(pair)}
    # Only a letter followed by a sign that no word holds there.
    assert all(pair[1] in "ŒœŠšŽžŸ°’«»·–—…€" for pair in misread)
    assert not any(is_misread(word) for word in ["N° 3", "l’été", "« Maëlle »", "Œuvre", "cœur", "SÃO JOÃO", "ÇELİK"])


def test_twins_are_told_apart_by_the_question(mapping: FormatMapping) -> None:
    twins = [ANNE, ANNE | {"prenom": "Jeanne"}]
    first, second, _ = applied(mapping, household(parents=twins))
    assert "contact.code_postal" in first.fragment["statements"]
    assert "contact.code_postal" not in second.fragment["statements"]
    ambiguous = mapping.apply(household(parents=[ANNE, ANNE]), AT)
    assert [item.reason for item in ambiguous if isinstance(item, Quarantined)] == [Reason.ANSWER_ABOUT_ANOTHER]


traits = st.fixed_dictionaries(
    {"nom": st.sampled_from(["LE BRAZ", "ROPARS", "MARTIN"]), "prenom": st.sampled_from(["Anne", "Paul", "Léna"]),
     "ne": st.sampled_from(["1980-02-03", "1979-05-06", "2010-00-00"])},
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(traits, max_size=3), st.lists(traits, max_size=3), traits)
def test_no_fragment_holds_another_members_detail(
    parents: list[dict[str, str]], enfants: list[dict[str, str]], asked: dict[str, str]
) -> None:
    mapping = load_mapping(MAPPING.encode(), "essai", BUILT_IN)["f"]
    people = [*parents, *enfants]
    found = mapping.apply(household(parents=parents, enfants=enfants, q=asked | {"lieu": "29232"}), AT)
    for item in found:
        if isinstance(item, SubjectFragment):
            own = people[int(item.position.rpartition(" ")[2]) - 1]
            text = str({path: s for path, s in item.fragment["statements"].items() if path != "foyer.membres"})
            for other in people:
                for name in ("nom", "prenom"):
                    assert other[name] in own.values() or other[name] not in text
            assert (
                sum("contact.code_postal" in i.fragment["statements"] for i in found if isinstance(i, SubjectFragment))
                <= 1
            )


def test_mapping_is_valid_toml_and_reads_back_as_lineage(mapping: FormatMapping) -> None:
    assert "formats" in tomllib.loads(MAPPING)
    rows = {(row.subject, row.target): row for row in mapping.lineage()}
    assert rows["parent", "identite.nom_naissance"].source == "parents[].nom"
    assert rows["parent", "logement.loyer"].absence == "record.loyer == `-1` → non_calculable; indisponible"
    assert rows["rien", "logement.loyer"].absence == "404 → sans_dossier; 504 → indisponible"
    assert mapping.targets() == {row.target for row in mapping.lineage()}
