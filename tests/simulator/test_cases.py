"""Which case answers which request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.kit.simulator.cases import Case, Unplayable, canonical, choose, load

YAML = """
params:
  nomNaissance: 'LE GOFF'
  prenoms:
  - 'Maëlle'
  moisDateNaissance: 03
  codeCogInseeCommuneNaissance: 08480
status: 200
payload: |-
  {"data": {"valeur": 1.0,  "valeur": 2}
"""


def case(name: str, status: int = 200, **params: Any) -> Case:
    return Case(name, canonical(params), status, b"{}")


def test_a_payload_is_replayed_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(YAML, "utf-8")
    (found,) = load(tmp_path / "one.yaml")
    assert isinstance(found, Case)
    assert found.payload == b'{"data": {"valeur": 1.0,  "valeur": 2}', "broken as it is"
    assert found.params["codecoginseecommunenaissance"] == ("8480",)
    assert found.params["nomnaissance"] == ("LE", "GOFF")


def test_every_notation_is_read_and_what_is_no_exchange_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"params": {}, "status": 200, "payload": {"x": 1}}, {"status": "abc"}]')
    (tmp_path / "b.ndjson").write_text('{"status": 404, "payload": null}\n\n{"status": 503, "payload": "down"}\n')
    (tmp_path / "c.yaml").write_text("&a [*a, *a]")
    (tmp_path / "d.json").write_text("{")
    (tmp_path / "e.json").write_text('{"status": 200, "headers": {"X": "a\\r\\nSet-Cookie: b"}}')
    (tmp_path / "f.txt").write_text("not read")
    found = list(load(tmp_path))
    assert [(each.name, each.status) for each in found if isinstance(each, Case)] == [
        ("a.json#1", 200),
        ("b.ndjson#1", 404),
        ("b.ndjson#2", 503),
    ]
    assert [each.name for each in found if isinstance(each, Unplayable)] == ["a.json#2", "c.yaml", "d.json", "e.json"]


def test_what_is_left_out_says_why_and_nothing_else_goes_with_it(tmp_path: Path) -> None:
    one = '{"params": {"nom": "Aubépin"}, "status": 200, "payload": {}}'
    (tmp_path / "a.ndjson").write_text(f'{one}\n{{"nom": "Aubépin"\n{one[:-1]}, "status": 200}}\n{one}\n', "utf-8")
    (tmp_path / "b.json").write_bytes(one.encode("latin-1"))
    (tmp_path / "c.yaml").write_text("nom: [Aubépin", "utf-8")
    found = list(load(tmp_path))
    assert [each.name for each in found if isinstance(each, Case)] == ["a.ndjson#1", "a.ndjson#4"]
    left_out = {each.name: each.reason for each in found if isinstance(each, Unplayable)}
    assert left_out.keys() == {"a.ndjson#2", "a.ndjson#3", "b.json", "c.yaml"}
    assert (left_out["a.ndjson#3"], left_out["b.json"], left_out["c.yaml"]) == (
        "duplicate key",
        "not UTF-8",
        "not YAML",
    )
    assert not any("ub" in reason or "Error" in reason for reason in left_out.values())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"nomNaissance": "martin", "prenoms[]": ["Pierre", "Alexis"], "moisDateNaissance": "06"}, "pierre"),
        ({"nomnaissance": "MARTIN", "prenoms": "pierre"}, "pierre"),
        ({"nomNaissance": "Martin", "prenoms[]": "Jeanne", "moisDateNaissance": 6}, "jeanne"),
        # Half of what the case knows must agree, and nothing may differ.
        ({"nomNaissance": "Martin"}, None),
        ({"nomNaissance": "Martin", "prenoms": "Pierre", "moisDateNaissance": 7}, None),
        ({"sexeEtatCivil": "M"}, None),
        ({"identifiant": "0012-A"}, "number"),
    ],
)
def test_the_case_that_agrees_most_and_contradicts_nothing(asked: dict[str, Any], expected: str | None) -> None:
    cases = [
        case("jeanne", nomNaissance="MARTIN", prenoms=["Jeanne"], moisDateNaissance=6, sexeEtatCivil="F"),
        case("number", identifiant="12/a"),
        case("pierre", nomNaissance="MARTIN", prenoms=["PIERRE"], moisDateNaissance=6),
    ]
    found = choose(cases, canonical(asked))
    assert (found and found.name) == expected


def test_a_case_without_parameters_answers_what_no_other_does() -> None:
    cases = [case("any"), case("x", identifiant="x")]
    assert [choose(cases, canonical({"identifiant": i})).name for i in ("x", "y")] == ["x", "any"]  # type: ignore[union-attr]


def test_at_equality_the_first_answers() -> None:
    cases = [case("a", identifiant="x", sexe="F"), case("b", identifiant="x", sexe="F")]
    assert choose(cases, canonical({"identifiant": "x"})).name == "a"  # type: ignore[union-attr]


def test_every_published_case_can_be_had_again_from_its_own_question(shared_data: Path) -> None:
    folder = shared_data / "api_particulier"
    total = 0
    for endpoint in sorted(folder.iterdir()):
        if not endpoint.is_dir():
            continue
        cases = [each for each in load(endpoint) if isinstance(each, Case)]
        assert len(cases) == len(list(endpoint.iterdir())), endpoint.name
        for each in cases:
            answer = choose(cases, each.params)
            assert answer is not None
            assert answer is each or answer.params == each.params, "some ask the same question twice"
            total += 1
    assert total == 365
