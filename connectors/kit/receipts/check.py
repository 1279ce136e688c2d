"""A receipt and the keys it is checked with, as files: read, verified offline, and what came out of it.

Nothing of the edge, the hub or the network is needed: this is what a stranger runs. Imports little, for the command
has to answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.exact import LedgerError
from consent.ledger.jws import from_base64url, public_key, read_object, thumbprint
from consent.ledger.keychange import Action
from consent.ledger.person import TYPE as PERSON
from consent.ledger.receipt import Receipt, leaf_hash_of
from consent.ledger.verify import TrustedKeys, Verdict, verify_receipt

MAX_RECEIPT: Final = 64 * 1024
"""Bytes; ours are under 4 KiB, room is left for those with many witnesses."""
MAX_COPY: Final = 256 * 1024 * 1024
MAX_KEYS: Final = 4 * 1024 * 1024
_DIGEST_GROUPS: Final = 16


class _Verdict(Protocol):
    """A verdict. ``code`` is None when it holds."""

    @property
    def code(self) -> str | None:
        """What is wrong."""


_V = TypeVar("_V", bound=_Verdict)


@dataclass(frozen=True, slots=True)
class Checked:
    """A receipt that was checked: what it is worth, and whether enough witnesses stand behind it."""

    verdict: Verdict
    is_witnessed: bool
    digest: str
    """Of the event's leaf, hex: the same on paper, in the QR code and in every copy. Empty when it does not read."""


@dataclass(frozen=True, slots=True)
class KeysFile:
    """The keys file: whose word counts, and by which root, if it names one."""

    keys: TrustedKeys
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file at ``path``; ``MaillonError(MALFORMED)`` names what is wrong with it."""
        content = read_json(path, MAX_KEYS)
        try:
            return cls(TrustedKeys.parse(content), content)
        except LedgerError as error:
            raise MaillonError(ErrorKind.MALFORMED, f"{path.name} is no keys file: {error.code}") from None

    @property
    def root_fingerprint(self) -> str | None:
        """The fingerprint of the consortium root that signed its directory, as humans compare it; None if none did."""
        root = self.content["collectors"].get("root")
        if root is None or "directory" not in self.content["collectors"]:
            return None
        return grouped(from_base64url(thumbprint(public_key(root, "directory")), "directory").hex())

    def check_root(self, fingerprint: str) -> None:
        """Raise ``MaillonError(UNTRUSTED_KEY)`` unless the root is that of ``fingerprint`` (spaces do not matter), and
        its directory names the very log and witnesses of this file."""
        found = self.root_fingerprint
        if found is None or "".join(fingerprint.split()).lower() != found.replace(" ", ""):
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "the keys are not vouched for by the root of this fingerprint")
        named = {partner.get(member) for partner in partners_of(self.content) for member in ("log_key", "witness_key")}
        first = set(self.content["log"])
        # A later key is proved by the change itself, under the keys before it; and a later one that the root names
        # signed the change that says which these were, all of them.
        later = {change["vkey"] for change in self.content["key_changes"] if change["action"] == Action.INTRODUCE}
        if not set(self.content["witnesses"]) <= named or not (first <= named or later & named):
            raise MaillonError(ErrorKind.UNTRUSTED_KEY, "a key of the file does not stand in the root's directory")


def read_receipt(path: Path) -> dict[str, Any]:
    """Return the JSON object in the file at ``path``; ``MaillonError(MALFORMED | TOO_LARGE)``. Of a person's own copy,
    which holds many events, more is read than of a receipt."""
    value = read_json(path, MAX_COPY)
    if value.get("type") != PERSON and path.stat().st_size > MAX_RECEIPT:
        raise MaillonError(ErrorKind.TOO_LARGE, f"{path.name}: more than {MAX_RECEIPT} bytes")
    return value


def check_receipt(value: Mapping[str, Any], keys: TrustedKeys) -> Checked:
    """Return what the receipt ``value`` is worth. Short of witnesses it is checked once more without them."""
    verdict, is_witnessed = verify_either_way(verify_receipt, value, keys)
    return Checked(verdict, is_witnessed, digest_of(value) if verdict.holds else "")


def verify_either_way(
    verify: Callable[[Mapping[str, Any], TrustedKeys], _V], value: Mapping[str, Any], keys: TrustedKeys
) -> tuple[_V, bool]:
    """Return what ``verify`` says of ``value``, and whether enough witnesses stand behind it: short of them it is
    checked once more on the log's word alone."""
    verdict = verify(value, keys)
    if verdict.code != "quorum":
        return verdict, True
    return verify(value, replace(keys, witnesses=frozenset(), quorum=0, faulty=0)), False


def digest_of(value: Mapping[str, Any]) -> str:
    """Return the digest of a receipt, 64 hex digits. Raises :class:`LedgerError` when it is none."""
    return leaf_hash_of(Receipt.parse(value)).hex()


def grouped(digest: str) -> str:
    """Return 64 hex digits as 16 groups of 4, for human eyes."""
    return " ".join(digest[i : i + 4] for i in range(0, 4 * _DIGEST_GROUPS, 4))


def partners_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the partners of a keys file's directory, as on the wire; none when it lists bare keys."""
    if "directory" not in content["collectors"]:
        return []
    partners: list[dict[str, Any]] = _directory_of(content)["partners"]
    return partners


def _directory_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the directory of a keys file says; its signature was verified when the file was read."""
    payload = content["collectors"]["directory"].split(".")[1]
    return read_object(from_base64url(payload, "directory"), "directory")


def read_json(path: Path, most: int) -> dict[str, Any]:
    """Return the JSON object in the file at ``path``, of at most ``most`` bytes; ``MaillonError(MALFORMED)``."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise MaillonError(ErrorKind.MALFORMED, f"{path.name}: {error.strerror}") from None
    if len(data) > most:
        raise MaillonError(ErrorKind.TOO_LARGE, f"{path.name}: more than {most} bytes")
    try:
        return read_object(data, "json")
    except LedgerError:
        raise MaillonError(ErrorKind.MALFORMED, f"{path.name} is not a JSON object") from None
