"""How a SQLite file is opened: which library, which pragmas, who may write."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, QueuePool, create_engine, event

_WAIT = "busy_timeout=10000"
READERS_WAIT_MS = 2000
"""How long emptying a write-ahead log waits for whoever still reads from it."""
# secure_delete: what is erased leaves no ghost in free pages. synchronous FULL: a commit that returned survives
# a power cut (in WAL mode NORMAL would not). recursive_triggers: INSERT OR REPLACE cannot slip past the triggers
# that refuse deletion. trusted_schema off: no function runs from a tampered schema.
_PRAGMAS = (
    "foreign_keys=ON",
    "secure_delete=ON",
    "recursive_triggers=ON",
    "trusted_schema=OFF",
    _WAIT,
    "temp_store=MEMORY",
)


def sqlite_module() -> ModuleType:
    """Return ``pysqlite3`` where it has a wheel, else the standard library's driver.

    The system's SQLite 3.40 has a WAL-reset corruption bug (DESIGN §13).
    """
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return importlib.import_module("sqlite3")


def open_engine(path: Path, *, read_only: bool = False) -> Engine:
    """Return an engine on the file ``path``; transactions begin ``IMMEDIATE`` for a writer, deferred for a reader.

    A read-only engine cannot write even by mistake: the file is opened ``mode=ro``.
    """
    mode = "ro" if read_only else "rwc"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    module = sqlite_module()

    def connect() -> Any:
        # isolation_level None: the driver starts no transaction of its own, ``begin`` below does.
        return module.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)

    # hide_parameters: an exception's text never shows a bound value.
    engine = create_engine(
        "sqlite+pysqlite://",
        module=module,
        creator=connect,
        poolclass=QueuePool,
        pool_size=32,
        max_overflow=32,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            # 64 MiB, for the one connection that writes: hashes and random ids touch pages all over their indexes.
            cursor.execute("PRAGMA cache_size=-65536")
            # 16 MiB of write-ahead log before it goes into the file: by then its pages were written several times over.
            cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def truncate_wal(engine: Engine) -> bool:
    """Write the write-ahead log into the file and empty it; False when somebody still reads from it (try again).

    Pages that were overwritten or erased stand in it until then. Waits :data:`READERS_WAIT_MS` for readers at most.
    """
    raw = engine.raw_connection()
    cursor = raw.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={READERS_WAIT_MS}")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        cursor.execute(f"PRAGMA {_WAIT}")
        raw.close()
    return not busy
