"""Every published case ends in a valid fragment, a typed absence or an entry naming path and reason. So do its mutants.

What is expected is worked out from the files themselves (``published.py``), not from what the mapping says of them.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from connectors.kit.identity import parse_identity
from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.partner import PartnerFolder
from connectors.kit.port import Quarantined, Reason
from connectors.kit.tokens import HmacTokeniser, tokens_of
from schemas import registry
from tests.partners.conftest import Mapped
from tests.partners.published import NOT_IN_THE_DOSSIER, Case, all_cases, cases, folders, route

Map = Callable[[str, str, bytes], Mapped]

MUTANTS: Final = int(os.environ.get("MAILLON_MUTANTS", "6"))
"""Mutants per published case; more when asked for."""
MARK: Final = "Zqxmarque"
"""A value no entry may ever quote."""

UNKNOWN_PERSON: Final = ("france_travail", "mesri", "cnous", "men", "service_civique")
"""Sources whose « not found » is about the person; CNAV's is about the allocataire's file."""


def fragments(found: Mapped) -> list[SubjectFragment]:
    return [item for item in found if isinstance(item, SubjectFragment)]


def entries(found: Mapped) -> list[Quarantined]:
    return [item for item in found if isinstance(item, Quarantined)]


def said(item: SubjectFragment) -> dict[str, Any]:
    return dict(item.fragment["statements"])


def absences(item: SubjectFragment) -> set[str]:
    return {statement["absence"] for statement in said(item).values() if "absence" in statement}


def published_absence(case: Case) -> set[str]:
    if case.status == 404:
        return {"personne_inconnue" if case.slug in UNKNOWN_PERSON else "sans_dossier"}
    return {"indisponible"}


def test_no_case_is_left_out(published: Path) -> None:
    """Every folder has one format, but for the three whose subject is in no section of the dossier."""
    left = [folder for folder in folders(published) if route(folder) is None]
    assert {name for folder in left for name in NOT_IN_THE_DOSSIER if name in folder} == {*NOT_IN_THE_DOSSIER}
    mapped_files = sum(1 for _ in all_cases(published))
    unmapped = sum(len(list((published / "api_particulier" / f"api_particulier_{f}").iterdir())) for f in left)
    whole = len(list((published / "api_particulier").glob("api_particulier_*/*.y*ml")))
    assert mapped_files + unmapped == whole


def test_outcomes(published: Path, mapped: Map) -> None:
    """One outcome a person, the right one, and the counts add up."""
    counted: Counter[str] = Counter()
    for case in all_cases(published):
        found = mapped(case.slug, case.format, case.file.read_bytes())
        people, aside = fragments(found), entries(found)
        for entry in aside:
            assert entry.path, (case.name, entry)
        if case.about_another:
            assert not people, case.name
            assert (aside[-1].path, aside[-1].reason) == ("demande", Reason.ANSWER_ABOUT_ANOTHER), case.name
            # One such household has a child whose published birth date is « 200&-04-23 »: that is told as well.
            assert {(e.path, e.reason) for e in aside[:-1]} <= {("identite.date_naissance", Reason.BAD_DATE)}, case.name
            counted["about another"] += 1
            continue
        assert len(people) + len(aside) == case.members(), case.name
        if case.status == 200:
            assert all(any("valeur" in s for s in said(p).values()) or absences(p) for p in people), case.name
        else:
            assert [absences(item) for item in people] == [published_absence(case)], case.name
        for item in people:
            registry.validator("fragment").check(item.fragment)
            counted["value" if any("valeur" in s for s in said(item).values()) else "absence"] += 1
        counted["aside"] += len(aside)
    # The one entry that is not about a stranger's answer: a child's published birth date is « 200&-04-23 ».
    assert counted["aside"] == 1
    assert counted["value"] > counted["absence"] > 0


def test_no_birthday_moves(published: Path, mapped: Map) -> None:
    seen = 0
    for case in all_cases(published):
        for item in fragments(mapped(case.slug, case.format, case.file.read_bytes())):
            written = case.birthdays()
            if "date_naissance" in item.identity_traits:
                assert item.identity_traits["date_naissance"] in written, case.name
                seen += 1
            if (stated := said(item).get("identite.date_naissance")) is not None:
                length = {"jour": 10, "mois": 7, "annee": 4}[stated["valeur"]["precision"]]
                assert stated["valeur"]["date"][:length] in written, case.name
                assert stated["valeur"]["date"][length:] == "-00-00"[: 10 - length], case.name
    assert seen > 300


def test_no_leading_zero_is_lost(published: Path, mapped: Map) -> None:
    """The question as it is published, and as a program that typed its numbers would write it again."""
    checked = 0
    for case in all_cases(published):
        codes = [v for k, v in case.params.items() if "ommuneNaissance" in k or "LieuDe" in k or "LieuDa" in k]
        if len(codes) != 1 or case.about_another:
            continue
        typed = case.params | {k: int(v) for k, v in case.params.items() if v == codes[0] and v.isdigit()}
        written = {"params": case.params, "status": case.status, "payload": case.payload}
        for question in (case.params, typed):
            data = json.dumps(written | {"params": question}, ensure_ascii=False).encode()
            for item in fragments(mapped(case.slug, case.format, data)):
                place = item.identity_traits.get("code_cog_insee_commune_naissance")
                if place is not None and "allocataires" not in str(case.payload):
                    assert place == codes[0], case.name
                    checked += 1
    assert checked > 150


def test_zero_stands_only_where_the_source_wrote_it(published: Path, mapped: Map) -> None:
    for case in all_cases(published):
        for item in fragments(mapped(case.slug, case.format, case.file.read_bytes())):
            assert zeros(item, case.payload) == [], case.name


def zeros(item: SubjectFragment, payload: Any) -> list[str]:
    """Fields that say 0 though the answer has no 0 and no empty list of children."""
    if {0} & {v for v in leaves(payload) if isinstance(v, int | float) and not isinstance(v, bool)}:
        return []
    return [
        path
        for path, statement in said(item).items()
        if path != "foyer.nombre_enfants_a_charge"
        and any(v == 0 and not isinstance(v, bool) for v in leaves(statement.get("valeur")))
    ]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


# --- the files that are no exchange ---------------------------------------------------------------------------------


def test_the_published_bulk_file(published: Path, mapped: Map) -> None:
    found = mapped("france_travail", "demandeurs", (published / "france_travail_flux" / "principal.csv").read_bytes())
    # « FAKE » is no ROME code: it alone is set aside, its person is kept.
    assert [(e.position, e.path, e.reason) for e in entries(found)] == [
        ("line 5", "emploi.code_rome", Reason.BAD_VALUE)
    ]
    people = fragments(found)
    assert [said(p).get("emploi.code_rome", {}).get("valeur") for p in people] == ["A1101", "I1203", "H2906", None]
    assert [p.identity_traits["date_naissance"] for p in people] == [
        "1982-02-01", "1976-12-18", "1978-03-23", "1973-05-14",
    ]  # fmt: skip
    assert [said(p)["contact.code_postal"]["valeur"] for p in people] == ["08300", "08200", "08000", "08160"]
    # A literal NULL says nothing: neither a brake nor its absence.
    assert not [path for p in people for path in said(p) if path.startswith("emploi.freins")]


def test_the_published_individual_file(published: Path, mapped: Map) -> None:
    text = (published / "france_travail_flux" / "dossier_individu.json").read_text("utf-8")
    bare = mapped("france_travail", "dossier_individu", text.encode())
    assert [(e.reason, e.detail) for e in entries(bare)] == [(Reason.SCHEMA, "required: params")]
    kept = {"params": {"identifiant": "1234567A"}, "status": 200, "payload": json.loads(text)}
    (person,) = fragments(mapped("france_travail", "dossier_individu", json.dumps(kept).encode()))
    told = {path: s for path, s in said(person).items() if path != "identifiants.identifiant_france_travail"}
    brakes = {path.rpartition(".")[2]: s["valeur"] for path, s in told.items()}
    assert set(brakes) == {"mobilite", "familial", "sante", "savoirs_de_base", "logement", "financier", "juridique"}
    explored = {name: state for name, state in brakes.items() if state != "non_explore"}
    assert explored == {"mobilite": "en_cours", "savoirs_de_base": "besoin"}
    dated = {s["date_effet"] for s in told.values() if s["valeur"] != "non_explore"}
    assert dated == {"2021-05-17"}


def test_france_connect_claims_are_identities(published: Path, mapped: Map) -> None:
    """The claims of the published test identities make the tokens of the person they are, asked as they stand."""
    files = sorted((published / "france_connect" / "token_introspection").iterdir())
    assert len(files) == 9
    for file in files:
        payload = json.loads(yaml.safe_load(file.read_text("utf-8"))["payload"])
        claims = payload.get("token_introspection", payload)
        names = ("gender", "family_name", "given_name", "given_name_array", "birthdate", "birthplace", "birthcountry")
        question = {name: claims[name] for name in names}
        answer = {"params": question, "status": 200, "payload": {"data": {"est_beneficiaire": False}}}
        (item,) = fragments(mapped("caf", "api_particulier_rsa_v3", json.dumps(answer).encode()))
        identity = parse_identity(item.identity_traits)
        assert identity.warnings == ()
        assert (identity.sexe, identity.date_naissance.value) == ("M", claims["birthdate"])
        assert identity.birthplace == claims["birthplace"]
        assert tokens_of(identity, HmacTokeniser(b"k" * 32, 1)).of("gxdp")


# --- mutants --------------------------------------------------------------------------------------------------------

WRONG: Final[tuple[Any, ...]] = (
    *(None, "", " ", 0, -1, 3.5, True, [], {}, [None], {"a": MARK}, MARK, "x" * 5000, "2021-06-31", "0000-00-00"),
    *("404", "\u0000", "\ud83d\ude00", 10**400, "'; DROP", ["a", 1, None], [[[]]], "99999", "2A004", "1er janvier"),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def mutate(exchange: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Change one to three places: a key gone, a value of another kind, one too many, two exchanged."""
    mutant = copy.deepcopy(exchange)
    for _ in range(dice.choice((1, 1, 2, 3))):
        targets = [place for place in places(mutant) if place != ("status",) or dice.random() < 0.1]
        if not targets:
            break
        *above, last = dice.choice(targets)
        holder = mutant
        for key in above:
            holder = holder[key]
        match dice.randrange(4):
            case 0:
                del holder[last]
            case 1:
                holder[last] = copy.deepcopy(dice.choice(WRONG))
            case 2 if isinstance(holder, dict):
                holder[dice.choice((f"{last}_", str(last).upper(), "inattendu"))] = copy.deepcopy(dice.choice(WRONG))
            case 2:
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[last] = {"valeur": holder[last]} if dice.random() < 0.3 else [holder[last]]
    return mutant


def test_mutants_have_an_outcome_too(published: Path, mapped: Map, partners: dict[str, PartnerFolder]) -> None:
    dice = random.Random("mutants of the published cases")  # noqa: S311 (repeatable, not secret)
    outcomes: Counter[str] = Counter()
    gate = registry.validator("fragment")
    for case in all_cases(published):
        exchange = {"params": case.params, "status": case.status, "payload": case.payload}
        for _ in range(MUTANTS):
            mutant = mutate(exchange, dice)
            data = json.dumps(mutant, ensure_ascii=True).encode()
            found = mapped(case.slug, case.format, data)
            assert found, (case.name, data)
            for item in found:
                if isinstance(item, SubjectFragment):
                    gate.check(item.fragment)
                    assert zeros(item, mutant.get("payload")) == [], (case.name, data)
                    assert {s["source"] for s in said(item).values()} == {case.slug}
                    outcomes["fragment"] += 1
                else:
                    assert item.reason
                    assert item.position
                    assert MARK not in f"{item.position}{item.path}{item.detail}", (case.name, data)
                    outcomes["entry"] += 1
    assert min(outcomes["fragment"], outcomes["entry"]) > 100 * MUTANTS, outcomes
    assert partners  # the same folders, still open


def test_a_mutant_of_one_member_never_changes_another(published: Path, mapped: Map) -> None:
    """In a household, a changed detail of one person shows in no other person's fragment."""
    dice = random.Random("members")  # noqa: S311
    tried = 0
    for case in cases(published, "v3_cnav_quotient_familial_with_civility"):
        if case.status != 200 or case.members() < 2:
            continue
        data = case.payload["data"]
        before = mapped(case.slug, case.format, case.file.read_bytes())
        children = data["enfants"]
        if not children:
            continue
        child = dice.choice(children)
        child["prenoms"] = MARK
        exchange = {"params": case.params, "status": case.status, "payload": case.payload}
        after = mapped(case.slug, case.format, json.dumps(exchange).encode())
        marked = [item for item in fragments(after) if MARK in json.dumps(item.fragment)]
        assert len(marked) == 1, case.name
        assert len(fragments(after)) == len(fragments(before))
        tried += 1
    assert tried > 3
