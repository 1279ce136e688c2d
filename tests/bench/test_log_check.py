"""The bench of the audit audits a log that holds, and would notice one that does not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bench import log_check
from bench.harness import QUICK
from hub.log_check.finding import Wrong


def test_the_log_it_audits_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    log_check.build(path, 700)
    assert log_check.audit(path) == 700
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER journal_no_update")
    connection.execute("UPDATE journal SET commitment = zeroblob(32) WHERE seq = 500")
    connection.commit()
    connection.close()
    with pytest.raises(Wrong, match="journal seq 500"):
        log_check.audit(path)


def test_its_figures() -> None:
    result = log_check.run(QUICK, lambda line: None)
    assert [figure.ours.median > 0 for figure in result.figures] == [True, True]
