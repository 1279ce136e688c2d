"""The root's key and the signed directory, from whatever folder holds both: an edge's home, the hub's, the root's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connectors.kit.runtime.clock import from_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import PublicJwk, public_jwk
from connectors.kit.seal import Typ, peek
from connectors.kit.trust import Directory


def open_directory(home: Path) -> tuple[PublicJwk, Directory]:
    """Return the root's public key and the directory of a home, whatever its age.

    Raises ``MaillonError(CONFIGURATION)`` when one is missing, ``UNTRUSTED_DIRECTORY`` when the root did not sign it.
    """
    found: dict[str, Any] = {}
    for name in ("root.pub.jwk", "directory.jws"):
        try:
            found[name] = (home / name).read_text("utf-8").strip()
        except OSError:
            raise MaillonError(ErrorKind.CONFIGURATION, f"{name} is missing in the folder given") from None
    try:
        root = public_jwk(json.loads(found["root.pub.jwk"]), "Ed25519")
        token = found["directory.jws"]
        signed_at = from_epoch(int(peek(token, Typ.DIRECTORY)["issued_at"]))
    except (ValueError, KeyError, TypeError):
        raise MaillonError(ErrorKind.CONFIGURATION, "root.pub.jwk or directory.jws does not read") from None
    # As of when it was signed: a receipt outlives the directory of its day.
    return root, Directory.verify(token, root, signed_at, 1)
