"""``maillon index rotate``, against a hub that answers over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from hub.cli import index_rotate
from hub.cli.index_family import index

REFS = {
    "partner": "ccas",
    "epoch": 2,
    "state": "offered",
    "since": "2026-11-22T10:00:00.000000Z",
    "refs": 3,
    "old_refs": 12,
}


LINK = {"epoch": 2, "state": "two_epochs", "behind": [{"partner": "cpam", "records": 7}]}


class _Hub:
    """Two looks later it is done."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._shares = iter((0.25, 0.75))

    def rotate(self, what: str, partner: str = "", **of: object) -> dict[str, Any]:
        self.asked.append(" ".join((what, *([partner] if partner else ()), *map(str, of.values()))))
        return _standing(0.0)

    def rotations(self) -> dict[str, Any]:
        self.asked.append("look")
        return _standing(next(self._shares, 1.0))


def _standing(share: float) -> dict[str, Any]:
    state = "done" if share == 1 else "running"
    return {
        "pepper": {"epoch": 2, "state": state, "rewrapped": round(share * 400), "share": share},
        "refs": [REFS],
        "link": LINK,
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> _Hub:
    made = _Hub()
    monkeypatch.setattr(index_rotate, "hub_client", lambda home, principal: made if principal == "operator" else None)
    monkeypatch.setattr(index_rotate, "_EVERY", 0.0)
    return made


def _run(tmp_path: Any, *words: str) -> Any:
    return CliRunner().invoke(index, ["rotate", *words, "--home", str(tmp_path)])


def test_it_begins_watches_and_says_what_to_do_next(hub: _Hub, tmp_path: Any) -> None:
    done = _run(tmp_path, "--pepper")
    assert done.exit_code == 0, done.output
    assert hub.asked == ["pepper", "look", "look", "look"]
    assert "300 records" in done.stderr
    assert "epoch 2, every record" in done.stdout
    assert "backup keys" in done.stdout


def test_it_can_leave_the_hub_to_it_and_only_look(hub: _Hub, tmp_path: Any) -> None:
    left = _run(tmp_path, "--pepper", "--no-wait", "--json")
    assert (hub.asked, json.loads(left.stdout)["pepper"]["state"]) == (["pepper"], "running")
    looked = _run(tmp_path, "--status")
    assert hub.asked == ["pepper", "look"]
    assert "25%" in looked.stdout


def test_the_refs_of_a_partner_and_who_has_not_come_for_them(hub: _Hub, tmp_path: Any) -> None:
    done = _run(tmp_path, "--refs", "ccas")
    assert hub.asked == ["refs ccas"]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ccas")]
    assert "not taken them all" in line
    assert line.split()[-2:] == ["3", "12"]


@pytest.mark.parametrize("words", [("--pepper", "--refs", "ccas"), (), ("--pepper", "--status")])
def test_one_thing_at_a_time(hub: _Hub, tmp_path: Any, words: tuple[str, ...]) -> None:
    assert _run(tmp_path, *words).exit_code == 2
    assert hub.asked == []


def test_the_connectors_key_is_begun_and_retired_and_it_says_who_is_behind(hub: _Hub, tmp_path: Any) -> None:
    begun = _run(tmp_path, "--link")
    assert begun.exit_code == 0, begun.output
    assert "epochs 1 and 2 are in use" in begun.output
    assert "cpam: 7 record(s)" in begun.output
    assert _run(tmp_path, "--retire-link-epoch", "1").exit_code == 0
    assert _run(tmp_path, "--retire-link-epoch", "1", "--force").exit_code == 0
    assert hub.asked == ["link", "retire_link 1 False", "retire_link 1 True"]
    assert _run(tmp_path, "--link", "--pepper").exit_code == 2
