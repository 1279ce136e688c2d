"""A source that changes its answers: what nobody reads never matters, what is read and no longer fits is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from connectors.kit.mapping.run import SubjectFragment
from connectors.kit.port import Quarantined, Reason
from tests.partners.conftest import Mapped
from tests.partners.published import Case, all_cases

Map = Callable[[str, str, bytes], Mapped]
Place = tuple[str | int, ...]


def answer(mapped: Map, case: Case, payload: Any, params: Any = None) -> tuple[list[Any], list[Quarantined]]:
    exchange = {"params": case.params if params is None else params, "status": case.status, "payload": payload}
    found = mapped(case.slug, case.format, json.dumps(exchange).encode())
    people = [(f.local_id, f.identity_traits, f.fragment) for f in found if isinstance(f, SubjectFragment)]
    return people, [entry for entry in found if isinstance(entry, Quarantined)]


def objects(value: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    if isinstance(value, dict):
        yield place, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from objects(item, (*place, key))


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def usable(published: Path) -> Iterator[Case]:
    """One good answer of each published folder."""
    seen = set()
    for case in all_cases(published):
        if case.status == 200 and not case.about_another and case.folder not in seen:
            seen.add(case.folder)
            yield case


def test_members_nobody_reads_change_nothing(published: Path, mapped: Map) -> None:
    for case in all_cases(published):
        payload = copy.deepcopy(case.payload)
        for _, held in list(objects(payload)):
            held |= {"membre_nouveau": {"x": [1, None, "é"]}, "autreMembre": "valeur"}
        params = case.params | {"nouveau": "x", "autres[]": ["a", "b"]}
        assert answer(mapped, case, payload, params) == answer(mapped, case, case.payload), case.name


def test_a_member_whose_absence_changes_nothing_may_have_any_shape(published: Path, mapped: Map) -> None:
    """A member no field is drawn from never sets an answer aside, whatever becomes of it."""
    tried = 0
    for case in usable(published):
        whole = answer(mapped, case, case.payload)
        for place, held in objects(case.payload):
            for name in held:
                without = copy.deepcopy(case.payload)
                del at(without, place)[name]
                if answer(mapped, case, without) != whole or at(case.payload, place)[name] in (None, "", [], False):
                    continue
                other = copy.deepcopy(case.payload)
                at(other, place)[name] = {"une": ["autre", "forme"]}
                entries = [e for e in answer(mapped, case, other)[1] if e not in whole[1]]
                # One that is read, but said nothing a default would not say, is at least named.
                assert all(entry.path.rpartition("/")[2] == name for entry in entries), (case.name, place, name)
                tried += not entries
    assert tried > 100


def test_what_no_longer_fits_is_named_by_its_own_path(published: Path, mapped: Map) -> None:
    for case in usable(published):
        for place, held in objects(case.payload):
            for name in held:
                if isinstance(at(case.payload, place)[name], dict | list):
                    continue
                bent = copy.deepcopy(case.payload)
                at(bent, place)[name] = {"une": "autre forme"}
                for entry in answer(mapped, case, bent)[1]:
                    if entry.reason is Reason.SCHEMA:
                        expected = "/payload/" + "/".join(map(str, (*place, name)))
                        # Of an allocataire's names another member may be named instead: never a bare star.
                        assert entry.path == expected, (case.name, entry)
                        assert "*" not in entry.path


def surname_told(adults: list[dict[str, Any]]) -> bool:
    """Whether two names in one text, in capitals as they are published, still tell which word is the surname."""
    names = [each["nomPrenom"].split() for each in adults if "nomPrenom" in each]
    return not names or len({first for first, _ in names}) < len({second for _, second in names})


def test_a_household_without_a_list_of_children_is_not_one_without_children(published: Path, mapped: Map) -> None:
    tried = 0
    for case in all_cases(published):
        data = case.payload.get("data", case.payload) if case.status == 200 else {}
        if case.about_another or "quotient" not in case.folder or not data:
            continue
        inside = ("data",) if "data" in case.payload else ()
        for change, count in ((None, None), ("gone", None), ([], 0)):
            payload = copy.deepcopy(case.payload)
            if change == "gone":
                del at(payload, inside)["enfants"]
            else:
                at(payload, inside)["enfants"] = change
            people, aside = answer(mapped, case, payload)
            if not surname_told(data["allocataires"]):
                # The children's names were what told that the surname comes first.
                assert {entry.reason for entry in aside} == {Reason.NAMES_NOT_SEPARATED}, case.name
                continue
            assert (len(people), aside) == (len(data["allocataires"]), []), (case.name, change)
            for _, _, fragment in people:
                said = fragment["statements"].get("foyer.nombre_enfants_a_charge", {"valeur": None})
                assert said["valeur"] == count, (case.name, change)
        tried += 1
    assert tried > 30


def test_a_quotient_that_is_null_is_not_calculable_and_one_without_its_month_is_set_aside_alone(
    published: Path, mapped: Map
) -> None:
    for case in all_cases(published):
        if case.format != "api_particulier_qf_v3" or case.status != 200 or case.about_another:
            continue
        nothing = copy.deepcopy(case.payload)
        nothing["data"]["quotient_familial"] = None
        people, aside = answer(mapped, case, nothing)
        assert aside == []
        adults = people[: len(case.payload["data"]["allocataires"])]
        said = [fragment["statements"]["ressources.quotient_familial"]["absence"] for *_, fragment in adults]
        assert said == ["non_calculable"] * len(said)
        undated = copy.deepcopy(case.payload)
        undated["data"]["quotient_familial"]["mois"] = None
        before, _ = answer(mapped, case, case.payload)
        people, aside = answer(mapped, case, undated)
        if case.payload["data"]["quotient_familial"]["valeur"] is not None:
            assert {(e.path, e.reason) for e in aside} == {("ressources.quotient_familial", Reason.BAD_VALUE)}
        for (one, _, fragment), (other, _, whole) in zip(people, before, strict=True):
            whole["statements"].pop("ressources.quotient_familial", None)
            fragment["statements"].pop("ressources.quotient_familial", None)
            assert (one, fragment) == (other, whole)
