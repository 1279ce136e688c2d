"""The hub is down while a partner brings its files in: nothing is lost, all is told, once more completes it."""

from __future__ import annotations

from pathlib import Path

from connectors.kit.partner import bundled_directory
from hub.cli.demo.deployment import Deployment, run_command

SAMPLES = bundled_directory() / "departement" / "samples"


def test_files_brought_in_while_the_hub_is_down(tmp_path: Path) -> None:
    deployment = Deployment.create(tmp_path / "été à l’édge", {"departement": "departement"})
    home = str(deployment.home("departement"))
    hostile = ("ingest", str(SAMPLES / "hostile.accompagnement.rows.csv"), "--home", home)
    down = run_command(*hostile)
    assert (down.code, down.document["registered"]) == (3, 0)
    assert down.document["subjects"] == {"new": 3}
    assert len(down.document["quarantine"]) == 9
    other = run_command("ingest", str(SAMPLES / "demo.accompagnement.csv"), "--home", home, "--no-register")
    # Nothing of another file is set aside here; but it should hold everyone, and the first one's three are not in it.
    assert (other.code, other.document["quarantine"], other.document["removals_held"]) == (4, [], 3)
    with deployment.fleet:
        deployment.start("hub")
        again, once_more = run_command(*hostile), run_command(*hostile)
    # Another file that should hold everyone was given since: the first is read again, and says nothing new.
    assert (again.code, again.document["registered"], again.document["known_files"]) == (4, 11, 0)
    assert again.document["subjects"] == {"unchanged": 3}
    assert (once_more.code, once_more.document["known_files"]) == (4, 1)
    assert again.document["quarantine"] == down.document["quarantine"]
