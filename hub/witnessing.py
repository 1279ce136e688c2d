"""Puts the parts of witnessing together for the composition root (``hub.app``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import MaillonError
from connectors.kit.transport import Transport
from connectors.kit.trust import Directory
from hub.home import HubHome
from hub.services.witness_ports import HttpWitnesses, HubLog, named_witnesses
from hub.services.witnesses import Evidence, Named, Witnesses
from hub.settings import Settings
from hub.store.sequencer import Sequencer
from hub.store.session import Reads, Writer

CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0
"""A start-up waits this long for a witness that hangs, all at the same time, and goes on without it."""


def open_witnesses(
    settings: Settings, home: HubHome, reads: Reads, writer: Writer, sequencer: Sequencer, clock: Clock
) -> Witnesses:
    """Return the witnesses named in the settings; who they are is read from the installed directory each time."""

    def named() -> Mapping[str, Named]:
        try:
            directory = Directory.verify(home.directory_token(), home.pinned_root(), clock.now(), 1)
        except MaillonError:
            return {}  # without a valid directory nobody can be asked; the rest of the hub says so
        return named_witnesses(directory, settings.witnesses)

    own_keys = frozenset(signer.verifier for signer in sequencer.held)
    transport = Transport(ca_file=settings.edge_ca, connect=CONNECT_SECONDS, answer=ANSWER_SECONDS)
    return Witnesses(
        log=HubLog(reads, writer, own_keys),
        asking=HttpWitnesses(transport),
        named=named,
        own_keys=own_keys,
        halt=sequencer.halt,
        evidence=Evidence(home.log_stopped, home.evidence),
        count=len(settings.witnesses),
        quorum=settings.quorum,
    )


def ask_at_start(witnesses: Witnesses, slugs: Sequence[str]) -> None:
    """Ask all of them at once what they know, before anything is signed. An outage costs three seconds at most."""
    if slugs:
        with ThreadPoolExecutor(len(slugs), thread_name_prefix="maillon-witness") as pool:
            list(pool.map(witnesses.examine, slugs))
