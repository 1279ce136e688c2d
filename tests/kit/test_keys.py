"""Key pairs, their JWKs, and files only their owner reads."""

import os
import stat
from pathlib import Path

import pytest

from connectors.kit.runtime import b64url, keys
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey


def test_thumbprint_is_rfc_8037_appendix_a_3() -> None:
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert keys.thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("kind", [SigningKey, SealKey])
def test_a_pair_survives_its_jwk(kind: type[SigningKey] | type[SealKey]) -> None:
    pair = kind.generate()
    again = kind.from_jwk(pair.private_jwk())
    assert again.public_jwk == pair.public_jwk
    assert again.thumbprint == pair.thumbprint
    assert set(pair.public_jwk) == {"kty", "crv", "x"}
    assert pair.private_jwk()["d"] not in repr(pair)


def test_a_private_jwk_of_two_halves_is_refused() -> None:
    one, two = SigningKey.generate().private_jwk(), SigningKey.generate().private_jwk()
    for bad in ({**one, "x": two["x"]}, {**one, "crv": "X25519"}, one | {"d": "AA"}, SigningKey.generate().public_jwk):
        with pytest.raises(MaillonError) as caught:
            SigningKey.from_jwk(bad)
        assert caught.value.kind is ErrorKind.CONFIGURATION


def test_a_public_jwk_has_three_members_and_its_curve() -> None:
    good = SealKey.generate().public_jwk
    assert keys.public_jwk(good, "X25519") == good
    for bad in (good | {"kid": "x"}, good | {"x": good["x"] + "="}, good | {"x": good["x"][:-2]}, {}, None, [good]):
        with pytest.raises(MaillonError):
            keys.public_jwk(bad, "X25519")
    with pytest.raises(MaillonError):
        keys.public_jwk(good, "Ed25519")


def test_a_private_file_is_0600_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity.jwk"
    old = os.umask(0)
    try:
        keys.write_private(path, b"one")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.read_private(path) == b"one"
    with pytest.raises(MaillonError) as caught:
        keys.write_private(path, b"two")
    assert caught.value.kind is ErrorKind.CONFLICT
    assert keys.read_private(path) == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["identity.jwk"], "no temporary file is left"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.jwk"
    keys.save_key(path, SigningKey.generate())
    path.chmod(mode)
    with pytest.raises(MaillonError) as caught:
        keys.load_signing_key(path)
    assert caught.value.kind is ErrorKind.CONFIGURATION


def test_missing_files_and_directories_are_named_errors(tmp_path: Path) -> None:
    with pytest.raises(MaillonError) as caught:
        keys.read_private(tmp_path / "none")
    assert caught.value.kind is ErrorKind.CONFIGURATION
    with pytest.raises(MaillonError) as caught:
        keys.write_private(tmp_path / "no" / "where", b"x")
    assert caught.value.kind is ErrorKind.STORAGE


def test_saved_keys_load(tmp_path: Path) -> None:
    signing, sealing = SigningKey.generate(), SealKey.generate()
    keys.save_key(tmp_path / "a", signing)
    keys.save_key(tmp_path / "b", sealing)
    assert keys.load_signing_key(tmp_path / "a").thumbprint == signing.thumbprint
    assert keys.load_seal_key(tmp_path / "b").thumbprint == sealing.thumbprint
    with pytest.raises(MaillonError):
        keys.load_seal_key(tmp_path / "a")


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A A", "+A", "/A", "é"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(MaillonError):
        b64url.decode(text)


def test_base64url_length_and_round_trip() -> None:
    assert b64url.decode(b64url.encode(b"\xff\xfe"), length=2) == b"\xff\xfe"
    with pytest.raises(MaillonError):
        b64url.decode("AA", length=2)
