"""A drop folder with real processes: a running edge takes a copied file by itself; the command does it once."""

from __future__ import annotations

import json
import time
from pathlib import Path

from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from hub.cli.demo.deployment import Deployment, run_command
from tests.system.test_new_partner import TENANTS, write_folder


def _until_there(file: Path) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_files_dropped_are_taken_and_told(tmp_path: Path) -> None:
    partner = write_folder(tmp_path / "partners")
    deployment = Deployment.create(tmp_path / "run", {"habitat_29": str(partner)})
    home, drop = deployment.home("habitat_29"), tmp_path / "dépôt"
    drop.mkdir()
    assert run_command("edge", "watch", "--home", str(home)).error["error"] == "configuration"
    settings = home / "edge.toml"
    kept = [line for line in settings.read_text().splitlines() if not line.startswith("drop_")]
    settings.write_text("\n".join([*kept, f"drop_folder = {json.dumps(str(drop))}", "drop_seconds = 1"]) + "\n")
    with deployment.fleet:
        deployment.start("hub", "habitat_29")
        with (drop / "mars.csv").open("w", encoding="utf-8") as slow:
            for character in TENANTS:
                slow.write(character)
                slow.flush()
                time.sleep(0.02)
        _until_there(drop / "traites" / "mars.csv.rapport.json")
        assert json.loads((drop / "traites" / "mars.csv.rapport.json").read_bytes())["subjects"] == {"new": 1}
        (drop / "avril.csv").write_text(TENANTS + "L-78;PENNEC\n", "utf-8")
        once = run_command("edge", "watch", "--home", str(home))
        # Whichever of the two processes came first has taken it, whole.
        assert once.code in (0, 1, 4)
        _until_there(drop / "traites" / "avril.csv.rapport.json")
        log = "".join(path.read_text() for path in (tmp_path / "run" / "logs").glob("habitat_29*"))
        assert '"event": "drop"' in log
        assert "mars.csv" not in log
    edge = Edge.open(home, SystemClock())
    assert (edge.store.count(), edge.store.pending()) == (1, [])
    assert edge.store.ref_of("L-77") is not None
    assert [each.entry.reason for each in edge.store.waiting.entries()] == ["column_shift"]
    edge.close()
