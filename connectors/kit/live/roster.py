"""Whom an edge in mode ``client`` may be asked about: traits from another partner's own files, and nothing else.

An API has no list of its persons. The administration that holds the habilitation follows its own: its files are read
with its own connector, and only who each person is goes into the client's store, under that administration's local id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from connectors.kit.birthplace import with_birthplace
from connectors.kit.edge_store import EdgeStore
from connectors.kit.identity import IdentityRefused, parse_identity
from connectors.kit.ingest import BATCH, settle_names
from connectors.kit.mapping.stream import map_stream
from connectors.kit.partner import PartnerFolder, SourceFile
from connectors.kit.port import Quarantined, Reason
from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import Tokeniser, tokens_of

FOLLOWED = "suivi"
"""The name under which the traits stand in the store, beside the formats."""


@dataclass
class RosterReport:
    """What became of the persons of the files. Counts only."""

    known: int = 0
    """New, or with traits that changed."""
    unchanged: int = 0
    aside: Counter[Reason] = field(default_factory=Counter)


def follow(
    files: Iterable[SourceFile],
    whose: PartnerFolder,
    store: EdgeStore,
    tokeniser: Tokeniser,
    clock: Clock,
    *,
    nir_autorise: bool,
) -> RosterReport:
    """Remember in ``store`` who the persons of ``whose`` files are. Talks to no one.

    Without ``nir_autorise`` (the client's own) no NIR is kept. Raises ``MaillonError(STORAGE)`` for a file that
    cannot be opened.
    """
    report, at = RosterReport(), clock.now()
    for file in files:
        try:
            stream = file.path.open("rb")
        except OSError as error:
            raise MaillonError(ErrorKind.STORAGE, f"cannot open the file: {error.strerror}") from None
        with stream:
            found = map_stream(stream, whose.formats[file.format], at)
            while batch := list(islice(found, BATCH)):
                with store.batch():
                    store.links.check(tokeniser)
                    for item in batch:
                        if isinstance(item, Quarantined):
                            report.aside[item.reason] += 1
                            continue
                        traits = {
                            name: value for name, value in item.identity_traits.items() if nir_autorise or name != "nir"
                        }
                        try:
                            identity = with_birthplace(parse_identity(traits, at.date()))
                            tokens = tokens_of(identity, tokeniser, store.names.shares())
                        except IdentityRefused:
                            report.aside[Reason.IDENTITY] += 1
                            continue
                        if not tokens.tokens:
                            report.aside[Reason.IDENTITY] += 1
                        elif store.upsert_subject(item.local_id, traits, tokens, format=FOLLOWED):
                            report.known += 1
                        else:
                            report.unchanged += 1
    settle_names(store, clock)
    return report
