"""The hub's own secrets: independent roots, derivations as written down, a file that is never half-written."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.keyring import Keyring


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def test_a_ref_is_derived_as_the_design_says(path: Path) -> None:
    keyring = Keyring.create(path)
    keyring.add_partners(["caf", "cpam"])
    stored = json.loads(path.read_text())
    info = b"maillon/ref/v1" + b"\x00\x03" + b"caf" + b"\x00\x00\x00\x01"
    root = b64url.decode(stored["partners"]["caf"])
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)
    expected = hmac.new(key, b"s" * 32, hashlib.sha256).digest()[:16]
    assert keyring.ref("caf", b"s" * 32) == b64url.encode(expected)
    assert keyring.ref("cpam", b"s" * 32) != keyring.ref("caf", b"s" * 32)
    assert stored["partners"]["caf"] != stored["partners"]["cpam"]


def test_a_stored_token_is_keyed_and_cut_in_two_independent_parts(path: Path) -> None:
    keyring = Keyring.create(path)
    stored = json.loads(path.read_text())
    digest = hmac.new(b64url.decode(stored["index"][0]), b"t" * 32, hashlib.sha256).digest()
    lookup, value = keyring.index_token(b"t" * 32)
    assert lookup == int.from_bytes(digest[:8], "big", signed=True)
    assert value == digest[8:24]


def test_a_rotation_of_the_pepper_re_wraps_what_is_stored(path: Path) -> None:
    Keyring.create(path)
    stored = json.loads(path.read_text())
    first, second = b64url.decode(stored["index"][0]), b"k" * 32
    path.write_text(json.dumps(stored | {"index": [stored["index"][0], b64url.encode(second)]}))
    keyring = Keyring.load(path)
    # What the hub has is the 24 bytes it stored: they are all a rotation can re-wrap.
    kept = hmac.digest(first, b"t" * 32, "sha256")[:24]
    rewrapped = hmac.digest(second, kept, "sha256")
    assert keyring.index_epoch == 2
    lookup, value = keyring.index_token(b"t" * 32)
    assert lookup.to_bytes(8, "big", signed=True) + value == rewrapped[:24]


def test_adding_partners_keeps_what_is_there(path: Path) -> None:
    keyring = Keyring.create(path)
    keyring.add_partners(["caf"])
    before = keyring.ref("caf", b"s" * 32)
    keyring.add_partners(["caf", "cpam"])
    again = Keyring.load(path)
    assert again.ref("caf", b"s" * 32) == keyring.ref("caf", b"s" * 32) == before
    assert again.token_key.thumbprint == keyring.token_key.thumbprint
    assert path.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == ["keyring.json"]


def test_a_partner_without_a_root_has_no_refs(path: Path) -> None:
    with pytest.raises(MaillonError) as refused:
        Keyring.create(path).ref("caf", b"s" * 32)
    assert refused.value.kind is ErrorKind.UNKNOWN_PARTNER


def test_a_keyring_others_can_read_or_that_is_none_is_refused(path: Path) -> None:
    Keyring.create(path)
    path.chmod(0o640)
    with pytest.raises(MaillonError) as refused:
        Keyring.load(path)
    assert refused.value.kind is ErrorKind.CONFIGURATION
    path.chmod(0o600)
    path.write_text('{"v":1}')
    with pytest.raises(MaillonError) as refused:
        Keyring.load(path)
    assert refused.value.kind is ErrorKind.CONFIGURATION
