"""Run by ``test_crash`` as a process of its own: erases somebody and kills itself with SIGKILL at one named step.

python -m tests.erasure.erasing_child HOME STEP DECISION PARTNER REF
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.seal import jws_digest
from hub.app import open_hub
from hub.erasure_register import ErasureRegister
from hub.services import erasure
from hub.services.erasure import Decision
from hub.settings import load_settings
from hub.store.erasures import Erasures
from hub.store.secrets import SecretStore
from hub.wrapping import WrappingKeys

# Where to die: in which method, and whether before or after it did its work.
STEPS: dict[str, tuple[type, str, bool]] = {
    "before the write is committed": (Erasures, "erase", False),
    "after the write is committed": (ErasureRegister, "append", True),
    "after the register has it": (ErasureRegister, "append", False),
    "before the second key": (WrappingKeys, "begin_change", True),
    "after the second key": (WrappingKeys, "begin_change", False),
    "after the rows are wrapped again": (WrappingKeys, "finish_change", True),
    "after the old key is destroyed": (WrappingKeys, "finish_change", False),
    "after the secrets went": (SecretStore, "erase", False),
    "after it is written down": (Erasures, "finished", False),
    "before the logs are emptied": (SecretStore, "truncate_wal", True),
}


def die() -> None:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(method: Callable[..., Any], before: bool) -> Callable[..., Any]:
    """Return ``method`` with a death at its begin or its end."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if before:
            die()
        method(*args, **kwargs)
        die()

    return run


def main() -> None:
    """Erase, and die on the way (or after ``STEP`` seconds, when it is a number)."""
    home, step, jws, partner, ref = Path(sys.argv[1]), *sys.argv[2:]
    hub = open_hub(load_settings(home, {}), clock=FakeClock())
    if step in STEPS:
        owner, name, before = STEPS[step]
        setattr(owner, name, dying(getattr(owner, name), before))
    else:
        threading.Timer(float(step), die).start()
    reason = hub.deadlines.reasons["traitement_illicite"]
    erasure.erase(hub.eraser, Decision(partner, ref, reason, jws, jws_digest(jws)))
    sys.stdout.write("erased\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
