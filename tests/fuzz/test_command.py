"""``python -m tests.fuzz``, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_each_reader_is_fuzzed_for_as_long_as_asked() -> None:
    done = fuzz("--each-reader", "--blind", "--minutes", "0.03", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("caf rsa_mensuel: ", "caf api_particulier_qf_v3: ", "france_travail demandeurs: ", "ccas suivi_rsa: "):
        assert f"\n{told}" in f"\n{done.stdout}"
    assert "total: " in done.stdout.splitlines()[-1]


def test_what_to_fuzz_is_said() -> None:
    for arguments in ((), ("caf", "--all"), ("nobody",)):
        done = fuzz(*arguments)
        assert done.returncode == 2
        assert "error:" in done.stderr
