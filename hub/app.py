"""The composition root: opens a hub's home, puts its parts together, gives back a WSGI application.

Served by ``maillon serve`` with granian: one worker process (SQLite has one writer, and the group commit lives in
it), many blocking threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing.util import Finalize

from flask import Flask

from connectors.kit.runtime.clock import Clock, SystemClock
from connectors.kit.runtime.keys import load_signing_key
from connectors.kit.runtime.logs import log_json_lines
from connectors.kit.runtime.serving import exit_with_parent
from connectors.kit.transport import Transport
from connectors.kit.trust import RotatingKeys
from hub.deadlines import load_deadlines
from hub.erasure_register import ErasureRegister
from hub.home import HUB, HubHome
from hub.jobs import scheduler
from hub.keyring import Keyring
from hub.services import erasure, pepper_rotation, ref_rotation, restoring
from hub.services.erasure import Eraser
from hub.services.orders import HttpSources, Sources
from hub.services.partners import CurrentDirectory
from hub.services.policy import CurrentPolicy
from hub.services.restoring import SeenSize
from hub.services.runtime import Hub
from hub.settings import Settings, home_from_environment, load_settings
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.secrets import SecretStore
from hub.store.sequencer import Sequencer
from hub.store.session import Reads, Writer
from hub.web.partner_api import app as partner_api
from hub.witnessing import ask_at_start, open_witnesses
from hub.wrapping import WrappingKeys

_PARALLEL_ORDERS = 128
"""Threads are made as they are needed: more than every web thread and its sources will ever ask for at once."""


def open_hub(
    settings: Settings, *, clock: Clock | None = None, sources: Sources | None = None, restored: bool = False
) -> Hub:
    """Open the hub of ``settings.home``, bring its files up to date and finish the erasures that were begun.

    ``clock`` and ``sources`` replace the machine's clock and HTTP in tests. ``restored``: the database may be older
    than what this hub has seen (:mod:`hub.restore` alone says so, and makes it good). Raises ``MaillonError``
    (``CONFIGURATION``, ``UNTRUSTED_DIRECTORY``) naming what is missing or wrong; nothing is left open then.
    """
    clock = clock or SystemClock()
    home = HubHome(settings.home)
    deadlines = load_deadlines(settings.config_dir)
    keyring = Keyring.load(home.keyring)
    operational = RotatingKeys(load_signing_key(home.identity), HUB, clock)
    engine = open_engine(home.database)
    upgrade(engine, "hub")
    secrets = SecretStore(
        home.secrets,
        WrappingKeys.load(home.wrapping),
        clock,
        system_key=keyring.system_key,
        trace_months=deadlines.trace_months,
    )
    reads = Reads(open_engine(home.database, read_only=True), secrets, clock)
    sequencer = Sequencer(home.log_signers(settings.origin))
    writer = Writer(engine, secrets, sequencer, clock, batch=settings.writer_batch)
    eraser = Eraser(writer, reads, secrets, keyring, ErasureRegister(home.erasures), deadlines)
    try:
        # Nothing is looked up with peppers that are not this index's.
        reads.run(lambda uow: pepper_rotation.recognise(uow, keyring.peppers))
        reads.run(lambda uow: ref_rotation.recognise(uow, keyring.epochs))
        # Nothing is signed on top of a log that is not the one signed last.
        reads.run(lambda uow: sequencer.check(uow.connection))
        # Nor on top of one a witness shows to be rolled back or rewritten: asked before anything is written.
        witnesses = open_witnesses(settings, home, reads, writer, sequencer, clock)
        witnesses.check_kept()
        ask_at_start(witnesses, settings.witnesses)
        if not restored:
            restoring.check_not_older(eraser, SeenSize(home.log_seen))
        erasure.finish(eraser)
        # A crash may have come just before that.
        erasure.empty_logs(eraser)
        vkeys = [signer.verifier.vkey for signer in sequencer.held]
        writer.run(lambda uow: uow.in_force.take_log_keys(vkeys))
        directory = CurrentDirectory(home, keyring, writer, clock)
        policy = CurrentPolicy(settings.config_dir, writer)
    except BaseException:
        writer.close()
        reads.close()
        secrets.close()
        raise
    transport = Transport(ca_file=settings.edge_ca, connect=settings.connect_seconds, answer=settings.answer_seconds)
    return Hub(
        settings=settings,
        clock=clock,
        keyring=keyring,
        secrets=secrets,
        writer=writer,
        reads=reads,
        sequencer=sequencer,
        witnesses=witnesses,
        directory=directory,
        policy=policy,
        operational=operational,
        sources=sources or HttpSources(transport, at_once=max(1, settings.threads // 2)),
        pool=ThreadPoolExecutor(_PARALLEL_ORDERS, thread_name_prefix="maillon-order"),
        deadlines=deadlines,
        eraser=eraser,
    )


def close_hub(hub: Hub) -> None:
    """Finish what was begun and close every file."""
    hub.writer.close()
    restoring.note_size(hub.reads, SeenSize(HubHome(hub.settings.home).log_seen))
    hub.pool.shutdown(wait=False, cancel_futures=True)
    hub.reads.close()
    hub.secrets.close()


def create_app(settings: Settings, *, clock: Clock | None = None, sources: Sources | None = None) -> Flask:
    """Return the hub's application, with its :class:`Hub` in ``app.extensions["hub"]`` for :func:`close_hub`.

    Raises as :func:`open_hub`.
    """
    hub = open_hub(settings, clock=clock, sources=sources)
    app = partner_api.create(hub)
    app.extensions["hub"] = hub
    return app


def from_environment() -> Flask:
    """Return the application of the home named by ``MAILLON_HUB_HOME`` with its jobs running: granian's factory."""
    log_json_lines()
    app = create_app(load_settings(home_from_environment()))
    hub: Hub = app.extensions["hub"]
    jobs = scheduler.start(hub)

    def stop() -> None:
        jobs.shutdown(wait=False)
        close_hub(hub)

    # granian's worker is a multiprocessing child: it runs finalizers, not atexit handlers.
    Finalize(None, stop, exitpriority=10)
    exit_with_parent(stop)
    return app
