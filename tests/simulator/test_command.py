"""``maillon simulate`` as a process: the published cases over HTTP, and nothing of a question in its log."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml

from connectors.kit.simulator.cases import Unplayable
from connectors.kit.simulator.server import lay_out
from tests.live.caisse import HOUSEHOLD, QF, RIGHT, RSA, partner, write_cases, write_partner


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "simulate", *arguments, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.match(r"(http://[^/]+)/", line):
            return process, found[1]
    raise AssertionError(f"it stopped: {process.wait()}")


def test_published_cases_over_http(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "api_particulier" / "api_particulier_v3_cnav_quotient_familial_with_civility"
    process, url = start(str(write_partner(tmp_path)), str(folder))
    try:
        for file in sorted(folder.iterdir()):
            case = yaml.safe_load(file.read_text("utf-8"))
            params = {f"{k}[]" if isinstance(v, list) else k: v for k, v in case["params"].items()}
            reply = requests.get(f"{url}/{folder.name}", params=params, timeout=60)
            assert reply.headers["X-Maillon-Case"] == file.name
            assert (reply.status_code, reply.text) == (case["status"], case["payload"])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.count('"event": "answer"') == len(list(folder.iterdir()))
        assert not re.search("martin|dubois|nomNaissance", out + err, re.IGNORECASE)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faults", "flood"], "flood: not a fault"),
        (["--host", "0.0.0.0"], "loopback"),  # noqa: S104
        ([], "no case in that folder"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    own = str(write_partner(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "hub.cli", "simulate", own, str(tmp_path / "empty"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_files_are_played(tmp_path: Path) -> None:
    api = partner(tmp_path).api
    folder = write_cases(tmp_path / "cases", **{QF: [HOUSEHOLD], RSA: [RIGHT, RIGHT]})
    write_cases(folder / "published_droit", x=[RIGHT])
    write_cases(folder / "other", x=[RIGHT])
    (folder / "hostile.json").write_text("{")
    (folder / "README.md").write_text("not played")
    routes, unplayable = lay_out(folder, api)
    assert {path: len(cases) for path, cases in routes.items()} == {
        "/v3/foyer/identite": 1,
        "/v3/droit/identite": 3,
        "/other": 1,
    }
    assert unplayable == [Unplayable("hostile.json", "not JSON (byte 1)")]
    assert set(lay_out(folder / "published_droit", api)[0]) == {"/v3/droit/identite"}
    assert set(lay_out(folder, None)[0]) == {"/cases", "/published_droit", "/other"}
