"""The rules of the tree that no linter knows (DESIGN §3). import-linter keeps the arrows; this keeps the rest."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("consent", "schemas", "connectors", "hub")
MOST_LINES = 400


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


ALL = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sources()}


def holding(pattern: str) -> set[str]:
    return {name for name, text in ALL.items() if re.search(pattern, text)}


def test_the_clock_is_read_in_one_place() -> None:
    reading = holding(
        r"datetime\.now\(|datetime\.utcnow\(|date\.today\(|\btime\.time\(|strftime\('%s'|CURRENT_TIMESTAMP"
    )
    assert reading == {"connectors/kit/runtime/clock.py"}


def test_only_the_unit_of_work_and_the_edge_store_commit() -> None:
    assert holding(r"\.commit\(") == {"hub/store/session.py"}
    assert holding(r"[\"']COMMIT[\"']") == {"connectors/kit/edge_database.py"}


def test_identifiers_are_minted_in_one_place() -> None:
    assert holding(r"\buuid\.|\buuid4\b") == {"connectors/kit/runtime/ids.py"}


@pytest.mark.parametrize("name", ALL)
def test_modules_are_small_and_named_for_what_they_hold(name: str) -> None:
    assert ALL[name].count("\n") <= MOST_LINES
    assert Path(name).stem not in {"utils", "helpers", "misc", "common"}


def test_every_module_says_what_it_is_for() -> None:
    silent = {name for name, text in ALL.items() if not text.startswith('"""')}
    assert silent == set()


def test_no_partner_is_known_by_name_outside_its_folder() -> None:
    """Promise 10: the hub, the kit, the law and the schemas' code name no partner (the demo's cast does)."""
    naming = holding(r"[\"'](caf|cpam|france_travail|msa)[\"']")
    assert {name for name in naming if not name.startswith(("connectors/partners/", "hub/cli/demo/"))} == set()


def test_the_lock_carries_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9._-]+==", lock, re.MULTILINE)
    assert len(pinned) > 30
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_no_secret_and_no_machine_path_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing is tracked")
    names = listed.stdout.split()
    assert not [name for name in names if name.endswith((".jwk", ".db", ".pem", ".jws", ".jwe", "store.key"))]
    homes = re.compile(r"(^|[\s\"'=(])/(work|root|home/[a-z]+)/")
    texts = [
        n for n in names if n.endswith((".py", ".md", ".toml", ".yaml", ".json", ".csv", ".cfg", "Makefile", "run"))
    ]
    assert [n for n in texts if homes.search((ROOT / n).read_text("utf-8", "replace"))] == []
