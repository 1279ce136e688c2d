"""The gate: names, one compiled validator each, and errors that never repeat what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas import registry
from tests.schemas.sampling import Path, at, examples, places, put

EXAMPLES = examples()
CALM = {name: EXAMPLES[name] for name in EXAMPLES if name not in ("dossier", "fragment_envelope")}
PLACES: list[tuple[str, Path]] = [(name, path) for name, value in CALM.items() for path, _ in places(value)]


def refuse(name: str, value: Any) -> registry.SchemaViolation:
    """Return the refusal; fails when there is none."""
    with pytest.raises(registry.SchemaViolation) as refused:
        registry.validator(name).check(value)
    return refused.value


def everything_said(error: BaseException | None) -> str:
    """Return all that a log, a debugger's repr or a traceback could print of an error."""
    chain = [error, error.__cause__, error.__context__]
    return " ".join(f"{e} {e!r} {vars(e)} {e.args}" for e in chain if e is not None)


# Long and odd enough not to stand in a schema by chance.
SECRETS = st.text(st.characters(exclude_categories=("Cs",)), min_size=6, max_size=40).map(lambda text: f"§{text}§")


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), secret=SECRETS, shape=st.sampled_from(["value", "more", "member", "list", "key"]))
def test_no_error_repeats_a_value_or_an_unknown_name(place: tuple[str, Path], secret: str, shape: str) -> None:
    name, path = place
    before = at(CALM[name], path)
    planted: Any = {
        "value": secret,
        "more": {**before, secret: 1} if isinstance(before, dict) else secret,
        "member": {secret: 1},
        "list": [secret],
        "key": {secret: {secret: [secret]}},
    }[shape]
    error = None
    try:
        registry.validator(name).check(put(CALM[name], path, planted))
    except registry.SchemaViolation as refused:
        error = refused
    assume(error is not None)  # free text may say anything
    assert "§" not in everything_said(error)


@settings(max_examples=100, deadline=None)
@given(amount=st.floats(1e8, exclude_min=True, allow_infinity=False) | st.floats(max_value=-1e8, allow_infinity=False))
def test_no_error_repeats_an_amount(amount: float) -> None:
    with pytest.raises(registry.SchemaViolation) as refused:
        registry.value_validator("logement.loyer").check(amount)
    assert repr(amount) not in everything_said(refused.value)


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\ud800": 1}, {1: 2}, {"v": {1, 2}}, object(), b"{}", {"v": float("nan")}, {"v": 10**400}],
    ids=["surrogate", "surrogate name", "number as name", "set", "object", "bytes", "NaN", "huge"],
)
def test_what_is_not_json_is_refused_and_not_quoted(value: Any) -> None:
    error = refuse("fragment", value)
    assert "d800" not in everything_said(error)
    assert error.__context__ is None


def test_nesting_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    refuse("fragment", deep)


@pytest.mark.parametrize(
    ("name", "path", "value", "pointer", "reason"),
    [
        ("pull", ("ref",), "short", "/ref", "minLength: 22"),
        ("pull", ("ref",), 5, "/ref", "type: string"),
        ("pull", (), {}, "", "required: request"),
        ("pull", (), [], "", "type: object"),
        ("pull", ("DUPONT",), 1, "", "additionalProperties"),
        ("pull_answer", ("statuses",), {"Jean Dupont": "communique"}, "/statuses", "propertyNames"),
        ("pull_answer", ("statuses",), {"jean.dupont": "vu"}, "/statuses/*", "enum: communique, exclu_role"),
        ("registration", ("records", 0, "tokens", 0), ["sgd"], "/records/0/tokens/0", "minItems: 2"),
        ("consent_event", ("kind",), "expired", "/kind", "enum: granted"),
        ("consent_event", ("prev",), 3, "/prev", "type: string"),
        ("order", ("exp",), 1.5, "/exp", "type: integer"),
        ("access_log_search", ("view",), "usager\n", "/view", "enum: partenaire, usager, dpo"),
    ],
)
def test_an_error_names_the_place_and_the_rule(name: str, path: Path, value: Any, pointer: str, reason: str) -> None:
    error = refuse(name, put(EXAMPLES[name], path, value))
    assert error.pointer == pointer
    assert error.reason.startswith(reason)
    assert str(error) == f"{pointer or '/'}: {error.reason}"


EVENT = EXAMPLES["consent_event"]


@pytest.mark.parametrize(
    "change",
    [
        {"notice": None},
        {"purpose": None},
        {"pii_information": []},
        {"sources": []},
        {"recipients": []},
        {"validity": EVENT["validity"] | {"to": None}},
        {"actor": "personne"},
        {"mandate": None},
        {"seq": 1},
        {"prev": "A" * 43},
        {"kind": "informed", "notice": None},
        {"collection": EVENT["collection"] | {"channel": "guichet", "agent": None}},
        {"retention": "P"},
        {"retention": "2 ans"},
        {"subject": "B" * 43},
    ],
)
def test_a_consent_event_says_what_its_kind_needs(change: dict[str, Any]) -> None:
    registry.validator("consent_event").check(EVENT)
    refuse("consent_event", EVENT | change)


@pytest.mark.parametrize("kind", ["frozen", "unfrozen", "protected"])
def test_an_event_of_the_whole_person_needs_no_purpose(kind: str) -> None:
    nothing = dict.fromkeys(("purpose", "notice", "sensitivity", "lawful_basis", "retention", "withdrawal_method"))
    registry.validator("consent_event").check(
        EVENT | nothing | {"kind": kind, "pii_information": [], "sources": [], "recipients": [], "controllers": []}
    )


def test_search_as_the_usager_or_about_a_person_needs_what_it_needs() -> None:
    search = registry.validator("access_log_search")
    ref = EXAMPLES["pull"]["ref"]
    search.check({"view": "partenaire"})
    search.check({"view": "usager", "ref": ref})
    search.check({"view": "dpo"})
    search.check({"view": "dpo", "ref": ref, "partner": "departement", "complaint": "2026-014"})
    refuse("access_log_search", {"view": "dpo", "ref": ref, "complaint": "2026-014"})
    refuse("access_log_search", {"view": "usager"})
    refuse("access_log_search", {"view": "dpo", "ref": ref})


def test_names_are_closed() -> None:
    assert {"dossier", "fragment", "request", "order", "fragment_envelope", "consent_event"} <= set(registry.names())
    with pytest.raises(KeyError):
        registry.validator("../openapi")
    with pytest.raises(KeyError):
        registry.value_validator("identite.Jean Dupont")


def test_a_validator_is_compiled_once() -> None:
    assert registry.validator("fragment") is registry.validator("fragment")
    assert registry.value_validator("identifiants.nir") is registry.value_validator("identifiants.nir")


def test_common_accepts_nothing_of_its_own() -> None:
    for value in ({}, None, "", 0, []):
        refuse("common", value)
