"""The hub's own secrets: index pepper, one independent root per partner, the key of events about no one.

One 0600 file, beside the one of the keys that wrap persons' secrets (:mod:`hub.wrapping`). None of it is ever in the
database, none of it is shared with an edge, and the connectors' ``K_link`` is never here (DESIGN §4). HKDF-SHA256
(RFC 5869); ``info`` is ``maillon/<use>/v1 ‖ u16 length ‖ id ‖ u32 epoch``.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.kit.runtime import b64url, keys, strict_json
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.files import PRIVATE, replace_file
from connectors.kit.runtime.ids import Ref
from connectors.kit.runtime.keys import SigningKey
from hub.peppers import Peppers, new_pepper
from hub.ref_epochs import RefEpochs


def derive(root: bytes, use: str, name: str, epoch: int) -> bytes:
    """Return 32 bytes for ``use`` and ``name`` under ``epoch``, by HKDF-SHA256 from ``root``."""
    identifier = name.encode()
    info = f"maillon/{use}/v1".encode() + len(identifier).to_bytes(2, "big") + identifier + epoch.to_bytes(4, "big")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)


class Keyring:
    """The opened keyring. Thread-safe; writes its file when a partner's root or a pepper is added."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        """Use :meth:`create` or :meth:`load`."""
        self._path = path
        self._lock = threading.Lock()
        self.peppers = Peppers([b64url.decode(key, length=32) for key in content["index"]])
        self.system_key = b64url.decode(content["system"], length=32)
        """Opens the log's events that are about no person."""
        self._lookup = b64url.decode(content["lookup"], length=32)
        self._roots = {slug: b64url.decode(key, length=32) for slug, key in content["partners"].items()}
        self._refs: dict[tuple[str, int], bytes] = {}
        self.epochs = RefEpochs(content.get("ref_epochs", {}))
        self.token_key = SigningKey.from_jwk(content["token_key"])
        """Signs the hub's access tokens; kept, so that a restart does not sign everyone out."""

    @classmethod
    def create(cls, path: Path) -> Keyring:
        """Make a new keyring at ``path``; raises as ``keys.write_private``."""
        content = {
            "v": 1,
            "index": [b64url.encode(new_pepper())],
            "system": b64url.encode(secrets.token_bytes(32)),
            "lookup": b64url.encode(secrets.token_bytes(32)),
            "ref_epochs": {},
            "partners": {},
            "token_key": SigningKey.generate().private_jwk(),
        }
        keys.write_private(path, orjson.dumps(content))
        return cls(path, content)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Return the keyring at ``path``; ``MaillonError(CONFIGURATION)`` when it is not one, or not private."""
        try:
            return cls(path, strict_json.loads_object(keys.read_private(path)))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{path.name} is not a keyring") from None

    def add_partners(self, slugs: Iterable[str]) -> None:
        """Give every slug that has none a root of its own, durably, before anyone can be given a ref under it."""
        with self._lock:
            new = {slug: secrets.token_bytes(32) for slug in slugs if slug not in self._roots}
            if not new:
                return
            self._change(
                lambda content: content["partners"].update((s, b64url.encode(root)) for s, root in new.items())
            )
            self._roots |= new

    def add_pepper(self) -> None:
        """Begin a new epoch of the index: its pepper is drawn, durable, then used. The writer's thread only."""
        with self._lock:
            pepper = b64url.encode(new_pepper())
            content = self._change(lambda content: content["index"].append(pepper))
            # As the file has it: a change that failed at its very last step may have left one more there.
            self.peppers.extend(b64url.decode(key, length=32) for key in content["index"][self.peppers.epoch :])

    def check_partner(self, partner: str) -> None:
        """Raise ``MaillonError(UNKNOWN_PARTNER)`` for a partner without a root: it has no refs."""
        if partner not in self._roots:
            raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "no root for this partner in the keyring")

    def begin_refs(self, partner: str) -> None:
        """Begin a new epoch of a partner's refs, durably. The writer's thread only."""
        epoch = self.epochs.newest(partner) + 1
        with self._lock:
            self._change(lambda content: content.setdefault("ref_epochs", {}).update({partner: epoch}))
            self.epochs.begin(partner, epoch)

    def _change(self, change: Callable[[Any], None]) -> Any:
        """Rewrite the file, whole or not at all, durably; return what it holds. Raises ``MaillonError(STORAGE)``."""
        content: Any = strict_json.loads_object(keys.read_private(self._path))
        change(content)
        replace_file(self._path, orjson.dumps(content), PRIVATE)
        return content

    @property
    def index_epoch(self) -> int:
        """The epoch new tokens are stored under."""
        return self.peppers.epoch

    def index_token(self, token: bytes) -> tuple[int, bytes]:
        """Return a token as the hub stores it now: a signed 64-bit look-up and an independent 128-bit value."""
        newest = self.peppers.forms(token)[-1]
        return newest.lookup, newest.value

    def record_key(self, partner: str, record_key: str) -> bytes:
        """Return the 16 bytes a partner's record key is stored as."""
        return hmac.digest(self._lookup, f"record\0{partner}\0{record_key}".encode(), "sha256")[:16]

    def ref(self, partner: str, s_ref: bytes, epoch: int | None = None) -> Ref:
        """Return a person's pseudonym at ``partner``: ``HMAC(HKDF(root_partner, epoch), s_ref)[:16]``, base64url; of
        the epoch the partner's edge uses, unless another is asked for.

        Raises ``MaillonError(UNKNOWN_PARTNER)`` for a partner without a root.
        """
        epoch = self.epochs.used(partner) if epoch is None else epoch
        key = self._refs.get((partner, epoch))
        if key is None:
            self.check_partner(partner)
            key = self._refs[partner, epoch] = derive(self._roots[partner], "ref", partner, epoch)
        return Ref(b64url.encode(hmac.digest(key, s_ref, "sha256")[:16]))

    def ref_lookup(self, partner: str, ref: str) -> bytes:
        """Return the 16 bytes a ref is looked up by; the ref itself is not stored."""
        return hmac.digest(self._lookup, f"ref\0{partner}\0{ref}".encode(), "sha256")[:16]

    def handle(self, partner: str, use: str, value: str) -> bytes:
        """Return 32 bytes that stand for the id ``value`` at ``partner`` alone."""
        return hmac.digest(self._lookup, f"handle/{use}\0{partner}\0{value}".encode(), "sha256")

    def cursor_key(self, reader: str) -> bytes:
        """Return the 32 bytes under which ``reader`` is told where its next page begins."""
        return hmac.digest(self._lookup, f"cursor\0{reader}".encode(), "sha256")
