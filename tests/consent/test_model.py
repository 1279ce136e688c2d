"""Fields as bits, selectors, canonical form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consent.canonical import digest, jcs
from consent.model import Decision, FieldIndex, PurposeRule, Reason, Regime, UnknownField
from tests.consent.world import FIELDS, INDEX, PATHS


@pytest.mark.parametrize(
    ("selector", "paths"),
    [
        ("moi.nom", ("moi.nom",)),
        ("moi.*", ("moi.nom", "moi.tel", "moi.nir")),
        ("droits.*", ("droits.rsa.etat", "droits.rsa.date", "droits.aah.etat")),
        ("droits.rsa.*", ("droits.rsa.etat", "droits.rsa.date")),
        ("droits.*.etat", ("droits.rsa.etat", "droits.aah.etat")),
        ("droits.*.etat & classe:C2", ("droits.rsa.etat",)),
        ("*.nom", ("moi.nom",)),
        ("classe:C3", ("moi.nir",)),
        ("classe:C1&moi.*", ("moi.nom", "moi.tel")),
        ("*", PATHS),
    ],
)
def test_a_selector_means_these_fields(selector: str, paths: tuple[str, ...]) -> None:
    assert INDEX.paths(INDEX.select(selector)) == paths


@pytest.mark.parametrize(
    "selector", ["", "moi", "moi.prenom", "moi.nom.*", "droit.*", "classe:C7", "classe:", "moi.* & classe:C5", "mo*"]
)
def test_a_selector_that_means_nothing_is_refused(selector: str) -> None:
    with pytest.raises(UnknownField) as error:
        INDEX.select(selector)
    assert error.value.name == selector


def test_names_that_are_no_fields_are_left_out_of_what_is_known() -> None:
    assert INDEX.known(("moi.nom", "inconnu", "moi.tel", "moi.nom")) == INDEX.mask(("moi.nom", "moi.tel"))


def test_masks_and_paths_are_each_others_inverse() -> None:
    assert INDEX.paths(INDEX.mask(reversed(PATHS))) == PATHS
    assert INDEX.mask(PATHS) == INDEX.full == (1 << len(PATHS)) - 1
    assert INDEX.paths(0) == ()
    assert INDEX.paths(1 << 40) == ()
    with pytest.raises(UnknownField, match=r"moi\.rien"):
        INDEX.mask(["moi.nom", "moi.rien"])


@pytest.mark.parametrize(("paths", "classes"), [(("a", "b"), ("C1",)), (("a", "a"), ("C1", "C1")), (("a",), ("C9",))])
def test_a_wrong_field_list_is_refused(paths: tuple[str, ...], classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"path|class"):
        FieldIndex(paths, classes)


def test_classes_part_the_fields() -> None:
    masks = [INDEX.of_class(f"C{i}") for i in range(7)]
    assert sum(masks) == INDEX.full
    assert {path: INDEX.classes[i] for i, path in enumerate(INDEX.all_paths)} == FIELDS


def test_a_decision_tells_its_masks_in_order_of_precedence() -> None:
    decision = Decision(1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert decision.masks() == tuple((reason, 1 << i) for i, reason in enumerate(Reason))
    assert decision.by_regime(Regime.ACCORD) == 0
    assert decision._replace(allowed=7, rule=PurposeRule(1, 2, 4, 2, 7)).by_regime(Regime.INFORMATION) == 2


def test_canonical_form_of_the_published_vectors(shared_data: Path) -> None:
    vectors = shared_data / "jcs_vectors" / "testdata"
    found = sorted((vectors / "input").glob("*.json"))
    assert len(found) >= 5
    for source in found:
        expected = (vectors / "output" / source.name).read_bytes()
        assert jcs(json.loads(source.read_bytes())) == expected, source.name


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": 2**53}, {1: "a"}, {"a": object()}])
def test_what_json_cannot_hold_has_no_canonical_form(value: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        jcs(value)


def test_a_digest_is_sha256_in_base64url() -> None:
    assert digest(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert digest({"b": 1, "a": "é"}) == digest('{"a":"é","b":1}'.encode())
