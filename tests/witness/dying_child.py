"""A witness that is killed (-9) at the worst moment: its state is written, its cosignature is not made yet."""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from connectors.kit.edge_store import EdgeStore
from connectors.kit.ledger.witness import Witness
from tests.witness.conftest import KEY
from tests.witness.log import LOG


class DyingClock:
    """The time is asked for once, to sign."""

    def now(self) -> datetime:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive")


if __name__ == "__main__":
    store = EdgeStore.open(Path(sys.argv[1]), b"s" * 32)
    witness = Witness(KEY, store.log, lambda: frozenset({LOG.verifier}), DyingClock())
    witness.add_checkpoint(sys.stdin.buffer.read())
