"""What the hub is made of while it runs, put together once by the composition root and handed down."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from connectors.kit.runtime.clock import Clock
from connectors.kit.trust import OperationalKeys
from hub.deadlines import Deadlines
from hub.keyring import Keyring
from hub.services.erasure import Eraser
from hub.services.orders import Sources
from hub.services.partners import CurrentDirectory
from hub.services.policy import CurrentPolicy
from hub.services.witnesses import Witnesses
from hub.settings import Settings
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import Reads, Writer


@dataclass(frozen=True)
class Hub:
    """Every dependency a face or a job may need. ``operational`` gives the hub's live signing keys."""

    settings: Settings
    clock: Clock
    keyring: Keyring
    secrets: SecretStore
    writer: Writer
    reads: Reads
    sequencer: Sequencer
    witnesses: Witnesses
    directory: CurrentDirectory
    policy: CurrentPolicy
    operational: Callable[[], OperationalKeys]
    sources: Sources
    pool: ThreadPoolExecutor
    deadlines: Deadlines
    eraser: Eraser
