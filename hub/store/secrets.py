"""Per-person secrets in their own file with its own short backup retention (DESIGN §4).

Destroying a row makes every ref of the person meaningless, whatever copies of ``hub.db`` exist. A secret is written
before the person's row: an orphan secret is harmless, a person without one is not.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import DBAPIError

from connectors.kit.runtime.clock import Clock
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from hub.keyring import Keyring
from hub.store.engine import open_engine
from hub.store.migrations import upgrade
from hub.store.tables import person_secret

_REF = "s_ref"
# Written once: building a statement costs more than running it.
_REFS = select(person_secret.c.person_id, person_secret.c.wrapped).where(
    person_secret.c.use == _REF, person_secret.c.person_id.in_(bindparam("persons", expanding=True))
)


class SecretStore:
    """``secrets.db``: independent random secrets, each wrapped by the keyring."""

    def __init__(self, path: Path, keyring: Keyring, clock: Clock) -> None:
        """Open (and bring up to date) the file at ``path``."""
        self._engine = open_engine(path)
        self._keyring = keyring
        self._clock = clock
        upgrade(self._engine, "secrets")
        # Readers of their own: an engine that writes would take the file's one lock to read.
        self._reads = open_engine(path, read_only=True)

    def create_refs(self, persons: Iterable[PersonId]) -> dict[PersonId, bytes]:
        """Draw ``s_ref`` for new persons, durably, and return them. Raises ``MaillonError(STORAGE)``."""
        drawn = {person: secrets.token_bytes(32) for person in persons}
        now = self._clock.now()
        rows = [
            {
                "person_id": person,
                "use": _REF,
                "wrapped": self._keyring.wrap(person, _REF, secret),
                "created_at": now,
            }
            for person, secret in drawn.items()
        ]
        if rows:
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(person_secret), rows)
            except DBAPIError as error:
                raise MaillonError(ErrorKind.STORAGE, "a person's secret could not be written") from error
        return drawn

    def refs(self, persons: Iterable[PersonId]) -> dict[PersonId, bytes]:
        """Return ``s_ref`` of every person that still has one."""
        wanted = sorted(set(persons))
        with self._reads.connect() as connection:
            rows = connection.execute(_REFS, {"persons": wanted}).all()
        return {PersonId(row.person_id): self._keyring.unwrap(row.person_id, _REF, row.wrapped) for row in rows}

    def close(self) -> None:
        """Close the file."""
        self._reads.dispose()
        self._engine.dispose()
