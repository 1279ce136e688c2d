"""One JWS form, one JWE form: every other is refused, and a changed byte never verifies."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey, RSAKey

from connectors.kit import seal
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import to_epoch
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey, SigningKey
from connectors.kit.seal import Typ

KEY = SigningKey.generate()
SEAL_KEY = SealKey.generate()
PAYLOAD = {"v": 1, "fields": ["identite.nom_naissance"], "exp": 1}
TOKEN = seal.sign(PAYLOAD, Typ.ORDER, KEY)
SEALED = seal.seal(b"SECRET", Typ.SEALED_FRAGMENT, SEAL_KEY.public_jwk)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def header_of(token: str) -> dict[str, Any]:
    return dict(json.loads(b64url.decode(token.split(".")[0])))


def refused(token: str, typ: str = Typ.ORDER) -> str:
    with pytest.raises(MaillonError) as caught:
        seal.verify(token, typ, KEY.public_jwk)
    assert caught.value.kind is ErrorKind.BAD_SIGNATURE
    assert caught.value.__cause__ is None
    return caught.value.detail


def unseal_refused(token: str, key: SealKey = SEAL_KEY, typ: str = Typ.SEALED_FRAGMENT) -> str:
    with pytest.raises(MaillonError) as caught:
        seal.unseal(token, typ, key)
    assert caught.value.kind is ErrorKind.BAD_SEAL
    assert "SECRET" not in caught.value.detail
    return caught.value.detail


def forge(header: dict[str, Any], payload: bytes = b'{"v":1}', key: SigningKey = KEY) -> str:
    """A JWS really signed by ``key``, whatever its header says."""
    first = b64url.encode(json.dumps(header).encode()) + "." + b64url.encode(payload)
    return first + "." + b64url.encode(key.jose.private_key.sign(first.encode()))  # type: ignore[union-attr,call-arg]


def test_what_is_signed_is_read_back_and_the_header_is_exact() -> None:
    assert seal.verify(TOKEN, Typ.ORDER, KEY.public_jwk) == PAYLOAD
    assert header_of(TOKEN) == {"alg": "Ed25519", "typ": Typ.ORDER, "kid": KEY.thumbprint}
    assert b64url.decode(TOKEN.split(".")[1]) == b'{"exp":1,"fields":["identite.nom_naissance"],"v":1}'


def test_what_is_sealed_is_read_back_and_the_header_is_exact() -> None:
    assert seal.unseal(SEALED, Typ.SEALED_FRAGMENT, SEAL_KEY) == b"SECRET"
    header = header_of(SEALED)
    assert set(header) == {"alg", "enc", "typ", "kid", "epk"}
    assert (header["alg"], header["enc"]) == ("ECDH-ES", "A256GCM")
    assert seal.seal(b"SECRET", Typ.SEALED_FRAGMENT, SEAL_KEY.public_jwk) != SEALED


def test_the_forge_of_these_tests_makes_tokens_that_would_otherwise_verify() -> None:
    token = forge({"alg": "Ed25519", "typ": Typ.ORDER, "kid": KEY.thumbprint})
    assert seal.verify(token, Typ.ORDER, KEY.public_jwk) == {"v": 1}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"alg": "none"}, "alg"),
        ({"alg": "HS256"}, "alg"),
        ({"alg": "EdDSA"}, "alg"),
        ({"alg": ["Ed25519"]}, "alg"),
        ({"typ": Typ.REQUEST}, "typ"),
        ({"typ": "JWT"}, "typ"),
        ({"kid": "other"}, "kid"),
        ({"kid": 1}, "kid"),
        ({"crit": ["b64"], "b64": False}, "header"),
        ({"jwk": KEY.public_jwk}, "header"),
        ({"jku": "https://example.org"}, "header"),
        ({"x5u": "https://example.org"}, "header"),
        ({"cty": "json"}, "header"),
    ],
)
def test_any_other_header_is_refused_by_name(change: dict[str, Any], detail: str) -> None:
    header = {"alg": "Ed25519", "typ": str(Typ.ORDER), "kid": KEY.thumbprint} | change
    assert refused(forge(header)) == f"{Typ.ORDER}: {detail}"


@pytest.mark.parametrize("member", ["alg", "typ", "kid"])
def test_a_missing_header_member_is_refused(member: str) -> None:
    header = {"alg": "Ed25519", "typ": str(Typ.ORDER), "kid": KEY.thumbprint}
    del header[member]
    assert refused(forge(header)).split(": ")[1] in ("header", "alg")


def test_alg_none_and_hmac_with_the_public_key_are_refused() -> None:
    none = b64url.encode(json.dumps({"alg": "none", "typ": Typ.ORDER, "kid": KEY.thumbprint}).encode())
    assert refused(f"{none}.{TOKEN.split('.')[1]}.") == f"{Typ.ORDER}: alg"
    secret = OctKey.import_key(b64url.decode(KEY.public_jwk["x"]))
    header = {"alg": "HS256", "typ": str(Typ.ORDER), "kid": KEY.thumbprint}
    assert refused(jws.serialize_compact(header, b"{}", secret)) == f"{Typ.ORDER}: alg"


def test_duplicate_members_are_refused() -> None:
    first = f'{{"alg":"Ed25519","alg":"Ed25519","typ":"{Typ.ORDER}","kid":"{KEY.thumbprint}"}}'
    head = b64url.encode(first.encode())
    signature = b64url.encode(KEY.jose.private_key.sign(f"{head}.e30".encode()))  # type: ignore[union-attr,call-arg]
    assert refused(f"{head}.e30.{signature}") == f"{Typ.ORDER}: header"
    header = {"alg": "Ed25519", "typ": str(Typ.ORDER), "kid": KEY.thumbprint}
    assert refused(forge(header, b'{"v":1,"v":2}')) == f"{Typ.ORDER}: payload"
    assert refused(forge(header, b"[]")) == f"{Typ.ORDER}: payload"


def test_another_signer_or_a_moved_part_is_refused() -> None:
    other = SigningKey.generate()
    assert refused(seal.sign(PAYLOAD, Typ.ORDER, other)) == f"{Typ.ORDER}: kid"
    impostor = forge({"alg": "Ed25519", "typ": Typ.ORDER, "kid": KEY.thumbprint}, key=other)
    assert refused(impostor) == f"{Typ.ORDER}: signature"
    second = seal.sign({"v": 2}, Typ.ORDER, KEY).split(".")
    first = TOKEN.split(".")
    assert refused(".".join([first[0], second[1], first[2]])) == f"{Typ.ORDER}: signature"


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "..", "é.b.c", "A" * (seal.MAX_COMPACT + 1), TOKEN + "\n"])
def test_what_is_no_jws_is_refused(token: str) -> None:
    assert refused(token)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(ALPHABET + ".=+/ \n\u00e9"))
@settings(max_examples=300)
def test_no_changed_character_of_a_jws_verifies(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        refused(changed)


@given(st.integers(0, len(SEALED) - 1), st.sampled_from(ALPHABET + ".=+/ \n\u00e9"))
@settings(max_examples=300)
def test_no_changed_character_of_a_jwe_opens(position: int, character: str) -> None:
    changed = SEALED[:position] + character + SEALED[position + 1 :]
    if changed != SEALED:
        unseal_refused(changed)


def test_the_last_characters_have_one_spelling() -> None:
    """The last base64url digit of 64 or 16 bytes has spare bits: only zero will do."""
    for token, refuse in ((TOKEN, refused), (SEALED, unseal_refused)):
        for character in set(ALPHABET) - {token[-1]}:
            refuse(token[:-1] + character)


def test_a_jwe_for_another_key_or_purpose_is_refused() -> None:
    assert unseal_refused(SEALED, SealKey.generate()) == f"{Typ.SEALED_FRAGMENT}: kid"
    assert unseal_refused(SEALED, typ=Typ.SEALED_KLINK) == f"{Typ.SEALED_KLINK}: typ"


def lax_jwe(header: dict[str, Any], key: Any) -> str:
    full = {"typ": str(Typ.SEALED_FRAGMENT), "kid": SEAL_KEY.thumbprint} | header
    names = [full["alg"], full["enc"], *([full["zip"]] if "zip" in full else [])]
    return jwe.encrypt_compact(full, b"SECRET", key, algorithms=names)


def test_zip_dir_rsa_and_other_ciphers_are_refused_though_joserfc_makes_them() -> None:
    to = OKPKey.import_key(dict(SEAL_KEY.public_jwk))
    detail = f"{Typ.SEALED_FRAGMENT}: "
    assert unseal_refused(lax_jwe({"alg": "ECDH-ES", "enc": "A256GCM", "zip": "DEF"}, to)) == detail + "header"
    assert unseal_refused(lax_jwe({"alg": "ECDH-ES", "enc": "A256GCM", "apu": "QQ"}, to)) == detail + "header"
    assert unseal_refused(lax_jwe({"alg": "ECDH-ES", "enc": "A128GCM"}, to)) == detail + "enc"
    assert unseal_refused(lax_jwe({"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}, to)) == detail + "alg"
    shared = OctKey.generate_key(256)
    assert unseal_refused(lax_jwe({"alg": "dir", "enc": "A256GCM"}, shared)) == detail + "alg"
    rsa = RSAKey.generate_key(2048)
    assert unseal_refused(lax_jwe({"alg": "RSA-OAEP", "enc": "A256GCM"}, rsa)) == detail + "alg"


def test_a_low_order_ephemeral_key_or_an_encrypted_key_is_refused() -> None:
    parts = SEALED.split(".")
    zero = {"kty": "OKP", "crv": "X25519", "x": b64url.encode(bytes(32))}
    header = b64url.encode(json.dumps(header_of(SEALED) | {"epk": zero}).encode())
    assert unseal_refused(".".join([header, *parts[1:]])) == f"{Typ.SEALED_FRAGMENT}: decryption"
    wrong = b64url.encode(json.dumps(header_of(SEALED) | {"epk": KEY.public_jwk}).encode())
    assert unseal_refused(".".join([wrong, *parts[1:]])) == f"{Typ.SEALED_FRAGMENT}: epk"
    assert unseal_refused(".".join([parts[0], "AAAA", *parts[2:]])) == f"{Typ.SEALED_FRAGMENT}: form"
    with pytest.raises(MaillonError):
        seal.seal(b"x", Typ.SEALED_FRAGMENT, zero)


def test_a_truncated_tag_is_refused() -> None:
    *head, tag = SEALED.split(".")
    short = b64url.encode(b64url.decode(tag)[:12])
    assert unseal_refused(".".join([*head, short])) == f"{Typ.SEALED_FRAGMENT}: decryption"


def test_a_payload_without_canonical_form_is_not_signed() -> None:
    for bad in (float("nan"), 2**60):
        with pytest.raises(MaillonError):
            seal.sign({"n": bad}, Typ.ORDER, KEY)


def test_a_large_payload_is_signed_and_sealed() -> None:
    big = "x" * 700_000
    token = seal.sign({"n": big}, Typ.FRAGMENT, KEY)
    sealed = seal.seal(token.encode(), Typ.SEALED_FRAGMENT, SEAL_KEY.public_jwk)
    inside = seal.unseal(sealed, Typ.SEALED_FRAGMENT, SEAL_KEY).decode()
    assert seal.verify(inside, Typ.FRAGMENT, KEY.public_jwk) == {"n": big}


AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("iat", "exp", "failing"),
    [
        (0, 60, None),
        (-59, 1, None),
        (5, 60, None),  # their clock is ahead of ours
        (6, 60, "iat"),
        (-60, 0, "exp"),  # half-open: no grace
        (0, 61, "exp"),
        (1, 1, "exp"),
        (2, 1, "exp"),
    ],
)
def test_lifetimes_are_half_open_and_bounded(iat: int, exp: int, failing: str | None) -> None:
    now = to_epoch(AT)
    claims = {"iat": now + iat, "exp": now + exp}
    if failing is None:
        seal.check_lifetime(claims, AT, MINUTE, "request")
        return
    with pytest.raises(MaillonError) as caught:
        seal.check_lifetime(claims, AT, MINUTE, "request")
    assert caught.value.kind is ErrorKind.EXPIRED
    assert caught.value.detail == f"request: {failing}"


@pytest.mark.parametrize("bad", [None, "1", 1.5, True, -1, 0, 2**60, [1]])
def test_a_time_is_a_whole_number(bad: object) -> None:
    now = to_epoch(AT)
    for claims in ({"iat": bad, "exp": now + 5}, {"iat": now, "exp": bad}, {"exp": now + 5}, {"iat": now}):
        with pytest.raises(MaillonError):
            seal.check_lifetime(claims, AT, MINUTE, "request")
