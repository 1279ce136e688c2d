"""``maillon index review`` and its like, against a hub that answers over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli import index_review, index_split
from hub.cli.index_family import index

REVIEW = "6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d"
RECORD = {"record_id": REVIEW, "partner": "caf", "since": "2026-11-22T10:00:00Z", "rule": "R1", "gaps": ["prenoms"]}
PAIR = {
    "record": RECORD,
    "other": {**RECORD, "partner": "cpam"},
    "agree": ["sgd"],
    "differ": ["nir"],
    "rules_say": None,
}
SIDES = {"raised": ["caf"], "candidate": ["cpam"]}
ANSWERS: dict[str, Any] = {
    "reviews/search": {
        "reviews": [
            {
                "review_id": REVIEW,
                "opened_at": "2026-11-22T10:00:00Z",
                "state": "open",
                "doubt": "une_lettre",
                "kinds": ["s1gd"],
                "partners": SIDES,
            }
        ],
        "next": None,
    },
    "reviews/show": {"doubt": "une_lettre", "state": "open", "partners": SIDES, "pairs": [PAIR]},
    "reviews/decide": {"review_id": REVIEW, "state": "different"},
    "persons/records": {"records": [RECORD], "pairs": [PAIR]},
    "persons/split": {"review_id": REVIEW, "records": [REVIEW], "told": [{"partner": "caf", "notices": 2}]},
}
ASKED: list[tuple[str, dict[str, Any]]] = []


class _Hub:
    def ask_index(self, operation: str, document: dict[str, Any]) -> dict[str, Any]:
        ASKED.append((operation, document))
        answer: dict[str, Any] = ANSWERS[operation]
        return answer


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    for module in (index_review, index_split):
        monkeypatch.setattr(module, "hub_client", lambda home, principal: _Hub())


COMMANDS = [
    (["review", "list"], "reviews/search", "une_lettre"),
    (["review", "show", REVIEW], "reviews/show", "prenoms"),
    (["review", "decide", REVIEW, "different", "--reason", "jumeaux"], "reviews/decide", "different"),
    (["records", "--partner", "caf", "--ref", "A" * 22, "--complaint", "R-1"], "persons/records", "R1"),
    (
        ["split", "--partner", "caf", "--ref", "A" * 22, "--record", REVIEW, "--complaint", "R-1", "--reason", "x"],
        "persons/split",
        f"decide {REVIEW} link",
    ),
]


@pytest.mark.parametrize(("words", "operation", "told"), COMMANDS)
def test_each_command_asks_the_hub_and_tells_a_person_and_a_machine(
    words: list[str], operation: str, told: str, tmp_path: Any
) -> None:
    for extra in ([], ["--json"]):
        done = CliRunner().invoke(index, [*words, "--home", str(tmp_path), *extra])
        assert done.exit_code == 0, done.output
        assert ASKED[-1][0] == operation
        if extra:
            assert json.loads(done.output) == ANSWERS[operation]
        else:
            assert told in done.output


def test_a_decision_is_one_of_three(tmp_path: Any) -> None:
    done = CliRunner().invoke(index, ["review", "decide", REVIEW, "merge", "--home", str(tmp_path), "--reason", "x"])
    assert done.exit_code == 2
    assert ASKED == []
